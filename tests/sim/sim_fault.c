#include "sim_fault.h"

#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "fiber.h"
#include "sim_failing.h"
#include "sim_operator.h"
#include "sim_redis.h"
#include "sim_run.h"
#include "sim_trace.h"

#define SECOND_NS INT64_C(1000000000)
#define MS_NS INT64_C(1000000)

enum {
    FAULTS_MAX = 8,
    HORIZON_S = 100, /* faults begin before */
    SWEEP_AWAY_S = 60,
    OCCURRENCE_MAX = 40 /* of a point, counted over all processes; early ones are likelier */
};

/* A fault to come: at a moment, or at the n-th time that somebody is at the point. */
struct fault {
    enum sim_point point;
    int64_t at_ns;
    uint32_t countdown; /* 0: has happened, or is one of a moment */
    bool keeps_life;    /* the answer is lost, the process lives */
};

static struct {
    enum sim_sweep sweep;
    uint64_t sweep_at;
    uint64_t sweep_calls;
    struct fault faults[FAULTS_MAX];
    uint32_t count;
    uint32_t hits[SIM_POINT_ALL];
    uint32_t store_error_percent;
    uint32_t redis_error_percent;
    uint32_t slow_percent;
    int64_t store_away_until_ns;
    int64_t store_full_until_ns;
    int64_t redis_skew_ms;
    int64_t stop_ns;
} plan;

const char *sim_point_name(enum sim_point point)
{
    static const char *const names[SIM_POINT_ALL] = {
        "",
        "spec stored, Redis not told",
        "claim's answer lost",
        "claimed, before the takeover",
        "takeover written",
        "blob stored, slot not",
        "slot written, answer lost",
        "slot written, Redis not told",
        "final slot, complete not called",
        "complete's answer lost",
        "stopped when about to commit",
        "scheduler killed",
        "Redis killed",
        "Redis emptied",
        "store away",
        "notice during an upload",
        "runner killed at any moment",
        "partition",
        "Redis's clock jumps",
        "second scheduler",
        "stopped at any moment",
        "Redis comes back as it was",
        "orders of an operator",
        "store full",
        "unit fails",
        "unit of a job to be given up",
        "run cancelled and resumed",
    };

    return names[point];
}

static bool is_labelled(enum sim_point point)
{
    return point <= SIM_POINT_SLEEP || point == SIM_POINT_NOTICE;
}

void sim_fault_hit(enum sim_point point)
{
    plan.hits[point]++;
    sim_trace("fault %d: %s", (int)point, sim_point_name(point));
}

uint32_t sim_fault_hits(enum sim_point point)
{
    return plan.hits[point];
}

int64_t sim_fault_stop_ns(void)
{
    return plan.stop_ns;
}

int64_t sim_fault_redis_skew_ms(void)
{
    return plan.redis_skew_ms;
}

/* ---- labelled points ---- */

/* The fault that is due here and now, if any. */
static struct fault *due(enum sim_point point)
{
    for (uint32_t i = 0; i < plan.count; i++) {
        struct fault *fault = &plan.faults[i];

        if (fault->point == point && fault->countdown > 0 && --fault->countdown == 0 &&
            fiber_now_ns() < plan.stop_ns) {
            sim_fault_hit(point);
            return fault;
        }
    }
    return NULL;
}

static int64_t sleep_ns(void)
{
    return (int64_t)fiber_draw(4 * SIM_RUN_LEASE_MS) * MS_NS;
}

void sim_fault_at(enum sim_point point)
{
    if (due(point) == NULL) {
        return;
    }
    switch (point) {
    case SIM_POINT_SLEEP:
        fiber_process_pause(fiber_self(), sleep_ns());
        break;
    case SIM_POINT_NOTICE:
        sim_run_notice(fiber_self());
        break;
    default:
        fiber_process_kill(fiber_self());
        break;
    }
}

bool sim_fault_loses_answer(enum sim_point point)
{
    const struct fault *fault = due(point);

    if (fault != NULL && !fault->keeps_life) {
        fiber_process_kill(fiber_self());
    }
    return fault != NULL;
}

/* ---- sweeps ---- */

bool sim_sweep_parse(const char *name, enum sim_sweep *out)
{
    static const char *const names[] = {"none", "runner", "scheduler", "answer",
                                        "away", "empty",  "full",      "unit"};

    for (size_t i = 1; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(name, names[i]) == 0) {
            *out = (enum sim_sweep)i;
            return true;
        }
    }
    return false;
}

