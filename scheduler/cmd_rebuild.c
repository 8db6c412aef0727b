/* nero-sched rebuild: a run's queue in Redis from the store. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "nero/layout.h"
#include "nero/mem.h"

#include "cli.h"
#include "rebuild.h"
#include "redis_find.h"
#include "run_list.h"

enum { REBUILD_SHOWN_MAX = 20 };

struct rebuild_flags {
    const char *store;
    const char *store_mode;
    const char *redis;
    uint64_t lease_ms;
    uint64_t window_kib;
    bool verify;
    bool dry_run;
    bool json;
};

static json_t *differences_json(const struct rebuild_report *report)
{
    json_t *list = json_array();

    for (uint32_t i = 0; i < report->told; i++) {
        const struct compare_difference *difference = &report->differences[i];
        char hex[HASH_HEX_BYTES];

        hash_to_hex(hex, &difference->job);
        (void)json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "kind",
                                                    compare_kind_name(difference->kind), "job", hex,
                                                    "text", difference->text));
    }
    return list;
}

static void print_json(const char *run, const struct rebuild_report *report)
{
    json_t *root =
        json_pack("{s:s, s:I, s:I, s:I, s:I, s:o, s:I, s:I, s:I, s:I, s:f}", "run", run,
                  "submitted", (json_int_t)report->result.submitted, "unfinished",
                  (json_int_t)report->result.unfinished, "known", (json_int_t)report->result.known,
                  "differences", (json_int_t)report->result.differences, "told",
                  differences_json(report), "epoch", (json_int_t)report->epoch, "queued",
                  (json_int_t)report->queued, "removed", (json_int_t)report->removed, "waiting",
                  (json_int_t)report->waiting, "seconds", report->seconds);

    (void)json_dumpf(root, stdout, JSON_COMPACT);
    (void)fputc('\n', stdout);
    json_decref(root);
}

static void print_differences(const char *run, const struct rebuild_report *report)
{
    const struct compare_result *result = &report->result;

    (void)printf("run %s: %" PRIu64 " jobs submitted, %" PRIu64 " unfinished; Redis knows %" PRIu64
                 "; %" PRIu64 " differences\n",
                 run, result->submitted, result->unfinished, result->known, result->differences);
    for (uint32_t i = 0; i < report->told && i < REBUILD_SHOWN_MAX; i++) {
        const struct compare_difference *difference = &report->differences[i];
        char hex[HASH_HEX_BYTES];

        hash_to_hex(hex, &difference->job);
        (void)printf("  %-8s  job %.12s: %s\n", compare_kind_name(difference->kind), hex,
                     difference->text);
    }
    if (result->differences > REBUILD_SHOWN_MAX) {
        (void)printf("  ... and %" PRIu64 " more\n", result->differences - REBUILD_SHOWN_MAX);
    }
    (void)fflush(stdout);
}

/* The name of the run that is being restored, for people; NULL: silent. */
static void print_before(void *context, const struct rebuild_report *report)
{
    if (context != NULL) {
        print_differences(context, report);
    }
}

static enum nero_status rebuild_one(const struct rebuild_flags *flags, struct storage *store,
                                    const char *url, char *run, struct rebuild_report *report,
                                    struct nero_err *err)
{
    struct rebuild_options options = {.lease_ms = (uint32_t)flags->lease_ms,
                                      .window_bytes = flags->window_kib * 1024};
    char redis_url[REDIS_FIND_URL_BYTES];
    struct queue *queue;
    enum nero_status status = redis_find(flags->redis, run, url, redis_url, err);

    if (status == NERO_OK) {
        status = queue_open(redis_url, &queue, err);
    }
    if (status != NERO_OK) {
        return status;
    }
    if (flags->dry_run) {
        status = rebuild_look(store, queue, run, report, err);
    } else if (flags->verify) {
        status = rebuild_verify(store, queue, run, &options, report, err);
    } else {
        status = rebuild_restore(store, queue, run, &options, print_before,
                                 flags->json ? NULL : run, report, err);
    }
    queue_close(queue);
    if (status != NERO_OK) {
        return status;
    }
    if (flags->json) {
        print_json(run, report);
    } else if (flags->dry_run || flags->verify) {
        print_differences(run, report);
    } else {
        (void)printf("rebuilt: epoch %" PRIu64 ", %" PRIu64 " jobs queued, %" PRIu32
                     " removed, %" PRIu64 " wait for room, %.1f s\n",
                     report->epoch, report->queued, report->removed, report->waiting,
                     report->seconds);
    }
    return NERO_OK;
}

