/*
 * Threads: start and join with errors, a monitor (mutex and condition) whose waits are by the
 * monotonic clock, and a stop flag that a signal may raise.
 *
 * Threads hand memory over, they do not share it; what they must share lies in a struct with a
 * monitor, and its comment says which members the monitor guards.
 */
#ifndef NERO_THREAD_H
#define NERO_THREAD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "nero/err.h"

typedef void thread_fn(void *context);

/* Zeroed is "not started". The struct stays where it is from start to join. */
struct thread {
    pthread_t id;
    thread_fn *run;
    void *context;
    bool started;
};

/*
 * Run run(context) in a new thread called `name` (cut at 15 bytes). All signals are blocked in it,
 * so that the main thread gets them. Owns: context is borrowed until join.
 * Errors: unavailable (limit of threads), no_memory; then nothing was started.
 */
enum nero_status thread_start(struct thread *thread, const char *name, thread_fn *run,
                              void *context, struct nero_err *err);

/* Wait for its end. Does nothing on one that was not started or has been joined. */
void thread_join(struct thread *thread);

/* The calling thread gets what processor time others leave; it cannot be taken back. */
void thread_lower_priority(void);

/* A mutex and one condition. Not recursive. */
struct thread_monitor {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
};

enum nero_status thread_monitor_init(struct thread_monitor *monitor, struct nero_err *err);
void thread_monitor_fini(struct thread_monitor *monitor); /* nobody is in it or waits */
void thread_monitor_enter(struct thread_monitor *monitor);
void thread_monitor_leave(struct thread_monitor *monitor);

/*
 * Leave, wait for a wake or the time to pass, enter again. Call inside, in a loop over the
 * condition that is waited for: it may return without a wake. False when the time has passed.
 */
bool thread_monitor_wait_ms(struct thread_monitor *monitor, int64_t ms);
void thread_monitor_wait(struct thread_monitor *monitor);
void thread_monitor_wake_all(struct thread_monitor *monitor);

/* Raised once, never lowered. */
struct thread_stop {
    atomic_bool raised;
    int event_fd; /* readable from the moment when it is raised */
};

enum nero_status thread_stop_init(struct thread_stop *stop, struct nero_err *err);
void thread_stop_fini(struct thread_stop *stop);

/* Thread: any. Safe in a signal handler, and errno is kept. */
void thread_stop_raise(struct thread_stop *stop);
bool thread_stop_is_raised(const struct thread_stop *stop);

/* Sleep until it is raised or `ms` have passed, whatever signals come. True when it is raised. */
bool thread_stop_wait_ms(const struct thread_stop *stop, int64_t ms);

#endif