void sim_fault_sweep(enum sim_sweep sweep, uint64_t at)
{
    plan.sweep = sweep;
    plan.sweep_at = at;
}

bool sim_fault_swept(void)
{
    return plan.sweep_calls >= plan.sweep_at;
}

/* Count the call, if it is one of those swept over, and do to it what is to be done. */
static void sweep(bool to_store, bool writes, struct sim_fault_call *call)
{
    const struct sim_run_actor *actor = fiber_self()->user;

    bool by_scheduler = actor != NULL && actor->is_scheduler;
    bool counts = plan.sweep == SIM_SWEEP_ANSWER ||
                  (plan.sweep == SIM_SWEEP_RUNNER && actor != NULL && !by_scheduler) ||
                  (plan.sweep == SIM_SWEEP_SCHEDULER && by_scheduler) ||
                  (plan.sweep == SIM_SWEEP_AWAY && to_store) ||
                  (plan.sweep == SIM_SWEEP_FULL && to_store && writes) ||
                  (plan.sweep == SIM_SWEEP_EMPTY && by_scheduler && !to_store);

    if (!counts || ++plan.sweep_calls != plan.sweep_at) {
        return;
    }
    sim_trace("the swept call");
    if (plan.sweep == SIM_SWEEP_ANSWER) {
        call->unheard = true;
    } else if (plan.sweep == SIM_SWEEP_AWAY) {
        plan.store_away_until_ns = fiber_now_ns() + SWEEP_AWAY_S * SECOND_NS;
    } else if (plan.sweep == SIM_SWEEP_FULL) {
        plan.store_full_until_ns = fiber_now_ns() + SWEEP_AWAY_S * SECOND_NS;
    } else if (plan.sweep == SIM_SWEEP_EMPTY) {
        sim_redis_empty(false);
    } else {
        call->fatal = true;
    }
}

static void retry(void *context)
{
    (void)context;
    sim_operator_retry(sim_run_name());
}

bool sim_fault_sweeps_unit(void)
{
    if (plan.sweep != SIM_SWEEP_UNIT || ++plan.sweep_calls != plan.sweep_at) {
        return false;
    }
    sim_trace("the swept unit");
    (void)fiber_process_start("retry", retry, NULL);
    return true;
}

/* ---- calls ---- */

static struct sim_fault_call call_of(uint32_t error_percent, int64_t usual_ns)
{
    bool faulty = fiber_now_ns() < plan.stop_ns;
    struct sim_fault_call call = {.there_ns = 1 + (int64_t)fiber_draw((uint64_t)usual_ns),
                                  .back_ns = 1 + (int64_t)fiber_draw((uint64_t)usual_ns)};

    if (faulty && fiber_chance(error_percent)) {
        call.refused = fiber_chance(50);
        call.unheard = !call.refused;
    }
    if (faulty && fiber_chance(plan.slow_percent)) { /* perhaps longer than anybody waits */
        call.there_ns += (int64_t)fiber_draw(20) * SECOND_NS;
    }
    return call;
}

struct sim_fault_call sim_fault_store(bool writes)
{
    struct sim_fault_call call = call_of(plan.store_error_percent, 15 * MS_NS);
    const struct sim_run_actor *actor = fiber_self()->user;

    sweep(true, writes, &call);
    call.refused = call.refused || fiber_now_ns() < plan.store_away_until_ns ||
                   (actor != NULL && fiber_now_ns() < actor->store_cut_until_ns);
    call.full = writes && fiber_now_ns() < plan.store_full_until_ns;
    return call;
}

struct sim_fault_call sim_fault_redis(void)
{
    struct sim_fault_call call = call_of(plan.redis_error_percent, 2 * MS_NS);
    const struct sim_run_actor *actor = fiber_self()->user;

    sweep(false, false, &call);
    call.refused = call.refused || (actor != NULL && fiber_now_ns() < actor->redis_cut_until_ns);
    return call;
}

/* ---- at a moment ---- */

