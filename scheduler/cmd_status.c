/* nero-sched status: where a run stands, from the store and from Redis. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#include "nero/queue.h"

#include "cli.h"
#include "redis_find.h"
#include "run_view.h"

static json_t *counts_json(const struct queue_counts *counts)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b}", "epoch", (json_int_t)counts->epoch,
                     "ready", (json_int_t)counts->ready, "delayed", (json_int_t)counts->delayed,
                     "leased", (json_int_t)counts->leased, "dead", (json_int_t)counts->dead,
                     "parked", (json_int_t)counts->parked, "runners", (json_int_t)counts->runners,
                     "paused", (int)counts->paused);
}

static void print_counts(const struct queue_counts *counts)
{
    (void)printf("queue: epoch %" PRIu64 ", %" PRIu64 " ready, %" PRIu64 " delayed, %" PRIu64
                 " leased, %" PRIu64 " dead, %" PRIu64 " parked, %" PRIu64 " runners%s\n",
                 counts->epoch, counts->ready, counts->delayed, counts->leased, counts->dead,
                 counts->parked, counts->runners, counts->paused ? ", paused" : "");
    if (counts->ready > 0 && counts->runners == 0) {
        (void)printf("no runner is there to take the ready jobs: start one with nero-runner\n");
    }
    if (counts->parked > 0) {
        (void)printf("parked jobs lost their lease %d times without progress; look at the runners' "
                     "logs\n",
                     QUEUE_LOST_LEASES_MAX);
    }
}

/* The queue's side of a run, when its Redis can be reached. */
static bool read_counts(const char *redis, const char *run, const char *url,
                        struct queue_counts *counts, char why[256])
{
    char redis_url[REDIS_FIND_URL_BYTES];
    struct queue *queue = NULL;
    struct nero_err err;
    bool ok = redis_find(redis, run, url, redis_url, &err) == NERO_OK &&
              queue_open(redis_url, &queue, &err) == NERO_OK &&
              queue_counts(queue, run, counts, &err) == NERO_OK;

    if (!ok) {
        (void)snprintf(why, 256, "%.255s", err.message);
    }
    queue_close(queue);
    return ok;
}

static void print_status(struct run_view *view, const char *redis, const char *url, bool json)
{
    struct queue_counts counts;
    char why[256] = "";
    uint32_t closed;
    uint32_t wanted;
    const char *state = run_view_standing(view, &closed, &wanted);
    bool has_counts = read_counts(redis, view->lead.run, url, &counts, why);

    if (json) {
        json_t *root = json_pack("{s:s, s:s, s:s, s:i, s:i, s:I}", "run", view->lead.run, "store",
                                 url, "state", state, "closed", (int)closed, "generations",
                                 (int)wanted, "seed", (json_int_t)view->run.record->seed);

        (void)json_object_set_new(root, "queue", has_counts ? counts_json(&counts) : json_null());
        (void)json_dumpf(root, stdout, JSON_COMPACT);
        (void)fputc('\n', stdout);
        json_decref(root);
        return;
    }
    (void)printf("run %s in %s: %s, %" PRIu32 " of %" PRIu32 " generations closed, seed %" PRIu64
                 "\n",
                 view->lead.run, url, state, closed, wanted, view->run.record->seed);
    if (has_counts) {
        print_counts(&counts);
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
