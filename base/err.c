#include "nero/err.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum nero_status err_set_at(struct nero_err *err, const char *file, int line,
                            enum nero_status status, int system_code, const char *format, ...)
{
    va_list args;

    assert(err != NULL && status != NERO_OK);
    err->status = status;
    err->system_code = system_code;
    err->file = file;
    err->line = line;
    va_start(args, format);
    (void)vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    return status;
}

enum nero_status err_wrap(struct nero_err *err, const char *format, ...)
{
    char inner[ERR_MESSAGE_BYTES_MAX];
    va_list args;
    int used;

    memcpy(inner, err->message, sizeof inner);
    va_start(args, format);
    used = vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    if (used >= 0 && (size_t)used < sizeof err->message) {
        (void)snprintf(err->message + used, sizeof err->message - (size_t)used, ": %s", inner);
    }
    return err->status;
}

const char *err_status_name(enum nero_status status)
{
    static const char *const names[] = {
        [NERO_OK] = "ok",
        [NERO_NOT_FOUND] = "not_found",
        [NERO_EXISTS] = "exists",
        [NERO_CONFLICT] = "conflict",
        [NERO_STALE] = "stale",
        [NERO_UNKNOWN] = "unknown",
        [NERO_UNAVAILABLE] = "unavailable",
        [NERO_TIMEOUT] = "timeout",
        [NERO_DENIED] = "denied",
        [NERO_CORRUPT] = "corrupt",
        [NERO_VERSION] = "version",
        [NERO_INVALID] = "invalid",
        [NERO_TOO_BIG] = "too_big",
        [NERO_NO_MEMORY] = "no_memory",
        [NERO_NO_SPACE] = "no_space",
        [NERO_GPU] = "gpu",
        [NERO_CANCELLED] = "cancelled",
    };

    if ((unsigned)status >= sizeof names / sizeof names[0]) {
        return "undefined";
    }
    return names[status];
}

bool err_is_retryable(enum nero_status status)
{
    return status == NERO_UNKNOWN || status == NERO_UNAVAILABLE || status == NERO_TIMEOUT;
}

bool err_is_outage(enum nero_status status)
{
    return err_is_retryable(status) || status == NERO_NO_SPACE;
}

enum err_exit err_exit_code(enum nero_status status)
{
    switch (status) {
    case NERO_OK:
        return ERR_EXIT_DONE;
    case NERO_CORRUPT:
    case NERO_VERSION:
        return ERR_EXIT_FINDING;
    case NERO_UNKNOWN:
    case NERO_UNAVAILABLE:
    case NERO_TIMEOUT:
    case NERO_NO_SPACE:
    case NERO_NO_MEMORY:
    case NERO_GPU:
        return ERR_EXIT_UNAVAILABLE;
    case NERO_STALE:
    case NERO_CANCELLED:
        return ERR_EXIT_RESUMABLE;
    case NERO_NOT_FOUND:
    case NERO_EXISTS:
    case NERO_CONFLICT:
    case NERO_DENIED:
    case NERO_INVALID:
    case NERO_TOO_BIG:
        return ERR_EXIT_INPUT;
    }
    return ERR_EXIT_INPUT;
}

enum nero_status err_from_errno(int error_number)
{
    switch (error_number) {
    case ENOENT:
        return NERO_NOT_FOUND;
    case EEXIST:
        return NERO_EXISTS;
    case EACCES:
    case EPERM:
    case EROFS:
        return NERO_DENIED;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return NERO_NO_SPACE;
    case ENOMEM:
        return NERO_NO_MEMORY;
    case ETIMEDOUT:
        return NERO_TIMEOUT;
    case EINVAL:
    case ENOTDIR:
    case EISDIR:
    case ENAMETOOLONG:
        return NERO_INVALID;
    default:
        return NERO_UNAVAILABLE;
    }
}
