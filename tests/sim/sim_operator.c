#include "sim_operator.h"

#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "fiber.h"
#include "nero/queue.h"
#include "sim_fault.h"
#include "sim_redis.h"
#include "sim_run.h"
#include "sim_store.h"
#include "sim_trace.h"

#define SECOND_NS INT64_C(1000000000)

enum { TRY_S = 2, HOLD_S_MAX = 30, AFTER_S = 10 };

enum order {
    ORDER_CHECKPOINT,
    ORDER_DRAIN,
    ORDER_PAUSE,
    ORDER_LIMIT,
    ORDER_DRAIN_RUNNER,
    ORDER_COUNT
};

/* ---- the commands of nero-sched themselves ---- */

int __wrap_cli_fail(const char *command, const struct nero_err *err);

int __wrap_cli_fail(const char *command, const struct nero_err *err)
{
    sim_trace("%s: %s", command, err->message);
    return (int)err_exit_code(err->status);
}

/* One person at a time: a command is a program's only one, and lives in its static memory. */
static int command(int (*run)(int, char **), const char *argument, bool of_store)
{
    static const struct fiber_process *at_work;
    char name[] = "nero-sched";
    char redis[] = "--redis=" SIM_REDIS_URL;
    char store[] = "--store=" SIM_STORE_URL;
    char copy[QUEUE_RUNNER_BYTES + SLOT_RUN_BYTES];
    char *argv[] = {name, copy, redis, store, NULL};
    int code;

    (void)snprintf(copy, sizeof copy, "%s", argument);
    while (at_work != NULL && !at_work->dead) {
        fiber_sleep_ns(SECOND_NS);
    }
    at_work = fiber_self();
    code = run(of_store ? 4 : 3, argv);
    at_work = NULL;
    return code;
}

static int64_t end_ns(void)
{
    return sim_fault_stop_ns() + AFTER_S * SECOND_NS;
}

void sim_operator_retry(const char *run)
{
    do {
        sim_trace("retry: %d", command(cmd_retry, run, true));
        fiber_sleep_ns(TRY_S * SECOND_NS);
    } while (fiber_now_ns() < end_ns());
}

void sim_operator_cancel(const char *run)
{
    int code;

    sim_run_cancelled();
    while ((code = command(cmd_cancel, run, true)) != ERR_EXIT_DONE && fiber_now_ns() < end_ns()) {
        fiber_sleep_ns(TRY_S * SECOND_NS);
    }
    sim_trace("cancel: %d", code);
    fiber_sleep_ns((int64_t)fiber_draw(HOLD_S_MAX) * SECOND_NS);
    sim_run_resume();
}

static enum nero_status note_any(void *context, const struct queue_runner *runner,
                                 struct nero_err *err)
{
    char *name = context;

    (void)err;
    if (name[0] == '\0' || fiber_chance(50)) {
        memcpy(name, runner->name, QUEUE_RUNNER_BYTES);
    }
    return NERO_OK;
}

static enum nero_status drain_any(struct queue *queue, const char *run, struct nero_err *err)
{
    char name[QUEUE_RUNNER_BYTES] = "";
    enum nero_status status = queue_runners(queue, run, note_any, name, err);

    if (status == NERO_OK && name[0] != '\0') {
        sim_trace("drain: %d", command(cmd_drain, name, false));
    }
    return status;
}

/* ---- orders ---- */

/* `on` false takes it back. Errors: those of Redis; the caller says it again. */
static enum nero_status say(struct queue *queue, const char *run, enum order order, bool on,
                            struct nero_err *err)
{
    struct queue_counts counts;
    uint32_t told;

    if (queue_counts(queue, run, &counts, err) != NERO_OK) {
        return err->status;
    }
    switch (order) {
    case ORDER_PAUSE:
        return queue_pause(queue, run, counts.epoch, on, err);
    case ORDER_LIMIT:
        return queue_limit(queue, run, counts.epoch, on ? 1 : 0, err);
    case ORDER_DRAIN_RUNNER:
        return drain_any(queue, run, err);
    default:
        return queue_tell(queue, run, counts.epoch, NULL,
                          order == ORDER_DRAIN ? QUEUE_DRAIN : QUEUE_CHECKPOINT_NOW, &told, err);
    }
}

void sim_operator_act(const char *run)
{
    enum order order = (enum order)fiber_draw(ORDER_COUNT);
    struct queue *queue;
    struct nero_err err;

    while (queue_open(SIM_REDIS_URL, &queue, &err) != NERO_OK) {
        fiber_sleep_ns(TRY_S * SECOND_NS);
    }
    sim_trace("order %d: %s", (int)order, err_status_name(say(queue, run, order, true, &err)));
    if (order == ORDER_PAUSE || order == ORDER_LIMIT) {
        fiber_sleep_ns((int64_t)fiber_draw(HOLD_S_MAX) * SECOND_NS);
        do { /* a Redis that comes back as it was, or a leader that restores it, may be behind */
            (void)say(queue, run, order, false, &err);
            fiber_sleep_ns(TRY_S * SECOND_NS);
        } while (fiber_now_ns() < end_ns());
    }
    queue_close(queue);
}
