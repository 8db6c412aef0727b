#include "nero/log.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <string.h>

#include "nero/clock.h"

enum { LOG_LINE_BYTES = 2048 };

static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static FILE *log_out;
static enum log_level log_least = LOG_INFO;
static enum log_format log_form = LOG_TEXT;
static const char *const level_names[] = {"debug", "info", "warn", "error"};

void log_setup(FILE *out, enum log_level least, enum log_format format)
{
    (void)pthread_mutex_lock(&log_lock);
    log_out = out;
    log_least = least;
    log_form = format;
    (void)pthread_mutex_unlock(&log_lock);
}

enum nero_status log_parse_level(const char *text, enum log_level *out, struct nero_err *err)
{
    for (int i = LOG_DEBUG; i <= LOG_ERROR; i++) {
        if (strcmp(text, level_names[i]) == 0) {
            *out = (enum log_level)i;
            return NERO_OK;
        }
    }
    return err_set(err, NERO_INVALID, 0, "log level '%s' is not debug, info, warn or error", text);
}

enum nero_status log_parse_format(const char *text, enum log_format *out, struct nero_err *err)
{
    if (strcmp(text, "text") == 0) {
        *out = LOG_TEXT;
    } else if (strcmp(text, "json") == 0) {
        *out = LOG_JSON;
    } else {
        return err_set(err, NERO_INVALID, 0, "log format '%s' is not text or json", text);
    }
    return NERO_OK;
}

/* Quotes, backslashes and control characters escaped as JSON wants them (RFC 8259). */
static void print_json_string(FILE *out, const char *text)
{
    (void)fputc('"', out);
    for (const unsigned char *c = (const unsigned char *)text; *c != 0; c++) {
        if (*c == '"' || *c == '\\') {
            (void)fprintf(out, "\\%c", *c);
        } else if (*c < 0x20) {
            (void)fprintf(out, "\\u%04x", *c);
        } else {
            (void)fputc(*c, out);
        }
    }
    (void)fputc('"', out);
}

static void print_text(FILE *out, const char *time, enum log_level level, const char *subject,
                       const struct log_context *where, const char *message)
{
    (void)fprintf(out, "%s %-5s %s", time, level_names[level], subject);
    if (where != NULL && where->run != NULL && where->run[0] != 0) {
        (void)fprintf(out, " run=%s", where->run);
    }
    if (where != NULL && where->job != NULL && where->job[0] != 0) {
        (void)fprintf(out, " job=%s", where->job);
    }
    if (where != NULL && where->token != 0) {
        (void)fprintf(out, " token=%" PRIu64, where->token);
    }
    (void)fprintf(out, " %s\n", message);
}

static void print_json(FILE *out, const char *time, enum log_level level, const char *subject,
                       const struct log_context *where, const char *message)
{
    (void)fprintf(out, "{\"time\":\"%s\",\"level\":\"%s\",\"subject\":", time, level_names[level]);
    print_json_string(out, subject);
    if (where != NULL && where->run != NULL && where->run[0] != 0) {
        (void)fputs(",\"run\":", out);
        print_json_string(out, where->run);
    }
    if (where != NULL && where->job != NULL && where->job[0] != 0) {
        (void)fputs(",\"job\":", out);
        print_json_string(out, where->job);
    }
    if (where != NULL && where->token != 0) {
        (void)fprintf(out, ",\"token\":\"%" PRIu64 "\"", where->token);
    }
    (void)fputs(",\"message\":", out);
    print_json_string(out, message);
    (void)fputs("}\n", out);
}

void log_line(enum log_level level, const char *subject, const struct log_context *where,
              const char *format, ...)
{
    char message[LOG_LINE_BYTES];
    char time[CLOCK_TEXT_BYTES];
    va_list args;
    FILE *out;

    va_start(args, format);
    (void)vsnprintf(message, sizeof message, format, args);
    va_end(args);
    clock_format_utc(time, clock_wall_ms(clock_system()));
    (void)pthread_mutex_lock(&log_lock);
    out = log_out != NULL ? log_out : stderr;
    if (level >= log_least) {
        if (log_form == LOG_JSON) {
            print_json(out, time, level, subject, where, message);
        } else {
            print_text(out, time, level, subject, where, message);
        }
        (void)fflush(out);
    }
    (void)pthread_mutex_unlock(&log_lock);
}

void log_failure(const char *subject, const struct log_context *where, const struct nero_err *err)
{
    log_line(LOG_ERROR, subject, where, "status=%s code=%d at=%s:%d %s",
             err_status_name(err->status), err->system_code, err->file != NULL ? err->file : "?",
             err->line, err->message);
}
