/* Memtables, cache, versions, tables and group commit between threads, for ThreadSanitizer.
 *
 *     race_check OPERATIONS
 *
 * One mutex stands for the core lock. A writer inserts and logs; a flusher turns frozen memtables into tables
 * and installs versions; readers take what is there, with reads that give the lock up while they wait; a
 * scanner walks frozen memtables and tables without it; others wait for the log to be durable. Prints how
 * many operations and flushes there were.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "allocator.h"
#include "commit_group.h"
#include "memtable.h"
#include "version.h"

enum { KEYS = 500, VALUE_SIZE = 40, FREEZE_BYTES = 60000, RUNS_MAX = 6, READERS = 3, TABLES_MAX = 4096 };

#define CHECK(condition) ((condition) ? (void)0 : fail(__LINE__, #condition))

static void fail(int line, const char *what) {
    fprintf(stderr, "line %d: %s\n", line, what);
    exit(1);
}

static pthread_mutex_t core = PTHREAD_MUTEX_INITIALIZER;
static lsm_memtable *active, *frozen;
static lsm_version *version;
static lsm_table *tables[RUNS_MAX];
static uint32_t table_count;
static uint64_t sequence, flushes;
static int ended; /* atomic */

static lsm_vfs *vfs;
static lsm_file_pool *pool;
static lsm_cache cache;
static lsm_log_writer *writer;
static lsm_commit_group *group;

static void lock(void *owner) { (void)owner, pthread_mutex_lock(&core); }
static void unlock(void *owner) { (void)owner, pthread_mutex_unlock(&core); }
static int has_ended(void) { return __atomic_load_n(&ended, __ATOMIC_ACQUIRE); }

static lsm_slice key_at(uint32_t number, char *room) {
    return (lsm_slice){(uint8_t *)room, (size_t)sprintf(room, "key %05u", number % KEYS)};
}

static void check_value(lsm_slice key, lsm_slice value) {
    CHECK(value.size == VALUE_SIZE && memcmp(value.data, key.data, key.size) == 0);
}

/* Files whose cached reads always have to wait. */
static lsm_file_ops waiting_ops;
static lsm_vfs_ops vfs_ops;
static int (*plain_open)(lsm_vfs *, const char *, int, lsm_file **, lsm_error *);

static int64_t would_block(lsm_file *file, uint64_t offset, uint8_t *buffer, size_t size, lsm_error *error) {
    (void)file, (void)offset, (void)buffer, (void)size, (void)error;
    return LSM_E_WOULD_BLOCK;
}

static int open_waiting(lsm_vfs *base, const char *path, int flags, lsm_file **file, lsm_error *error) {
    int code = plain_open(base, path, flags, file, error);
    if (code == 0) (*file)->ops = &waiting_ops;
    return code;
}

static void make_waiting(void) {
    lsm_file *file;
    CHECK(vfs->ops->open(vfs, "probe", LSM_OPEN_WRITE | LSM_OPEN_CREATE, &file, NULL) == 0);
    waiting_ops = *file->ops;
    waiting_ops.read_cached = would_block;
    file->ops->close(file, NULL);
    vfs_ops = *vfs->ops;
    plain_open = vfs_ops.open;
    vfs_ops.open = open_waiting;
    vfs->ops = &vfs_ops;
}

/* --- threads ------------------------------------------------------------------------------------------ */

static void write_one(uint32_t number) {
    char room[32], bytes[VALUE_SIZE] = {0};
    lsm_slice key = key_at(number * 7919, room), key_copy, value_copy;
    memcpy(bytes, key.data, key.size);
    lsm_slice value = {(uint8_t *)bytes, VALUE_SIZE};
    uint8_t *payload;
    size_t size = lsm_log_operation_size(LSM_KIND_PUT, key.size, value.size);
    CHECK(lsm_memtable_reserve(active, 1, key.size + value.size) == 0);
    CHECK(lsm_log_begin(writer, size, &payload, NULL) == 0);
    lsm_log_encode(payload, LSM_KIND_PUT, key, value, &key_copy, &value_copy);
    CHECK(lsm_log_commit(writer, LSM_LOG_BATCH, sequence + 1, 1, size, NULL) == 0);
    uint64_t trailer = lsm_trailer(++sequence, LSM_KIND_PUT);
    lsm_memtable_insert(active, key_copy, trailer, value_copy, LSM_SEQUENCE_MAX);
    lsm_commit_group_committed(group, sequence);
}

