#include "runner_upload.h"

#include <inttypes.h>
#include <stdlib.h>

#include "nero/mem.h"
#include "nero/thread.h"

#include "runner_notice.h"

enum { NOBODY = -1, BUFFERS = 2, BORROWED = BUFFERS, LOG_TRY_EVERY = 8 };

struct snapshot {
    struct progress progress;
    struct bytes state;
    enum slot_reason reason;
    int64_t taken_ns;
    double stall_s;
};

struct worker {
    struct thread thread;
    struct runner_upload *upload;
    bool hurried; /* of normal priority, begun before a stop */
};

struct runner_upload {
    struct runner_upload_options options;
    struct worker workers[2]; /* the usual one, and the hurried one */
    /* Each belongs to the upload thread while it is `active`, else to the main thread, which does
     * not touch the one that is `queued`. */
    struct snapshot snapshots[BUFFERS];

    struct thread_monitor monitor; /* guards the rest; woken whenever any of it changes */
    struct runner_backoff backoff;
    int queued;              /* a snapshot; NOBODY */
    int active;              /* a snapshot on its way; BORROWED: the main thread; NOBODY */
    int64_t begun_ns;        /* of what is on its way */
    int64_t not_before_ns;   /* after a failed try */
    double seconds_per_byte; /* of the newest commit; 0: none yet */
    uint64_t newest_bytes;
    bool ending, hurrying;
    struct runner_upload_view view;
};

/* ---- the upload thread ---- */

/* Inside the monitor: wait for a snapshot to take on its way. False: it is over. */
static bool take(struct runner_upload *upload, bool hurried)
{
    for (;;) {
        int64_t wait_ns = upload->not_before_ns - clock_mono_ns(upload->options.clock);

        if (upload->ending || upload->view.verdict != NERO_OK || (upload->hurrying && !hurried)) {
            return false;
        }
        if (upload->queued == NOBODY || upload->active != NOBODY) {
            thread_monitor_wait(&upload->monitor);
        } else if (wait_ns > 0) {
            (void)thread_monitor_wait_ms(&upload->monitor, (wait_ns + 999999) / 1000000);
        } else {
            upload->active = upload->queued;
            upload->queued = NOBODY;
            upload->begun_ns = clock_mono_ns(upload->options.clock);
            return true;
        }
    }
}

/* Inside the monitor, after a commit. */
static void note_commit(struct runner_upload *upload, const struct snapshot *snapshot,
                        uint64_t number)
{
    int64_t now_ns = clock_mono_ns(upload->options.clock);
    struct runner_upload_view *view = &upload->view;

    view->commits++;
    view->slot = number;
    view->units = snapshot->progress.units;
    view->lag_s = (double)(now_ns - snapshot->taken_ns) * 1e-9;
    upload->seconds_per_byte =
        (double)(now_ns - upload->begun_ns) * 1e-9 / (double)snapshot->state.bytes;
    upload->not_before_ns = 0;
    runner_backoff_reset(&upload->backoff);
    log_line(LOG_INFO, "checkpoint.committed", upload->options.where,
             "slot=%" PRIu64 " units=%" PRIu64 " bytes=%zu stall_s=%.4f lag_s=%.3f reason=%d",
             number, view->units, snapshot->state.bytes, snapshot->stall_s, view->lag_s,
             (int)snapshot->reason);
}

/* Inside the monitor, after a failed try: the same snapshot again, unless there is a newer one. */
static void note_failure(struct runner_upload *upload, const struct nero_err *err)
{
    int64_t delay_ns;

    if (err->status == NERO_STALE || err->status == NERO_CONFLICT) {
        upload->view.verdict = err->status;
        return;
    }
    if (upload->backoff.tries % LOG_TRY_EVERY == 0) {
        log_line(LOG_WARN, "checkpoint.postponed", upload->options.where,
                 "try=%u status=%s reason=\"%s\"", upload->backoff.tries + 1,
                 err_status_name(err->status), err->message);
    }
    delay_ns = runner_backoff_next_ms(&upload->backoff) * 1000000;
    upload->not_before_ns = clock_mono_ns(upload->options.clock) + delay_ns;
    if (upload->queued == NOBODY) {
        upload->queued = upload->active;
    }
}

static void upload_main(void *argument)
{
    struct worker *worker = argument;
    struct runner_upload *upload = worker->upload;

    if (!worker->hurried) {
        thread_lower_priority();
    }
    thread_monitor_enter(&upload->monitor);
    while (take(upload, worker->hurried)) {
        struct snapshot *snapshot = &upload->snapshots[upload->active];
        struct nero_err err;
        uint64_t number;
        enum nero_status status;

        thread_monitor_leave(&upload->monitor);
        status =
            runner_ckpt_commit(upload->options.chain, upload->options.owner, snapshot->reason,
                               &snapshot->progress, bytes_as_view(&snapshot->state), &number, &err);
        thread_monitor_enter(&upload->monitor);
        if (status == NERO_OK) {
            note_commit(upload, snapshot, number);
        } else {
            note_failure(upload, &err);
        }
        upload->active = NOBODY;
        thread_monitor_wake_all(&upload->monitor);
    }
    thread_monitor_leave(&upload->monitor);
}

/* ---- the main thread ---- */

static void destroy(struct runner_upload *upload)
{
    for (int i = 0; i < BUFFERS; i++) {
        bytes_fini(&upload->snapshots[i].state);
        progress_fini(&upload->snapshots[i].progress);
    }
    free(upload);
}

