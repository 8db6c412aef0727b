/*
 * A private redis-server for local runs: on a relative Unix socket in the run's folder, its own
 * process group, death signal, append-only file, noeviction; supervised and restarted.
 * An flock on the folder keeps two from sharing it. Source: DESIGN 7.
 */
#ifndef NERO_REDIS_CHILD_H
#define NERO_REDIS_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

#include "nero/err.h"

struct redis_child;

/* Whether there is a redis-server to start. Errors: unavailable (says which package to install). */
enum nero_status redis_child_installed(struct nero_err *err);

/*
 * Start in `folder` (made when absent). Errors: those of redis_child_installed, conflict (another
 * process uses the folder), unavailable (did not answer in 10 s).
 */
enum nero_status redis_child_start(const char *folder, struct redis_child **out,
                                   struct nero_err *err);

/* "unix:///.../redis.sock" for queue_open; borrowed. */
const char *redis_child_url(const struct redis_child *child);
pid_t redis_child_pid(const struct redis_child *child);

/*
 * Call now and then: restarts a server that died; *restarted tells. Errors: no_space (it cannot
 * start on a full disk: call again), unavailable (it cannot start).
 */
enum nero_status redis_child_check(struct redis_child *child, bool *restarted,
                                   struct nero_err *err);

/* SIGTERM, wait, SIGKILL after 5 s. NULL does nothing. */
void redis_child_stop(struct redis_child *child);

#endif
