/*
 * Goal: threads start and join, monitors exclude and wake, waits end in time by the monotonic
 * clock, a stop flag is seen at once, also from a signal handler.
 * Method: counters that a missing lock would lose updates of; measured times with wide margins.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "nero/clock.h"
#include "nero/thread.h"

enum { THREADS = 4, ROUNDS = 20000 };

struct shared {
    struct thread_monitor monitor;
    long count; /* monitor */
    bool go;    /* monitor */
};

static void count_up(void *context)
{
    struct shared *shared = context;

    for (int i = 0; i < ROUNDS; i++) {
        thread_monitor_enter(&shared->monitor);
        shared->count++;
        thread_monitor_leave(&shared->monitor);
    }
}

static void test_thread__monitor_excludes(void **state)
{
    struct thread threads[THREADS] = {0};
    struct shared shared = {0};
    struct nero_err err;

    (void)state;
    assert_int_equal(thread_monitor_init(&shared.monitor, &err), NERO_OK);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(thread_start(&threads[i], "count", count_up, &shared, &err), NERO_OK);
    }
    for (int i = 0; i < THREADS; i++) {
        thread_join(&threads[i]);
        thread_join(&threads[i]); /* does nothing */
    }
    assert_int_equal(shared.count, (long)THREADS * ROUNDS);
    thread_monitor_fini(&shared.monitor);
}

static void wait_for_go(void *context)
{
    struct shared *shared = context;

    thread_monitor_enter(&shared->monitor);
    while (!shared->go) {
        thread_monitor_wait(&shared->monitor);
    }
    shared->count++;
    thread_monitor_leave(&shared->monitor);
}

static void test_thread__wake_reaches_all(void **state)
{
    struct thread threads[THREADS] = {0};
    struct shared shared = {0};
    struct nero_err err;

    (void)state;
    assert_int_equal(thread_monitor_init(&shared.monitor, &err), NERO_OK);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(
            thread_start(&threads[i], "a name that is too long", wait_for_go, &shared, &err),
            NERO_OK);
    }
    thread_monitor_enter(&shared.monitor);
    shared.go = true;
    thread_monitor_wake_all(&shared.monitor);
    thread_monitor_leave(&shared.monitor);
    for (int i = 0; i < THREADS; i++) {
        thread_join(&threads[i]);
    }
    assert_int_equal(shared.count, THREADS);
    thread_monitor_fini(&shared.monitor);
}

static void test_thread__timed_wait_ends_in_time(void **state)
{
    const struct clock_source *clock = clock_system();
    int64_t start_ns = clock_mono_ns(clock);
    struct shared shared = {0};
    struct nero_err err;
    double seconds;

    (void)state;
    assert_int_equal(thread_monitor_init(&shared.monitor, &err), NERO_OK);
    thread_monitor_enter(&shared.monitor);
    while (thread_monitor_wait_ms(&shared.monitor, 50)) { /* woken for no reason */
    }
    assert_false(thread_monitor_wait_ms(&shared.monitor, -5));
    thread_monitor_leave(&shared.monitor);
    seconds = clock_seconds_since(clock, start_ns);
    assert_true(seconds >= 0.049 && seconds < 20.0);
    thread_monitor_fini(&shared.monitor);
}

/* In the new thread every signal is blocked, in the starter as before. */
static void look_at_mask(void *context)
{
    (void)pthread_sigmask(SIG_BLOCK, NULL, context);
}

static void test_thread__signals_stay_with_the_main_thread(void **state)
{
    struct thread thread = {0};
    struct nero_err err;
    sigset_t inside;
    sigset_t here;

    (void)state;
    (void)sigemptyset(&inside);
    assert_int_equal(thread_start(&thread, "mask", look_at_mask, &inside, &err), NERO_OK);
    thread_join(&thread);
    assert_int_equal(pthread_sigmask(SIG_BLOCK, NULL, &here), 0);
    assert_true(sigismember(&inside, SIGTERM) && sigismember(&inside, SIGINT));
    assert_false(sigismember(&here, SIGTERM));
}

static struct thread_stop stop;

static void on_alarm(int number)
{
    (void)number;
    thread_stop_raise(&stop);
}

static void test_thread__stop_from_a_signal_handler(void **state)
{
    const struct clock_source *clock = clock_system();
    struct sigaction action = {.sa_handler = on_alarm};
    struct nero_err err;
    int64_t start_ns;

    (void)state;
    assert_int_equal(thread_stop_init(&stop, &err), NERO_OK);
    start_ns = clock_mono_ns(clock);
    assert_false(thread_stop_wait_ms(&stop, 30));
    assert_true(clock_seconds_since(clock, start_ns) >= 0.029);
    assert_false(thread_stop_is_raised(&stop));
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    (void)ualarm(20000, 0);
    assert_true(thread_stop_wait_ms(&stop, 50000));
    assert_true(clock_seconds_since(clock, start_ns) < 20.0);
    thread_stop_raise(&stop); /* again does no harm */
    errno = EDOM;
    thread_stop_raise(&stop);
    assert_int_equal(errno, EDOM);
    assert_true(thread_stop_wait_ms(&stop, 0));
    thread_stop_fini(&stop);
}

static void raise_later(void *context)
{
    clock_sleep_ms(clock_system(), 20);
    thread_stop_raise(context);
}

static void test_thread__stop_wakes_all_waiters(void **state)
{
    struct thread thread = {0};
    struct nero_err err;

    (void)state;
    assert_int_equal(thread_stop_init(&stop, &err), NERO_OK);
    assert_int_equal(thread_start(&thread, "raise", raise_later, &stop, &err), NERO_OK);
    assert_true(thread_stop_wait_ms(&stop, 50000));
    assert_true(thread_stop_wait_ms(&stop, 50000)); /* the event stays readable */
    thread_join(&thread);
    thread_stop_fini(&stop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_thread__monitor_excludes),
        cmocka_unit_test(test_thread__wake_reaches_all),
        cmocka_unit_test(test_thread__timed_wait_ends_in_time),
        cmocka_unit_test(test_thread__signals_stay_with_the_main_thread),
        cmocka_unit_test(test_thread__stop_from_a_signal_handler),
        cmocka_unit_test(test_thread__stop_wakes_all_waiters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
