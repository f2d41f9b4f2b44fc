/* Writes inputs from which the fuzzers begin: make_seeds DIRECTORY, with folders log, batch, node, table. */
#include "block.h"
#include "fuzz.h"
#include "log.h"
#include "table.h"

static lsm_error failure;
static const char *root;

static const char *path_of(const char *target, const char *name, int number) {
    static char path[4096];
    snprintf(path, sizeof path, "%s/%s/%s%d", root, target, name, number);
    return path;
}

static void save(const char *path, const uint8_t *data, size_t size) {
    FILE *file = fopen(path, "wb");
    REQUIRE(file != NULL && fwrite(data, 1, size, file) == size && fclose(file) == 0);
}

static lsm_slice key_at(int i, char *room) {
    int size = sprintf(room, i % 3 ? "key%03d" : "key%03d-with a long tail", i);
    return (lsm_slice){(uint8_t *)room, (size_t)size};
}

static uint64_t trailer_at(int i) { return lsm_trailer(5 + i, i % 5 == 4 ? LSM_KIND_DELETE : LSM_KIND_PUT); }

static lsm_slice value_at(int i) {
    static const uint8_t bytes[] = "a value of some length, and of another one";
    return (lsm_slice){bytes, i % 5 == 4 ? 0 : (size_t)(i % 3 * 20)};
}

static void write_log(int count) {
    lsm_vfs *vfs = lsm_vfs_posix_create();
    lsm_log_segment segment = {.number = 2, .nonce = 7, .previous_number = 1};
    lsm_log_writer *writer;
    char room[64];
    remove(path_of("log", "closed", count));
    REQUIRE(lsm_log_create(vfs, path_of("log", "closed", count), &segment, LSM_LOG_WRITTEN, &writer,
                           &failure) == 0);
    for (int i = 0; i < count; i++) {
        lsm_slice key = key_at(i, room), value = value_at(i), key_copy, value_copy;
        uint8_t kind = i % 5 == 4 ? LSM_KIND_DELETE : LSM_KIND_PUT, *payload;
        size_t size = lsm_log_operation_size(kind, key.size, value.size);
        REQUIRE(lsm_log_begin(writer, size, &payload, &failure) == 0);
        lsm_log_encode(payload, kind, key, value, &key_copy, &value_copy);
        char batch[256] = {1};
        memcpy(batch + 1, payload, size);
        save(path_of("batch", "one", i), (uint8_t *)batch, size + 1);
        REQUIRE(lsm_log_commit(writer, LSM_LOG_BATCH, 1 + i, 1, size, &failure) == 0);
        uint64_t covered;
        if (i % 3 == 2) {
            REQUIRE(lsm_log_sync(writer, &covered, &failure) == 0);
            REQUIRE(lsm_log_mark_synced(writer, covered, &failure) == 0);
        }
    }
    REQUIRE(lsm_log_finish(writer, &failure) == 0);
    lsm_log_destroy(writer);
    vfs->ops->destroy(vfs);
}

static void write_node(int count) {
    lsm_block_builder *builder = lsm_block_builder_create();
    char room[64];
    for (int i = 0; i < count; i++) {
        REQUIRE(lsm_block_builder_add(builder, key_at(i, room), trailer_at(i), value_at(i)) == 0);
    }
    size_t size = lsm_block_builder_finished_size(builder);
    uint8_t *data = malloc(size);
    lsm_block_builder_finish(builder, data);
    save(path_of("node", "node", count), data, size);
    free(data);
    lsm_block_builder_destroy(builder);
}

static void write_table(int count, uint32_t block_size) {
    lsm_vfs *vfs = lsm_vfs_posix_create();
    lsm_table_options options = {.block_size = block_size, .bloom_bits_per_key = 10, .id = "seed of fuzzers"};
    lsm_table_builder *builder;
    lsm_table_summary summary;
    char room[64];
    remove(path_of("table", "table", count));
    REQUIRE(lsm_table_builder_create(vfs, path_of("table", "table", count), &options, NULL, &builder,
                                     &failure) == 0);
    for (int i = 0; i < count; i++) {
        REQUIRE(lsm_table_builder_add(builder, key_at(i, room), trailer_at(i), value_at(i), &failure) == 0);
    }
    REQUIRE(lsm_table_builder_finish(builder, &summary, &failure) == 0);
    lsm_table_summary_clear(&summary);
    lsm_table_builder_destroy(builder);
    vfs->ops->destroy(vfs);
}

int main(int argc, char **argv) {
    REQUIRE(argc == 2);
    root = argv[1];
    write_log(7);
    write_node(1);
    write_node(12);
    write_table(3, 4096);
    write_table(40, 150);
    return 0;
}
