/* nero-sched resume: go on with a run that was stopped, or with a finished one for longer. */
#include <inttypes.h>
#include <stdio.h>

#include "amendment.h"
#include "cli.h"
#include "run_session.h"
#include "run_view.h"
#include "stop.h"

/* The most that any lineage has closed. */
static uint32_t most_closed(const struct run_view *view)
{
    uint32_t most = 0;

    for (uint32_t i = 0; i < view->lineage_count; i++) {
        most = view->closed[i] > most ? view->closed[i] : most;
    }
    return most;
}

/* *extended is false when the run is to have as many generations already. */
static enum nero_status extend(struct storage *store, const struct run_view *view,
                               uint32_t generations, bool *extended, struct nero_err *err)
{
    struct key_pair root;
    bool created;
    enum nero_status status;

    *extended = false;
    if (view->run.record->strategy == RUN_SINGLE) {
        return err_set(err, NERO_INVALID, 0, "--generations: run %s is one evaluation",
                       view->lead.run);
    }
    if (generations < amendment_end(&view->amendments)) {
        return err_set(err, NERO_INVALID, 0,
                       "--generations: %" PRIu32 "; run %s is to have %" PRIu32 " (%" PRIu32
                       " are closed) and can only be extended",
                       generations, view->lead.run, amendment_end(&view->amendments),
                       most_closed(view));
    }
    if (generations == amendment_end(&view->amendments)) {
        return NERO_OK;
    }
    status = cli_root_key(false, &root, &created, err);
    if (status == NERO_OK) {
        status = amendment_put(store, view->trust, &view->amendments, &root, generations, err);
        key_pair_fini(&root);
    }
    *extended = status == NERO_OK;
    return status;
}

/* The run exists, its records can be read, and it is to have `generations` (0: as many as it is).
 */
static enum nero_status prepare(struct storage *store, const char *run, uint32_t generations,
                                bool quiet, struct nero_err *err)
{
    struct key_public root;
    struct run_view view;
    bool extended = false;
    enum nero_status status = cli_root_public(&root, err);

    if (status == NERO_OK) {
        status = run_view_open(store, run, &root, &view, err);
    }
    if (status != NERO_OK) {
        return status;
    }
    if (generations > 0) {
        status = extend(store, &view, generations, &extended, err);
    }
    if (extended && !quiet) {
        (void)printf("run %s is extended from %" PRIu32 " to %" PRIu32 " generations\n", run,
                     amendment_end(&view.amendments), generations);
        (void)fflush(stdout);
    }
    run_view_close(&view);
    return status;
}

int cmd_resume(int argc, char **argv)
{
    struct run_session session = {.backend = "", .runners = 2, .local = {.lease_ms = 10000}};
    uint64_t generations = 0;
    const struct options_spec specs[] = {
        RUN_SESSION_OPTIONS(session),
        {"generations", OPTIONS_COUNT, "N",
         "extend the run, finished or not: as if it had been submitted with N", NULL, &generations,
         RUN_GENERATIONS_MAX},
    };
    const struct options_command command = {
        .program = "nero-sched resume",
        .arguments = "RUN",
        .about = "Go on with a run where its records in the store stand, here, as 'run' does.\n"
                 "What another scheduler may still be doing for it is fenced off first. With\n"
                 "--generations the run goes on beyond its former end; an amendment signed by the\n"
                 "root key says so.",
        .examples = "  nero-sched resume demo-3f9a12\n"
                    "  nero-sched resume demo-3f9a12 --generations 10\n",
        .specs = specs,
        .spec_count = sizeof specs / sizeof specs[0],
        .arguments_min = 1,
        .arguments_max = 1};
    struct options_parsed parsed;
    struct storage *store = NULL;
    struct nero_err err;
    char url[CLI_URL_BYTES];
    bool done;
    int code = cli_parse(&command, argc, argv, &parsed, &done);

    if (done) {
        return code;
    }
    stop_install();
    if (run_session_check(&session, &err) != NERO_OK ||
        cli_store_url(session.store, false, url, &err) != NERO_OK ||
        cli_open_store(url, false, &store, &err) != NERO_OK ||
        cli_store_mode(store, session.store_mode, &err) != NERO_OK ||
        cli_trust_store(store, session.skip_probe, &err) != NERO_OK ||
        prepare(store, parsed.arguments[0], (uint32_t)generations, session.json, &err) != NERO_OK) {
        storage_close(store);
        return run_session_unready(command.program, &err);
    }
    code = run_session(command.program, store, url, parsed.arguments[0], &session);
    storage_close(store);
    return code;
}
