/* nero-sched drain: a runner gives back what it works on and takes no more. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nero/mem.h"

#include "operate.h"

/* The runs of a Redis, and the runner that is meant. */
struct drain {
    struct queue *queue;
    const char *wanted; /* beginning of a name, or host:pid */
    char (*runs)[SLOT_RUN_BYTES];
    uint32_t run_count;
    char name[QUEUE_RUNNER_BYTES]; /* "": not found yet */
    bool ambiguous;
};

static enum nero_status note_run(void *context, const char *run, struct nero_err *err)
{
    struct drain *drain = context;
    char(*runs)[SLOT_RUN_BYTES] =
        mem_realloc_array(drain->runs, drain->run_count + 1, sizeof *drain->runs);

    if (runs == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for the runs");
    }
    drain->runs = runs;
    (void)snprintf(runs[drain->run_count++], SLOT_RUN_BYTES, "%s", run);
    return NERO_OK;
}

static enum nero_status note_runner(void *context, const struct queue_runner *runner,
                                    struct nero_err *err)
{
    struct drain *drain = context;

    (void)err;
    if (strncmp(runner->name, drain->wanted, strlen(drain->wanted)) == 0 ||
        strcmp(runner->host, drain->wanted) == 0) {
        drain->ambiguous =
            drain->ambiguous || (drain->name[0] != '\0' && strcmp(drain->name, runner->name) != 0);
        memcpy(drain->name, runner->name, sizeof drain->name);
    }
    return NERO_OK;
}

static enum nero_status find_runner(struct drain *drain, struct nero_err *err)
{
    for (uint32_t i = 0; i < drain->run_count; i++) {
        enum nero_status status =
            queue_runners(drain->queue, drain->runs[i], note_runner, drain, err);

        if (status != NERO_OK && status != NERO_NOT_FOUND) {
            return status;
        }
    }
    if (drain->ambiguous) {
        return err_set(err, NERO_INVALID, 0, "more than one runner is called '%s...'",
                       drain->wanted);
    }
    return drain->name[0] != '\0'
               ? NERO_OK
               : err_set(err, NERO_NOT_FOUND, 0, "no runner '%s' is announced in this Redis",
                         drain->wanted);
}

/* In every run in which it is announced. */
static enum nero_status drain_runner(struct drain *drain, uint32_t *told, struct nero_err *err)
{
    *told = 0;
    for (uint32_t i = 0; i < drain->run_count; i++) {
        struct queue_counts counts;
        uint32_t count = 0;
        enum nero_status status = queue_counts(drain->queue, drain->runs[i], &counts, err);

        if (status == NERO_OK) {
            status =
                queue_drain(drain->queue, drain->runs[i], counts.epoch, drain->name, &count, err);
        }
        if (status != NERO_OK && status != NERO_NOT_FOUND) {
            return status;
        }
        *told += count;
    }
    return NERO_OK;
}

static enum nero_status drain_named(const char *redis, struct drain *drain, uint32_t *told,
                                    struct nero_err *err)
{
    enum nero_status status;

    if (redis == NULL) {
        return err_set(err, NERO_INVALID, 0, "--redis URL is needed: the Redis of the runner");
    }
    if (drain->wanted[0] == '\0') {
        return err_set(err, NERO_INVALID, 0,
                       "a runner's name, its beginning, or host:pid is needed");
    }
    if (queue_open(redis, &drain->queue, err) != NERO_OK) {
        return err->status;
    }
    status = queue_runs(drain->queue, note_run, drain, err);
    if (status == NERO_OK) {
        status = find_runner(drain, err);
    }
    if (status == NERO_OK) {
        status = drain_runner(drain, told, err);
    }
    queue_close(drain->queue);
    free(drain->runs);
    return status;
}

int cmd_drain(int argc, char **argv)
{
    const char *redis = NULL;
    bool json = false;
    const struct options_spec specs[] = {CLI_OPTION_REDIS(&redis), CLI_OPTION_JSON(&json)};
    const struct options_command command = {
        .program = "nero-sched drain",
        .arguments = "RUNNER",
        .about = "Let a runner go: it writes a checkpoint, gives back what it works on, takes no\n"
                 "more and ends. RUNNER is its name as 'watch' shows it, the beginning of it, or\n"
                 "its host:pid.",
        .examples = "  nero-sched drain 3f9a12c0 --redis redis://10.0.0.5:6379/0\n",
        .specs = specs,
        .spec_count = sizeof specs / sizeof specs[0],
        .arguments_min = 1,
        .arguments_max = 1};
    struct options_parsed parsed;
    struct drain drain = {.queue = NULL};
    struct nero_err err;
    char text[160];
    uint32_t told = 0;
    bool done;
    int code = cli_parse(&command, argc, argv, &parsed, &done);

    if (done) {
        return code;
    }
    drain.wanted = parsed.arguments[0];
    if (drain_named(redis, &drain, &told, &err) != NERO_OK) {
        return cli_fail(command.program, &err);
    }
    (void)snprintf(text, sizeof text,
                   "runner %.32s takes no more jobs; %" PRIu32 " under way will be given back",
                   drain.name, told);
    operate_tell(json, drain.name, "draining", told, text);
    return ERR_EXIT_DONE;
}
