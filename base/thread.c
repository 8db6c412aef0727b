#include "nero/thread.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "nero/clock.h"

enum {
    THREAD_NAME_BYTES = 16, /* of Linux, with the NUL */
    POLL_MS_MAX = 60 * 1000,
    LOW_NICE = 10 /* a tenth of the time where another thread wants all of it */
};

/* pthread_create says EAGAIN for every limit. */
static enum nero_status failed(int error, const char *what, struct nero_err *err)
{
    return err_set(err, error == ENOMEM ? NERO_NO_MEMORY : NERO_UNAVAILABLE, error, "%s: %s", what,
                   strerror(error));
}

static void *thread_main(void *argument)
{
    struct thread *thread = argument;

    thread->run(thread->context);
    return NULL;
}

enum nero_status thread_start(struct thread *thread, const char *name, thread_fn *run,
                              void *context, struct nero_err *err)
{
    char short_name[THREAD_NAME_BYTES];
    sigset_t all;
    sigset_t before;
    int error;

    assert(!thread->started);
    thread->run = run;
    thread->context = context;
    /* The new thread inherits the mask; blocked in it only after its start would leave a gap. */
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&thread->id, NULL, thread_main, thread);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0) {
        return failed(error, "start a thread", err);
    }
    (void)snprintf(short_name, sizeof short_name, "%s", name);
    (void)pthread_setname_np(thread->id, short_name); /* only for who looks with top */
    thread->started = true;
    return NERO_OK;
}

void thread_join(struct thread *thread)
{
    if (thread->started) {
        int error = pthread_join(thread->id, NULL);

        assert(error == 0);
        (void)error;
        thread->started = false;
    }
}

void thread_lower_priority(void)
{
    /* On Linux a nice value is a thread's. A refusal leaves it as it is. */
    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), LOW_NICE);
}

enum nero_status thread_monitor_init(struct thread_monitor *monitor, struct nero_err *err)
{
    pthread_condattr_t attributes;
    int error = pthread_condattr_init(&attributes);

    if (error != 0) {
        return failed(error, "make a condition", err);
    }
    /* By the wall clock a wait would end early or late whenever somebody sets it. */
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    error = pthread_cond_init(&monitor->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    if (error != 0) {
        return failed(error, "make a condition", err);
    }
    error = pthread_mutex_init(&monitor->mutex, NULL);
    if (error != 0) {
        (void)pthread_cond_destroy(&monitor->changed);
        return failed(error, "make a mutex", err);
    }
    return NERO_OK;
}

void thread_monitor_fini(struct thread_monitor *monitor)
{
    (void)pthread_mutex_destroy(&monitor->mutex);
    (void)pthread_cond_destroy(&monitor->changed);
}

void thread_monitor_enter(struct thread_monitor *monitor)
{
    (void)pthread_mutex_lock(&monitor->mutex);
}

void thread_monitor_leave(struct thread_monitor *monitor)
{
    (void)pthread_mutex_unlock(&monitor->mutex);
}

bool thread_monitor_wait_ms(struct thread_monitor *monitor, int64_t ms)
{
    int64_t until_ns;
    struct timespec until;

    ms = ms > 0 ? ms : 0;
    until_ns = clock_mono_ns(clock_system()) + ms * 1000000;
    until.tv_sec = until_ns / 1000000000;
    until.tv_nsec = until_ns % 1000000000;
    return pthread_cond_timedwait(&monitor->changed, &monitor->mutex, &until) != ETIMEDOUT;
}

void thread_monitor_wait(struct thread_monitor *monitor)
{
    (void)pthread_cond_wait(&monitor->changed, &monitor->mutex);
}

void thread_monitor_wake_all(struct thread_monitor *monitor)
{
    (void)pthread_cond_broadcast(&monitor->changed);
}

enum nero_status thread_stop_init(struct thread_stop *stop, struct nero_err *err)
{
    atomic_init(&stop->raised, false);
    stop->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return stop->event_fd >= 0 ? NERO_OK : failed(errno, "make a stop flag", err);
}

void thread_stop_fini(struct thread_stop *stop)
{
    (void)close(stop->event_fd);
    stop->event_fd = -1;
}

void thread_stop_raise(struct thread_stop *stop)
{
    int error = errno;
    uint64_t one = 1;
    ssize_t ignored;

    atomic_store(&stop->raised, true);
    ignored = write(stop->event_fd, &one, sizeof one); /* fails only when readable for long */
    (void)ignored;
    errno = error;
}

bool thread_stop_is_raised(const struct thread_stop *stop)
{
    return atomic_load(&stop->raised);
}

bool thread_stop_wait_ms(const struct thread_stop *stop, int64_t ms)
{
    int64_t start_ns = clock_mono_ns(clock_system());

    while (!thread_stop_is_raised(stop)) {
        struct pollfd wait = {.fd = stop->event_fd, .events = POLLIN};
        int64_t left_ms = ms - (clock_mono_ns(clock_system()) - start_ns) / 1000000;

        if (left_ms <= 0) {
            return false;
        }
        (void)poll(&wait, 1, (int)(left_ms < POLL_MS_MAX ? left_ms : POLL_MS_MAX));
    }
    return true;
}
