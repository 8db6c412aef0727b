#include "fiber.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "nero/rng.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define STACK_IS_NEW(stack, bytes) __asan_unpoison_memory_region(stack, bytes)
#define SWITCH_BEGIN(save, stack, bytes) __sanitizer_start_switch_fiber(save, stack, bytes)
#define SWITCH_END(saved, stack, bytes) __sanitizer_finish_switch_fiber(saved, stack, bytes)
#else
#define STACK_IS_NEW(stack, bytes) (void)0
#define SWITCH_BEGIN(save, stack, bytes) (void)0
#define SWITCH_END(saved, stack, bytes) (void)0
#endif

enum { STACK_BYTES = 1 << 20, GUARD_BYTES = 4096, FIBERS_MAX = 512 };

struct fiber {
    ucontext_t context;
    void *stack; /* kept for the next fiber when this one is gone */
    void *fake_stack;
    struct fiber_process *process; /* NULL: free */
    uint32_t place;                /* in the table */
    uint32_t uses;                 /* of the place so far */
    fiber_fn *run;
    void *argument;
    int64_t wake_ns; /* runs from then on; INT64_MAX: only when woken */
    const void *on;  /* what it waits for */
    bool woken;
};

/* Fibers are kept in a table in the order of their places, so that draws do not depend on memory.
 */
static struct {
    ucontext_t main;
    void *main_fake_stack;
    const void *main_stack;
    size_t main_stack_bytes;
    struct fiber *fibers[FIBERS_MAX];
    uint32_t count;
    struct fiber *running;
    int64_t now_ns;
    struct rng_stream random;
    uint32_t processes;
    uint64_t switches;
} world;

void fiber_world_begin(uint64_t seed)
{
    world.random = rng_stream(seed, RNG_TEST, 1, 0, 0);
}

int64_t fiber_now_ns(void)
{
    return world.now_ns;
}

uint64_t fiber_draw(uint64_t bound)
{
    return rng_below(&world.random, bound);
}

bool fiber_chance(uint32_t percent)
{
    return percent > 0 && fiber_draw(100) < percent;
}

uint64_t fiber_switches(void)
{
    return world.switches;
}

struct fiber_process *fiber_self(void)
{
    return world.running != NULL ? world.running->process : NULL;
}

/* ---- switching ---- */

static void to_main(struct fiber *fiber)
{
    SWITCH_BEGIN(&fiber->fake_stack, world.main_stack, world.main_stack_bytes);
    (void)swapcontext(&fiber->context, &world.main);
    SWITCH_END(fiber->fake_stack, &world.main_stack, &world.main_stack_bytes);
}

static void fiber_main(void)
{
    struct fiber *fiber = world.running;

    SWITCH_END(NULL, &world.main_stack, &world.main_stack_bytes);
    fiber->run(fiber->argument);
    fiber->process->fibers--;
    fiber->process = NULL;
    fiber->uses++;
    fiber_wake(fiber);
    to_main(fiber); /* for good */
    abort();
}

static void to_fiber(struct fiber *fiber)
{
    world.running = fiber;
    world.switches++;
    SWITCH_BEGIN(&world.main_fake_stack, fiber->stack, STACK_BYTES);
    (void)swapcontext(&world.main, &fiber->context);
    SWITCH_END(world.main_fake_stack, NULL, NULL);
    world.running = NULL;
}

/* When the fiber can run; INT64_MAX: not before it is woken. */
static int64_t due_ns(const struct fiber *fiber)
{
    if (fiber->process == NULL) {
        return INT64_MAX;
    }
    return fiber->wake_ns > fiber->process->paused_until_ns ? fiber->wake_ns
                                                            : fiber->process->paused_until_ns;
}

/* One of those that can run now, or NULL and when the next one can. */
static struct fiber *choose(int64_t *next_ns)
{
    struct fiber *ready[FIBERS_MAX];
    uint32_t count = 0;

    *next_ns = INT64_MAX;
    for (uint32_t i = 0; i < world.count; i++) {
        int64_t due = due_ns(world.fibers[i]);

        if (due <= world.now_ns) {
            ready[count++] = world.fibers[i];
        }
        *next_ns = due < *next_ns ? due : *next_ns;
    }
    return count == 0 ? NULL : ready[count == 1 ? 0 : fiber_draw(count)];
}

