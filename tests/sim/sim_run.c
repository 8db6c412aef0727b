#include "sim_run.h"

#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "nero/queue.h"
#include "runner_loop.h"
#include "served.h"
#include "sim_fault.h"
#include "sim_redis.h"
#include "sim_store.h"
#include "sim_trace.h"

#define SECOND_NS INT64_C(1000000000)

enum {
    TOKENS_MAX = 256,
    ROUND_MS = 250,         /* of cmd_serve */
    ALIVE_MS = 5000,        /* a silent leader may be followed */
    KILL_AFTER_MS = 5000,   /* a notice */
    TEND_MS = 500,          /* how often who is gone is noticed */
    RESTART_S_MAX = 20,     /* until it is started again */
    LIMIT_S = 4 * 3600,     /* a run that has not ended by then never will */
    SKEW_MS_MAX = 60 * 1000 /* of a machine's wall clock, either way */
};

struct runner {
    struct sim_run_actor actor;
    struct runner_notice notice;
    uint8_t token[KEYS_TOKEN_BYTES];
};

static struct {
    const char *run;
    struct sim_run_actor schedulers[SIM_RUN_SCHEDULERS_MAX];
    struct runner runners[SIM_RUN_RUNNERS_MAX];
    uint32_t runner_count;
    struct interval_policy interval;
    /* Join tokens: files that outlive their reader. */
    uint8_t tokens[TOKENS_MAX][KEYS_TOKEN_BYTES];
    uint32_t token_count;
    const struct fiber_process *canceller; /* an operator, who will resume it if alive */
    bool resumed;
    bool finished;
} sim;

/* ---- a scheduler ---- */

/* A token that was proved is spent, unless another scheduler was faster. */
static void spend(const uint8_t token[KEYS_TOKEN_BYTES])
{
    for (uint32_t i = 0; i < sim.token_count; i++) {
        if (memcmp(sim.tokens[i], token, KEYS_TOKEN_BYTES) == 0) {
            sim.token_count--;
            memmove(sim.tokens[i], sim.tokens[sim.token_count], KEYS_TOKEN_BYTES);
            return;
        }
    }
}

static void answer_enrolment(const struct served *served, struct queue *queue)
{
    struct enrol_issuer issuer = served_issuer(served);
    uint8_t tokens[TOKENS_MAX][KEYS_TOKEN_BYTES];
    struct nero_err err;
    int32_t used;

    memcpy(tokens, sim.tokens, sizeof tokens);
    if (enrol_answer_queue(&issuer, queue, (const uint8_t(*)[KEYS_TOKEN_BYTES])tokens, NULL,
                           sim.token_count, &used, NULL, &err) == NERO_OK &&
        used >= 0) {
        spend(tokens[used]);
    }
}

static enum nero_status lead_run(struct served *served, struct queue *queue, struct nero_err *err)
{
    enum nero_status status = NERO_OK;

    while (status == NERO_OK && !search_finished(served->search)) {
        status = served_tick(served, err);
        if (status == NERO_OK) {
            answer_enrolment(served, queue);
            clock_sleep_ms(clock_system(), ROUND_MS);
        }
    }
    served_close(served);
    return status;
}

/* As cmd_serve does with one run: stand by while another leads it, else lead it to its end. */
static enum nero_status serve(struct storage *store, struct queue *queue, struct nero_err *err)
{
    struct served_options options = served_defaults();
    char leader[QUEUE_LEADER_BYTES];
    enum nero_status status;

    options.lease_ms = SIM_RUN_LEASE_MS;
    options.alive_ms = ALIVE_MS;
    for (;;) {
        struct served served;
        bool alive = false;

        options.reopen = sim.resumed;
        status = lead_holder(queue, sim.run, &alive, leader, err);
        if (status == NERO_OK && !alive) {
            status = served_open(&served, store, queue, sim.run, &options, NULL, err);
            if (status == NERO_OK) {
                status = lead_run(&served, queue, err);
            }
            if (status == NERO_OK) {
                return NERO_OK;
            }
        }
        if (status != NERO_OK && status != NERO_STALE && !err_is_outage(status)) {
            return status;
        }
        clock_sleep_ms(clock_system(), ROUND_MS);
    }
}

static void scheduler_main(void *context)
{
    const struct clock_source *clock = clock_system();
    struct storage *store;
    struct queue *queue;
    struct nero_err err;
    enum nero_status status;

    (void)context;
    if (cli_open_store(SIM_STORE_URL, true, &store, &err) != NERO_OK) {
        abort();
    }
    while (queue_open(SIM_REDIS_URL, &queue, &err) != NERO_OK) {
        clock_sleep_ms(clock, ROUND_MS);
    }
    status = serve(store, queue, &err);
    sim_trace("serve ends: %s", status == NERO_OK ? "finished" : err.message);
    if (status == NERO_OK) {
        sim.finished = true;
    } else if (status == NERO_CANCELLED && sim.canceller != NULL) {
        sim.resumed = sim.resumed || sim.canceller->dead;
    } else {
        sim_trace_broken("a scheduler left the run alone: %s", err.message);
    }
    queue_close(queue);
    storage_close(store);
}

static void start_scheduler(struct sim_run_actor *actor)
{
    actor->is_scheduler = true;
    actor->wanted = true;
    actor->process = fiber_process_start("sched", scheduler_main, actor);
    actor->process->user = actor;
}

/* ---- a runner ---- */

