/*
 * A world for real runners: a private Redis, a file: store in a fresh folder, runs with one job
 * each, and this process in the scheduler's place (it reaps leases and answers enrolments while it
 * waits). Every failure of the world itself ends the program with the reason.
 */
#ifndef NERO_RUNNER_WORLD_H
#define NERO_RUNNER_WORLD_H

#include <sys/types.h>

#include "nero/queue.h"
#include "nero/redis_child.h"
#include "nero/result.h"
#include "nero/rng.h"
#include "nero/storage.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_run.h"

enum { WORLD_RUNNERS_MAX = 4, WORLD_LEASE_MS = 1000 };

struct world_runner {
    pid_t pid; /* 0: none, or ended and waited for */
    int fd;    /* our end of its enrolment socket; -1: closed */
    int code;  /* exit status once it has ended; -1: by a signal */
    char log[TEMP_FOLDER_BYTES + 32];
};

struct world {
    char folder[TEMP_FOLDER_BYTES];
    const char *backend;
    struct redis_child *redis;
    struct queue *queue;
    struct storage *store;
    struct rng_stream random; /* the seed is printed */
    struct tiny_run run;      /* the present one */
    struct tiny_job job;
    uint64_t epoch;
    uint32_t runs;
    bool has_token; /* not spent yet */
    uint8_t token[KEYS_TOKEN_BYTES];
    struct world_runner runners[WORLD_RUNNERS_MAX];
};

void world_open(struct world *world);
void world_close(struct world *world);

/* A new run with one job in its queue. `budget` as for tiny_job_create. */
void world_begin_run(struct world *world, const char *budget, tiny_change_fn *change);
void world_end_run(struct world *world);
void world_submit(struct world *world);

/* Start nero-runner in place `index` with more arguments ("--once", ..., NULL). Its log is new. */
void world_start(struct world *world, int index, const char *const *arguments);
/* The same with a fresh one-time join token, its file 64 hex digits or 32 bytes. */
void world_start_by_token(struct world *world, int index, bool as_text,
                          const char *const *arguments);
void world_signal(struct world *world, int index, int number);
/* It cannot open any file from now on (or can again): to it, a store that is away. */
void world_cut_off(struct world *world, int index, bool cut);
/* Our end of the socket, as if the parent had died. */
void world_hang_up(struct world *world, int index);

/* Reap and answer for a while. */
void world_pass(struct world *world, int64_t ms);
/* Until the runner has ended, at most `ms`; its exit status. Kills and fails if it has not. */
int world_wait_end(struct world *world, int index, int64_t ms);
/* Until the chain of the job has `count` slots, at most 20 s. False: it has not. */
bool world_wait_slots(struct world *world, uint64_t count);
/* Until a runner's log has this text, at most 20 s. */
bool world_wait_log(struct world *world, int index, const char *text);
bool world_log_has(struct world *world, int index, const char *text);
void world_print_log(struct world *world, int index);

/* "ready", ..., or "gone". */
void world_job_state(struct world *world, struct queue_job_info *out);
uint64_t world_slot_count(struct world *world);

/* Check all that must hold at the end of a job that was done: one final slot, its copy, nothing
 * left in Redis, one completion. Its outcome's bytes are appended to `out`. */
void world_outcome(struct world *world, struct bytes *out, struct result_provenance *provenance);

#endif
