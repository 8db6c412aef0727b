/*
 * A run served here to its end, with its report and audit: what `run` and `resume` do alike.
 */
#ifndef NERO_RUN_SESSION_H
#define NERO_RUN_SESSION_H

#include "nero/storage.h"

#include "cli.h"
#include "local_run.h"

/* What run and resume share on the command line. `local` lacks what the session fills in. */
struct run_session {
    const char *store;
    const char *store_mode;
    const char *backend;
    uint64_t runners;
    bool json;
    bool skip_audit;
    bool skip_probe;
    struct local_run_options local;
};

/* One option a row. */
/* clang-format off */
#define RUN_SESSION_OPTIONS(flags)                                                             \
    CLI_OPTION_STORE(&(flags).store),                                                          \
    CLI_OPTION_REDIS(&(flags).local.redis_url),                                                \
    {"runners", OPTIONS_COUNT, "N", "local runner processes", NULL, &(flags).runners,            \
     LOCAL_RUNNERS_MAX},                                                                       \
    {"backend", OPTIONS_STRING, "NAME", "what the local runners compute on: auto, cpu, ref",   \
     "NERO_BACKEND", &(flags).backend, 0},                                                     \
    {"shards", OPTIONS_COUNT, "S", "cut training batches into S shards, a thread each (1)",      \
     NULL, &(flags).local.shards, LOCAL_SHARDS_MAX},                                           \
    {"checkpoint-interval", OPTIONS_STRING, "WHEN", "auto, steps:N, seconds:T, overhead:P%",   \
     NULL, &(flags).local.checkpoint_interval, 0},                                             \
    {"lease-ms", OPTIONS_MS, "MS", "lease of a job without a heartbeat", NULL,                \
     &(flags).local.lease_ms, 3600000},                                                        \
    {"skip-audit", OPTIONS_FLAG, NULL, "do not audit at the end", NULL, &(flags).skip_audit,   \
     0},                                                                                       \
    CLI_OPTION_STORE_MODE(&(flags).store_mode),                                                \
    CLI_OPTION_SKIP_PROBE(&(flags).skip_probe),                                                \
    CLI_OPTION_JSON(&(flags).json)
/* clang-format on */

/* What of the options can be said before anything is written. Errors: invalid. */
enum nero_status run_session_check(const struct run_session *session, struct nero_err *err);

/* Tell what failed before there was a run to serve, with its exit code; 75 after a stop request. */
int run_session_unready(const char *command, const struct nero_err *err);

/* Serve, report, audit. Tells failures under the name `command`; returns the exit code. */
int run_session(const char *command, struct storage *store, const char *store_url, const char *run,
                struct run_session *session);

#endif