bool fiber_world_run(int64_t until_ns)
{
    for (;;) {
        int64_t next_ns;
        struct fiber *fiber = choose(&next_ns);

        if (fiber != NULL) {
            to_fiber(fiber);
        } else if (next_ns == INT64_MAX) {
            return true;
        } else if (next_ns > until_ns) {
            world.now_ns = until_ns;
            return false;
        } else {
            world.now_ns = next_ns;
        }
    }
}

/* ---- fibers ---- */

static struct fiber *free_fiber(void)
{
    struct fiber *fiber;

    for (uint32_t i = 0; i < world.count; i++) {
        if (world.fibers[i]->process == NULL && world.fibers[i] != world.running) {
            return world.fibers[i];
        }
    }
    if (world.count == FIBERS_MAX) {
        (void)fprintf(stderr, "more than %d fibers\n", (int)FIBERS_MAX);
        abort();
    }
    fiber = calloc(1, sizeof *fiber);
    if (fiber == NULL) {
        abort();
    }
    fiber->stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (fiber->stack == MAP_FAILED) {
        abort();
    }
    (void)mprotect(fiber->stack, GUARD_BYTES, PROT_NONE); /* overflow ends the program */
    fiber->place = world.count;
    world.fibers[world.count++] = fiber;
    return fiber;
}

/* Alone, since getcontext is like setjmp to the compiler. */
static __attribute__((noinline)) void fill(ucontext_t *context)
{
    (void)getcontext(context);
}

uint64_t fiber_spawn(struct fiber_process *process, fiber_fn *run, void *context)
{
    struct fiber *fiber = free_fiber();

    fiber->process = process;
    fiber->run = run;
    fiber->argument = context;
    fiber->wake_ns = world.now_ns;
    fiber->on = NULL;
    fiber->woken = false;
    process->fibers++;
    fill(&fiber->context);
    fiber->context.uc_stack.ss_sp = fiber->stack;
    fiber->context.uc_stack.ss_size = STACK_BYTES;
    fiber->context.uc_link = NULL;
    STACK_IS_NEW((char *)fiber->stack + GUARD_BYTES, STACK_BYTES - GUARD_BYTES);
    makecontext(&fiber->context, fiber_main, 0);
    return (uint64_t)fiber->uses << 32 | fiber->place;
}

void fiber_sleep_ns(int64_t ns)
{
    (void)fiber_wait_ns(NULL, ns > 0 ? ns : 0);
}

bool fiber_wait_ns(const void *on, int64_t ns)
{
    struct fiber *fiber = world.running;

    assert(fiber != NULL);
    fiber->wake_ns = ns == INT64_MAX ? INT64_MAX : world.now_ns + ns;
    fiber->on = on;
    fiber->woken = false;
    to_main(fiber);
    fiber->on = NULL;
    return fiber->woken;
}

void fiber_wake(const void *on)
{
    for (uint32_t i = 0; i < world.count; i++) {
        struct fiber *fiber = world.fibers[i];

        if (fiber->process != NULL && fiber->on == on) {
            fiber->on = NULL;
            fiber->wake_ns = world.now_ns;
            fiber->woken = true;
        }
    }
}

void fiber_join(uint64_t id)
{
    struct fiber *fiber = world.fibers[(uint32_t)id];

    while (fiber->uses == (uint32_t)(id >> 32)) {
        (void)fiber_wait_ns(fiber, INT64_MAX);
    }
}

/* ---- processes ---- */

struct fiber_process *fiber_process_start(const char *name, fiber_fn *run, void *context)
{
    struct fiber_process *process = calloc(1, sizeof *process);

    if (process == NULL) {
        abort();
    }
    (void)snprintf(process->name, sizeof process->name, "%s", name);
    process->number = ++world.processes;
    (void)fiber_spawn(process, run, context);
    return process;
}

void fiber_process_kill(struct fiber_process *process)
{
    bool own = fiber_self() == process;
    struct fiber *self = world.running;

    process->dead = true;
    for (uint32_t i = 0; i < world.count; i++) {
        if (world.fibers[i]->process == process) {
            world.fibers[i]->process = NULL;
            world.fibers[i]->uses++;
        }
    }
    process->fibers = 0;
    if (own) {
        to_main(self);
        abort();
    }
}

void fiber_process_pause(struct fiber_process *process, int64_t ns)
{
    process->paused_until_ns = world.now_ns + ns;
    if (fiber_self() == process) {
        fiber_sleep_ns(0);
    }
}