static void *write_all(void *argument) {
    for (uint32_t i = 0; i < *(uint32_t *)argument; i++) {
        lock(NULL);
        write_one(i);
        lsm_memtable_usage usage;
        lsm_memtable_read_usage(active, &usage);
        if (usage.arena_bytes > FREEZE_BYTES && frozen == NULL) {
            frozen = active;
            active = lsm_memtable_create();
            CHECK(active != NULL);
        }
        unlock(NULL);
    }
    __atomic_store_n(&ended, 1, __ATOMIC_RELEASE);
    return NULL;
}

static lsm_table *write_table(lsm_memtable *memtable, uint32_t number) {
    static char paths[TABLES_MAX][16];
    CHECK(number < TABLES_MAX);
    sprintf(paths[number], "%06u", number);
    lsm_table_options options = {.block_size = 1024, .bloom_bits_per_key = 10};
    memcpy(options.id, &number, sizeof number);
    lsm_table_builder *builder;
    CHECK(lsm_table_builder_create(vfs, paths[number], &options, NULL, &builder, NULL) == 0);
    lsm_cursor *cursor = lsm_memtable_cursor(memtable);
    CHECK(cursor != NULL && cursor->ops->first(cursor) == 0);
    for (; cursor->valid; CHECK(cursor->ops->next(cursor) == 0)) {
        CHECK(lsm_table_builder_add(builder, cursor->key, cursor->trailer, cursor->value, NULL) == 0);
    }
    lsm_cursor_destroy(cursor);
    lsm_table_summary summary;
    CHECK(lsm_table_builder_finish(builder, &summary, NULL) == 0);
    lsm_table_summary_clear(&summary);
    lsm_table_builder_destroy(builder);
    lsm_table *table;
    CHECK(lsm_table_open(pool, paths[number], number, NULL, 0, 0, NULL, &cache, &table, NULL) == 0);
    return table;
}

/* REQUIRES: the core lock. */
static void install(lsm_table *newest) {
    if (table_count == RUNS_MAX) lsm_table_release(tables[--table_count]);
    memmove(tables + 1, tables, table_count * sizeof *tables);
    tables[0] = newest;
    lsm_version *next = lsm_version_create(++table_count);
    CHECK(next != NULL);
    for (uint32_t i = 0; i < table_count; i++) {
        lsm_table_summary summary;
        lsm_table_read_summary(tables[i], &summary);
        lsm_table_slice slice = {.table = tables[i],
                                 .smallest = {summary.smallest, summary.smallest_size},
                                 .largest = {summary.largest, summary.largest_size}};
        CHECK(lsm_version_set_run(next, i, 0, &slice, 1) == 0);
    }
    lsm_version_release(version);
    version = next;
}

static void *flush_all(void *argument) {
    (void)argument;
    while (!has_ended()) {
        lock(NULL);
        lsm_memtable *memtable = frozen;
        if (memtable != NULL) lsm_memtable_retain(memtable);
        uint32_t number = (uint32_t)flushes + 1;
        unlock(NULL);
        if (memtable == NULL) continue;
        lsm_table *table = write_table(memtable, number);
        lock(NULL);
        install(table);
        frozen = NULL;
        flushes++;
        lsm_memtable_release(memtable);
        unlock(NULL);
        lsm_memtable_release(memtable);
    }
    return NULL;
}

static void *read_all(void *argument) {
    uint32_t number = *(uint32_t *)argument;
    lsm_error error;
    lsm_read_context context = {.before_wait = unlock, .after_wait = lock, .use_cache = 1, .error = &error};
    while (!has_ended()) {
        char room[32];
        lsm_slice key = key_at(number += 31, room);
        lsm_found found;
        lock(NULL);
        lsm_version *pinned = version;
        lsm_version_retain(pinned);
        lsm_memtable_get(active, key, LSM_SEQUENCE_MAX, &found);
        if (found.found) check_value(key, found.value);
        CHECK(lsm_version_get(pinned, key, LSM_SEQUENCE_MAX, &context, &found) == 0);
        if (found.found) check_value(key, found.value);
        lsm_found_release(&found);
        lsm_version_release(pinned);
        unlock(NULL);
    }
    return NULL;
}

