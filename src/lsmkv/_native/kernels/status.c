/* Filling the error record of status.h. */
#include "status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void set_path(lsm_error *error, const char *path) {
    error->path[0] = '\0';
    if (path == NULL) return;
    size_t size = strlen(path);
    /* The end of a path says more than its beginning. */
    if (size >= LSM_PATH_CAPACITY) path += size - (LSM_PATH_CAPACITY - 1);
    snprintf(error->path, LSM_PATH_CAPACITY, "%s", path);
}

int lsm_fail(lsm_error *error, int code, uint64_t offset, const char *path, const char *format, ...) {
    if (error == NULL) return code;
    error->code = code;
    error->system_errno = 0;
    error->offset = offset;
    set_path(error, path);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->message, LSM_MESSAGE_CAPACITY, format, arguments);
    va_end(arguments);
    return code;
}

int lsm_fail_system(lsm_error *error, int system_errno, uint64_t offset, const char *path,
                    const char *operation) {
    lsm_fail(error, LSM_E_SYSTEM, offset, path, "%s", operation);
    if (error != NULL) error->system_errno = system_errno;
    return LSM_E_SYSTEM;
}

int lsm_error_set_path(lsm_error *error, const char *path) {
    if (error == NULL) return LSM_E_CORRUPT;
    if (error->path[0] == '\0') set_path(error, path);
    return error->code;
}
