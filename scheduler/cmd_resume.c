/* nero-sched resume: go on with a run that was stopped. */
#include "cli.h"
#include "run_session.h"
#include "run_view.h"

int cmd_resume(int argc, char **argv)
{
    struct run_session session = {.backend = "", .runners = 2, .local = {.lease_ms = 10000}};
    const struct options_spec specs[] = {RUN_SESSION_OPTIONS(session)};
    const struct options_command command = {
        .program = "nero-sched resume",
        .arguments = "RUN",
        .about = "Go on with a run where its records in the store stand, here, as 'run' does.\n"
                 "What another scheduler may still be doing for it is fenced off first.",
        .examples = "  nero-sched resume demo-3f9a12\n",
        .specs = specs,
        .spec_count = sizeof specs / sizeof specs[0],
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
    if (cli_store_url(session.store, false, url, &err) != NERO_OK ||
        cli_open_store(url, false, &store, &err) != NERO_OK ||
        cli_trust_store(store, session.skip_probe, &err) != NERO_OK ||
        run_view_open(store, parsed.arguments[0], NULL, &view, &err) != NERO_OK) {
        storage_close(store);
        return cli_fail(command.program, &err);
    }
    run_view_close(&view); /* the run exists and its records can be read */
    code = run_session(command.program, store, url, parsed.arguments[0], &session);
    storage_close(store);
    return code;
}
