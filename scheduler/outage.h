/*
 * Waiting an outage out: after each failed try a longer rest, told now and then, until one
 * succeeds. All zeros: no outage.
 */
#ifndef NERO_OUTAGE_H
#define NERO_OUTAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "nero/err.h"

struct outage {
    int64_t tried_ns; /* the last try */
    uint32_t rest_ms; /* from then on, 0: none */
    uint32_t tries;   /* failed in a row */
};

/* Whether it is too early for another try. */
bool outage_rests(const struct outage *outage);

/* A try failed: rest twice as long as the last time, at most rest_ms_max. Logs `event` of the first
 * try, and of one in eight. */
void outage_goes_on(struct outage *outage, uint32_t rest_ms_max, const char *event, const char *run,
                    const struct nero_err *err);

/* A try succeeded. Logs `event`, if there was an outage. */
void outage_is_over(struct outage *outage, const char *event, const char *run);

#endif
