/* A table of any bytes: opened, walked four ways, asked for what it shows, and verified. All ways that come
 * to an end see as many entries, and a table that verifies can be read. */
#include "fuzz.h"
#include "murmur3.h"
#include "table_reader.h"

enum { ENTRIES_MAX = 2000 };

static int walk(lsm_table *table, int backward, size_t readahead, uint64_t *count) {
    lsm_error error;
    lsm_read_context context = {.use_cache = 1, .error = &error};
    lsm_cursor *cursor = lsm_table_cursor(table, &context, readahead);
    REQUIRE(cursor != NULL);
    *count = 0;
    int code = backward ? cursor->ops->last(cursor) : cursor->ops->first(cursor);
    while (code == 0 && cursor->valid && *count < ENTRIES_MAX) {
        ++*count;
        code = backward ? cursor->ops->previous(cursor) : cursor->ops->next(cursor);
    }
    lsm_cursor_destroy(cursor);
    return code;
}

/* Whether every key could be asked for. */
static int get_all(lsm_table *table, int is_sound) {
    lsm_error error;
    lsm_read_context context = {.use_cache = 1, .error = &error}, other = context;
    lsm_cursor *cursor = lsm_table_cursor(table, &context, 0);
    REQUIRE(cursor != NULL);
    int code = cursor->ops->first(cursor), whole = 1;
    for (uint32_t i = 0; code == 0 && cursor->valid && i < ENTRIES_MAX; i++) {
        lsm_found found;
        uint64_t sequence = lsm_trailer_sequence(cursor->trailer);
        uint64_t hash = lsm_key_hash(cursor->key.data, cursor->key.size);
        int got = lsm_table_get(table, cursor->key, hash, sequence, &other, &found);
        if (got == 0) {
            REQUIRE(!is_sound || (found.found && found.trailer == cursor->trailer));
            REQUIRE(!is_sound || found.value.size == cursor->value.size);
            lsm_found_release(&found);
        }
        whole &= got == 0;
        code = cursor->ops->next(cursor);
    }
    lsm_cursor_destroy(cursor);
    return whole && code == 0;
}

static void read_table(lsm_table *table) {
    lsm_error error;
    lsm_read_context context = {.error = &error};
    uint64_t counts[4];
    int codes[4];
    int is_sound = lsm_table_verify(table, &context) == 0;
    for (int way = 0; way < 4; way++) codes[way] = walk(table, way & 2, way & 1 ? 300 : 0, &counts[way]);
    for (int way = 1; way < 4; way++) {
        REQUIRE(codes[0] != 0 || codes[way] != 0 || counts[way] == counts[0]);
        REQUIRE(!is_sound || (codes[way] == 0 && codes[0] == 0));
    }
    REQUIRE(get_all(table, is_sound) || !is_sound);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    lsm_error error;
    lsm_vfs *vfs = lsm_vfs_memory_create();
    lsm_file *file;
    REQUIRE(vfs != NULL);
    REQUIRE(vfs->ops->open(vfs, "t", LSM_OPEN_WRITE | LSM_OPEN_CREATE, &file, &error) == 0);
    REQUIRE(file->ops->append(file, data, size, &error) == 0);
    file->ops->close(file, &error);
    lsm_file_pool *pool = lsm_file_pool_create(vfs, 2);
    lsm_cache cache;
    lsm_cache_init(&cache, 3000);
    lsm_table *table;
    if (lsm_table_open(pool, "t", 1, NULL, 0, 0, NULL, &cache, &table, &error) == 0) {
        read_table(table);
        lsm_table_release(table);
    }
    REQUIRE(cache.usage == 0);
    lsm_file_pool_destroy(pool);
    vfs->ops->destroy(vfs);
    require_no_leak();
    return 0;
}
