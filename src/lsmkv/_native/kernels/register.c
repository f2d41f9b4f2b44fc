/* Registers: see register.h. */
#include "register.h"

#include <string.h>

#include "allocator.h"
#include "crc32c.h"

enum { NO_ENTRY = -1, SECOND_MS = 1000, STAMP_COUNT_BITS = 16, ITEM_SIZE_MAX = 16 + 8 + LSM_VARINT_SIZE_MAX };

int lsm_register_read(lsm_slice data, uint64_t now_ms, lsm_slice *value, lsm_error *error) {
    lsm_record record;
    int status = lsm_record_read_header(&record, data, error);
    if (status < 0) return status;
    if (record.item_count != 1) return LSM_REGISTER_OTHER;
    lsm_reader reader = {record.items, record.end};
    lsm_item item;
    status = lsm_record_read_item(&reader, &record, &item, error);
    if (status < 0) return status;
    if (reader.cursor != record.end) {
        return lsm_fail(error, LSM_E_CORRUPT, (uint64_t)(reader.cursor - record.data), NULL,
                        "bytes after the last item");
    }
    if (item.kind == LSM_RECORD_TOMBSTONE) return LSM_REGISTER_NOTHING;
    if (item.kind != LSM_RECORD_VALUE) return LSM_REGISTER_OTHER;
    if (item.expiry != 0 && item.expiry <= now_ms) return LSM_REGISTER_NOTHING;
    *value = item.value;
    return LSM_REGISTER_VALUE;
}

/* --- overwriting ---------------------------------------------------------------------------------------- */

static uint64_t load_epoch(const uint8_t *actor) {
    uint64_t epoch;
    memcpy(&epoch, actor + LSM_REGISTER_OWN_SIZE, sizeof epoch);
    return __builtin_bswap64(epoch);
}

static void store_actor(uint8_t out[LSM_RECORD_ACTOR_SIZE], const lsm_register_write *write, uint64_t epoch) {
    uint64_t stored = __builtin_bswap64(epoch);
    memcpy(out, write->own, LSM_REGISTER_OWN_SIZE);
    memcpy(out + LSM_REGISTER_OWN_SIZE, &stored, sizeof stored);
}

/* What an old record comes to: whose items are superseded, and which entry counts on. */
typedef struct overview {
    lsm_record record;
    uint8_t is_superseded[LSM_REGISTER_CLOCK_MAX];
    int own; /* index of the entry that counts on, or NO_ENTRY */
} overview;

static int look_at_items(overview *old, uint64_t stamp) {
    lsm_reader reader = {old->record.items, old->record.end};
    for (uint32_t i = 0; i < old->record.item_count; i++) {
        lsm_item item;
        if (lsm_record_read_item(&reader, &old->record, &item, NULL) < 0) return LSM_REGISTER_OTHER;
        int is_plain = item.kind == LSM_RECORD_VALUE || item.kind == LSM_RECORD_TOMBSTONE;
        if (!is_plain || item.stamp >= stamp || item.index >= old->record.entry_count) {
            return LSM_REGISTER_OTHER;
        }
        old->is_superseded[item.index] = 1;
    }
    return reader.cursor == reader.end ? LSM_REGISTER_VALUE : LSM_REGISTER_OTHER;
}

static int look(overview *old, const lsm_slice *data, const lsm_register_write *write) {
    *old = (overview){.own = NO_ENTRY};
    if (data == NULL) return LSM_REGISTER_VALUE;
    lsm_record *record = &old->record;
    if (lsm_record_read_header(record, *data, NULL) < 0 || record->cut != 0 ||
        record->entry_count > LSM_REGISTER_CLOCK_MAX || record->item_count > LSM_REGISTER_ITEMS_MAX) {
        return LSM_REGISTER_OTHER;
    }
    for (uint32_t i = 0; i < record->entry_count; i++) {
        const uint8_t *entry = lsm_record_entry_at(record, i);
        if (memcmp(entry, write->own, LSM_REGISTER_OWN_SIZE) == 0 &&
            load_epoch(entry) >= write->trusted_epoch) {
            old->own = (int)i; /* the last one is the largest */
        }
    }
    return look_at_items(old, write->stamp);
}

/* In seconds, never before the start of the actor; what does not fit is the largest there is. */
static uint32_t entry_time(uint64_t stamp, uint64_t epoch) {
    uint64_t time = (stamp >> STAMP_COUNT_BITS) / SECOND_MS, start = (uint32_t)epoch;
    if (time < start) time = start;
    if (time < 1) time = 1;
    return time > UINT32_MAX ? UINT32_MAX : (uint32_t)time;
}