/* Frozen memtables and whole tables, without the lock. */
static void *scan_all(void *argument) {
    (void)argument;
    lsm_error error;
    lsm_read_context context = {.error = &error};
    while (!has_ended()) {
        lock(NULL);
        lsm_memtable *memtable = frozen;
        if (memtable != NULL) lsm_memtable_retain(memtable);
        lsm_version *pinned = version;
        lsm_version_retain(pinned);
        unlock(NULL);
        lsm_cursor *cursors[2] = {NULL, NULL};
        if (memtable != NULL) cursors[0] = lsm_memtable_cursor(memtable);
        if (pinned->run_count != 0) cursors[1] = lsm_run_cursor(&pinned->runs[0], &context, 4096);
        for (int i = 0; i < 2; i++) {
            if (cursors[i] == NULL) continue;
            CHECK(cursors[i]->ops->first(cursors[i]) == 0);
            for (; cursors[i]->valid; CHECK(cursors[i]->ops->next(cursors[i]) == 0)) {
                check_value(cursors[i]->key, cursors[i]->value);
            }
        }
        lock(NULL);
        for (int i = 0; i < 2; i++) lsm_cursor_destroy(cursors[i]);
        lsm_version_release(pinned);
        unlock(NULL);
        if (memtable != NULL) lsm_memtable_release(memtable);
    }
    return NULL;
}

static void *sync_all(void *argument) {
    (void)argument;
    while (!has_ended()) {
        lock(NULL);
        uint64_t wanted = sequence;
        unlock(NULL);
        CHECK(lsm_commit_group_sync(group, wanted, NULL) == 0);
        CHECK(lsm_commit_group_durable(group) >= wanted);
    }
    return NULL;
}

/* --- from beginning to end ---------------------------------------------------------------------------- */

static void begin(void) {
    lsm_log_segment segment = {.number = 1, .nonce = 5};
    vfs = lsm_vfs_memory_create();
    CHECK(vfs != NULL);
    make_waiting();
    pool = lsm_file_pool_create(vfs, 3);
    lsm_cache_init(&cache, 20000);
    active = lsm_memtable_create();
    version = lsm_version_create(0);
    CHECK(pool != NULL && active != NULL && version != NULL);
    CHECK(lsm_log_create(vfs, "log", &segment, LSM_LOG_WRITTEN, &writer, NULL) == 0);
    group = lsm_commit_group_create(vfs, "/");
    CHECK(group != NULL && lsm_commit_group_add(group, writer) == 0);
}

static void end(void) {
    lsm_commit_group_destroy(group);
    lsm_log_destroy(writer);
    lsm_version_release(version);
    while (table_count > 0) lsm_table_release(tables[--table_count]);
    lsm_memtable_release(active);
    if (frozen != NULL) lsm_memtable_release(frozen);
    lsm_cache_close(&cache);
    lsm_file_pool_destroy(pool);
    vfs->ops->destroy(vfs);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    uint32_t rounds = (uint32_t)strtoul(argv[1], NULL, 10), numbers[READERS];
    pthread_t threads[READERS + 5];
    int count = 0;
    begin();
    CHECK(pthread_create(&threads[count++], NULL, write_all, &rounds) == 0);
    CHECK(pthread_create(&threads[count++], NULL, flush_all, NULL) == 0);
    CHECK(pthread_create(&threads[count++], NULL, scan_all, NULL) == 0);
    CHECK(pthread_create(&threads[count++], NULL, sync_all, NULL) == 0);
    CHECK(pthread_create(&threads[count++], NULL, sync_all, NULL) == 0);
    for (uint32_t i = 0; i < READERS; i++) {
        numbers[i] = i * 1000;
        CHECK(pthread_create(&threads[count++], NULL, read_all, &numbers[i]) == 0);
    }
    for (int i = 0; i < count; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    printf("%llu %llu\n", (unsigned long long)sequence, (unsigned long long)flushes);
    end();
    return 0;
}
