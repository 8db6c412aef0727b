/*
 * Serving one run on this machine: the loop behind `run` and `resume`. A private Redis unless one
 * is given, local runners, live lines; ends when the search does, or resumable on a stop request.
 */
#ifndef NERO_LOCAL_RUN_H
#define NERO_LOCAL_RUN_H

#include <stdbool.h>

#include "nero/storage.h"

#include "local.h"

struct local_run_options {
    const char *store_url;
    const char *redis_url; /* NULL or "": a private Redis */
    const char *run;
    const char *backend;
    uint64_t runners;
    uint64_t shards;                 /* of each training batch; 0: the runner's default */
    const char *checkpoint_interval; /* NULL: the runner's default */
    uint64_t lease_ms;
    bool quiet; /* no live lines */
};

/*
 * Errors: cancelled (stopped on request, or the run was cancelled: resumable), stale (another
 * scheduler leads), and whatever ends a search.
 */
enum nero_status local_run(struct storage *store, const struct local_run_options *options,
                           struct nero_err *err);

#endif