static int reserve(lsm_register_buffer *buffer, size_t size) {
    if (buffer->capacity >= size) return LSM_OK;
    size_t capacity = size < 512 ? 512 : size + size / 2;
    uint8_t *grown = lsm_realloc(buffer->data, capacity);
    if (grown == NULL) return LSM_E_MEMORY;
    buffer->data = grown;
    buffer->capacity = capacity;
    return LSM_OK;
}

void lsm_register_release(lsm_register_buffer *buffer) {
    lsm_free(buffer->data);
    *buffer = (lsm_register_buffer){0};
}

/* The clock, with one dot more; returns where it ends. `place` is the index of the own entry. */
static uint8_t *write_clock(uint8_t *out, const overview *old, const uint8_t actor[LSM_RECORD_ACTOR_SIZE],
                            uint32_t place, uint32_t time) {
    for (uint32_t i = 0; i < old->record.entry_count; i++) {
        const uint8_t *entry = lsm_record_entry_at(&old->record, i);
        if (old->own == NO_ENTRY && i == place) out += LSM_RECORD_ENTRY_SIZE;
        memcpy(out, entry, LSM_RECORD_ENTRY_SIZE);
        int is_own = old->own == (int)i;
        if (is_own) lsm_store32(out + 16, lsm_load32(entry + 16) + 1);
        if ((is_own || old->is_superseded[i]) && lsm_load32(entry + 20) < time) lsm_store32(out + 20, time);
        out += LSM_RECORD_ENTRY_SIZE;
    }
    if (old->own != NO_ENTRY) return out;
    if (place == old->record.entry_count) out += LSM_RECORD_ENTRY_SIZE;
    uint8_t *own = out - (size_t)(old->record.entry_count + 1 - place) * LSM_RECORD_ENTRY_SIZE;
    memcpy(own, actor, LSM_RECORD_ACTOR_SIZE);
    lsm_store32(own + 16, 1);
    lsm_store32(own + 20, time);
    return out;
}

static uint8_t *write_item(uint8_t *out, uint32_t index, uint32_t counter, const lsm_register_write *write) {
    lsm_store16(out, (uint16_t)index);
    out[2] = LSM_RECORD_VALUE;
    out[3] = write->expiry_ms != 0 ? LSM_RECORD_ITEM_EXPIRES : 0;
    lsm_store32(out + 4, counter);
    lsm_store64(out + 8, write->stamp);
    out += LSM_RECORD_ITEM_SIZE;
    if (write->expiry_ms != 0) {
        lsm_store64(out, write->expiry_ms);
        out += 8;
    }
    out = lsm_varint_store(out, write->value.size);
    if (write->value.size != 0) memcpy(out, write->value.data, write->value.size);
    return out + write->value.size;
}

int lsm_register_overwrite(const lsm_slice *data, const lsm_register_write *write,
                           lsm_register_buffer *buffer, int *is_fresh) {
    overview old;
    uint8_t actor[LSM_RECORD_ACTOR_SIZE];
    uint32_t place, counter = 1;
    *is_fresh = 0;
    if (write->value.size > LSM_REGISTER_VALUE_SIZE_MAX || look(&old, data, write) != LSM_REGISTER_VALUE) {
        return LSM_REGISTER_OTHER;
    }
    uint32_t entry_count = old.record.entry_count;
    if (old.own != NO_ENTRY) {
        place = (uint32_t)old.own;
        const uint8_t *entry = lsm_record_entry_at(&old.record, place);
        memcpy(actor, entry, sizeof actor);
        counter = lsm_load32(entry + 16) + 1;
        if (counter == 0) return LSM_REGISTER_OTHER;
    } else {
        if (write->fresh_epoch == 0) return LSM_REGISTER_OTHER;
        store_actor(actor, write, write->fresh_epoch);
        place = 0;
        while (place < entry_count &&
               memcmp(lsm_record_entry_at(&old.record, place), actor, sizeof actor) < 0) {
            place++;
        }
        *is_fresh = 1;
        entry_count++;
    }
    size_t room = LSM_RECORD_HEADER_SIZE + (size_t)entry_count * LSM_RECORD_ENTRY_SIZE + ITEM_SIZE_MAX;
    if (reserve(buffer, room + write->value.size) != LSM_OK) return LSM_E_MEMORY;
    uint8_t *out = buffer->data;
    out[4] = LSM_RECORD_VERSION;
    out[5] = 0;
    lsm_store16(out + 6, (uint16_t)entry_count);
    lsm_store32(out + 8, 1);
    lsm_store32(out + 12, 0);
    uint32_t time = entry_time(write->stamp, load_epoch(actor));
    uint8_t *end = write_clock(out + LSM_RECORD_HEADER_SIZE, &old, actor, place, time);
    end = write_item(end, place, counter, write);
    buffer->size = (size_t)(end - out);
    lsm_store32(out, lsm_crc32c(0, out + 4, buffer->size - 4));
    return LSM_REGISTER_VALUE;
}
