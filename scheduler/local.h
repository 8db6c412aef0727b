/*
 * What runs on this machine for a local run: a private Redis in the run's state folder and a few
 * runners as children, started again when they die. The same protocol as anywhere else.
 *
 * State folder: $XDG_STATE_HOME/nero/<run>-<8 hex digits of the store's URL> (default
 * ~/.local/state): Redis's files and one log a runner. Losing it loses nothing.
 */
#ifndef NERO_LOCAL_H
#define NERO_LOCAL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "nero/enrol.h"
#include "nero/redis_child.h"

enum {
    LOCAL_PATH_BYTES = 1024,
    LOCAL_QUICK_MS = 3000, /* a runner that dies sooner did not get to work */
    LOCAL_RUNNERS_MAX = 64,
    LOCAL_SHARDS_MAX = 256 /* nero-runner's */
};

/* A runner process of ours. */
struct local_runner {
    pid_t pid;  /* 0: none, it is started again LOCAL_QUICK_MS after the last start */
    int socket; /* our end, for enrolment; -1: closed */
    int64_t started_ns;
    uint32_t quick_deaths; /* in a row, within LOCAL_QUICK_MS of their start */
    bool unserved;         /* an outage kept it from its certificate: not its fault */
};

struct local_options {
    const char *store_url;
    const char *redis_url;
    const char *run;
    const char *backend;    /* "" = the runner's default */
    uint64_t shards;        /* 0: the runner's default */
    const char *log_folder; /* the run's state folder */
    uint32_t runners;
    const char *checkpoint_interval; /* "" = the runner's default */
};

struct local {
    struct local_options options;
    struct local_runner runners[LOCAL_RUNNERS_MAX];
};

/* The state folder of a run, made when `create`. Errors: denied, invalid (no HOME). */
enum nero_status local_folder(const char *run, const char *store_url, bool create,
                              char out[LOCAL_PATH_BYTES], struct nero_err *err);

/*
 * Whether a runner of this machine can compute on `backend`: a nero-runner says so (--check).
 * Errors: invalid, with its words (no such backend, no nero-runner); unavailable.
 */
enum nero_status local_check(const char *backend, struct nero_err *err);

/* Start the runners. Errors: not_found (no nero-runner beside this program or in PATH). */
enum nero_status local_start(struct local *local, const struct local_options *options,
                             struct nero_err *err);

/*
 * Answer enrolments, reap dead runners and start new ones. Waits up to wait_ms for something to do.
 * Errors: unavailable when a runner keeps dying right after its start (its log is named).
 */
enum nero_status local_tend(struct local *local, const struct enrol_issuer *issuer,
                            uint32_t wait_ms, struct nero_err *err);

/* SIGTERM to all, wait up to wait_ms for their last checkpoint, then SIGKILL. */
void local_stop(struct local *local, uint32_t wait_ms);

uint32_t local_alive(const struct local *local);

#endif
