/* nero-sched status: where a run stands, from the store and from Redis. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "nero/queue.h"

#include "cli.h"
#include "redis_find.h"
#include "run_view.h"

enum { STATUS_LANES_MAX = 32, STATUS_JOBS_MAX = 20 };

/* A lane: ready jobs that want one numeric class ("": any), and the runners that could take them.
 */
struct status_lane {
    char numeric_class[JOB_CLASS_BYTES];
    uint64_t ready;
    uint32_t runners; /* drained ones left out */
};

struct status_job {
    struct hash job;
    struct queue_job_info info;
};

struct status_jobs {
    uint32_t count;
    struct status_job jobs[2 * STATUS_JOBS_MAX];
};

/* The queue's side of a run. Lanes and jobs beyond the limits are left out. */
struct status_queue {
    struct queue_counts counts;
    uint32_t drained; /* of the runners */
    uint32_t lane_count;
    struct status_lane lanes[STATUS_LANES_MAX];
    struct status_jobs given_up; /* dead or parked */
    struct status_jobs unable;   /* ready, but the last runner that had it could not do it */
};

static enum nero_status note_lane(void *context, const char *numeric_class, uint64_t ready,
                                  struct nero_err *err)
{
    struct status_queue *queue = context;

    (void)err;
    if (ready > 0 && queue->lane_count < STATUS_LANES_MAX) {
        struct status_lane *lane = &queue->lanes[queue->lane_count++];

        (void)snprintf(lane->numeric_class, sizeof lane->numeric_class, "%s", numeric_class);
        lane->ready = ready;
        lane->runners = 0;
    }
    return NERO_OK;
}

static enum nero_status note_runner(void *context, const struct queue_runner *runner,
                                    struct nero_err *err)
{
    struct status_queue *queue = context;

    (void)err;
    if (runner->drained) {
        queue->drained++;
        return NERO_OK;
    }
    for (uint32_t i = 0; i < queue->lane_count; i++) {
        struct status_lane *lane = &queue->lanes[i];

        lane->runners +=
            lane->numeric_class[0] == 0 || strcmp(lane->numeric_class, runner->numeric_class) == 0;
    }
    return NERO_OK;
}

static enum nero_status note_job(void *context, const struct hash *job, struct nero_err *err)
{
    struct status_jobs *jobs = context;

    (void)err;
    jobs->jobs[jobs->count++].job = *job;
    return NERO_OK;
}

/* What Redis says of each; those whose state or reason is another (retried meanwhile, claimed,
 * released for other reasons) are left out. */
static enum nero_status read_jobs(struct queue *queue, const char *run, struct status_jobs *jobs,
                                  bool ready, struct nero_err *err)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < jobs->count; i++) {
        struct status_job job = jobs->jobs[i];
        enum nero_status status = queue_job_info(queue, run, &job.job, &job.info, err);
        bool is_ready = strcmp(job.info.state, "ready") == 0;

        if (status != NERO_OK && status != NERO_NOT_FOUND) {
            return status;
        }
        if (status == NERO_OK && is_ready == ready &&
            (!ready || strncmp(job.info.reason, QUEUE_UNABLE, strlen(QUEUE_UNABLE)) == 0)) {
            jobs->jobs[kept++] = job;
        }
    }
    jobs->count = kept;
    return NERO_OK;
}

static enum nero_status read_all_jobs(struct queue *queue, const char *run,
                                      struct status_queue *out, struct nero_err *err)
{
    if (queue_list(queue, run, "dead", STATUS_JOBS_MAX, note_job, &out->given_up, err) != NERO_OK ||
        queue_list(queue, run, "parked", STATUS_JOBS_MAX, note_job, &out->given_up, err) !=
            NERO_OK ||
        queue_list(queue, run, "ready", STATUS_JOBS_MAX, note_job, &out->unable, err) != NERO_OK ||
        read_jobs(queue, run, &out->given_up, false, err) != NERO_OK) {
        return err->status;
    }
    return read_jobs(queue, run, &out->unable, true, err);
}

static json_t *jobs_json(const struct status_jobs *list)
{
    json_t *jobs = json_array();

    for (uint32_t i = 0; i < list->count; i++) {
        const struct status_job *job = &list->jobs[i];
        char hex[HASH_HEX_BYTES];

        hash_to_hex(hex, &job->job);
        (void)json_array_append_new(
            jobs, json_pack("{s:s, s:s, s:s, s:s, s:i, s:i, s:i}", "job", hex, "state",
                            job->info.state, "reason", job->info.reason, "runner", job->info.runner,
                            "failed", (int)job->info.failures, "preempted",
                            (int)job->info.preemptions, "lost", (int)job->info.lost_leases));
    }
    return jobs;
}

