#include "nero/interval.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define STEP_WEIGHT 0.1 /* of the newest step in the smoothed time of one */

/* The number after `prefix`, with `suffix` behind it and nothing else. */
static bool number_after(const char *text, const char *prefix, const char *suffix, double *out)
{
    size_t bytes = strlen(prefix);
    char *end;

    if (strncmp(text, prefix, bytes) != 0 || text[bytes] < '0' || text[bytes] > '9') {
        return false;
    }
    *out = strtod(text + bytes, &end);
    return strcmp(end, suffix) == 0;
}

enum nero_status interval_parse(const char *text, struct interval_policy *out, struct nero_err *err)
{
    double number = 0;

    /* Bounds are written so that NaN fails. */
    if (strcmp(text, "auto") == 0) {
        *out = (struct interval_policy){.kind = INTERVAL_AUTO};
    } else if (number_after(text, "steps:", "", &number) && number >= 1 && number <= 1e15 &&
               number == floor(number)) {
        *out = (struct interval_policy){.kind = INTERVAL_STEPS, .steps = (uint64_t)number};
    } else if (number_after(text, "seconds:", "", &number) && number > 0 && number <= 1e6) {
        *out = (struct interval_policy){.kind = INTERVAL_SECONDS, .seconds = number};
    } else if (number_after(text, "overhead:", "%", &number) && number > 0 && number <= 50) {
        *out = (struct interval_policy){.kind = INTERVAL_OVERHEAD, .overhead = number / 100};
    } else {
        return err_set(err, NERO_INVALID, 0,
                       "checkpoint interval '%.60s': expected auto, steps:N (1 or more), seconds:T "
                       "(above 0, at most 1e6) or overhead:P%% (above 0, at most 50)",
                       text);
    }
    return NERO_OK;
}

void interval_init(struct interval *interval, const struct interval_policy *policy)
{
    *interval = (struct interval){.policy = *policy};
}

void interval_stalled(struct interval *interval, double seconds)
{
    interval->stalls[interval->stall_count++ % INTERVAL_STALLS] = seconds;
}

void interval_stepped(struct interval *interval, double seconds)
{
    interval->step_seconds =
        interval->step_seconds > 0
            ? (1 - STEP_WEIGHT) * interval->step_seconds + STEP_WEIGHT * seconds
            : seconds;
}

double interval_mean_life(const struct interval_lives *lives)
{
    return (INTERVAL_PRIOR_LIVES * INTERVAL_PRIOR_LIFE_S + lives->seconds) /
           (INTERVAL_PRIOR_LIVES + lives->ended);
}

/* 90th percentile of the stalls kept, between two of them in proportion; 0 before the first. */
static double stall_of(const struct interval *interval)
{
    uint32_t count =
        interval->stall_count < INTERVAL_STALLS ? (uint32_t)interval->stall_count : INTERVAL_STALLS;
    double sorted[INTERVAL_STALLS] = {0};
    double rank = 0.9 * (count > 0 ? count - 1 : 0);
    uint32_t below = (uint32_t)rank;

    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = i;

        for (; at > 0 && sorted[at - 1] > interval->stalls[i]; at--) {
            sorted[at] = sorted[at - 1];
        }
        sorted[at] = interval->stalls[i];
    }
    return below + 1 < count ? sorted[below] + (rank - below) * (sorted[below + 1] - sorted[below])
                             : sorted[below];
}

double interval_seconds(const struct interval *interval)
{
    const struct interval_policy *policy = &interval->policy;
    double stall = stall_of(interval);
    double least = fmax(INTERVAL_MIN_STEPS * interval->step_seconds, INTERVAL_MIN_S);
    double seconds;

    switch (policy->kind) {
    case INTERVAL_STEPS:
        return INFINITY;
    case INTERVAL_SECONDS:
        return policy->seconds;
    case INTERVAL_OVERHEAD:
        seconds = stall / policy->overhead;
        break;
    case INTERVAL_AUTO:
    default:
        seconds = sqrt(2 * stall * interval_mean_life(&interval->lives));
        break;
    }
    seconds = fmin(fmax(seconds, least), INTERVAL_MAX_S);
    seconds = interval->stall_count == 0 ? seconds / 4 : seconds;
    return interval->threatened ? seconds / 2 : seconds;
}

bool interval_is_due(const struct interval *interval, uint64_t steps, double seconds)
{
    return interval->policy.kind == INTERVAL_STEPS ? steps >= interval->policy.steps
                                                   : seconds >= interval_seconds(interval);
}

double interval_stop_s(double commit_s, double unit_s)
{
    return commit_s > 0 ? fmax(2 * commit_s + unit_s + INTERVAL_RELEASE_S, INTERVAL_STOP_MIN_S)
                        : INTERVAL_STOP_UNKNOWN_S;
}
