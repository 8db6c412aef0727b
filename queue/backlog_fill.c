/* From the backlog into Redis, and what Redis has already. */
#include <stdlib.h>
#include <string.h>

#include "backlog_impl.h"
#include "nero/mem.h"
#include "queue_script.h"

enum {
    FIRST_MEAN_BYTES = 2048, /* of an envelope, before any was seen */
    DUE_SOON_MS = 60000      /* a job that is due later waits here, not in Redis's window */
};

/* ---- which ---- */

static bool is_due(const struct backlog_entry *entry, int64_t redis_ms)
{
    return entry->not_before_ms <= redis_ms + DUE_SOON_MS;
}

/* Numbers of the first waiting entries by priority and order, at most `most`. free(). */
static enum nero_status pick(struct backlog *backlog, size_t most, int64_t redis_ms,
                             uint32_t **numbers, size_t *count, struct nero_err *err)
{
    uint32_t *picked = mem_calloc(most, sizeof *picked);
    size_t used = 0;

    if (picked == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory to pick %zu jobs", most);
    }
    for (uint32_t p = 0; p < QUEUE_PRIORITIES && used < most; p++) {
        bool passed = false;

        if (backlog->waiting[p] == 0) {
            continue;
        }
        for (size_t i = backlog->cursor[p]; i < backlog->count && used < most; i++) {
            const struct backlog_entry *entry = &backlog->entries[i];

            if (entry->state != BACKLOG_WAITING || entry->priority != p) {
                continue;
            }
            if (!passed) {
                backlog->cursor[p] = i;
                passed = true;
            }
            if (is_due(entry, redis_ms)) {
                picked[used++] = (uint32_t)i;
            }
        }
    }
    *numbers = picked;
    *count = used;
    return NERO_OK;
}

/* ---- filling ---- */

/* One call of submit being collected. */
struct filling {
    struct backlog *backlog;
    struct queue *queue;
    const struct backlog_fill *fill;
    int64_t redis_ms;
    uint64_t bytes; /* of envelopes in Redis, with those collected */
    uint32_t added;
    uint32_t count;
    struct backlog_entry *entries[QUEUE_SUBMIT_MAX];
    struct bytes envelopes[QUEUE_SUBMIT_MAX];
    struct queue_item items[QUEUE_SUBMIT_MAX];
};

static struct queue_item item_of(const struct backlog *backlog, const struct backlog_entry *entry,
                                 struct bytes_view envelope)
{
    return (struct queue_item){.job = entry->job,
                               .envelope = envelope,
                               .numeric_class = trust_run(backlog->trust)->numeric_class,
                               .priority = entry->priority,
                               .not_before_ms = entry->not_before_ms,
                               .order = entry->order,
                               .lost = entry->lost};
}

static enum nero_status flush(struct filling *filling, struct nero_err *err)
{
    uint32_t added;

    if (filling->count == 0) {
        return NERO_OK;
    }
    if (queue_submit(filling->queue, filling->fill->run, filling->fill->epoch, filling->items,
                     filling->count, &added, err) != NERO_OK) {
        return err->status;
    }
    for (uint32_t i = 0; i < filling->count; i++) {
        filling->entries[i]->looked = false; /* from now on others write to its chain */
        backlog_set(filling->backlog, filling->entries[i], BACKLOG_QUEUED);
    }
    filling->added += added;
    filling->count = 0;
    return NERO_OK;
}

static enum nero_status fill_one(void *context, struct backlog_entry *entry, struct bytes *envelope,
                                 bool *stop, struct nero_err *err)
{
    struct filling *filling = context;
    const struct backlog_fill *fill = filling->fill;
    struct queue_item *item = &filling->items[filling->count];
    struct bytes swapped;

    if (entry->state == BACKLOG_DONE) {
        return NERO_OK;
    }
    if (filling->bytes > 0 && filling->bytes + envelope->bytes > fill->window_bytes) {
        *stop = true;
        return NERO_OK;
    }
    filling->backlog->envelope_bytes += envelope->bytes;
    filling->backlog->envelope_count++;
    filling->bytes += envelope->bytes;
    swapped = filling->envelopes[filling->count];
    filling->envelopes[filling->count] = *envelope;
    *envelope = swapped;
    *item = item_of(filling->backlog, entry, bytes_as_view(&filling->envelopes[filling->count]));
    if (entry->begun && item->not_before_ms < filling->redis_ms + (int64_t)fill->lease_ms) {
        item->not_before_ms = filling->redis_ms + (int64_t)fill->lease_ms;
    }
    filling->entries[filling->count++] = entry;
    return filling->count == QUEUE_SUBMIT_MAX ? flush(filling, err) : NERO_OK;
}

