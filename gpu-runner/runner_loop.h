/*
 * The runner's life: discover runs, enrol in them, claim, run one job, again.
 *
 * A runner key is made in memory at start and dies with the program; each run certifies it. The
 * member table holds the runs that did.
 */
#ifndef NERO_RUNNER_LOOP_H
#define NERO_RUNNER_LOOP_H

#include "nero/err.h"
#include "nero/interval.h"
#include "nero/keys.h"

#include "runner_notice.h"

enum { RUNNER_LOOP_RUNS_MAX = 64 };

struct runner_loop_options {
    const char *redis_url;
    const char *store_url;
    const char *run;     /* NULL: every run that certifies this runner */
    const char *backend; /* "auto", "cpu", "ref", ... */
    uint32_t shards;     /* of a training batch */
    uint32_t threads;    /* that share them out; 0: one a shard */
    const char *cache;   /* folder of data sets */
    int enrol_fd;        /* -1: none */
    bool has_token;
    uint8_t token[KEYS_TOKEN_BYTES];
    bool has_root; /* check run records against this root key */
    struct key_public root;
    struct interval_policy interval;
    uint32_t beat_ms; /* 0: a third of the lease */
    int64_t stall_ms;
    bool once;         /* end when nothing is ready */
    uint64_t jobs_max; /* 0: no limit; jobs that this runner was able to end, not those released */
};

/*
 * Errors: cancelled when stopped (exit 75); unavailable when store or Redis cannot be reached at
 * start or, with `once`, later; denied when no run certifies this runner; invalid (options).
 */
enum nero_status runner_loop_run(const struct runner_loop_options *options,
                                 struct runner_notice *notice, struct nero_err *err);

#endif
