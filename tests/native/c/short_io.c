/* A shim for LD_PRELOAD: system calls of the POSIX back end are interrupted and cut short, as they may be.
 *
 * Every third call of each kind fails with EINTR before it does anything; of the others every second one of
 * pread, preadv2 and pwrite moves only a part of the bytes, one byte at times. Nothing of this is an error.
 * Only descriptors of files below the directory in SHORT_IO count. SHORT_IO_REPORT names a file for the
 * number of calls that were disturbed.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OPEN, READ, READ_CACHED, WRITE, SYNC, TRUNCATE, ALLOCATE, FLOCK, KIND_COUNT };

static unsigned long counts[KIND_COUNT];
static unsigned long disturbed;

static int is_ours(int fd) {
    char link[64], path[512];
    const char *root = getenv("SHORT_IO");
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (root == NULL || size < 0) return 0;
    path[size] = 0;
    return strncmp(path, root, strlen(root)) == 0;
}

static int interrupts(int kind) {
    if (counts[kind]++ % 3 != 2) return 0;
    disturbed++;
    errno = EINTR;
    return 1;
}

static size_t shortened(int kind, size_t size) {
    if (size < 2 || counts[kind] % 2 == 0) return size;
    disturbed++;
    return counts[kind] % 5 == 0 ? 1 : size / 2;
}

__attribute__((destructor)) static void report(void) {
    const char *path = getenv("SHORT_IO_REPORT");
    FILE *file = path == NULL || disturbed == 0 ? NULL : fopen(path, "w");
    if (file == NULL) return;
    fprintf(file, "%lu\n", disturbed);
    fclose(file);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t pread(int fd, void *buffer, size_t size, off_t offset) {
    if (is_ours(fd) && interrupts(READ)) return -1;
    return REAL(pread)(fd, buffer, is_ours(fd) ? shortened(READ, size) : size, offset);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) {
    if (is_ours(fd) && interrupts(WRITE)) return -1;
    return REAL(pwrite)(fd, data, is_ours(fd) ? shortened(WRITE, size) : size, offset);
}

ssize_t preadv2(int fd, const struct iovec *pieces, int count, off_t offset, int flags) {
    if (is_ours(fd) && interrupts(READ_CACHED)) return -1;
    struct iovec piece = pieces[0];
    if (is_ours(fd)) piece.iov_len = shortened(READ_CACHED, piece.iov_len);
    return REAL(preadv2)(fd, count == 1 ? &piece : pieces, count, offset, flags);
}

int fdatasync(int fd) { return is_ours(fd) && interrupts(SYNC) ? -1 : REAL(fdatasync)(fd); }
int fsync(int fd) { return is_ours(fd) && interrupts(SYNC) ? -1 : REAL(fsync)(fd); }
int flock(int fd, int how) {
    return is_ours(fd) && how != LOCK_UN && interrupts(FLOCK) ? -1 : REAL(flock)(fd, how);
}

int ftruncate(int fd, off_t size) {
    return is_ours(fd) && interrupts(TRUNCATE) ? -1 : REAL(ftruncate)(fd, size);
}

int fallocate(int fd, int mode, off_t offset, off_t size) {
    return is_ours(fd) && interrupts(ALLOCATE) ? -1 : REAL(fallocate)(fd, mode, offset, size);
}

int open(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    unsigned mode = flags & O_CREAT ? va_arg(arguments, unsigned) : 0;
    va_end(arguments);
    const char *root = getenv("SHORT_IO");
    int ours = root != NULL && strncmp(path, root, strlen(root)) == 0;
    return ours && interrupts(OPEN) ? -1 : REAL(open)(path, flags, mode);
}
