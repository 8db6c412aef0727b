/* Letting go of a job: done, failed, given back. */
#include "queue_script.h"

enum nero_status queue_complete(struct queue *queue, const struct queue_claim *claim,
                                const struct hash *final_slot, struct nero_err *err)
{
    if (queue_begin_held(queue, QUEUE_SCRIPT_complete, claim, err) != NERO_OK) {
        return err->status;
    }
    queue_add_hash(queue, final_slot);
    return queue_run_plain(queue, err);
}

enum nero_status queue_fail(struct queue *queue, const struct queue_claim *claim, bool permanent,
                            const char *reason, bool *dead, struct nero_err *err)
{
    struct queue_reply reply;
    uint32_t is_dead = 0;
    enum nero_status status = queue_begin_held(queue, QUEUE_SCRIPT_fail, claim, err);

    if (status != NERO_OK) {
        return status;
    }
    queue_add_text(queue, permanent ? "1" : "0");
    queue_add_cut(queue, reason, QUEUE_REASON_BYTES - 1);
    status = queue_run(queue, &reply, err);
    if (status == NERO_OK) {
        status = queue_reply_u32(&reply, &is_dead, err);
    }
    queue_reply_fini(&reply);
    if (status == NERO_OK && dead != NULL) {
        *dead = is_dead != 0;
    }
    return status;
}

enum nero_status queue_release(struct queue *queue, const struct queue_claim *claim, bool preempted,
                               const char *reason, struct nero_err *err)
{
    if (queue_begin_held(queue, QUEUE_SCRIPT_release, claim, err) != NERO_OK) {
        return err->status;
    }
    queue_add_text(queue, preempted ? "1" : "0");
    queue_add_cut(queue, reason, QUEUE_REASON_BYTES - 1);
    return queue_run_plain(queue, err);
}
