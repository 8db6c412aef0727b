#include "sim_trace.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "fiber.h"

enum { LINE_BYTES = 1024 };

static bool printing;
static uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */
static char verdict[LINE_BYTES];

void sim_trace_print(bool print)
{
    printing = print;
}

static void add(const char *format, va_list args)
{
    const struct fiber_process *self = fiber_self();
    char line[LINE_BYTES];
    int64_t now_ns = fiber_now_ns();
    int used = snprintf(line, sizeof line, "%5lld.%06lld %s.%u ", (long long)now_ns / 1000000000,
                        (long long)now_ns / 1000 % 1000000, self != NULL ? self->name : "world",
                        self != NULL ? self->number : 0);

    (void)vsnprintf(line + used, sizeof line - (size_t)used, format, args);
    for (const char *c = line; *c != '\0'; c++) {
        hash = (hash ^ (uint8_t)*c) * UINT64_C(1099511628211);
    }
    if (printing) {
        (void)printf("%s\n", line);
        (void)fflush(stdout);
    }
}

void sim_trace(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    add(format, args);
    va_end(args);
}

uint64_t sim_trace_hash(void)
{
    return hash;
}

void sim_trace_broken(const char *format, ...)
{
    char text[LINE_BYTES];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    sim_trace("BROKEN %s", text);
    if (verdict[0] == '\0') {
        memcpy(verdict, text, sizeof verdict);
    }
}

const char *sim_trace_verdict(void)
{
    return verdict;
}
