/*
 * The heartbeat: a thread with its own Redis connection that renews the lease of one job while the
 * main thread trains, and brings the scheduler's orders back.
 *
 * The two threads hand over small structs under one monitor and share nothing else. The lease is
 * renewed only while the main thread shows signs of life: after stall_ms without any the thread
 * goes silent and the lease lapses, so that a hung device does not hold a job for ever. An outage
 * of Redis is waited out here; training does not notice it.
 * Thread: the main thread calls; the beat thread is inside.
 */
#ifndef NERO_RUNNER_BEAT_H
#define NERO_RUNNER_BEAT_H

#include "nero/clock.h"
#include "nero/progress.h"
#include "nero/queue.h"

struct runner_beat;

struct runner_beat_options {
    const char *redis_url; /* borrowed until stop, as all here */
    const char *runner;    /* name in the queue */
    const char *host;
    const char *numeric_class;
    bool pin;         /* bind the job to the class once a checkpoint of it exists */
    uint32_t beat_ms; /* 0: a third of the lease */
    int64_t stall_ms;
    const struct clock_source *clock;
};

/* What the main thread tells; numbers only, the note is made by the beat thread. */
struct runner_beat_report {
    uint64_t units;     /* progress.units; any change is a sign of life */
    uint64_t slot;      /* newest committed */
    uint64_t committed; /* units of the newest checkpoint */
    enum progress_phase phase;
    uint32_t epoch;  /* 1-based */
    uint32_t epochs; /* at most */
    uint32_t step;
    uint32_t steps;
    double loss;
    double accuracy;          /* newest control accuracy; NaN: none */
    double images_per_second; /* smoothed */
    double seconds_left;      /* estimated; below 0: not known */
};

struct runner_beat_view {
    bool lost;           /* the newest answer: another has the lease, or there is none */
    bool checkpoint_now; /* asked since the last look */
    bool drain;
    bool cancel;
};

/* `claim` is copied, but for its envelope. Errors: unavailable (no thread), no_memory. */
enum nero_status runner_beat_start(const struct runner_beat_options *options,
                                   const struct queue_claim *claim, struct runner_beat **out,
                                   struct nero_err *err);

/* Stop renewing and join. NULL does nothing. */
void runner_beat_stop(struct runner_beat *beat);

void runner_beat_tell(struct runner_beat *beat, const struct runner_beat_report *report);

/* A sign of life without a unit: data loaded, a try to reach the store. */
void runner_beat_touch(struct runner_beat *beat);

/* Takes checkpoint_now: the next look has it only if it was asked again. */
void runner_beat_look(struct runner_beat *beat, struct runner_beat_view *out);

/* "epoch=E/EMAX step=S/SMAX loss=L acc=A ips=I left=T phase=P"; exposed for its test. */
enum { RUNNER_BEAT_NOTE_BYTES = 200 };
void runner_beat_note(const struct runner_beat_report *report, char out[RUNNER_BEAT_NOTE_BYTES]);

#endif
