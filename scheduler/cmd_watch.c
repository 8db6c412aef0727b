/* nero-sched watch: a run's events as its queue tells them. */
#include <jansson.h>
#include <stdio.h>

#include "nero/queue.h"

#include "cli.h"
#include "redis_find.h"
#include "stop.h"

static enum nero_status print_event(void *context, const struct queue_event *event,
                                    struct nero_err *err)
{
    const bool *json = context;

    (void)err;
    if (*json) {
        json_t *line = json_pack("{s:s, s:s, s:s, s:s, s:s}", "id", event->id, "kind", event->kind,
                                 "job", event->job, "runner", event->runner, "text", event->text);

        (void)json_dumpf(line, stdout, JSON_COMPACT);
        (void)fputc('\n', stdout);
        json_decref(line);
    } else {
        (void)printf("%-16s %-10s job %.12s %s%.8s %s\n", event->id, event->kind,
                     event->job[0] != 0 ? event->job : "-", event->runner[0] != 0 ? "runner " : "",
                     event->runner, event->text);
    }
    (void)fflush(stdout);
    return NERO_OK;
}

int cmd_watch(int argc, char **argv)
{
    const char *store_url = NULL;
    const char *redis = NULL;
    bool json = false;
    bool once = false;
    const struct options_spec specs[] = {
        CLI_OPTION_STORE(&store_url),
        CLI_OPTION_REDIS(&redis),
        {"once", OPTIONS_FLAG, NULL, "print the events so far and end", NULL, &once, 0},
        CLI_OPTION_JSON(&json)};
    const struct options_command command = {
        .program = "nero-sched watch",
        .arguments = "RUN",
        .about = "Follow a run's events as its queue tells them: submitted, claimed, progress,\n"
                 "completed, released, expired, failed. Ctrl-C ends watching, not the run.",
        .examples = "  nero-sched watch demo-3f9a12\n",
        .specs = specs,
        .spec_count = 4,
        .arguments_min = 1,
        .arguments_max = 1};
    struct options_parsed parsed;
    struct queue *queue = NULL;
    struct nero_err err;
    char url[CLI_URL_BYTES];
    char redis_url[REDIS_FIND_URL_BYTES];
    char last_id[40] = "0";
    bool done;
    enum nero_status status = NERO_OK;
    int code = cli_parse(&command, argc, argv, &parsed, &done);

    if (done) {
        return code;
    }
    stop_install();
    if (cli_store_url(store_url, false, url, &err) != NERO_OK ||
        redis_find(redis, parsed.arguments[0], url, redis_url, &err) != NERO_OK ||
        queue_open(redis_url, &queue, &err) != NERO_OK) {
        return cli_fail(command.program, &err);
    }
    do {
        status = queue_events(queue, parsed.arguments[0], last_id, once ? 1 : 1000, print_event,
                              &json, &err);
    } while (!once && !stop_requested() && (status == NERO_OK || status == NERO_TIMEOUT));
    queue_close(queue);
    return status == NERO_OK || status == NERO_TIMEOUT || stop_requested()
               ? ERR_EXIT_DONE
               : cli_fail(command.program, &err);
}
