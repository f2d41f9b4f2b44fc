/* Tables under sanitizers: forged files whose checksums are right, the lifetime of values that a cursor has
 * passed, and loads that race with others while they wait. Prints how many files were read whole and refused.
 * Arguments: seed, number of forged files.
 */
#include <stdio.h>
#include <stdlib.h>

#include "allocator.h"
#include "crc32c.h"
#include "murmur3.h"
#include "table_reader.h"

enum { ENTRIES_MAX = 400, KEY_ROOM = 32 };

#define CHECK(condition)                                                                 \
    do {                                                                                 \
        if (!(condition)) {                                                              \
            fprintf(stderr, "line %d: %s; %s\n", __LINE__, #condition, failure.message); \
            exit(1);                                                                     \
        }                                                                                \
    } while (0)

static lsm_error failure;
static uint64_t random_state;

static uint32_t random_below(uint32_t limit) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 32) % limit;
}

static const uint8_t id[LSM_TABLE_ID_SIZE] = "table check id.";

/* Key i: every third shares its head with its neighbours; three versions each. */
static lsm_slice key_at(uint32_t i, char *room) {
    int size = snprintf(room, KEY_ROOM, i / 3 % 3 ? "key%04u" : "key%04u-long-tail", i / 3);
    return (lsm_slice){(uint8_t *)room, (size_t)size};
}

static uint64_t trailer_at(uint32_t i) {
    return lsm_trailer(1000 - i % 3, i % 7 == 6 ? LSM_KIND_DELETE : LSM_KIND_PUT);
}

static lsm_slice value_at(uint32_t i, char *room) {
    int size = snprintf(room, KEY_ROOM, "value of %u", i);
    return (lsm_slice){(uint8_t *)room, i % 7 == 6 ? 0 : (size_t)size};
}

static void write_table(lsm_vfs *vfs, const char *path, uint32_t count, uint32_t block_size) {
    lsm_table_options options = {.block_size = block_size, .bloom_bits_per_key = 10};
    memcpy(options.id, id, sizeof id);
    lsm_table_builder *builder;
    CHECK(lsm_table_builder_create(vfs, path, &options, NULL, &builder, &failure) == 0);
    char key[KEY_ROOM], value[KEY_ROOM];
    for (uint32_t i = 0; i < count; i++)
        CHECK(lsm_table_builder_add(builder, key_at(i, key), trailer_at(i), value_at(i, value), &failure) ==
              0);
    lsm_table_summary summary;
    CHECK(lsm_table_builder_finish(builder, &summary, &failure) == 0);
    lsm_table_summary_clear(&summary);
    lsm_table_builder_destroy(builder);
}

/* --- walking ------------------------------------------------------------------------------------------ */

/* Walks one way to the end. While standing on an entry, the value before it must still read as it did. */
static int walk(lsm_cursor *cursor, int backward, uint64_t *passed) {
    char copy[KEY_ROOM];
    lsm_slice before = {NULL, 0};
    *passed = 0;
    int code = backward ? cursor->ops->last(cursor) : cursor->ops->first(cursor);
    while (code == 0 && cursor->valid) {
        if (before.size <= KEY_ROOM && before.size != 0) CHECK(memcmp(before.data, copy, before.size) == 0);
        before = cursor->value;
        if (before.size <= KEY_ROOM && before.size != 0) memcpy(copy, before.data, before.size);
        ++*passed;
        code = backward ? cursor->ops->previous(cursor) : cursor->ops->next(cursor);
    }
    return code;
}

/* Reads a table by every means; 1 when all of it could be read. */
static int read_all(lsm_table *table, uint32_t count) {
    lsm_read_context context = {.use_cache = 1, .error = &failure};
    uint64_t passed[4];
    int whole = 1;
    for (int way = 0; way < 4; way++) {
        lsm_cursor *cursor = lsm_table_cursor(table, &context, way & 1 ? 300 : 0);
        CHECK(cursor != NULL);
        whole &= walk(cursor, way & 2, &passed[way]) == 0;
        lsm_cursor_destroy(cursor);
    }
    if (whole) CHECK(passed[0] == passed[1] && passed[0] == passed[2] && passed[0] == passed[3]);
    char key[KEY_ROOM];
    for (uint32_t i = 0; i < count; i++) {
        lsm_slice wanted = key_at(i, key);
        lsm_found found;
        uint64_t hash = lsm_key_hash(wanted.data, wanted.size);
        int code = lsm_table_get(table, wanted, hash, lsm_trailer_sequence(trailer_at(i)), &context, &found);
        if (code == 0) lsm_found_release(&found);
        whole &= code == 0;
    }
    return lsm_table_verify(table, &context) == 0 && whole;
}