static void cut_off(void)
{
    struct sim_run_actor *actor = sim_run_any(true);
    int64_t until_ns = fiber_now_ns() + (int64_t)fiber_draw(60) * SECOND_NS;

    if (fiber_chance(50)) {
        actor->store_cut_until_ns = until_ns;
    } else {
        actor->redis_cut_until_ns = until_ns;
    }
}

static void kill_actor(struct sim_run_actor *actor)
{
    if (actor->process != NULL && !actor->process->dead) {
        fiber_process_kill(actor->process);
    }
}

static void stop_actor(struct sim_run_actor *actor)
{
    if (actor->process != NULL) {
        fiber_process_pause(actor->process, sleep_ns());
    }
}

static void jump_clock(void)
{
    plan.redis_skew_ms += (int64_t)fiber_draw(10 * SIM_RUN_LEASE_MS) - 5 * SIM_RUN_LEASE_MS;
}

/* The units that fail are counted one by one. */
static void let_fail(enum sim_point point)
{
    if (point == SIM_POINT_UNIT) {
        sim_failing_until(fiber_now_ns() + (int64_t)fiber_draw(60) * SECOND_NS);
    } else {
        sim_failing_for_good();
        sim_operator_retry(sim_run_name());
    }
}

static void happen(enum sim_point point)
{
    if (point == SIM_POINT_UNIT || point == SIM_POINT_GIVEN_UP) {
        let_fail(point);
        return;
    }
    sim_fault_hit(point);
    switch (point) {
    case SIM_POINT_SCHEDULER:
        kill_actor(sim_run_scheduler(0));
        break;
    case SIM_POINT_REDIS_KILL:
        sim_redis_kill((int64_t)fiber_draw(20) * SECOND_NS);
        break;
    case SIM_POINT_REDIS_EMPTY:
        sim_redis_empty(fiber_chance(50));
        break;
    case SIM_POINT_REDIS_BACK: /* an append-only file that is a second behind, at most */
        sim_redis_remember();
        fiber_sleep_ns((int64_t)fiber_draw(1000) * MS_NS);
        sim_redis_roll_back((int64_t)fiber_draw(5) * SECOND_NS);
        break;
    case SIM_POINT_STORE_AWAY:
        plan.store_away_until_ns = fiber_now_ns() + (int64_t)fiber_draw(60) * SECOND_NS;
        break;
    case SIM_POINT_FULL:
        plan.store_full_until_ns = fiber_now_ns() + (int64_t)fiber_draw(60) * SECOND_NS;
        break;
    case SIM_POINT_RUNNER:
        kill_actor(sim_run_any(false));
        break;
    case SIM_POINT_PARTITION:
        cut_off();
        break;
    case SIM_POINT_CLOCK:
        jump_clock();
        break;
    case SIM_POINT_SECOND:
        sim_run_second_scheduler();
        break;
    case SIM_POINT_OPERATOR:
        sim_operator_act(sim_run_name());
        break;
    case SIM_POINT_CANCEL:
        sim_operator_cancel(sim_run_name());
        break;
    case SIM_POINT_STOPPED:
        stop_actor(sim_run_any(true));
        break;
    default:
        break;
    }
}

static void wait_and_happen(void *context)
{
    const struct fault *fault = context;

    fiber_sleep_ns(fault->at_ns);
    happen(fault->point);
}

void sim_fault_begin(bool calm)
{
    static const uint32_t errors[] = {0, 0, 1, 3, 8};

    plan.stop_ns = 2 * HORIZON_S * SECOND_NS;
    if (calm) {
        return;
    }
    plan.store_error_percent = errors[fiber_draw(5)];
    plan.redis_error_percent = errors[fiber_draw(5)];
    plan.slow_percent = (uint32_t)fiber_draw(3);
    plan.count = 1 + (uint32_t)fiber_draw(FAULTS_MAX);
    for (uint32_t i = 0; i < plan.count; i++) {
        struct fault *fault = &plan.faults[i];

        fault->point = (enum sim_point)(1 + fiber_draw(SIM_POINT_ALL - 1));
        fault->keeps_life = fiber_chance(50);
        if (is_labelled(fault->point)) {
            fault->countdown = 1 + (uint32_t)fiber_draw(1 + fiber_draw(OCCURRENCE_MAX));
        } else {
            fault->at_ns = (int64_t)fiber_draw(HORIZON_S * 1000) * MS_NS;
            (void)fiber_process_start("fate", wait_and_happen, fault);
        }
    }
}
