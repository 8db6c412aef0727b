#include "nero/clock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static int64_t system_wall_ms(void *context)
{
    struct timespec now;

    (void)context;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t system_mono_ns(void *context)
{
    struct timespec now;

    (void)context;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Returns early on a signal, so that a stop request is seen at once. */
static void system_sleep_ms(void *context, int64_t ms)
{
    struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    (void)context;
    if (ms > 0) {
        (void)nanosleep(&pause, NULL);
    }
}

const struct clock_source *clock_system(void)
{
    static const struct clock_source source = {
        .wall_ms = system_wall_ms, .mono_ns = system_mono_ns, .sleep_ms = system_sleep_ms};

    return &source;
}

void clock_format_utc(char out[CLOCK_TEXT_BYTES], int64_t wall_ms)
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm parts;
    char text[CLOCK_TEXT_BYTES];

    (void)gmtime_r(&seconds, &parts);
    (void)strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
    (void)snprintf(out, CLOCK_TEXT_BYTES, "%.19s.%03dZ", text, (int)(wall_ms % 1000));
}

bool clock_parse_utc(const char *text, int64_t *wall_ms)
{
    struct tm tm = {0};
    int used = 0;

    if (sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour,
               &tm.tm_min, &tm.tm_sec, &used) != 6 ||
        tm.tm_year < 1970 || tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 || tm.tm_mday > 31 ||
        tm.tm_hour < 0 || tm.tm_hour > 23 || tm.tm_min < 0 || tm.tm_min > 59 || tm.tm_sec < 0 ||
        tm.tm_sec > 60) {
        return false;
    }
    if (text[used] == '.') { /* fractions of a second do not matter here */
        used += 1 + (int)strspn(text + used + 1, "0123456789");
    }
    if (strcmp(text + used, "Z") != 0 && strcmp(text + used, "+00:00") != 0) {
        return false;
    }
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    *wall_ms = (int64_t)timegm(&tm) * 1000;
    return true;
}