/* How many jobs to read so that the window is filled and little is read in vain. */
static size_t plan(const struct backlog *backlog, uint64_t room)
{
    uint64_t mean = backlog->envelope_count > 0
                        ? backlog->envelope_bytes / backlog->envelope_count + 1
                        : FIRST_MEAN_BYTES;
    uint64_t most = room / mean + 1;
    uint64_t waiting = backlog_waiting(backlog);

    most = most < BACKLOG_FILL_JOBS_MAX ? most : BACKLOG_FILL_JOBS_MAX;
    return (size_t)(most < waiting ? most : waiting);
}

static enum nero_status fill_numbers(struct filling *filling, const uint32_t *numbers, size_t count,
                                     struct nero_err *err)
{
    enum nero_status status;

    for (uint32_t i = 0; i < QUEUE_SUBMIT_MAX; i++) {
        bytes_init(&filling->envelopes[i], JOB_BYTES_MAX + ENVELOPE_OVERHEAD_MAX);
    }
    status = backlog_read_jobs(filling->backlog, numbers, count, fill_one, filling, err);
    if (status == NERO_OK) {
        status = flush(filling, err);
    }
    for (uint32_t i = 0; i < QUEUE_SUBMIT_MAX; i++) {
        bytes_fini(&filling->envelopes[i]);
    }
    return status;
}

static enum nero_status begin(struct backlog *backlog, struct queue *queue,
                              const struct backlog_fill *fill, struct filling **out,
                              struct nero_err *err)
{
    struct filling *filling;
    struct queue_counts counts;

    if (queue_counts(queue, fill->run, &counts, err) != NERO_OK) {
        return err->status;
    }
    filling = mem_calloc(1, sizeof *filling);
    if (filling == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory to fill the queue");
    }
    filling->backlog = backlog;
    filling->queue = queue;
    filling->fill = fill;
    filling->redis_ms = counts.redis_ms;
    filling->bytes = counts.envelope_bytes;
    *out = filling;
    return NERO_OK;
}

bool backlog_is_full(uint64_t envelope_bytes, uint64_t window_bytes)
{
    return envelope_bytes > window_bytes / 4 * 3;
}

static enum nero_status fill_window(struct filling *filling, struct nero_err *err)
{
    struct backlog *backlog = filling->backlog;
    uint64_t window_bytes = filling->fill->window_bytes;
    uint32_t *numbers;
    size_t count;
    enum nero_status status;

    if (backlog_is_full(filling->bytes, window_bytes)) {
        return NERO_OK;
    }
    status = pick(backlog, plan(backlog, window_bytes - filling->bytes), filling->redis_ms,
                  &numbers, &count, err);
    if (status == NERO_OK) {
        status = fill_numbers(filling, numbers, count, err);
        free(numbers);
    }
    return status;
}

enum nero_status backlog_fill(struct backlog *backlog, struct queue *queue,
                              const struct backlog_fill *fill, uint32_t *added,
                              struct nero_err *err)
{
    struct filling *filling;
    uint32_t total = 0;
    enum nero_status status;

    if (added != NULL) {
        *added = 0;
    }
    if (backlog_waiting(backlog) == 0) {
        return NERO_OK;
    }
    status = begin(backlog, queue, fill, &filling, err);
    if (status == NERO_OK) {
        status = fill_window(filling, err);
        total = filling->added;
        free(filling);
    }
    if (status == NERO_OK && added != NULL) {
        *added = total;
    }
    return status == NERO_OK ? NERO_OK : err_wrap(err, "queue jobs");
}

enum nero_status backlog_fill_one(struct backlog *backlog, struct queue *queue,
                                  const struct backlog_fill *fill, const struct hash *job,
                                  struct nero_err *err)
{
    const struct backlog_entry *entry = backlog_find(backlog, job);
    struct filling *filling;
    uint32_t number;
    enum nero_status status;

    if (entry == NULL || entry->state != BACKLOG_WAITING) {
        return NERO_OK;
    }
    number = (uint32_t)(entry - backlog->entries);
    status = begin(backlog, queue, fill, &filling, err);
    if (status != NERO_OK) {
        return status;
    }
    filling->bytes = 0; /* whatever the window */
    status = fill_numbers(filling, &number, 1, err);
    free(filling);
    return status;
}

