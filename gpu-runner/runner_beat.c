#include "runner_beat.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "nero/bytes.h"
#include "nero/log.h"
#include "nero/mem.h"
#include "nero/thread.h"

enum { BEAT_RETRY_MS = 500, BEAT_SHORT_ID_BYTES = 13 };

struct runner_beat {
    struct runner_beat_options options;
    struct queue_claim claim; /* envelope empty */
    char short_id[BEAT_SHORT_ID_BYTES];
    struct log_context where;
    struct thread thread;

    struct thread_monitor monitor; /* guards the next four; woken when stop is set */
    bool stop;
    uint64_t life; /* grows with every sign of life */
    struct runner_beat_report report;
    struct runner_beat_view view;

    /* The beat thread's own. */
    struct queue *queue;
    uint64_t life_seen;
    int64_t life_ns;      /* when life_seen was new */
    int64_t announced_ns; /* 0: never */
    bool pinned;
    bool silent;
    bool outage;
    bool was_lost;
};

static const char *phase_name(enum progress_phase phase)
{
    switch (phase) {
    case PROGRESS_TRAIN:
        return "train";
    case PROGRESS_CONTROL:
        return "control";
    case PROGRESS_CLEAN:
        return "clean";
    case PROGRESS_ATTACK:
    case PROGRESS_DONE:
        return "attack";
    }
    return "train";
}

void runner_beat_note(const struct runner_beat_report *report, char out[RUNNER_BEAT_NOTE_BYTES])
{
    char accuracy[16] = "nan";

    if (!isnan(report->accuracy)) {
        (void)snprintf(accuracy, sizeof accuracy, "%.4f", report->accuracy);
    }
    (void)snprintf(out, RUNNER_BEAT_NOTE_BYTES,
                   "epoch=%u/%u step=%u/%u loss=%.4g acc=%s ips=%.1f left=%.0f phase=%s",
                   report->epoch, report->epochs, report->step, report->steps, report->loss,
                   accuracy, report->images_per_second,
                   report->seconds_left < 0 ? -1.0 : report->seconds_left,
                   phase_name(report->phase));
}

/* ---- the beat thread ---- */

/* True when the main thread has shown life within stall_ms. */
static bool is_alive(struct runner_beat *beat, uint64_t life)
{
    int64_t now_ns = clock_mono_ns(beat->options.clock);

    if (life != beat->life_seen) {
        beat->life_seen = life;
        beat->life_ns = now_ns;
    }
    if (now_ns - beat->life_ns <= beat->options.stall_ms * 1000000) {
        if (beat->silent) {
            log_line(LOG_INFO, "beat.moving", &beat->where, "the main thread moves again");
        }
        beat->silent = false;
        return true;
    }
    if (!beat->silent) {
        log_line(LOG_WARN, "beat.stalled", &beat->where,
                 "no progress for %.1f s: the lease is left to lapse",
                 (double)(now_ns - beat->life_ns) * 1e-9);
    }
    beat->silent = true;
    return false;
}

static void announce(struct runner_beat *beat)
{
    int64_t now_ns = clock_mono_ns(beat->options.clock);
    struct nero_err ignored;

    if (beat->announced_ns != 0 &&
        now_ns - beat->announced_ns < (int64_t)beat->claim.lease_ms * 1000000) {
        return;
    }
    if (queue_announce(beat->queue, beat->claim.run, beat->options.runner, beat->options.host,
                       beat->options.numeric_class, NULL, &ignored) == NERO_OK) {
        beat->announced_ns = now_ns;
    }
}

/* After a renewal, so that the lease is ours; tried again at the next beat. */
static void pin(struct runner_beat *beat, const struct runner_beat_report *report)
{
    struct nero_err ignored;

    if (beat->options.pin && !beat->pinned && report->committed > 0) {
        beat->pinned =
            queue_pin(beat->queue, &beat->claim, beat->options.numeric_class, &ignored) == NERO_OK;
    }
}

static enum nero_status renew(struct runner_beat *beat, const struct runner_beat_report *report,
                              enum queue_control *control, struct nero_err *err)
{
    char note[RUNNER_BEAT_NOTE_BYTES];
    struct queue_beat message = {
        .units = report->units, .slot = report->slot, .step = report->committed, .note = note};

    if (beat->queue == NULL && queue_open(beat->options.redis_url, &beat->queue, err) != NERO_OK) {
        beat->queue = NULL;
        return err->status;
    }
    announce(beat);
    runner_beat_note(report, note);
    if (queue_renew(beat->queue, &beat->claim, &message, control, err) != NERO_OK) {
        return err->status;
    }
    pin(beat, report);
    return NERO_OK;
}

/* Another's, or Redis does not know the job: either may be Redis's mistake. */
static bool is_lost(enum nero_status status)
{
    return status == NERO_STALE || status == NERO_NOT_FOUND;
}

/* Log changes only: a beat comes every few seconds. */
static void log_answer(struct runner_beat *beat, enum nero_status status,
                       const struct nero_err *err)
{
    bool lost = is_lost(status);
    bool outage = status != NERO_OK && !lost;

    if (outage && !beat->outage) {
        log_line(LOG_WARN, "beat.outage", &beat->where, "training goes on: %s", err->message);
    } else if (!outage && beat->outage) {
        log_line(LOG_INFO, "beat.back", &beat->where, "Redis answers again");
    }
    if (lost && !beat->was_lost) {
        log_line(LOG_WARN, "lease.lost", &beat->where,
                 "training goes on until the bucket says otherwise: %s", err->message);
    } else if (!lost && !outage && beat->was_lost) {
        log_line(LOG_INFO, "lease.adopted", &beat->where, "the lease is ours again");
    }
    beat->outage = outage;
    beat->was_lost = outage ? beat->was_lost : lost;
}

