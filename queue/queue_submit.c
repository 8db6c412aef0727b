/* The leader's operations. Every script of these checks the epoch first. */
#include <stdio.h>

#include "queue_script.h"

static enum nero_status begin(struct queue *queue, enum queue_script script, const char *run,
                              uint64_t epoch, struct nero_err *err)
{
    /* The upper half of a token. */
    if (epoch == 0 || epoch > UINT32_MAX) {
        return err_set(err, NERO_INVALID, 0, "epoch %llu is not between 1 and 2^32 - 1",
                       (unsigned long long)epoch);
    }
    if (queue_begin(queue, script, run, err) != NERO_OK) {
        return err->status;
    }
    queue_add_u64(queue, epoch);
    return NERO_OK;
}

static void add_job_or_all(struct queue *queue, const struct hash *job)
{
    if (job != NULL) {
        queue_add_hash(queue, job);
    } else {
        queue_add_text(queue, "");
    }
}

/* Run and read one number; `out` may be NULL. */
static enum nero_status run_count(struct queue *queue, uint32_t *out, struct nero_err *err)
{
    struct queue_reply reply;
    uint32_t count = 0;
    enum nero_status status = queue_run(queue, &reply, err);

    if (status == NERO_OK) {
        status = queue_reply_u32(&reply, &count, err);
    }
    if (status == NERO_OK && out != NULL) {
        *out = count;
    }
    queue_reply_fini(&reply);
    return status;
}

static enum nero_status lead(struct queue *queue, const char *run, uint64_t epoch,
                             uint32_t lease_ms, bool listed, struct nero_err *err)
{
    if (lease_ms == 0) {
        return err_set(err, NERO_INVALID, 0, "a lease of 0 ms");
    }
    if (begin(queue, QUEUE_SCRIPT_lead, run, epoch, err) != NERO_OK) {
        return err->status;
    }
    queue_add_u64(queue, lease_ms);
    queue_add_text(queue, listed ? "1" : "0");
    return queue_run_plain(queue, err);
}

enum nero_status queue_lead(struct queue *queue, const char *run, uint64_t epoch, uint32_t lease_ms,
                            struct nero_err *err)
{
    return lead(queue, run, epoch, lease_ms, true, err);
}

enum nero_status queue_lead_hidden(struct queue *queue, const char *run, uint64_t epoch,
                                   uint32_t lease_ms, struct nero_err *err)
{
    return lead(queue, run, epoch, lease_ms, false, err);
}

enum nero_status queue_stay(struct queue *queue, const char *run, uint64_t epoch,
                            const struct queue_leader *leader, struct nero_err *err)
{
    if (begin(queue, QUEUE_SCRIPT_stay, run, epoch, err) != NERO_OK) {
        return err->status;
    }
    queue_add_cut(queue, leader->name, QUEUE_LEADER_BYTES - 1);
    queue_add_u64(queue, leader->alive_ms);
    queue_add_u64(queue, leader->window_bytes);
    return queue_run_plain(queue, err);
}

enum nero_status queue_resign(struct queue *queue, const char *run, uint64_t epoch,
                              struct nero_err *err)
{
    if (begin(queue, QUEUE_SCRIPT_resign, run, epoch, err) != NERO_OK) {
        return err->status;
    }
    return queue_run_plain(queue, err);
}

static enum nero_status add_item(struct queue *queue, const struct queue_item *item,
                                 struct nero_err *err)
{
    const char *lane = item->numeric_class != NULL ? item->numeric_class : "";

    if (item->priority >= QUEUE_PRIORITIES || item->order >> QUEUE_ORDER_BITS != 0) {
        return err_set(err, NERO_INVALID, 0, "submit: priority %u or order %llu is out of range",
                       item->priority, (unsigned long long)item->order);
    }
    if (item->envelope.bytes > JOB_BYTES_MAX + 1024) {
        return err_set(err, NERO_TOO_BIG, 0, "submit: a job of %zu bytes", item->envelope.bytes);
    }
    if (queue_check_text("numeric class", lane, JOB_CLASS_BYTES - 1, err) != NERO_OK) {
        return err->status;
    }
    queue_add_hash(queue, &item->job);
    queue_add_view(queue, item->envelope);
    queue_add_text(queue, lane);
    queue_add_u64(queue, ((uint64_t)item->priority << QUEUE_ORDER_BITS) + item->order);
    queue_add_i64(queue, item->not_before_ms);
    queue_add_u64(queue,
                  item->lost < QUEUE_LOST_LEASES_MAX ? item->lost : QUEUE_LOST_LEASES_MAX - 1);
    return NERO_OK;
}

enum nero_status queue_submit(struct queue *queue, const char *run, uint64_t epoch,
                              const struct queue_item *items, uint32_t count, uint32_t *added,
                              struct nero_err *err)
{
    uint32_t total = 0;