/* --- forged files ------------------------------------------------------------------------------------- */

static uint8_t *read_file(lsm_vfs *vfs, const char *path, uint64_t *size) {
    lsm_file *file;
    CHECK(vfs->ops->open(vfs, path, LSM_OPEN_READ, &file, &failure) == 0);
    CHECK(file->ops->size(file, size, &failure) == 0);
    uint8_t *bytes = lsm_alloc((size_t)*size);
    CHECK(file->ops->read(file, 0, bytes, (size_t)*size, &failure) == (int64_t)*size);
    file->ops->close(file, &failure);
    return bytes;
}

static void replace_file(lsm_vfs *vfs, const char *path, const uint8_t *bytes, size_t size) {
    lsm_file *file;
    int flags = LSM_OPEN_WRITE | LSM_OPEN_CREATE | LSM_OPEN_TRUNCATE;
    CHECK(vfs->ops->open(vfs, path, flags, &file, &failure) == 0);
    CHECK(file->ops->append(file, bytes, size, &failure) == 0);
    file->ops->close(file, &failure);
}

/* Changes a few bytes of one piece and makes its checksum right again. */
static void forge(uint8_t *bytes, const lsm_table_piece *piece) {
    static const uint8_t values[] = {0, 1, 2, 8, 0x7F, 0x80, 0xFF};
    for (uint32_t changes = 1 + random_below(3); changes > 0; changes--) {
        uint8_t *place = bytes + piece->offset + 4 + random_below((uint32_t)piece->size - 4);
        *place = random_below(2) ? values[random_below(sizeof values)] : (uint8_t)random_below(256);
    }
    uint32_t crc = lsm_crc32c_seed(id, sizeof id, piece->offset);
    lsm_store32(bytes + piece->offset, lsm_crc32c(crc, bytes + piece->offset + 4, (size_t)piece->size - 4));
}

static void choose_piece(const lsm_table *table, lsm_table_piece *chosen) {
    lsm_table_piece piece = {0};
    uint32_t seen = 0;
    int in_tail = random_below(4) != 0; /* where most of the structure is */
    while (lsm_table_next_piece(table, &piece)) {
        if (piece.offset == 0 || strcmp(piece.what, "padding") == 0) continue;
        if (in_tail && strncmp(piece.what, "data", 4) == 0) continue;
        if (random_below(++seen) == 0) *chosen = piece;
    }
}

static void check_forged(lsm_vfs *vfs, uint32_t rounds, uint32_t *whole, uint32_t *refused) {
    lsm_file_pool *pool = lsm_file_pool_create(vfs, 2);
    for (uint32_t round = 0; round < rounds; round++) {
        uint32_t count = 1 + random_below(ENTRIES_MAX);
        lsm_cache cache;
        lsm_cache_init(&cache, random_below(2) ? 3000 : 100000);
        vfs->ops->remove(vfs, "table", &failure);
        write_table(vfs, "table", count, random_below(3) ? 100 : 1000);
        lsm_table *table;
        CHECK(lsm_table_open(pool, "table", 1, id, 0, 0, NULL, &cache, &table, &failure) == 0);
        CHECK(read_all(table, count));
        lsm_table_piece piece = {0};
        choose_piece(table, &piece);
        lsm_table_release(table);

        uint64_t size;
        uint8_t *bytes = read_file(vfs, "table", &size);
        forge(bytes, &piece);
        replace_file(vfs, "table", bytes, (size_t)size);
        lsm_free(bytes);
        if (lsm_table_open(pool, "table", 1, NULL, 0, 0, NULL, &cache, &table, &failure) != 0) {
            ++*refused;
            continue;
        }
        ++*(read_all(table, count) ? whole : refused);
        lsm_table_release(table);
        CHECK(cache.usage == 0 && cache.hand == NULL);
    }
    CHECK(lsm_file_pool_open_count(pool) == 0);
    lsm_file_pool_destroy(pool);
}

