/*
 * The one error type of the project.
 *
 * Every fallible function returns enum nero_status and takes a struct nero_err * last, never NULL.
 * The struct is written only on failure, once where the failure is detected (err_set), and callers
 * add context in front while it travels up (err_wrap). Cleanup code never receives the caller's
 * struct. Whether a failure may be retried is a function of the status alone.
 */
#ifndef NERO_ERR_H
#define NERO_ERR_H

#include <stdbool.h>

enum nero_status {
    NERO_OK = 0,
    NERO_NOT_FOUND,   /* definitely absent (a 404, ENOENT), never "could not look" */
    NERO_EXISTS,      /* create-only and it is there already */
    NERO_CONFLICT,    /* a precondition on the present content failed */
    NERO_STALE,       /* the lease or the leadership was lost to somebody else */
    NERO_UNKNOWN,     /* sent; whether it took effect is not known */
    NERO_UNAVAILABLE, /* did not take effect; may work later */
    NERO_TIMEOUT,     /* a deadline passed before anything was sent */
    NERO_DENIED,      /* credentials, permission, signature refused */
    NERO_CORRUPT,     /* bytes are not what they claim to be */
    NERO_VERSION,     /* a format or protocol version that is not understood */
    NERO_INVALID,     /* bad input: names the file, field and reason */
    NERO_TOO_BIG,     /* over a stated limit */
    NERO_NO_MEMORY,
    NERO_NO_SPACE,
    NERO_GPU,
    NERO_CANCELLED /* stopped on request; resumable */
};

enum { ERR_MESSAGE_BYTES_MAX = 768 }; /* longer messages are cut at the end */

struct nero_err {
    enum nero_status status;
    int system_code; /* errno, HTTP status or CUDA code; 0 where there is none */
    const char *file;
    int line;
    char message[ERR_MESSAGE_BYTES_MAX];
};

/* Exit codes of both programs (DESIGN 10). */
enum err_exit {
    ERR_EXIT_DONE = 0,
    ERR_EXIT_FINDING = 1,
    ERR_EXIT_INPUT = 2,
    ERR_EXIT_UNAVAILABLE = 3,
    ERR_EXIT_RESUMABLE = 75
};

/* Record a failure where it is detected. Returns `status`, so that it can be returned directly. */
#define err_set(err, status, system_code, ...) \
    err_set_at((err), __FILE__, __LINE__, (status), (system_code), __VA_ARGS__)

enum nero_status err_set_at(struct nero_err *err, const char *file, int line,
                            enum nero_status status, int system_code, const char *format, ...)
    __attribute__((format(printf, 6, 7)));

/* Put "context: " in front of the message. Returns err->status. */
enum nero_status err_wrap(struct nero_err *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Short fixed name of a status, as in logs and --json ("not_found"). Never NULL. */
const char *err_status_name(enum nero_status status);

/* True where the same call may succeed later without anything else changing. */
bool err_is_retryable(enum nero_status status);

/*
 * True where what is needed is away and comes back, by itself (retryable) or when somebody makes
 * room for it (no_space): whoever serves waits it out, telling it, with growing delays.
 */
bool err_is_outage(enum nero_status status);

/* The exit code that a program ends with after this status reached main. */
enum err_exit err_exit_code(enum nero_status status);

/* Map an errno to a status: ENOENT -> not_found, ENOSPC -> no_space, EACCES -> denied, ... */
enum nero_status err_from_errno(int error_number);

#endif