static json_t *lanes_json(const struct status_queue *queue)
{
    json_t *lanes = json_array();

    for (uint32_t i = 0; i < queue->lane_count; i++) {
        (void)json_array_append_new(lanes, json_pack("{s:s, s:I, s:i}", "numeric_class",
                                                     queue->lanes[i].numeric_class, "ready",
                                                     (json_int_t)queue->lanes[i].ready, "runners",
                                                     (int)queue->lanes[i].runners));
    }
    return lanes;
}

static json_t *counts_json(const struct queue_counts *counts)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:s, s:I, s:I, s:I, s:I, s:I}",
                     "epoch", (json_int_t)counts->epoch, "ready", (json_int_t)counts->ready,
                     "delayed", (json_int_t)counts->delayed, "leased", (json_int_t)counts->leased,
                     "dead", (json_int_t)counts->dead, "parked", (json_int_t)counts->parked,
                     "runners", (json_int_t)counts->runners, "paused", (int)counts->paused,
                     "leader", counts->leader, "max_in_flight", (json_int_t)counts->limit, "failed",
                     (json_int_t)counts->failed, "preempted", (json_int_t)counts->preempted, "lost",
                     (json_int_t)counts->lost, "envelope_bytes",
                     (json_int_t)counts->envelope_bytes);
}

static void print_counts(const struct queue_counts *counts)
{
    (void)printf("queue: epoch %" PRIu64 ", %" PRIu64 " ready, %" PRIu64 " delayed, %" PRIu64
                 " leased, %" PRIu64 " dead, %" PRIu64 " parked, %" PRIu64 " runners%s\n",
                 counts->epoch, counts->ready, counts->delayed, counts->leased, counts->dead,
                 counts->parked, counts->runners, counts->paused ? ", paused" : "");
    (void)printf("since Redis knows the run: %" PRIu64 " failed for a cause, %" PRIu64
                 " preempted, %" PRIu64 " leases lost\n",
                 counts->failed, counts->preempted, counts->lost);
    if (counts->limit > 0) {
        (void)printf("at most %" PRIu32 " jobs are under way at once\n", counts->limit);
    }
    (void)printf("scheduler: %s\n",
                 counts->leader[0] != 0 ? counts->leader : "none gives a sign of life");
}

static void print_given_up(const struct status_queue *queue)
{
    for (uint32_t i = 0; i < queue->given_up.count; i++) {
        const struct status_job *job = &queue->given_up.jobs[i];
        char hex[HASH_HEX_BYTES];

        hash_to_hex(hex, &job->job);
        (void)printf("%s: job %.12s: %s (failed %" PRIu32 ", preempted %" PRIu32 ", lost %" PRIu32
                     "); '%s retry' tries it again\n",
                     job->info.state, hex, job->info.reason, job->info.failures,
                     job->info.preemptions, job->info.lost_leases, cli_program());
    }
}

/* Why ready jobs stay where they are, when no runner can take them. */
static void print_stranded(const struct status_queue *queue)
{
    bool any = queue->counts.runners > queue->drained;

    for (uint32_t i = 0; i < queue->lane_count; i++) {
        const struct status_lane *lane = &queue->lanes[i];

        if (lane->runners > 0) {
            continue;
        }
        if (!any) {
            (void)printf("no runner is there to take %" PRIu64 " ready job(s)%s: start one with "
                         "nero-runner\n",
                         lane->ready, queue->drained > 0 ? ", but drained ones" : "");
        } else {
            (void)printf("no runner can take %" PRIu64 " ready job(s): they go on only in numeric "
                         "class \"%s\", which no runner has\n",
                         lane->ready, lane->numeric_class);
        }
    }
    for (uint32_t i = 0; i < queue->unable.count; i++) {
        const struct status_job *job = &queue->unable.jobs[i];
        char hex[HASH_HEX_BYTES];

        hash_to_hex(hex, &job->job);
        (void)printf("job %.12s waits for another runner: %s was %s\n", hex, job->info.runner,
                     job->info.reason);
    }
}

