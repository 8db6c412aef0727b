#include "nero/compare.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backlog_impl.h"
#include "nero/clock.h"
#include "nero/mem.h"

/* One job of a picture. */
struct pictured {
    struct hash job;
    struct hash envelope;
    uint64_t order;
    uint32_t priority;
    bool other_class; /* than the run's */
    bool begun;
};

/* Sorted by job, each once. */
struct picture {
    const char *numeric_class;
    struct pictured *jobs; /* grows by doubling */
    size_t count;
    size_t capacity;
};

const char *compare_kind_name(enum compare_kind kind)
{
    static const char *const names[] = {"missing", "ended", "strange",
                                        "place",   "class", "envelope"};

    return names[kind - COMPARE_MISSING];
}

/* ---- taking pictures ---- */

static enum nero_status add(struct picture *picture, const struct pictured *job,
                            struct nero_err *err)
{
    if (picture->count == picture->capacity) {
        size_t capacity = picture->capacity > 0 ? 2 * picture->capacity : 256;
        struct pictured *jobs = mem_realloc_array(picture->jobs, capacity, sizeof *jobs);

        if (jobs == NULL) {
            return err_set(err, NERO_NO_MEMORY, 0, "no memory to compare %zu jobs", capacity);
        }
        picture->jobs = jobs;
        picture->capacity = capacity;
    }
    picture->jobs[picture->count++] = *job;
    return NERO_OK;
}

static enum nero_status add_queued(void *context, const struct queue_job *job, struct nero_err *err)
{
    struct picture *picture = context;
    struct pictured pictured = {.job = job->job,
                                .envelope = hash_of(job->envelope),
                                .order = job->order,
                                .priority = job->priority,
                                .other_class =
                                    strcmp(job->numeric_class, picture->numeric_class) != 0};

    return add(picture, &pictured, err);
}

static enum nero_status add_waiting(void *context, const struct queue_item *item, bool begun,
                                    struct nero_err *err)
{
    struct pictured pictured = {.job = item->job,
                                .envelope = hash_of(item->envelope),
                                .order = item->order,
                                .priority = item->priority,
                                .begun = begun};

    return add(context, &pictured, err);
}

static int by_job(const void *a, const void *b)
{
    return hash_compare(&((const struct pictured *)a)->job, &((const struct pictured *)b)->job);
}

static void sort(struct picture *picture)
{
    size_t kept = 0;

    if (picture->count == 0) {
        return;
    }
    qsort(picture->jobs, picture->count, sizeof *picture->jobs, by_job);
    for (size_t i = 1; i < picture->count; i++) {
        if (!hash_equal(&picture->jobs[i].job, &picture->jobs[kept].job)) {
            picture->jobs[++kept] = picture->jobs[i];
        }
    }
    picture->count = kept + 1;
}

/* A run that Redis does not know has no jobs. */
static enum nero_status picture_redis(struct picture *picture, struct queue *queue, const char *run,
                                      struct nero_err *err)
{
    enum nero_status status = queue_jobs(queue, run, true, add_queued, picture, err);

    sort(picture);
    return status == NERO_NOT_FOUND ? NERO_OK : status;
}

static const struct pictured *find(const struct picture *picture, const struct hash *job)
{
    struct pictured wanted = {.job = *job};

    return picture->count == 0
               ? NULL
               : bsearch(&wanted, picture->jobs, picture->count, sizeof *picture->jobs, by_job);
}

/* ---- comparing ---- */

struct comparison {
    struct backlog *backlog;
    struct queue *queue;
    const char *run;
    struct picture expected;
    struct picture live;
    bool full; /* Redis holds its window: what it lacks waits for room */
    compare_each_fn *each;
    void *context;
    uint64_t told;
};

static enum nero_status tell(struct comparison *comparison, enum compare_kind kind,
                             const struct pictured *job, const char *text, struct nero_err *err)
{
    struct compare_difference difference = {.kind = kind, .job = job->job, .begun = job->begun};

    (void)snprintf(difference.text, sizeof difference.text, "%s", text);
    comparison->told++;
    return comparison->each(comparison->context, &difference, err);
}

/* Does Redis know the job at this moment? */
static enum nero_status is_known(const struct comparison *comparison, const struct hash *job,
                                 bool *known, struct nero_err *err)
{
    struct queue_job_info info;
    enum nero_status status = queue_job_info(comparison->queue, comparison->run, job, &info, err);

    *known = status == NERO_OK;
    return status == NERO_NOT_FOUND ? NERO_OK : status;
}

static enum nero_status take_look(void *context, struct backlog_entry *entry,
                                  struct bytes *envelope, bool *stop, struct nero_err *err)
{
    bool *ended = context;

    (void)envelope;
    (void)stop;
    (void)err;
    *ended = entry->state == BACKLOG_DONE;
    return NERO_OK;
}

/* Has the job ended in the bucket at this moment? */
static enum nero_status has_ended(struct comparison *comparison, const struct hash *job,
                                  bool *ended, struct nero_err *err)
{
    struct backlog *backlog = comparison->backlog;
    struct backlog_entry *entry = backlog_entry_of(backlog, job);
    uint32_t number = (uint32_t)(entry - backlog->entries);

    entry->looked = false;
    return backlog_read_jobs(backlog, &number, 1, take_look, ended, err);
}

static enum nero_status tell_missing(struct comparison *comparison, const struct pictured *job,
                                     struct nero_err *err)
{
    bool known;
    bool ended = false;

