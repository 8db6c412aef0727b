#include "rebuild.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "nero/clock.h"

#include "cli.h"
#include "lead.h"

/* A run opened for reading, as far as a queue needs it. */
struct opened {
    struct trust *trust;
    struct backlog *backlog;
};

static enum nero_status open_run(struct storage *store, const char *run, struct opened *out,
                                 struct nero_err *err)
{
    *out = (struct opened){.trust = NULL};
    if (trust_open(store, run, NULL, &out->trust, err) != NERO_OK) {
        return err->status;
    }
    return backlog_open(store, out->trust, &out->backlog, err);
}

static void close_run(struct opened *opened)
{
    backlog_close(opened->backlog);
    trust_close(opened->trust);
}

static enum nero_status note(void *context, const struct compare_difference *difference,
                             struct nero_err *err)
{
    struct rebuild_report *report = context;

    (void)err;
    if (report->told < REBUILD_TOLD_MAX) {
        report->differences[report->told++] = *difference;
    }
    return NERO_OK;
}

/* ---- look ---- */

enum nero_status rebuild_look(struct storage *store, struct queue *queue, const char *run,
                              struct rebuild_report *out, struct nero_err *err)
{
    struct opened opened;
    enum nero_status status = open_run(store, run, &opened, err);

    memset(out, 0, sizeof *out);
    if (status == NERO_OK) {
        status = compare_queue(opened.backlog, queue, run, NULL, note, out, &out->result, err);
    }
    close_run(&opened);
    return status;
}

/* ---- fill ---- */

/* Until nothing more fits. `lead`: gives signs of life in between; NULL for a queue beside. */
static enum nero_status fill_all(struct backlog *backlog, struct queue *queue,
                                 const struct backlog_fill *fill, struct lead *lead,
                                 uint64_t *queued, struct nero_err *err)
{
    enum nero_status status;
    uint64_t waiting;
    uint32_t added;
    bool lost;

    do {
        waiting = backlog_waiting(backlog);
        status = backlog_fill(backlog, queue, fill, &added, err);
        if (status == NERO_OK) {
            *queued += added;
        }
        if (status == NERO_OK && lead != NULL) {
            status = lead_check(lead, &lost, err);
            if (status == NERO_OK && lost) {
                status = err_set(err, NERO_UNAVAILABLE, 0,
                                 "Redis lost its memory again while it was rebuilt");
            }
        }
    } while (status == NERO_OK && backlog_waiting(backlog) < waiting);
    return status;
}

/* ---- verify ---- */

static enum nero_status fill_beside(struct opened *opened, struct queue *queue, const char *beside,
                                    const struct rebuild_options *options, struct nero_err *err)
{
    struct backlog_fill fill = {.run = beside,
                                .epoch = 1,
                                .window_bytes = options->window_bytes,
                                .lease_ms = options->lease_ms};
    uint64_t queued = 0;

    if (queue_lead_hidden(queue, beside, fill.epoch, options->lease_ms, err) != NERO_OK) {
        return err->status;
    }
    return fill_all(opened->backlog, queue, &fill, NULL, &queued, err);
}

enum nero_status rebuild_verify(struct storage *store, struct queue *queue, const char *run,
                                const struct rebuild_options *options, struct rebuild_report *out,
                                struct nero_err *err)
{
    struct opened opened;
    struct nero_err ignored;
    char beside[SLOT_RUN_BYTES];
    enum nero_status status = open_run(store, run, &opened, err);

    memset(out, 0, sizeof *out);
    (void)snprintf(beside, sizeof beside, "verify-%08x%08x", randombytes_random(),
                   randombytes_random());
    if (status == NERO_OK) {
        status = fill_beside(&opened, queue, beside, options, err);
    }
    if (status == NERO_OK) {
        status = compare_queue(opened.backlog, queue, run, beside, note, out, &out->result, err);
    }
    (void)queue_drop(queue, beside, 1, &ignored);
    close_run(&opened);
    return status;
}

/* ---- restore ---- */

