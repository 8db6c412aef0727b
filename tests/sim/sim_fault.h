/*
 * What goes wrong in one simulated run, drawn from its seed: kills at the labelled points of
 * specs/batch.md 3.5, and at any other moment; stops, outages, partitions, a Redis that forgets,
 * jumps of its clock, errors of single calls before and after they took effect. After
 * sim_fault_stop_ns nothing goes wrong any more.
 */
#ifndef NERO_TESTS_SIM_FAULT_H
#define NERO_TESTS_SIM_FAULT_H

#include <stdbool.h>
#include <stdint.h>

/* Numbers as in specs/batch.md 3.5. */
enum sim_point {
    SIM_POINT_SPEC = 1,         /* spec or batch stored, Redis not told */
    SIM_POINT_CLAIM_ANSWER = 2, /* the claim took effect, its answer is lost */
    SIM_POINT_CLAIMED = 3,      /* before the takeover is sent */
    SIM_POINT_TAKEOVER = 4,     /* takeover written, nothing trained */
    SIM_POINT_BLOB = 5,         /* blob stored, slot not */
    SIM_POINT_SLOT_ANSWER = 6,  /* slot written, its answer is lost */
    SIM_POINT_SLOT = 7,         /* slot written, Redis not told */
    SIM_POINT_FINAL = 8,        /* final slot written, complete not called */
    SIM_POINT_COMPLETE_ANSWER = 9,
    SIM_POINT_SLEEP = 10,     /* stopped when about to commit, awake after the lease */
    SIM_POINT_SCHEDULER = 11, /* killed at any moment */
    SIM_POINT_REDIS_KILL = 12,
    SIM_POINT_REDIS_EMPTY = 13,
    SIM_POINT_STORE_AWAY = 14,
    SIM_POINT_NOTICE = 15, /* asked to stop during an upload */
    SIM_POINT_COUNT = 16,

    /* Beyond the table. */
    SIM_POINT_RUNNER = 16,     /* killed at any moment */
    SIM_POINT_PARTITION = 17,  /* one process does not reach Redis, or the store */
    SIM_POINT_CLOCK = 18,      /* Redis's clock jumps */
    SIM_POINT_SECOND = 19,     /* a second scheduler is started */
    SIM_POINT_STOPPED = 20,    /* a process is stopped for a while at any moment */
    SIM_POINT_REDIS_BACK = 21, /* Redis is killed and comes back as it was a while ago */
    SIM_POINT_OPERATOR = 22,   /* a person pauses, limits, drains, wants checkpoints */
    SIM_POINT_FULL = 23,       /* the store reads, but has no room */
    SIM_POINT_UNIT = 24,       /* a unit fails */
    SIM_POINT_GIVEN_UP = 25,   /* the same, of a job that fails until it is given up */
    SIM_POINT_CANCEL = 26,     /* the run is cancelled, and resumed */
    SIM_POINT_ALL = 27
};
const char *sim_point_name(enum sim_point point);

/*
 * Besides, one fault at one call, for sweeps over all of them: the `at`-th call to store or Redis
 * of a runner (or a scheduler) takes effect and its sender dies; the answer of the at-th call is
 * lost; the store is away for a minute from the at-th call to it on, or full
 * from the at-th write on; the job of the at-th unit fails until it is given up, and is tried
 * again.
 */
enum sim_sweep {
    SIM_SWEEP_NONE = 0,
    SIM_SWEEP_RUNNER,
    SIM_SWEEP_SCHEDULER,
    SIM_SWEEP_ANSWER,
    SIM_SWEEP_AWAY,
    SIM_SWEEP_EMPTY,
    SIM_SWEEP_FULL,
    SIM_SWEEP_UNIT
};
bool sim_sweep_parse(const char *name, enum sim_sweep *out);
void sim_fault_sweep(enum sim_sweep sweep, uint64_t at);
bool sim_fault_swept(void);       /* there was such a call */
bool sim_fault_sweeps_unit(void); /* a unit is done: it is the one */

/* Draw the faults; calm: none. Call in the world's first moment. */
void sim_fault_begin(bool calm);
int64_t sim_fault_stop_ns(void);

/* The calling process is at this point: it may not return, or be stopped for a while here. */
void sim_fault_at(enum sim_point point);
/* The same for points at which an answer gets lost: true, it does (and the process lives). */
bool sim_fault_loses_answer(enum sim_point point);

/* How a call to the store or to Redis goes. */
struct sim_fault_call {
    bool refused; /* nothing is sent */
    bool unheard; /* it takes effect, the answer is lost */
    bool fatal;   /* it takes effect, and the sender dies */
    bool full;    /* it arrives, and there is no room for it */
    int64_t there_ns, back_ns;
};
struct sim_fault_call sim_fault_store(bool writes);
struct sim_fault_call sim_fault_redis(void);

/* Redis's clock against virtual time. */
int64_t sim_fault_redis_skew_ms(void);

/* How often each point was hit in this run; and once more. */
void sim_fault_hit(enum sim_point point);
uint32_t sim_fault_hits(enum sim_point point);

#endif
