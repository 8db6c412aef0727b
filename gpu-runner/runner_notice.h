/*
 * Requests to stop: SIGTERM, SIGINT, the end of the socket that a local runner inherited (its
 * parent is gone), and the announced end of a preemptible machine (runner_watch), which is heeded
 * `stop_s` before it. A request is never taken back. A second SIGINT ends the program at once.
 *
 * Also how the runner waits: in pieces, so that a request is seen within RUNNER_NOTICE_SLICE_MS.
 * Thread: the main thread alone; others block these signals.
 */
#ifndef NERO_RUNNER_NOTICE_H
#define NERO_RUNNER_NOTICE_H

#include <stdbool.h>
#include <stdint.h>

#include "nero/clock.h"
#include "nero/err.h"
#include "nero/rng.h"

#include "runner_watch.h"

enum {
    RUNNER_NOTICE_SLICE_MS = 100,
    RUNNER_NOTICE_GRACE_MS = 10000, /* from SIGTERM to SIGKILL: Docker's default */
    RUNNER_NOTICE_DRAIN_MS = 60000  /* for a drain order, which no kill follows */
};

struct runner_notice {
    int parent_fd;    /* -1: none */
    int64_t grace_ms; /* from a signal to the kill */
    bool asked;       /* sticky, whatever asked */
    bool drained;     /* ... and it was an order, not the end of the machine or the program */
    const char *why;
    int64_t kill_ns;            /* monotonic: when the kill is to be expected */
    bool signalled;             /* a signal has been heeded */
    bool threatened;            /* an end is likely, or announced */
    bool announced;             /* ... and soon: nothing new should be begun */
    double stop_s;              /* an announced end is heeded so long before it. The job's to set */
    struct runner_watch *watch; /* of the metadata service; NULL: none. Set by the caller */
};

/* Install the signal handlers; SIGPIPE is ignored from here on. Errors: unavailable. */
enum nero_status runner_notice_install(struct runner_notice *notice, int parent_fd,
                                       int64_t grace_ms, struct nero_err *err);

/* Cheap enough to be asked between any two steps. */
bool runner_notice_stopping(struct runner_notice *notice);

/* Ask oneself to stop; a kill follows in lead_ms. */
void runner_notice_ask(struct runner_notice *notice, const char *why, int64_t lead_ms);

/* The same for a drain order, which no kill follows. */
void runner_notice_drain(struct runner_notice *notice);

/* Seconds until the kill, after a stop was asked for. */
double runner_notice_left_s(struct runner_notice *notice);

/* Sleep up to `ms`; true when a stop was asked for. */
bool runner_notice_sleep(struct runner_notice *notice, const struct clock_source *clock,
                         int64_t ms);

/* Waiting for a service that is away: delays double from 100 ms to 5 s, each drawn from
 * [d/2, d), so that a thousand runners do not come back at one moment. */
struct runner_backoff {
    struct rng_stream jitter;
    int64_t delay_ms;
    uint32_t tries;
};
void runner_backoff_init(struct runner_backoff *backoff, uint64_t seed);
void runner_backoff_reset(struct runner_backoff *backoff);
int64_t runner_backoff_next_ms(struct runner_backoff *backoff);

#endif