    /* In parts, so that no script holds Redis for long; each part is idempotent. */
    for (uint32_t first = 0; first < count; first += QUEUE_SUBMIT_MAX) {
        uint32_t part = count - first < QUEUE_SUBMIT_MAX ? count - first : QUEUE_SUBMIT_MAX;
        uint32_t new_ones;

        if (begin(queue, QUEUE_SCRIPT_submit, run, epoch, err) != NERO_OK) {
            return err->status;
        }
        queue_add_u64(queue, part);
        for (uint32_t i = 0; i < part; i++) {
            if (add_item(queue, &items[first + i], err) != NERO_OK) {
                return err->status;
            }
        }
        if (run_count(queue, &new_ones, err) != NERO_OK) {
            return err->status;
        }
        total += new_ones;
    }
    if (added != NULL) {
        *added = total;
    }
    return NERO_OK;
}

enum nero_status queue_finish(struct queue *queue, const char *run, uint64_t epoch,
                              const struct hash *job, struct nero_err *err)
{
    if (begin(queue, QUEUE_SCRIPT_finish, run, epoch, err) != NERO_OK) {
        return err->status;
    }
    queue_add_hash(queue, job);
    return queue_run_plain(queue, err);
}

enum nero_status queue_cancel(struct queue *queue, const char *run, uint64_t epoch,
                              const struct hash *job, bool *was_leased, struct nero_err *err)
{
    uint32_t leased;

    if (begin(queue, QUEUE_SCRIPT_cancel, run, epoch, err) != NERO_OK) {
        return err->status;
    }
    queue_add_hash(queue, job);
    if (run_count(queue, &leased, err) != NERO_OK) {
        return err->status;
    }
    if (was_leased != NULL) {
        *was_leased = leased != 0;
    }
    return NERO_OK;
}

enum nero_status queue_tell(struct queue *queue, const char *run, uint64_t epoch,
                            const struct hash *job, enum queue_control what, uint32_t *count,
                            struct nero_err *err)
{
    if (what != QUEUE_CHECKPOINT_NOW && what != QUEUE_DRAIN) {
        return err_set(err, NERO_INVALID, 0, "tell: only checkpoint and drain can be told");
    }
    if (begin(queue, QUEUE_SCRIPT_tell, run, epoch, err) != NERO_OK) {
        return err->status;
    }
    add_job_or_all(queue, job);
    queue_add_text(queue, what == QUEUE_DRAIN ? "drain" : "checkpoint");
    return run_count(queue, count, err);
}

enum nero_status queue_reap(struct queue *queue, const char *run, uint64_t epoch,
                            struct queue_reaped *out, struct nero_err *err)
{
    enum { REPAIR_LOOKS = 200 }; /* jobs whose state is compared with the sets, a call */
    struct queue_reaped reaped;
    struct queue_reply reply;
    enum nero_status status = begin(queue, QUEUE_SCRIPT_reap, run, epoch, err);

    if (status != NERO_OK) {
        return status;
    }
    queue_add_u64(queue, REPAIR_LOOKS);
    status = queue_run(queue, &reply, err);
    if (status == NERO_OK) {
        status = queue_reply_u32(&reply, &reaped.expired, err);
    }
    if (status == NERO_OK) {
        status = queue_reply_u32(&reply, &reaped.parked, err);
    }
    if (status == NERO_OK) {
        status = queue_reply_u32(&reply, &reaped.promoted, err);
    }
    if (status == NERO_OK) {
        status = queue_reply_u32(&reply, &reaped.repaired, err);
    }
    queue_reply_fini(&reply);
    if (status == NERO_OK && out != NULL) {
        *out = reaped;
    }
    return status;
}

enum nero_status queue_retry(struct queue *queue, const char *run, uint64_t epoch,
                             const struct hash *job, uint32_t *count, struct nero_err *err)
{
    if (begin(queue, QUEUE_SCRIPT_retry, run, epoch, err) != NERO_OK) {
        return err->status;
    }
    add_job_or_all(queue, job);
    return run_count(queue, count, err);
}

enum nero_status queue_pause(struct queue *queue, const char *run, uint64_t epoch, bool paused,
                             struct nero_err *err)
{
    if (begin(queue, QUEUE_SCRIPT_pause, run, epoch, err) != NERO_OK) {
        return err->status;
    }
    queue_add_text(queue, paused ? "1" : "0");
    return queue_run_plain(queue, err);
}

enum nero_status queue_limit(struct queue *queue, const char *run, uint64_t epoch, uint32_t most,
                             struct nero_err *err)
{
    if (begin(queue, QUEUE_SCRIPT_limit, run, epoch, err) != NERO_OK) {
        return err->status;
    }
    queue_add_u64(queue, most);
    return queue_run_plain(queue, err);
}

enum nero_status queue_drain(struct queue *queue, const char *run, uint64_t epoch,
                             const char *runner, uint32_t *told, struct nero_err *err)
{
    if (begin(queue, QUEUE_SCRIPT_drain, run, epoch, err) != NERO_OK) {
        return err->status;
    }
    queue_add_text(queue, runner);
    return run_count(queue, told, err);
}

enum nero_status queue_drop(struct queue *queue, const char *run, uint64_t epoch,
                            struct nero_err *err)
{
    if (begin(queue, QUEUE_SCRIPT_drop, run, epoch, err) != NERO_OK) {
        return err->status;
    }
    return queue_run_plain(queue, err);
}
