/* nero-sched cancel: end a run's unfinished jobs. */
#include <stdio.h>

#include "nero/layout.h"
#include "nero/queue.h"
#include "nero/redis_child.h"

#include "cli.h"
#include "local.h"
#include "redis_find.h"
#include "served.h"

/*
 * The Redis that is given, or the run's own where it is up; else it is started for the moment
 * (*own): a run that was stopped here is cancelled in the store all the same.
 */
static enum nero_status get_redis(const char *given, struct storage *store, const char *store_url,
                                  const char *run, struct redis_child **own,
                                  char url[REDIS_FIND_URL_BYTES], struct nero_err *err)
{
    char key[LAYOUT_KEY_BYTES];
    char folder[LOCAL_PATH_BYTES];

    if (redis_find(given, run, store_url, url, err) == NERO_OK) {
        return NERO_OK;
    }
    if (layout_check_run(run, err) != NERO_OK) {
        return err->status;
    }
    layout_run(key, run);
    if (storage_head(store, key, NULL, err) != NERO_OK ||
        local_folder(run, store_url, true, folder, err) != NERO_OK ||
        redis_child_start(folder, own, err) != NERO_OK) {
        return err_wrap(err, "run %s", run);
    }
    (void)snprintf(url, REDIS_FIND_URL_BYTES, "%s", redis_child_url(*own));
    return NERO_OK;
}

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
            "queue. Fences off whoever serves the run. 'resume' opens the jobs again. Without\n"
            "--redis the run's private one, which is started for the moment if need be.",
        .examples = "  nero-sched cancel demo-3f9a12\n"
                    "  nero-sched cancel demo-3f9a12 --why 'wrong grammar' --json\n",
        .specs = specs,
        .spec_count = sizeof specs / sizeof specs[0],
        .arguments_min = 1,
        .arguments_max = 1};
    struct options_parsed parsed;
    struct storage *store = NULL;
    struct redis_child *own = NULL;
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
        get_redis(redis, store, url, parsed.arguments[0], &own, redis_url, &err) != NERO_OK ||
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
    redis_child_stop(own);
    storage_close(store);
    if (status != NERO_OK) {
        return cli_fail(command.program, &err);
    }
    (void)printf(json ? "{\"run\":\"%s\",\"done\":\"cancelled\"}\n" : "cancelled run %s\n",
                 parsed.arguments[0]);
    return ERR_EXIT_DONE;
}