/* ---- looking ---- */

struct looking {
    const struct backlog *backlog;
    backlog_each_fn *each;
    void *context;
};

static enum nero_status look_one(void *context, struct backlog_entry *entry, struct bytes *envelope,
                                 bool *stop, struct nero_err *err)
{
    const struct looking *looking = context;
    struct queue_item item = item_of(looking->backlog, entry, bytes_as_view(envelope));

    (void)stop;
    return entry->state == BACKLOG_DONE ? NERO_OK
                                        : looking->each(looking->context, &item, entry->begun, err);
}

enum nero_status backlog_each_waiting(struct backlog *backlog, int64_t redis_ms,
                                      backlog_each_fn *each, void *context, struct nero_err *err)
{
    struct looking looking = {.backlog = backlog, .each = each, .context = context};
    uint32_t *numbers;
    size_t count;
    enum nero_status status =
        pick(backlog, (size_t)backlog_waiting(backlog), redis_ms, &numbers, &count, err);

    if (status == NERO_OK) {
        status = backlog_read_jobs(backlog, numbers, count, look_one, &looking, err);
        free(numbers);
    }
    return status;
}

/* ---- meeting ---- */

struct meeting {
    struct backlog *backlog;
    bool *seen;           /* by entry */
    struct bytes strange; /* hashes of jobs that are in no batch */
};

static enum nero_status meet_one(void *context, const struct queue_job *job, struct nero_err *err)
{
    struct meeting *meeting = context;
    const struct backlog_entry *entry = backlog_find(meeting->backlog, &job->job);

    if (entry == NULL) {
        return bytes_append(&meeting->strange, job->job.data, sizeof job->job.data, err);
    }
    meeting->seen[entry - meeting->backlog->entries] = true;
    return NERO_OK;
}

/* Entries that Redis knows and those that it does not, after the list of results was read. */
static enum nero_status sort_out(struct meeting *meeting, struct queue *queue, uint64_t epoch,
                                 uint32_t *removed, struct nero_err *err)
{
    struct backlog *backlog = meeting->backlog;
    struct bytes_view strange = bytes_as_view(&meeting->strange);
    struct hash job;
    enum nero_status status = NERO_OK;

    for (size_t i = 0; i < backlog->count && status == NERO_OK; i++) {
        struct backlog_entry *entry = &backlog->entries[i];

        if (meeting->seen[i] && entry->state == BACKLOG_DONE) {
            status = queue_finish(queue, backlog->run, epoch, &entry->job, err);
            (*removed)++;
        } else if (meeting->seen[i]) {
            backlog_set(backlog, entry, BACKLOG_QUEUED);
        } else if (entry->state == BACKLOG_QUEUED) {
            entry->looked = false;
            backlog_set(backlog, entry, BACKLOG_WAITING);
        }
    }
    for (size_t at = 0; at < strange.bytes && status == NERO_OK; at += sizeof job.data) {
        memcpy(job.data, strange.data + at, sizeof job.data);
        status = queue_finish(queue, backlog->run, epoch, &job, err);
        (*removed)++;
    }
    return status;
}

enum nero_status backlog_meet(struct backlog *backlog, struct queue *queue, uint64_t epoch,
                              uint32_t *removed, struct nero_err *err)
{
    struct meeting meeting = {.backlog = backlog,
                              .seen = mem_calloc(backlog->count, sizeof *meeting.seen)};
    uint32_t count = 0;
    enum nero_status status;

    if (meeting.seen == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory to compare the queue with the store");
    }
    bytes_init(&meeting.strange, SIZE_MAX / 2);
    status = queue_jobs(queue, backlog->run, false, meet_one, &meeting, err);
    if (status == NERO_NOT_FOUND) { /* lost again since the lead was taken: not for good */
        status = err->status = NERO_UNAVAILABLE;
    }
    if (status == NERO_OK) {
        status = backlog_read_results(backlog, err);
    }
    if (status == NERO_OK) {
        status = sort_out(&meeting, queue, epoch, &count, err);
    }
    bytes_fini(&meeting.strange);
    free(meeting.seen);
    if (status == NERO_OK && removed != NULL) {
        *removed = count;
    }
    return status == NERO_OK ? NERO_OK : err_wrap(err, "compare the queue with the store");
}
