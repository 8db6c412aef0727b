#include "run_session.h"

#include <inttypes.h>
#include <stdio.h>

#include "nero/interval.h"

#include "audit.h"
#include "report.h"
#include "stop.h"

static enum nero_status audit_at_end(struct storage *store, const char *run, bool json, bool *clean,
                                     struct nero_err *err)
{
    struct audit_options options = {.skip_blobs = false};
    struct audit_report report;

    if (cli_root_public(&options.root, err) != NERO_OK) {
        return err->status;
    }
    if (audit_run(store, run, &options, &report, err) != NERO_OK) {
        return err_wrap(err, "audit");
    }
    *clean = report.finding_count == 0;
    audit_print(&report, json, stdout);
    audit_report_fini(&report);
    return NERO_OK;
}

/* How to go on: what decides the numeric class of unfinished jobs is given again. */
static void tell_resume(const char *command, const struct run_session *session)
{
    (void)fprintf(stderr, "%s: go on with: %s resume %s --store %s", command, cli_program(),
                  session->local.run, session->local.store_url);
    if (session->backend[0] != 0) {
        (void)fprintf(stderr, " --backend %s", session->backend);
    }
    if (session->local.shards > 0) {
        (void)fprintf(stderr, " --shards %" PRIu64, session->local.shards);
    }
    (void)fprintf(stderr, "\n");
}

enum nero_status run_session_check(const struct run_session *session, struct nero_err *err)
{
    const char *interval = session->local.checkpoint_interval;
    struct interval_policy ignored;

    if (interval != NULL && interval_parse(interval, &ignored, err) != NERO_OK) {
        return err_wrap(err, "--checkpoint-interval");
    }
    return session->backend[0] != 0 ? local_check(session->backend, err) : NERO_OK;
}

int run_session_unready(const char *command, const struct nero_err *err)
{
    int code = cli_fail(command, err);

    if (!stop_requested()) {
        return code;
    }
    (void)fprintf(stderr, "%s: stopped while it got ready: start it again as it was\n", command);
    return ERR_EXIT_RESUMABLE;
}

int run_session(const char *command, struct storage *store, const char *store_url, const char *run,
                struct run_session *session)
{
    struct nero_err err;
    bool clean = true;
    enum nero_status status;

    session->local.store_url = store_url;
    session->local.run = run;
    session->local.backend = session->backend;
    session->local.runners = session->runners;
    session->local.quiet = session->json;
    status = local_run(store, &session->local, &err);
    if (status != NERO_OK) {
        int code = cli_fail(command, &err);

        tell_resume(command, session);
        return code;
    }
    if (!session->json) {
        (void)printf("\n");
    }
    status = report_print(store, run, session->json, stdout, &err);
    if (status == NERO_OK && !session->json) {
        (void)printf("artifacts: %s, prefix runs/%s/\n", store_url, run);
    }
    if (status == NERO_OK && !session->skip_audit) {
        status = audit_at_end(store, run, session->json, &clean, &err);
    }
    if (status != NERO_OK) {
        return cli_fail(command, &err);
    }
    return clean ? ERR_EXIT_DONE : ERR_EXIT_FINDING;
}