static void runner_main(void *context)
{
    struct runner *runner = context;
    struct runner_loop_options options = {.redis_url = SIM_REDIS_URL,
                                          .store_url = SIM_STORE_URL,
                                          .backend = "ref",
                                          .cache = "/dev/null/none",
                                          .enrol_fd = -1,
                                          .has_token = true,
                                          .shards = 1,
                                          .interval = sim.interval,
                                          .stall_ms = 60000};
    struct nero_err err = {.message = "enough"};
    enum nero_status status;

    memcpy(options.token, runner->token, sizeof options.token);
    status = runner_loop_run(&options, &runner->notice, &err);
    sim_trace("runner ends: %s", err.message);
    if (status != NERO_CANCELLED && status != NERO_UNAVAILABLE && status != NERO_TIMEOUT) {
        sim_trace_broken("a runner ended: %s", err.message);
    }
}

static void start_runner(struct runner *runner)
{
    runner->notice = (struct runner_notice){.parent_fd = -1};
    for (size_t i = 0; i < sizeof runner->token; i++) {
        runner->token[i] = (uint8_t)fiber_draw(256);
    }
    if (sim.token_count < TOKENS_MAX) {
        memcpy(sim.tokens[sim.token_count++], runner->token, sizeof runner->token);
    }
    runner->actor.wanted = true;
    runner->actor.process = fiber_process_start("runner", runner_main, runner);
    runner->actor.process->user = &runner->actor;
    runner->actor.process->wall_skew_ms = (int64_t)fiber_draw(2 * SKEW_MS_MAX) - SKEW_MS_MAX;
}

/* The kill that a notice announces. */
static void wait_and_kill(void *context)
{
    fiber_sleep_ns(KILL_AFTER_MS * INT64_C(1000000));
    if (!((struct fiber_process *)context)->dead) {
        fiber_process_kill(context);
    }
}

void sim_run_notice(struct fiber_process *process)
{
    for (uint32_t i = 0; i < sim.runner_count; i++) {
        if (sim.runners[i].actor.process == process) {
            runner_notice_ask(&sim.runners[i].notice, "SIGTERM", KILL_AFTER_MS);
            (void)fiber_process_start("kill", wait_and_kill, process);
        }
    }
}

void sim_run_cancelled(void)
{
    sim.canceller = fiber_self();
}

void sim_run_resume(void)
{
    sim.resumed = true;
}

const char *sim_run_name(void)
{
    return sim.run;
}

struct sim_run_actor *sim_run_scheduler(uint32_t index)
{
    return &sim.schedulers[index];
}

struct sim_run_actor *sim_run_any(bool with_schedulers)
{
    uint64_t at = fiber_draw(sim.runner_count + (with_schedulers ? SIM_RUN_SCHEDULERS_MAX : 0));

    return at < sim.runner_count ? &sim.runners[at].actor : &sim.schedulers[at - sim.runner_count];
}

/* ---- who looks after them ---- */

static bool is_gone(const struct sim_run_actor *actor)
{
    return actor->process == NULL || actor->process->fibers == 0;
}

void sim_run_second_scheduler(void)
{
    for (uint32_t i = 0; i < SIM_RUN_SCHEDULERS_MAX; i++) {
        if (is_gone(&sim.schedulers[i]) && !sim.finished) {
            start_scheduler(&sim.schedulers[i]);
            return;
        }
    }
}

/* One scheduler is enough: where two were, the one that is left goes on. */
static bool any_scheduler(void)
{
    for (uint32_t i = 0; i < SIM_RUN_SCHEDULERS_MAX; i++) {
        if (!is_gone(&sim.schedulers[i])) {
            return true;
        }
    }
    return false;
}

static void wait_some(void)
{
    fiber_sleep_ns((int64_t)fiber_draw(RESTART_S_MAX * 1000) * 1000000);
}

static void restart_gone(void)
{
    if (!any_scheduler()) {
        wait_some();
        if (!any_scheduler()) {
            start_scheduler(&sim.schedulers[0]);
        }
    }
    for (uint32_t i = 0; i < sim.runner_count; i++) {
        if (is_gone(&sim.runners[i].actor)) {
            fiber_sleep_ns((int64_t)fiber_draw(2 * SECOND_NS));
            start_runner(&sim.runners[i]);
        }
    }
}

/* The search is done; what Redis still holds is forgotten by the runners that find it done. */
static void go_home(void)
{
    int64_t quiet_ns = sim_fault_stop_ns() + 3 * SIM_RUN_LEASE_MS * INT64_C(1000000);

    fiber_sleep_ns(3 * SIM_RUN_LEASE_MS * INT64_C(1000000));
    while (fiber_now_ns() < quiet_ns) {
        fiber_sleep_ns(quiet_ns - fiber_now_ns());
        restart_gone();
    }
    for (uint32_t i = 0; i < sim.runner_count; i++) {
        runner_notice_ask(&sim.runners[i].notice, "end", RUNNER_NOTICE_DRAIN_MS);
    }
}

static void look_after(void *context)
{
    (void)context;
    while (!sim.finished) {
        restart_gone();
        fiber_sleep_ns(TEND_MS * INT64_C(1000000));
    }
    go_home();
}

static struct interval_policy draw_interval(void)
{
    return (struct interval_policy){.kind = (enum interval_kind)(1 + fiber_draw(4)),
                                    .steps = 1 + fiber_draw(5),
                                    .seconds = 1 + (double)fiber_draw(8),
                                    .overhead = 0.01 * (double)(1 + fiber_draw(50))};
}

bool sim_run(const char *name, uint32_t runners)
{
    sim.run = name;
    sim.runner_count = runners > 0 ? runners : 1 + (uint32_t)fiber_draw(SIM_RUN_RUNNERS_MAX);
    sim.interval = draw_interval();
    sim_store_begin();
    sim_redis_begin();
    sim_fault_begin(runners > 0);
    (void)fiber_process_start("init", look_after, NULL);
    return fiber_world_run(LIMIT_S * SECOND_NS);
}
