/*
 * Virtual time and threads of the simulated processes: fibers, of which exactly one runs, chosen
 * by a seeded draw among those that can whenever one waits, sleeps or gives way. Time stands still
 * while any can run and then jumps to the next who wakes.
 *
 * A process is a set of fibers that die together: killed, none of them runs again and what they
 * had allocated is lost; paused, none runs for a while (SIGSTOP). The program is one world; it is
 * begun once.
 */
#ifndef NERO_TESTS_FIBER_H
#define NERO_TESTS_FIBER_H

#include <stdbool.h>
#include <stdint.h>

enum { FIBER_NAME_BYTES = 24 };

struct fiber_process {
    char name[FIBER_NAME_BYTES];
    uint32_t number; /* from 1, in the order of their start */
    bool dead;
    int64_t paused_until_ns;
    uint32_t fibers; /* that have not ended */
    int64_t wall_skew_ms;
    void *user; /* of who made it */
};

typedef void fiber_fn(void *context);

void fiber_world_begin(uint64_t seed);

/* Run until every fiber has ended or virtual time is up; false: it was. Call outside fibers. */
bool fiber_world_run(int64_t until_ns);

int64_t fiber_now_ns(void);
/* A number below `bound` from the seed: for everything that the simulation draws. */
uint64_t fiber_draw(uint64_t bound);
bool fiber_chance(uint32_t percent);
uint64_t fiber_switches(void);

/* The struct lives as long as the program. */
struct fiber_process *fiber_process_start(const char *name, fiber_fn *run, void *context);
/* May be the caller's own: then it does not return. */
void fiber_process_kill(struct fiber_process *process);
void fiber_process_pause(struct fiber_process *process, int64_t ns);

/* In fibers: */
struct fiber_process *fiber_self(void); /* NULL outside */
/* A fiber's id is never used again. */
uint64_t fiber_spawn(struct fiber_process *process, fiber_fn *run, void *context);
void fiber_sleep_ns(int64_t ns);
/* Wait for a wake on the address; false: the time has passed. INT64_MAX: no limit. */
bool fiber_wait_ns(const void *on, int64_t ns);
void fiber_wake(const void *on);
void fiber_join(uint64_t id);

#endif
