/*
 * When the next checkpoint is due: after so many steps, so many seconds, or where what checkpoints
 * cost and what preemptions lose are least together.
 *
 * With stall c a checkpoint and mean life M of a runner, the share of time that an interval T
 * wastes is c/T + T/(2M), least at T* = sqrt(2 c M). c is the 90th percentile of the newest
 * INTERVAL_STALLS stalls. M is learnt: lives end at a rate with the prior Gamma(2 ends in
 * 2 x 2 h), so that M = (4 h + time lived) / (2 + lives ended). Then
 *
 *     T = clamp(T*, max(20 steps, 10 s), 10 min), the first T/4, halved once preemption threatens.
 *
 * `overhead:P%` bounds the cost instead: T = c / P within the same limits.
 *
 * Pure: no clock, no thread, no I/O. Source: Young 1974; Daly 2006; specs/batch.md section 5.
 */
#ifndef NERO_INTERVAL_H
#define NERO_INTERVAL_H

#include <stdbool.h>
#include <stdint.h>

#include "nero/err.h"

#define INTERVAL_TEXT "auto"
#define INTERVAL_PRIOR_LIFE_S 7200.0
#define INTERVAL_PRIOR_LIVES 2.0
#define INTERVAL_MIN_S 10.0
#define INTERVAL_MAX_S 600.0
#define INTERVAL_RELEASE_S 3.0       /* kept before a kill, to give the job back */
#define INTERVAL_STOP_MIN_S 5.0      /* no notice is trusted to the second */
#define INTERVAL_STOP_UNKNOWN_S 30.0 /* while nothing has been committed */

enum { INTERVAL_STALLS = 8, INTERVAL_MIN_STEPS = 20, INTERVAL_TEXT_BYTES = 32 };

enum interval_kind { INTERVAL_AUTO = 1, INTERVAL_STEPS, INTERVAL_SECONDS, INTERVAL_OVERHEAD };

struct interval_policy {
    enum interval_kind kind;
    uint64_t steps;  /* STEPS: at least 1 */
    double seconds;  /* SECONDS: above 0, at most 1e6 */
    double overhead; /* OVERHEAD: share of time, above 0, at most 0.5 */
};

/* How long runners like this one have lived so far, and how many of these lives ended unasked. */
struct interval_lives {
    double seconds;
    double ended;
};

struct interval {
    struct interval_policy policy;
    struct interval_lives lives;
    double stalls[INTERVAL_STALLS]; /* seconds; a ring */
    uint64_t stall_count;
    double step_seconds; /* smoothed; 0: none seen */
    bool threatened;
};

/* "auto", "steps:500", "seconds:60", "overhead:1%". Errors: invalid, saying what is accepted. */
enum nero_status interval_parse(const char *text, struct interval_policy *out,
                                struct nero_err *err);

void interval_init(struct interval *interval, const struct interval_policy *policy);
void interval_stalled(struct interval *interval, double seconds);
void interval_stepped(struct interval *interval, double seconds);

double interval_mean_life(const struct interval_lives *lives);

/* Seconds between the newest checkpoint (or the start, before the first) and the next; infinite for
 * STEPS. */
double interval_seconds(const struct interval *interval);

bool interval_is_due(const struct interval *interval, uint64_t steps, double seconds);

/*
 * How long before an announced end training stops, so that one last snapshot is committed: two
 * commits (what is on its way, and the last), the unit that is being done, and giving the job back.
 * commit_s: what a commit will take, 0 if that is not known; unit_s: what a unit takes.
 */
double interval_stop_s(double commit_s, double unit_s);

#endif
