/* Reading and checking records: see record_format.h. */
#include "record_format.h"

#include <string.h>

#include "crc32c.h"

#define CORRUPT(error, record, position, ...) \
    lsm_fail(error, LSM_E_CORRUPT, (uint64_t)((position) - (record)->data), NULL, __VA_ARGS__)

int lsm_record_read_header(lsm_record *r, lsm_slice data, lsm_error *error) {
    r->data = data.data;
    r->end = data.data + data.size;
    if (data.size < LSM_RECORD_HEADER_SIZE) {
        return CORRUPT(error, r, r->data, "a record of %zu bytes", data.size);
    }
    if (data.size > LSM_RECORD_SIZE_MAX) {
        return lsm_fail(error, LSM_E_LIMIT, LSM_NO_OFFSET, NULL, "a record of %zu bytes", data.size);
    }
    if (lsm_load32(r->data) != lsm_crc32c(0, r->data + 4, data.size - 4)) {
        return CORRUPT(error, r, r->data, "the checksum of a record does not fit");
    }
    if (r->data[4] != LSM_RECORD_VERSION || r->data[5] != 0) {
        return lsm_fail(error, LSM_E_FORMAT, 4, NULL, "a record of version %u with flags %u", r->data[4],
                        r->data[5]);
    }
    r->entry_count = lsm_load16(r->data + 6);
    r->item_count = lsm_load32(r->data + 8);
    r->cut = lsm_load32(r->data + 12);
    if (r->entry_count > LSM_RECORD_CLOCK_MAX || r->item_count > LSM_RECORD_ITEMS_MAX) {
        return lsm_fail(error, LSM_E_LIMIT, 6, NULL, "a record of %u clock entries and %u items",
                        r->entry_count, r->item_count);
    }
    r->clock = r->data + LSM_RECORD_HEADER_SIZE;
    size_t clock_size = (size_t)r->entry_count * LSM_RECORD_ENTRY_SIZE;
    size_t least = LSM_RECORD_HEADER_SIZE + clock_size + (size_t)r->item_count * LSM_RECORD_ITEM_SIZE;
    if (r->entry_count == 0 || least > data.size) {
        return CORRUPT(error, r, r->data + 6, "the counts of a record do not fit its size");
    }
    r->items = r->clock + clock_size;
    return 0;
}

/* Reads the clock into r->entries. Returns the number of pinned entries, or a negative status. */
static int read_clock(lsm_record *r, lsm_error *error) {
    int pinned = 0;
    for (uint32_t i = 0; i < r->entry_count; i++) {
        const uint8_t *entry = lsm_record_entry_at(r, i);
        uint32_t counter = lsm_load32(entry + 16), time = lsm_load32(entry + 20);
        r->entries[i] = (lsm_record_entry){.counter = counter, .time = time};
        if (i != 0 && memcmp(entry - LSM_RECORD_ENTRY_SIZE, entry, LSM_RECORD_ACTOR_SIZE) >= 0) {
            return CORRUPT(error, r, entry, "the clock of a record is out of order");
        }
        if (counter == 0) return CORRUPT(error, r, entry, "a clock entry that counts nothing");
        if (time == 0 && r->cut != 0) {
            pinned++;
        } else if (time == 0 || time < r->cut) {
            return CORRUPT(error, r, entry, "a clock entry from before the cut");
        }
    }
    return pinned;
}

/* Takes the item at the reader. The kinds say which parts there are. */
int lsm_record_read_item(lsm_reader *reader, const lsm_record *r, lsm_item *out, lsm_error *error) {
    uint64_t size;
    const uint8_t *start = reader->cursor;
    if (lsm_reader_left(reader) < LSM_RECORD_ITEM_SIZE) {
        return CORRUPT(error, r, start, "an item is cut short");
    }
    out->data = start;
    out->index = lsm_load16(start);
    out->kind = start[2];
    out->counter = lsm_load32(start + 4);
    out->stamp = lsm_load64(start + 8);
    out->expiry = 0;
    out->name = out->value = (lsm_slice){start, 0};
    if (out->kind == 0 || out->kind > LSM_RECORD_KIND_MAX || start[3] > LSM_RECORD_ITEM_EXPIRES) {
        return lsm_fail(error, LSM_E_FORMAT, (uint64_t)(start - r->data), NULL,
                        "an item of kind %u with flags %u", out->kind, start[3]);
    }
    reader->cursor += LSM_RECORD_ITEM_SIZE;
    if (start[3] == LSM_RECORD_ITEM_EXPIRES && (lsm_read64(reader, &out->expiry) || out->expiry == 0)) {
        return CORRUPT(error, r, start, "an item without its expiry");
    }
    if (out->kind >= LSM_RECORD_ELEMENT) {
        if (lsm_read_varint(reader, &size)) return CORRUPT(error, r, start, "the size of a name");
        out->name.size = size;
    }
    if (out->kind == LSM_RECORD_VALUE || out->kind == LSM_RECORD_FIELD) {
        if (lsm_read_varint(reader, &size)) return CORRUPT(error, r, start, "the size of a value");
        out->value.size = size;
    } else if (out->kind == LSM_RECORD_COUNT) {
        out->value.size = 8;
    }
    if (lsm_read_bytes(reader, out->name.size, &out->name) ||
        lsm_read_bytes(reader, out->value.size, &out->value)) {
        return CORRUPT(error, r, start, "an item is cut short");
    }
    out->size = (size_t)(reader->cursor - start);
    return 0;
}

/* Every item, and that pinned entries count exactly what is live. */
static int check_items(lsm_record *r, int pinned, lsm_error *error) {
    lsm_reader reader = {r->items, r->end};
    lsm_item now = {0};
    uint32_t index = 0, counter = 0;
    for (uint32_t i = 0; i < r->item_count; i++) {
        int status = lsm_record_read_item(&reader, r, &now, error);
        if (status) return status;
        if (now.index >= r->entry_count || now.counter == 0 || now.counter > r->entries[now.index].counter) {
            return CORRUPT(error, r, now.data, "an item that its clock does not cover");
        }
        if (i != 0 && (now.index < index || (now.index == index && now.counter <= counter))) {
            return CORRUPT(error, r, now.data, "the items of a record are out of order");
        }
        index = now.index;
        counter = now.counter;
        r->entries[index].live = counter;
    }
    if (reader.cursor != r->end) return CORRUPT(error, r, reader.cursor, "bytes after the last item");
    for (uint32_t i = 0; pinned != 0 && i < r->entry_count; i++) {
        if (r->entries[i].time != 0) continue;
        if (r->entries[i].live != r->entries[i].counter) {
            return CORRUPT(error, r, lsm_record_entry_at(r, i), "a pinned entry without its item");
        }
    }
    return 0;
}

int lsm_record_read_body(lsm_record *r, lsm_error *error) {
    int pinned = read_clock(r, error);
    return pinned < 0 ? pinned : check_items(r, pinned, error);
}
