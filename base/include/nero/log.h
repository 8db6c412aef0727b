/*
 * One line an event: time, level, subject, then key=value with units; JSON with LOG_JSON.
 * Libraries return errors and log nothing at error level; executables log each failure once.
 * Never log secrets. Thread: any; a line is written whole.
 */
#ifndef NERO_LOG_H
#define NERO_LOG_H

#include <stdint.h>
#include <stdio.h>

#include "nero/err.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_TEXT, LOG_JSON };

/* Where a line belongs; empty strings are left out. Borrowed until return. */
struct log_context {
    const char *run;
    const char *job; /* short id */
    uint64_t token;  /* 0: none */
};

/* Default: stderr, info, text. `out` is borrowed for the life of the program. */
void log_setup(FILE *out, enum log_level least, enum log_format format);

/* Parse "debug|info|warn|error" and "text|json". Errors: invalid. */
enum nero_status log_parse_level(const char *text, enum log_level *out, struct nero_err *err);
enum nero_status log_parse_format(const char *text, enum log_format *out, struct nero_err *err);

/* `subject` is a dotted constant ("lease.lost"); `format` makes the key=value part. */
void log_line(enum log_level level, const char *subject, const struct log_context *where,
              const char *format, ...) __attribute__((format(printf, 4, 5)));

/* A failure with status, message and the place where it was detected. */
void log_failure(const char *subject, const struct log_context *where, const struct nero_err *err);

#endif