    if (comparison->full) {
        return NERO_OK;
    }
    if (is_known(comparison, &job->job, &known, err) != NERO_OK ||
        (!known && has_ended(comparison, &job->job, &ended, err) != NERO_OK)) {
        return err->status;
    }
    return known || ended ? NERO_OK
                          : tell(comparison, COMPARE_MISSING, job,
                                 job->begun ? "unfinished, unknown to Redis; begun by a runner"
                                            : "unfinished, unknown to Redis",
                                 err);
}

/* Batches that were written since the backlog was opened. */
static enum nero_status read_new_batches(struct backlog *backlog, struct nero_err *err)
{
    enum nero_status status;

    do {
        status = backlog_read_batch(backlog, backlog->next_batch, err);
    } while (status == NERO_OK);
    return status == NERO_NOT_FOUND ? NERO_OK : status;
}

/* A job in Redis that should not be there, if it still is. */
static enum nero_status tell_unwanted(struct comparison *comparison, const struct pictured *job,
                                      struct nero_err *err)
{
    const struct backlog_entry *entry = backlog_find(comparison->backlog, &job->job);
    bool known;

    if (entry != NULL && entry->state != BACKLOG_DONE) {
        return NERO_OK; /* beyond the window of the queue beside */
    }
    if (is_known(comparison, &job->job, &known, err) != NERO_OK) {
        return err->status;
    }
    if (!known) {
        return NERO_OK;
    }
    if (entry != NULL) {
        return tell(comparison, COMPARE_ENDED, job, "ended in the store, still in Redis", err);
    }
    if (read_new_batches(comparison->backlog, err) != NERO_OK) {
        return err->status;
    }
    return backlog_find(comparison->backlog, &job->job) != NULL
               ? NERO_OK
               : tell(comparison, COMPARE_STRANGE, job, "in Redis, but never submitted", err);
}

static enum nero_status compare_job(struct comparison *comparison, const struct pictured *expected,
                                    const struct pictured *live, struct nero_err *err)
{
    char text[128];
    enum nero_status status = NERO_OK;

    if (expected->priority != live->priority || expected->order != live->order) {
        (void)snprintf(text, sizeof text,
                       "priority %" PRIu32 ", order %" PRIu64 " in Redis; %" PRIu32 ", %" PRIu64
                       " by the store",
                       live->priority, live->order, expected->priority, expected->order);
        status = tell(comparison, COMPARE_PLACE, expected, text, err);
    }
    /* A job of a run for any class is pinned by its first checkpoint: that is no difference. */
    if (status == NERO_OK && live->other_class && comparison->live.numeric_class[0] != '\0') {
        status = tell(comparison, COMPARE_CLASS, expected, "waits for another class than the run's",
                      err);
    }
    if (status == NERO_OK && !hash_equal(&expected->envelope, &live->envelope)) {
        status = tell(comparison, COMPARE_ENVELOPE, expected, "other bytes than in the store", err);
    }
    return status;
}

static enum nero_status compare(struct comparison *comparison, struct nero_err *err)
{
    enum nero_status status = NERO_OK;

    for (size_t i = 0; i < comparison->expected.count && status == NERO_OK; i++) {
        const struct pictured *expected = &comparison->expected.jobs[i];
        const struct pictured *live = find(&comparison->live, &expected->job);

        status = live == NULL ? tell_missing(comparison, expected, err)
                              : compare_job(comparison, expected, live, err);
    }
    for (size_t i = 0; i < comparison->live.count && status == NERO_OK; i++) {
        const struct pictured *live = &comparison->live.jobs[i];

        if (find(&comparison->expected, &live->job) == NULL) {
            status = tell_unwanted(comparison, live, err);
        }
    }
    return status;
}

static enum nero_status take_pictures(struct comparison *comparison, const char *beside,
                                      struct nero_err *err)
{
    struct queue_counts counts = {.redis_ms = clock_wall_ms(clock_system())};
    enum nero_status status = queue_counts(comparison->queue, comparison->run, &counts, err);

    if (status != NERO_OK && status != NERO_NOT_FOUND) {
        return status;
    }
    comparison->full =
        counts.window_bytes > 0 && backlog_is_full(counts.envelope_bytes, counts.window_bytes);
    if (beside != NULL) {
        status = picture_redis(&comparison->expected, comparison->queue, beside, err);
    } else {
        status = backlog_each_waiting(comparison->backlog, counts.redis_ms, add_waiting,
                                      &comparison->expected, err);
        sort(&comparison->expected);
    }
    return status == NERO_OK
               ? picture_redis(&comparison->live, comparison->queue, comparison->run, err)
               : status;
}

static uint64_t count_unfinished(const struct backlog *backlog)
{
    uint64_t unfinished = 0;

    for (size_t i = 0; i < backlog->count; i++) {
        unfinished += backlog->entries[i].state != BACKLOG_DONE;
    }
    return unfinished;
}

enum nero_status compare_queue(struct backlog *backlog, struct queue *queue, const char *run,
                               const char *beside, compare_each_fn *each, void *context,
                               struct compare_result *out, struct nero_err *err)
{
    const char *numeric_class = trust_run(backlog->trust)->numeric_class;
    struct comparison comparison = {.backlog = backlog,
                                    .queue = queue,
                                    .run = run,
                                    .expected = {.numeric_class = numeric_class},
                                    .live = {.numeric_class = numeric_class},
                                    .each = each,
                                    .context = context};
    enum nero_status status = take_pictures(&comparison, beside, err);

    if (status == NERO_OK) {
        status = compare(&comparison, err);
    }
    *out = (struct compare_result){.submitted = backlog->count,
                                   .unfinished = count_unfinished(backlog),
                                   .known = comparison.live.count,
                                   .differences = comparison.told};
    free(comparison.expected.jobs);
    free(comparison.live.jobs);
    return status == NERO_OK ? NERO_OK : err_wrap(err, "compare the queue of run %s", run);
}
