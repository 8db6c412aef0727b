/*
 * base/thread and base/clock on fibers and virtual time: linked in front of the real ones
 * (thread.h), or in their place (clock_system, by the linker's --wrap). With them the machine's
 * name and number of this process, which reach stored bytes, and the random numbers of libsodium.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sodium.h>

#include "fiber.h"
#include "nero/clock.h"
#include "nero/rng.h"
#include "nero/thread.h"
#include "sim_thread.h"

/* ---- threads ---- */

static_assert(sizeof(pthread_t) == sizeof(uint64_t), "a fiber's id stands for a thread's");

enum nero_status thread_start(struct thread *thread, const char *name, thread_fn *run,
                              void *context, struct nero_err *err)
{
    (void)name;
    (void)err;
    assert(!thread->started);
    thread->id = (pthread_t)fiber_spawn(fiber_self(), run, context);
    thread->started = true;
    return NERO_OK;
}

void thread_join(struct thread *thread)
{
    if (thread->started) {
        fiber_join((uint64_t)thread->id);
        thread->started = false;
    }
}

void thread_lower_priority(void)
{
}

/* The mutex's room holds whether somebody is inside. */
static bool *inside(struct thread_monitor *monitor)
{
    return (bool *)&monitor->mutex;
}

enum nero_status thread_monitor_init(struct thread_monitor *monitor, struct nero_err *err)
{
    (void)err;
    memset(monitor, 0, sizeof *monitor);
    return NERO_OK;
}

void thread_monitor_fini(struct thread_monitor *monitor)
{
    assert(!*inside(monitor));
}

void thread_monitor_enter(struct thread_monitor *monitor)
{
    if (fiber_chance(SIM_THREAD_YIELD_PERCENT)) {
        fiber_sleep_ns(0);
    }
    while (*inside(monitor)) {
        (void)fiber_wait_ns(&monitor->mutex, INT64_MAX);
    }
    *inside(monitor) = true;
}

void thread_monitor_leave(struct thread_monitor *monitor)
{
    *inside(monitor) = false;
    fiber_wake(&monitor->mutex);
}

static bool wait_inside(struct thread_monitor *monitor, int64_t ns)
{
    bool woken;

    thread_monitor_leave(monitor);
    woken = fiber_wait_ns(&monitor->changed, ns);
    thread_monitor_enter(monitor);
    return woken;
}

bool thread_monitor_wait_ms(struct thread_monitor *monitor, int64_t ms)
{
    return wait_inside(monitor, ms > 0 ? ms * 1000000 : 0);
}

void thread_monitor_wait(struct thread_monitor *monitor)
{
    (void)wait_inside(monitor, INT64_MAX);
}

void thread_monitor_wake_all(struct thread_monitor *monitor)
{
    fiber_wake(&monitor->changed);
}

enum nero_status thread_stop_init(struct thread_stop *stop, struct nero_err *err)
{
    (void)err;
    atomic_init(&stop->raised, false);
    stop->event_fd = -1;
    return NERO_OK;
}

void thread_stop_fini(struct thread_stop *stop)
{
    (void)stop;
}

void thread_stop_raise(struct thread_stop *stop)
{
    atomic_store(&stop->raised, true);
    fiber_wake(stop);
}

bool thread_stop_is_raised(const struct thread_stop *stop)
{
    return atomic_load(&stop->raised);
}

bool thread_stop_wait_ms(const struct thread_stop *stop, int64_t ms)
{
    int64_t end_ns = fiber_now_ns() + ms * 1000000;

    while (!thread_stop_is_raised(stop) && fiber_now_ns() < end_ns) {
        (void)fiber_wait_ns(stop, end_ns - fiber_now_ns());
    }
    return thread_stop_is_raised(stop);
}

/* ---- clock ---- */

static int64_t wall_ms(void *context)
{
    const struct fiber_process *self = fiber_self();

    (void)context;
    return SIM_THREAD_EPOCH_MS + fiber_now_ns() / 1000000 + (self != NULL ? self->wall_skew_ms : 0);
}

/* Zero stands for "never" here and there. */
static int64_t mono_ns(void *context)
{
    (void)context;
    return fiber_now_ns() + 1000000000;
}

static void sleep_ms(void *context, int64_t ms)
{
    (void)context;
    fiber_sleep_ns(ms * 1000000);
}

const struct clock_source *__wrap_clock_system(void);
const struct clock_source *__wrap_clock_system(void)
{
    static const struct clock_source source = {
        .wall_ms = wall_ms, .mono_ns = mono_ns, .sleep_ms = sleep_ms};

    return &source;
}

/* ---- what else differs from run to run ---- */

pid_t __wrap_getpid(void);
pid_t __wrap_getpid(void)
{
    return fiber_self() != NULL ? (pid_t)fiber_self()->number : 1;
}

int __wrap_gethostname(char *name, size_t bytes);
int __wrap_gethostname(char *name, size_t bytes)
{
    (void)snprintf(name, bytes, "sim");
    return 0;
}

/* The end of a simulated process is not that of the program. */
__attribute__((noreturn)) void __real__exit(int code);
__attribute__((noreturn)) void __wrap__exit(int code);
void __wrap__exit(int code)
{
    if (fiber_self() != NULL) {
        fiber_process_kill(fiber_self());
    }
    __real__exit(code);
}

static struct rng_stream random_numbers;

static const char *random_name(void)
{
    return "sim";
}

static uint32_t random_u32(void)
{
    return (uint32_t)rng_u64(&random_numbers);
}

static void random_bytes(void *const out, const size_t bytes)
{
    uint8_t *at = out;

    for (size_t i = 0; i < bytes; i++) {
        at[i] = (uint8_t)rng_u64(&random_numbers);
    }
}

void sim_thread_seed(uint64_t seed)
{
    static randombytes_implementation implementation = {
        .implementation_name = random_name, .random = random_u32, .buf = random_bytes};

    random_numbers = rng_stream(seed, RNG_TEST, 2, 0, 0);
    (void)randombytes_set_implementation(&implementation);
}
