/* nero-sched cancel: end a run's unfinished jobs. */
#include <stdio.h>

#include "nero/queue.h"

#include "cli.h"
#include "redis_find.h"
#include "served.h"

int cmd_cancel(int argc, char **argv)
{
    const char *store_url = NULL;
    const char *store_mode = NULL;
    const char *redis = NULL;
    const char *why = "cancelled by hand";
    bool json = false;
    const struct options_spec specs[] = {
        CLI_OPTION_STORE(&store_url),
        CLI_OPTION_STORE_MODE(&store_mode),
        CLI_OPTION_REDIS(&redis),
        {"why", OPTIONS_STRING, "TEXT", "the reason, kept in the records", NULL, &why, 0},
        CLI_OPTION_JSON(&json)};
    const struct options_command command = {
        .program = "nero-sched cancel",
        .arguments = "RUN",
        .about =
            "End a run's unfinished jobs: signed 'cancelled' slots in the store first, then the\n"
            "queue. Fences off whoever serves the run. 'resume' opens the jobs again.",
        .examples = "  nero-sched cancel demo-3f9a12\n"
                    "  nero-sched cancel demo-3f9a12 --why 'wrong grammar' --json\n",
        .specs = specs,
        .spec_count = sizeof specs / sizeof specs[0],
        .arguments_min = 1,
        .arguments_max = 1};
    struct options_parsed parsed;
    struct storage *store = NULL;
    struct queue *queue = NULL;
    static struct served served;
    struct nero_err err;
    char url[CLI_URL_BYTES];
    char redis_url[REDIS_FIND_URL_BYTES];
    bool done;
    bool opened = false;
    struct served_options options = served_defaults();
    enum nero_status status;
    int code = cli_parse(&command, argc, argv, &parsed, &done);

    if (done) {
        return code;
    }
    if (cli_store_url(store_url, false, url, &err) != NERO_OK ||
        cli_open_store(url, false, &store, &err) != NERO_OK ||
        cli_store_mode(store, store_mode, &err) != NERO_OK ||
        redis_find(redis, parsed.arguments[0], url, redis_url, &err) != NERO_OK ||
        queue_open(redis_url, &queue, &err) != NERO_OK) {
        status = err.status;
    } else {
        options.reopen = true; /* cancelled again, with those that were not */
        status = served_open(&served, store, queue, parsed.arguments[0], &options, NULL, &err);
        opened = status == NERO_OK;
    }
    if (opened) {
        status = search_cancel(served.search, why, &err);
        served_close(&served);
    }
    queue_close(queue);
    storage_close(store);
    if (status != NERO_OK) {
        return cli_fail(command.program, &err);
    }
    (void)printf(json ? "{\"run\":\"%s\",\"done\":\"cancelled\"}\n" : "cancelled run %s\n",
                 parsed.arguments[0]);
    return ERR_EXIT_DONE;
}