static enum nero_status start_worker(struct runner_upload *upload, bool hurried,
                                     struct nero_err *err)
{
    struct worker *worker = &upload->workers[hurried];

    worker->upload = upload;
    worker->hurried = hurried;
    return thread_start(&worker->thread, "nero-upload", upload_main, worker, err);
}

enum nero_status runner_upload_start(const struct runner_upload_options *options,
                                     const struct trainer *trainer, struct runner_upload **out,
                                     struct nero_err *err)
{
    struct runner_upload *upload = mem_calloc(1, sizeof *upload);
    enum nero_status status = NERO_OK;

    if (upload == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "checkpoints: no memory");
    }
    upload->options = *options;
    upload->queued = upload->active = NOBODY;
    runner_backoff_init(&upload->backoff, options->seed);
    for (int i = 0; i < BUFFERS; i++) {
        progress_init(&upload->snapshots[i].progress);
        bytes_init(&upload->snapshots[i].state, RUNNER_CKPT_STATE_BYTES_MAX);
    }
    for (int i = 0; i < BUFFERS && status == NERO_OK; i++) {
        status = trainer_reserve(trainer, &upload->snapshots[i].state, err);
    }
    if (status == NERO_OK) {
        status = thread_monitor_init(&upload->monitor, err);
    }
    if (status != NERO_OK) {
        destroy(upload);
        return err_wrap(err, "checkpoints");
    }
    if (start_worker(upload, false, err) != NERO_OK) {
        thread_monitor_fini(&upload->monitor);
        destroy(upload);
        return err_wrap(err, "checkpoints");
    }
    *out = upload;
    return NERO_OK;
}

/* The snapshot that may be written over; what was queued is no longer. */
static int claim_buffer(struct runner_upload *upload)
{
    int index;

    thread_monitor_enter(&upload->monitor);
    index = upload->queued != NOBODY ? upload->queued : upload->active == 0;
    upload->queued = NOBODY;
    thread_monitor_leave(&upload->monitor);
    return index;
}

enum nero_status runner_upload_snapshot(struct runner_upload *upload, const struct trainer *trainer,
                                        enum slot_reason reason, double *stall_s,
                                        struct nero_err *err)
{
    int index = claim_buffer(upload);
    struct snapshot *snapshot = &upload->snapshots[index];

    snapshot->taken_ns = clock_mono_ns(upload->options.clock);
    if (trainer_snapshot(trainer, &snapshot->progress, &snapshot->state, err) != NERO_OK) {
        return err->status;
    }
    snapshot->reason = reason;
    snapshot->stall_s = clock_seconds_since(upload->options.clock, snapshot->taken_ns);
    *stall_s = snapshot->stall_s;
    thread_monitor_enter(&upload->monitor);
    upload->queued = index;
    upload->newest_bytes = snapshot->state.bytes;
    thread_monitor_wake_all(&upload->monitor);
    thread_monitor_leave(&upload->monitor);
    return NERO_OK;
}

void runner_upload_look(struct runner_upload *upload, struct runner_upload_view *out)
{
    thread_monitor_enter(&upload->monitor);
    *out = upload->view;
    out->next_s = upload->seconds_per_byte * (double)upload->newest_bytes;
    out->on_its_way = upload->active != NOBODY && upload->active != BORROWED;
    if (out->on_its_way) {
        double whole_s =
            upload->seconds_per_byte * (double)upload->snapshots[upload->active].state.bytes;
        double done_s = clock_seconds_since(upload->options.clock, upload->begun_ns);

        out->left_s = done_s < whole_s ? whole_s - done_s : 0;
    }
    thread_monitor_leave(&upload->monitor);
}

bool runner_upload_borrow(struct runner_upload *upload)
{
    bool lent;

    thread_monitor_enter(&upload->monitor);
    lent = upload->active == NOBODY;
    if (lent) {
        upload->active = BORROWED;
    }
    thread_monitor_leave(&upload->monitor);
    return lent;
}

void runner_upload_return(struct runner_upload *upload)
{
    thread_monitor_enter(&upload->monitor);
    upload->active = NOBODY;
    thread_monitor_wake_all(&upload->monitor);
    thread_monitor_leave(&upload->monitor);
}

void runner_upload_hurry(struct runner_upload *upload)
{
    struct nero_err ignored; /* then the usual thread goes on */
    bool started =
        upload->workers[true].thread.started || start_worker(upload, true, &ignored) == NERO_OK;

    thread_monitor_enter(&upload->monitor);
    upload->hurrying = started;
    upload->not_before_ns = 0;
    runner_backoff_reset(&upload->backoff);
    thread_monitor_wake_all(&upload->monitor);
    thread_monitor_leave(&upload->monitor);
}

void runner_upload_wait_ms(struct runner_upload *upload, int64_t ms)
{
    thread_monitor_enter(&upload->monitor);
    (void)thread_monitor_wait_ms(&upload->monitor, ms);
    thread_monitor_leave(&upload->monitor);
}

bool runner_upload_finish(struct runner_upload *upload)
{
    bool idle;

    thread_monitor_enter(&upload->monitor);
    upload->ending = true;
    upload->queued = NOBODY;
    idle = upload->active == NOBODY;
    thread_monitor_wake_all(&upload->monitor);
    thread_monitor_leave(&upload->monitor);
    return idle;
}

void runner_upload_end(struct runner_upload *upload)
{
    if (upload == NULL) {
        return;
    }
    (void)runner_upload_finish(upload);
    thread_join(&upload->workers[false].thread);
    thread_join(&upload->workers[true].thread);
    thread_monitor_fini(&upload->monitor);
    destroy(upload);
}
