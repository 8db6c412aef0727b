/*
 * A fixed number of threads that do one thing together, again and again, without being started each
 * time. The calling thread is one of them, so a team of one has no threads and calls directly.
 */
#ifndef NERO_THREAD_TEAM_H
#define NERO_THREAD_TEAM_H

#include <stdint.h>

#include "nero/err.h"

struct thread_team;

typedef void thread_team_fn(void *context, uint32_t member);

/* Start members - 1 threads called `name`. Owns: *out (thread_team_destroy). Errors: no_memory,
 * unavailable (limit of threads); then no thread is left. */
enum nero_status thread_team_create(const char *name, uint32_t members, struct thread_team **out,
                                    struct nero_err *err);
void thread_team_destroy(struct thread_team *team); /* not during a run; NULL does nothing */

uint32_t thread_team_members(const struct thread_team *team);

/*
 * Call run(context, m) for every m from 0 to members - 1 at one time, 0 in the calling thread, and
 * return when all have: what they wrote is seen by the caller and by every member of the next run.
 * Allocates nothing. Thread: one at a time.
 */
void thread_team_run(struct thread_team *team, thread_team_fn *run, void *context);

#endif