static void hand_over(struct runner_beat *beat, enum nero_status status, enum queue_control control)
{
    thread_monitor_enter(&beat->monitor);
    if (status == NERO_OK) {
        beat->view.lost = false;
        beat->view.cancel = control == QUEUE_CANCEL;
        beat->view.drain = beat->view.drain || control == QUEUE_DRAIN;
        beat->view.checkpoint_now = beat->view.checkpoint_now || control == QUEUE_CHECKPOINT_NOW;
    } else if (is_lost(status)) {
        beat->view.lost = true;
    }
    thread_monitor_leave(&beat->monitor);
}

/* One beat. Returns how long to wait for the next. */
static uint32_t beat_once(struct runner_beat *beat, const struct runner_beat_report *report,
                          uint64_t life)
{
    uint32_t beat_ms = beat->options.beat_ms;
    enum queue_control control = QUEUE_CONTINUE;
    struct nero_err err;
    enum nero_status status;

    if (!is_alive(beat, life)) {
        return beat_ms;
    }
    status = renew(beat, report, &control, &err);
    log_answer(beat, status, &err);
    hand_over(beat, status, control);
    return status == NERO_OK || is_lost(status) || beat_ms < BEAT_RETRY_MS ? beat_ms
                                                                           : BEAT_RETRY_MS;
}

/* Inside the monitor. True when it is time to end. */
static bool wait_for_stop(struct runner_beat *beat, uint32_t wait_ms)
{
    int64_t end_ns = clock_mono_ns(beat->options.clock) + (int64_t)wait_ms * 1000000;

    while (!beat->stop) {
        int64_t left_ns = end_ns - clock_mono_ns(beat->options.clock);

        if (left_ns <= 0 || !thread_monitor_wait_ms(&beat->monitor, (left_ns + 999999) / 1000000)) {
            break;
        }
    }
    return beat->stop;
}

static void beat_main(void *argument)
{
    struct runner_beat *beat = argument;
    uint32_t wait_ms = beat->options.beat_ms;

    thread_monitor_enter(&beat->monitor);
    while (!wait_for_stop(beat, wait_ms)) {
        struct runner_beat_report report = beat->report;
        uint64_t life = beat->life;

        thread_monitor_leave(&beat->monitor);
        wait_ms = beat_once(beat, &report, life);
        thread_monitor_enter(&beat->monitor);
    }
    thread_monitor_leave(&beat->monitor);
    if (beat->queue != NULL) {
        queue_close(beat->queue);
    }
}

/* ---- the main thread ---- */

enum nero_status runner_beat_start(const struct runner_beat_options *options,
                                   const struct queue_claim *claim, struct runner_beat **out,
                                   struct nero_err *err)
{
    struct runner_beat *beat = mem_calloc(1, sizeof *beat);
    char hex[HASH_HEX_BYTES];

    if (beat == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "heartbeat");
    }
    beat->options = *options;
    beat->claim = *claim;
    beat->claim.envelope = (struct bytes){0};
    if (beat->options.beat_ms == 0) {
        beat->options.beat_ms = claim->lease_ms / 3 + 1;
    }
    hash_to_hex(hex, &claim->job);
    (void)snprintf(beat->short_id, sizeof beat->short_id, "%.12s", hex);
    beat->where =
        (struct log_context){.run = beat->claim.run, .job = beat->short_id, .token = claim->token};
    beat->report.accuracy = (double)NAN;
    beat->report.seconds_left = -1;
    beat->report.phase = PROGRESS_TRAIN;
    beat->life_ns = clock_mono_ns(options->clock);
    if (thread_monitor_init(&beat->monitor, err) != NERO_OK) {
        free(beat);
        return err_wrap(err, "heartbeat");
    }
    if (thread_start(&beat->thread, "nero-beat", beat_main, beat, err) != NERO_OK) {
        thread_monitor_fini(&beat->monitor);
        free(beat);
        return err_wrap(err, "heartbeat");
    }
    *out = beat;
    return NERO_OK;
}

void runner_beat_stop(struct runner_beat *beat)
{
    if (beat == NULL) {
        return;
    }
    thread_monitor_enter(&beat->monitor);
    beat->stop = true;
    thread_monitor_wake_all(&beat->monitor);
    thread_monitor_leave(&beat->monitor);
    thread_join(&beat->thread);
    thread_monitor_fini(&beat->monitor);
    free(beat);
}

void runner_beat_tell(struct runner_beat *beat, const struct runner_beat_report *report)
{
    thread_monitor_enter(&beat->monitor);
    beat->report = *report;
    beat->life++;
    thread_monitor_leave(&beat->monitor);
}

void runner_beat_touch(struct runner_beat *beat)
{
    thread_monitor_enter(&beat->monitor);
    beat->life++;
    thread_monitor_leave(&beat->monitor);
}

void runner_beat_look(struct runner_beat *beat, struct runner_beat_view *out)
{
    thread_monitor_enter(&beat->monitor);
    *out = beat->view;
    beat->view.checkpoint_now = false;
    thread_monitor_leave(&beat->monitor);
}
