/*
 * Traces of preemptible machines: how long each lived, where, and whether its end was announced.
 *
 * A trace is text. "#" begins a comment, empty lines are skipped, and every other line is one life:
 *
 *     PLACE START_S END_S NOTICE_S
 *
 * PLACE names a zone or type (1 to 31 of A-Z a-z 0-9 . _ -), times are seconds with decimals from
 * any common origin, NOTICE_S is how long before the end it was announced, 0 where it was not.
 */
#ifndef NERO_SPOT_TRACE_H
#define NERO_SPOT_TRACE_H

#include <stdint.h>
#include <stdio.h>

#include "nero/err.h"

enum { SPOT_TRACE_PLACE_BYTES = 32, SPOT_TRACE_PLACES_MAX = 64, SPOT_TRACE_LIVES_MAX = 1 << 20 };

struct spot_life {
    uint32_t place; /* index into places */
    double start_s;
    double end_s;
    double notice_s;
};

struct spot_trace {
    uint32_t place_count;
    char places[SPOT_TRACE_PLACES_MAX][SPOT_TRACE_PLACE_BYTES];
    uint32_t life_count;
    struct spot_life *lives; /* owned */
};

/* Errors: not_found, no_memory, invalid (names line and field), too_big. */
enum nero_status spot_trace_read(const char *path, struct spot_trace *out, struct nero_err *err);
void spot_trace_fini(struct spot_trace *trace);

/*
 * Write a trace that was drawn from `seed` with the statistics of the AWS V100 preemption trace of
 * April 2023 in skypilot-org/spot-traces: 202 lives in 4 zones, mean 7,325 s, median 2,336 s, 10th
 * percentile 288 s, zone means far apart; lognormal lives, all announced 2 minutes ahead.
 */
void spot_trace_generate(uint64_t seed, FILE *out);

#endif
