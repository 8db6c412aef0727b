#include "sim_operator.h"

#include "fiber.h"
#include "nero/queue.h"
#include "sim_fault.h"
#include "sim_redis.h"
#include "sim_trace.h"

#define SECOND_NS INT64_C(1000000000)

enum { TRY_S = 2, HOLD_S_MAX = 30, AFTER_S = 10 };

enum order { ORDER_CHECKPOINT, ORDER_DRAIN, ORDER_PAUSE, ORDER_LIMIT, ORDER_COUNT };

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
        } while (fiber_now_ns() < sim_fault_stop_ns() + AFTER_S * SECOND_NS);
    }
    queue_close(queue);
}