/* False when its Redis cannot be reached: `why`. */
static bool read_queue(const char *redis, const char *run, const char *url,
                       struct status_queue *out, char why[256])
{
    char redis_url[REDIS_FIND_URL_BYTES];
    struct queue *queue = NULL;
    struct nero_err err;
    bool ok = redis_find(redis, run, url, redis_url, &err) == NERO_OK &&
              queue_open(redis_url, &queue, &err) == NERO_OK &&
              queue_counts(queue, run, &out->counts, &err) == NERO_OK &&
              queue_lanes(queue, run, note_lane, out, &err) == NERO_OK &&
              queue_runners(queue, run, note_runner, out, &err) == NERO_OK &&
              read_all_jobs(queue, run, out, &err) == NERO_OK;

    if (!ok) {
        (void)snprintf(why, 256, "%.255s", err.message);
    }
    queue_close(queue);
    return ok;
}

static void print_status(struct run_view *view, const char *redis, const char *url, bool json)
{
    static struct status_queue queue; /* large */
    char why[256] = "";
    uint32_t closed;
    uint32_t wanted;
    const char *state = run_view_standing(view, &closed, &wanted);
    bool has_queue = read_queue(redis, view->lead.run, url, &queue, why);

    if (json) {
        json_t *root = json_pack("{s:s, s:s, s:s, s:i, s:i, s:i, s:I}", "run", view->lead.run,
                                 "store", url, "state", state, "closed", (int)closed, "generations",
                                 (int)wanted, "amendments", (int)view->amendments.count, "seed",
                                 (json_int_t)view->run.record->seed);

        json_t *counts = has_queue ? counts_json(&queue.counts) : json_null();

        (void)json_object_set_new(root, "queue", counts);
        (void)json_object_set_new(root, "lanes", has_queue ? lanes_json(&queue) : json_null());
        (void)json_object_set_new(root, "given_up",
                                  has_queue ? jobs_json(&queue.given_up) : json_null());
        (void)json_object_set_new(root, "unable",
                                  has_queue ? jobs_json(&queue.unable) : json_null());
        (void)json_dumpf(root, stdout, JSON_COMPACT);
        (void)fputc('\n', stdout);
        json_decref(root);
        return;
    }
    (void)printf("run %s in %s: %s, %" PRIu32 " of %" PRIu32 " generations closed, seed %" PRIu64
                 "\n",
                 view->lead.run, url, state, closed, wanted, view->run.record->seed);
    for (uint32_t i = 0; i < view->amendments.count; i++) {
        (void)printf("extended from %" PRIu32 " to %" PRIu32 " generations a lineage\n",
                     view->amendments.ends[i], view->amendments.ends[i + 1]);
    }
    if (has_queue) {
        print_counts(&queue.counts);
        print_stranded(&queue);
        print_given_up(&queue);
    } else {
        (void)printf("queue: %s\n", why);
    }
}

int cmd_status(int argc, char **argv)
{
    const char *store_url = NULL;
    const char *redis = NULL;
    bool json = false;
    const struct options_spec specs[] = {CLI_OPTION_STORE(&store_url), CLI_OPTION_REDIS(&redis),
                                         CLI_OPTION_JSON(&json)};
    const struct options_command command = {
        .program = "nero-sched status",
        .arguments = "RUN",
        .about =
            "Where a run stands: generations from the store, jobs from Redis where it answers.",
        .examples = "  nero-sched status demo-3f9a12\n"
                    "  nero-sched status demo-3f9a12 --redis redis://10.0.0.5:6379/0 --json\n",
        .specs = specs,
        .spec_count = 3,
        .arguments_min = 1,
        .arguments_max = 1};
    struct options_parsed parsed;
    struct storage *store = NULL;
    struct run_view view;
    struct nero_err err;
    char url[CLI_URL_BYTES];
    bool done;
    int code = cli_parse(&command, argc, argv, &parsed, &done);

    if (done) {
        return code;
    }
    if (cli_store_url(store_url, false, url, &err) != NERO_OK ||
        cli_open_store(url, false, &store, &err) != NERO_OK ||
        run_view_open(store, parsed.arguments[0], NULL, &view, &err) != NERO_OK) {
        storage_close(store);
        return cli_fail(command.program, &err);
    }
    print_status(&view, redis, url, json);
    run_view_close(&view);
    storage_close(store);
    return ERR_EXIT_DONE;
}
