/*
 * Time as a table of functions, so that the same logic runs in production and on a virtual clock.
 * Nothing else in the project reads a clock.
 */
#ifndef NERO_CLOCK_H
#define NERO_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct clock_source {
    int64_t (*wall_ms)(void *context); /* milliseconds since 1970-01-01 UTC; informative only */
    int64_t (*mono_ns)(void *context); /* nanoseconds, never goes back; for durations */
    void (*sleep_ms)(void *context, int64_t ms);
    void *context;
};

/* The machine's clocks. Thread: any. */
const struct clock_source *clock_system(void);

static inline int64_t clock_wall_ms(const struct clock_source *clock)
{
    return clock->wall_ms(clock->context);
}
static inline int64_t clock_mono_ns(const struct clock_source *clock)
{
    return clock->mono_ns(clock->context);
}
static inline double clock_seconds_since(const struct clock_source *clock, int64_t start_ns)
{
    return (double)(clock_mono_ns(clock) - start_ns) * 1e-9;
}
static inline void clock_sleep_ms(const struct clock_source *clock, int64_t ms)
{
    clock->sleep_ms(clock->context, ms);
}

/* "2026-01-31T12:34:56.789Z" */
enum { CLOCK_TEXT_BYTES = 32 };
void clock_format_utc(char out[CLOCK_TEXT_BYTES], int64_t wall_ms);

/* Such a text, to the second; also with +00:00 for Z. False on anything else. */
bool clock_parse_utc(const char *text, int64_t *wall_ms);

#endif