static enum nero_status refuse_led(struct queue *queue, const char *run, struct nero_err *err)
{
    char leader[QUEUE_LEADER_BYTES];
    bool alive;
    enum nero_status status = lead_holder(queue, run, &alive, leader, err);

    if (status == NERO_OK && alive) {
        return err_set(err, NERO_CONFLICT, 0,
                       "run %s is led by %s, which restores its queue by itself; --dry-run and "
                       "--verify look without disturbing it",
                       run, leader);
    }
    return status;
}

/* The report has room for some differences only; what has to be repaired is kept whole. */
struct noted {
    struct rebuild_report *report;
    struct bytes changed; /* struct hash each: jobs that Redis has otherwise than the bucket */
};

static enum nero_status note_changed(void *context, const struct compare_difference *difference,
                                     struct nero_err *err)
{
    struct noted *noted = context;

    if ((difference->kind == COMPARE_PLACE || difference->kind == COMPARE_CLASS ||
         difference->kind == COMPARE_ENVELOPE) &&
        bytes_append(&noted->changed, &difference->job, sizeof difference->job, err) != NERO_OK) {
        return err->status;
    }
    return note(noted->report, difference, err);
}

/* Forgotten by Redis, they are missing there. */
static enum nero_status forget_changed(const struct lead *lead, const struct bytes *changed,
                                       struct nero_err *err)
{
    enum nero_status status = NERO_OK;
    struct hash job;

    for (size_t at = 0; at < changed->bytes && status == NERO_OK; at += sizeof job) {
        memcpy(&job, changed->data + at, sizeof job);
        status = queue_finish(lead->queue, lead->run, lead->epoch, &job, err);
    }
    return status;
}

static enum nero_status restore(struct opened *opened, struct lead *lead,
                                const struct bytes *changed, struct rebuild_report *out,
                                struct nero_err *err)
{
    struct backlog_fill fill = {
        .run = lead->run, .window_bytes = lead->window_bytes, .lease_ms = lead->lease_ms};
    enum nero_status status = lead_take(lead, "rebuild", err);

    if (status == NERO_OK) {
        out->epoch = fill.epoch = lead->epoch;
        status = forget_changed(lead, changed, err);
    }
    if (status == NERO_OK) {
        status = backlog_meet(opened->backlog, lead->queue, lead->epoch, &out->removed, err);
    }
    if (status == NERO_OK) {
        status = fill_all(opened->backlog, lead->queue, &fill, lead, &out->queued, err);
    }
    out->waiting = backlog_waiting(opened->backlog);
    lead_resign(lead);
    return status;
}

enum nero_status rebuild_restore(struct storage *store, struct queue *queue, const char *run,
                                 const struct rebuild_options *options, rebuild_before_fn *before,
                                 void *context, struct rebuild_report *out, struct nero_err *err)
{
    struct opened opened;
    struct key_pair run_key;
    struct lead lead = {.store = store,
                        .queue = queue,
                        .run = run,
                        .run_key = &run_key,
                        .lease_ms = options->lease_ms,
                        .alive_ms = LEAD_ALIVE_MS_DEFAULT,
                        .window_bytes = options->window_bytes};
    int64_t started_ns = clock_mono_ns(clock_system());
    enum nero_status status = open_run(store, run, &opened, err);

    memset(out, 0, sizeof *out);
    if (status == NERO_OK) {
        status = refuse_led(queue, run, err);
    }
    if (status == NERO_OK) {
        status = cli_run_key(run, &run_key, err);
    }
    if (status == NERO_OK) {
        struct noted noted = {.report = out};

        bytes_init(&noted.changed, SIZE_MAX);
        status = compare_queue(opened.backlog, queue, run, NULL, note_changed, &noted, &out->result,
                               err);
        if (status == NERO_OK) {
            before(context, out);
            status = restore(&opened, &lead, &noted.changed, out, err);
        }
        bytes_fini(&noted.changed);
        key_pair_fini(&run_key);
    }
    close_run(&opened);
    out->seconds = clock_seconds_since(clock_system(), started_ns);
    return status;
}
