/*
 * One simulation: schedulers and runners as processes that are started, die, end and are started
 * again, until the search is finished and everybody has gone home.
 */
#ifndef NERO_TESTS_SIM_RUN_H
#define NERO_TESTS_SIM_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "fiber.h"

enum { SIM_RUN_LEASE_MS = 8000, SIM_RUN_RUNNERS_MAX = 4, SIM_RUN_SCHEDULERS_MAX = 2 };

/* A machine: one process at a time runs there. */
struct sim_run_actor {
    struct fiber_process *process; /* of now, or the last one */
    bool is_scheduler;
    bool wanted; /* started again when it has gone */
    int64_t store_cut_until_ns;
    int64_t redis_cut_until_ns;
};

/* Simulate the run `name` to its end; false: it does not end. runners 0: so many and such faults as
 * the seed says; else nothing goes wrong but what a sweep asks for. */
bool sim_run(const char *name, uint32_t runners);

/* For sim_fault. */
const char *sim_run_name(void);
struct sim_run_actor *sim_run_scheduler(uint32_t index);
struct sim_run_actor *sim_run_any(bool with_schedulers);
void sim_run_notice(struct fiber_process *process); /* SIGTERM to a runner, and then SIGKILL */
void sim_run_second_scheduler(void);
/* From here on a scheduler that finds the run cancelled ends; one that is started after resume, or
 * after the death of who cancelled, opens it again. */
void sim_run_cancelled(void);
void sim_run_resume(void);

#endif
