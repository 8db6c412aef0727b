/* All jobs that Redis knows, page by page. */
#include "queue_script.h"

enum { PAGE_JOBS = 500, PAGE_JOBS_WITH_ENVELOPES = 50 };

static enum nero_status read_job(struct queue_reply *reply, struct queue_job *out,
                                 struct nero_err *err)
{
    uint64_t score = 0;
    enum nero_status status = queue_reply_hash(reply, &out->job, err);

    if (status == NERO_OK) {
        status = queue_reply_text(reply, out->state, sizeof out->state, err);
    }
    if (status == NERO_OK) {
        status = queue_reply_text(reply, out->numeric_class, sizeof out->numeric_class, err);
    }
    if (status == NERO_OK) {
        status = queue_reply_u64(reply, &score, err);
    }
    if (status == NERO_OK) {
        status = queue_reply_view(reply, &out->envelope, err);
    }
    out->priority = (uint32_t)(score >> QUEUE_ORDER_BITS);
    out->order = score & ((UINT64_C(1) << QUEUE_ORDER_BITS) - 1);
    return status;
}

static enum nero_status read_page(struct queue *queue, const char *run, bool envelopes,
                                  uint64_t *cursor, queue_each_entry_fn *each, void *context,
                                  struct nero_err *err)
{
    struct queue_reply reply;
    struct queue_job job;
    enum nero_status status = queue_begin(queue, QUEUE_SCRIPT_jobs, run, err);

    if (status != NERO_OK) {
        return status;
    }
    queue_add_u64(queue, *cursor);
    queue_add_u64(queue, envelopes ? PAGE_JOBS_WITH_ENVELOPES : PAGE_JOBS);
    queue_add_text(queue, envelopes ? "1" : "0");
    status = queue_run(queue, &reply, err);
    if (status == NERO_OK) {
        status = queue_reply_u64(&reply, cursor, err);
    }
    while (status == NERO_OK && queue_reply_left(&reply) > 0) {
        status = read_job(&reply, &job, err);
        if (status == NERO_OK) {
            status = each(context, &job, err);
        }
    }
    queue_reply_fini(&reply);
    return status;
}

enum nero_status queue_jobs(struct queue *queue, const char *run, bool envelopes,
                            queue_each_entry_fn *each, void *context, struct nero_err *err)
{
    uint64_t cursor = 0;
    enum nero_status status;

    do {
        status = read_page(queue, run, envelopes, &cursor, each, context, err);
    } while (status == NERO_OK && cursor != 0);
    return status;
}