/* --- reads that wait ---------------------------------------------------------------------------------- */

static lsm_file_ops waiting_ops;
static int (*plain_open)(lsm_vfs *, const char *, int, lsm_file **, lsm_error *);

static int64_t would_block(lsm_file *file, uint64_t offset, uint8_t *buffer, size_t size, lsm_error *error) {
    (void)file, (void)offset, (void)buffer, (void)size, (void)error;
    return LSM_E_WOULD_BLOCK;
}

static int open_waiting(lsm_vfs *vfs, const char *path, int flags, lsm_file **file, lsm_error *error) {
    int code = plain_open(vfs, path, flags, file, error);
    if (code) return code;
    waiting_ops = *(*file)->ops;
    waiting_ops.read_cached = would_block;
    (*file)->ops = &waiting_ops;
    return 0;
}

typedef struct waiter {
    lsm_table *tables[3];
    uint32_t entry;
    uint32_t depth, waits;
} waiter;

static void get_entry(lsm_table *table, uint32_t entry, waiter *owner);

/* While one read waits, others read the same block and, with one handle allowed, other files. */
static void others_run(void *owner) {
    waiter *state = owner;
    state->waits++;
    if (state->depth++ == 0) {
        for (int i = 0; i < 3; i++) get_entry(state->tables[i], state->entry, state);
    }
    state->depth--;
}

static void nothing(void *owner) { (void)owner; }

static void get_entry(lsm_table *table, uint32_t entry, waiter *owner) {
    lsm_read_context context = {
        .before_wait = others_run, .after_wait = nothing, .owner = owner, .use_cache = 1, .error = &failure};
    char key[KEY_ROOM], value[KEY_ROOM];
    lsm_slice wanted = key_at(entry, key), expected = value_at(entry, value);
    lsm_found found;
    uint64_t hash = lsm_key_hash(wanted.data, wanted.size);
    CHECK(lsm_table_get(table, wanted, hash, lsm_trailer_sequence(trailer_at(entry)), &context, &found) == 0);
    CHECK(found.found && found.trailer == trailer_at(entry) && found.value.size == expected.size);
    CHECK(memcmp(found.value.data, expected.data, expected.size) == 0);
    lsm_found_release(&found);
}

static void check_waiting(lsm_vfs *plain) {
    lsm_vfs_ops ops = *plain->ops;
    plain_open = ops.open;
    ops.open = open_waiting;
    const lsm_vfs_ops *plain_ops = plain->ops;
    plain->ops = &ops;
    lsm_file_pool *pool = lsm_file_pool_create(plain, 1);
    lsm_cache cache;
    lsm_cache_init(&cache, 2000);
    waiter state = {0};
    const char *paths[] = {"one", "two", "three"};
    for (int i = 0; i < 3; i++) {
        write_table(plain, paths[i], ENTRIES_MAX, 200);
        CHECK(lsm_table_open(pool, paths[i], 1, id, 0, 0, NULL, &cache, &state.tables[i], &failure) == 0);
    }
    for (int round = 0; round < 500; round++) {
        state.entry = random_below(ENTRIES_MAX);
        get_entry(state.tables[random_below(3)], state.entry, &state);
        CHECK(lsm_file_pool_open_count(pool) <= 1);
        CHECK(cache.usage <= cache.capacity);
    }
    CHECK(state.waits > 500);
    for (int i = 0; i < 3; i++) lsm_table_release(state.tables[i]);
    lsm_file_pool_destroy(pool);
    plain->ops = plain_ops;
}

int main(int argc, char **argv) {
    CHECK(argc == 3);
    random_state = 0x9E3779B97F4A7C15u ^ strtoull(argv[1], NULL, 10);
    lsm_vfs *vfs = lsm_vfs_memory_create();
    CHECK(vfs != NULL);
    uint32_t whole = 0, refused = 0;
    check_forged(vfs, (uint32_t)strtoul(argv[2], NULL, 10), &whole, &refused);
    check_waiting(vfs);
    vfs->ops->destroy(vfs);
    CHECK(lsm_memory_shared()->blocks == 0 && lsm_memory_shared()->bytes == 0);
    printf("%u %u\n", whole, refused);
    return 0;
}