/* Each run of the list; one that fails is told and the others go on. */
static int rebuild_runs(const char *command, const struct rebuild_flags *flags,
                        struct storage *store, const char *url, const struct run_list *list)
{
    struct rebuild_report *report = mem_calloc(1, sizeof *report);
    bool looking = flags->dry_run || flags->verify;
    int code = ERR_EXIT_DONE;
    struct nero_err err;

    if (report == NULL) {
        err_set(&err, NERO_NO_MEMORY, 0, "no memory for a report");
        return cli_fail(command, &err);
    }
    for (uint32_t i = 0; i < list->count; i++) {
        if (rebuild_one(flags, store, url, list->names[i], report, &err) != NERO_OK) {
            code = cli_fail(command, &err);
        } else if (looking && report->result.differences > 0 && code == ERR_EXIT_DONE) {
            code = ERR_EXIT_FINDING;
        }
    }
    free(report);
    return code;
}

/* The one that is named, or all of the store. */
static enum nero_status choose_runs(struct storage *store, const struct options_parsed *parsed,
                                    struct run_list *out, struct nero_err *err)
{
    if (parsed->argument_count == 0) {
        return run_list_read(store, out, err);
    }
    if (layout_check_run(parsed->arguments[0], err) != NERO_OK) {
        return err->status;
    }
    out->names = mem_calloc(1, sizeof *out->names);
    if (out->names == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for a run's name");
    }
    (void)snprintf(out->names[0], sizeof out->names[0], "%s", parsed->arguments[0]);
    out->count = 1;
    return NERO_OK;
}

int cmd_rebuild(int argc, char **argv)
{
    struct rebuild_flags flags = {.lease_ms = QUEUE_LEASE_MS_DEFAULT,
                                  .window_kib = BACKLOG_WINDOW_BYTES_DEFAULT / 1024};
    const struct options_spec specs[] = {
        CLI_OPTION_STORE(&flags.store),
        CLI_OPTION_STORE_MODE(&flags.store_mode),
        CLI_OPTION_REDIS(&flags.redis),
        {"dry-run", OPTIONS_FLAG, NULL, "only tell the differences; exit code 1 if there are any",
         NULL, &flags.dry_run, 0},
        {"verify", OPTIONS_FLAG, NULL,
         "rebuild beside the live queue, compare, drop it; exit code 1 on differences", NULL,
         &flags.verify, 0},
        {"lease-ms", OPTIONS_MS, "MS", "for how long begun jobs wait for their runners", NULL,
         &flags.lease_ms, 3600000},
        {"window-kib", OPTIONS_COUNT, "KIB", "of job envelopes in Redis; more wait in the store",
         NULL, &flags.window_kib, 1024 * 1024 * 1024},
        CLI_OPTION_JSON(&flags.json)};
    const struct options_command command = {
        .program = "nero-sched rebuild",
        .arguments = "[RUN]",
        .about =
            "Restore a run's queue in Redis from the store, after a flush, into a new Redis or\n"
            "over an old state of it; without RUN those of all runs. Tells the differences first,\n"
            "raises the epoch, removes jobs that have ended and queues those that are missing, in\n"
            "their order. Jobs that a runner had begun are held back for one lease, in which a\n"
            "living runner takes its lease up again. A scheduler that serves the run does all\n"
            "this by itself.",
        .examples = "  nero-sched rebuild demo-3f9a12 --redis redis://10.0.0.5:6379/0 --dry-run\n",
        .specs = specs,
        .spec_count = sizeof specs / sizeof specs[0],
        .arguments_max = 1};
    struct options_parsed parsed;
    struct storage *store = NULL;
    struct run_list list = {.count = 0};
    struct nero_err err;
    char url[CLI_URL_BYTES];
    bool done;
    enum nero_status status;
    int code = cli_parse(&command, argc, argv, &parsed, &done);

    if (done) {
        return code;
    }
    status = cli_store_url(flags.store, false, url, &err);
    if (status == NERO_OK) {
        status = cli_open_store(url, false, &store, &err);
    }
    if (status == NERO_OK) {
        status = cli_store_mode(store, flags.store_mode, &err);
    }
    if (status == NERO_OK) {
        status = choose_runs(store, &parsed, &list, &err);
    }
    if (status == NERO_OK) {
        code = rebuild_runs(command.program, &flags, store, url, &list);
        run_list_fini(&list);
    }
    storage_close(store);
    return status == NERO_OK ? code : cli_fail(command.program, &err);
}
