/*
 * Goal: a signal that meets the engine at any instruction harms nothing. Method: whole evaluations
 * on small networks while a thread sends SIGTERM to the training thread thousands of times a
 * second; the bytes are those of an evaluation in peace. (oneDNN's kernels use the stack pointer as
 * a register: without a stack of its own a handler's frame lands in the heap.)
 */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

#include "gpu-runner/runner_notice.h"
#include "tests/support/evaluation.h"
#include "tests/support/small_cifar.h"
#include "tests/support/tiny_net.h"

enum { ROUNDS = 30, PAUSE_NS = 20000 };

static struct dataset shipped;
static atomic_bool over;
static atomic_uint sent;

static void *send_signals(void *argument)
{
    const pthread_t *trainer = argument;
    const struct timespec pause = {.tv_nsec = PAUSE_NS};

    while (!atomic_load(&over)) {
        assert_int_equal(pthread_kill(*trainer, SIGTERM), 0);
        atomic_fetch_add(&sent, 1);
        (void)nanosleep(&pause, NULL);
    }
    return NULL;
}

static void test_runner_signals__training_under_signals_gives_equal_bytes(void **state)
{
    struct evaluation evaluation = {
        .name = "job", .backend = NERO_HAVE_DNNL ? "cpu" : "ref", .dataset = &shipped};
    struct evaluation_result calm;
    struct runner_notice notice;
    struct nero_err err;
    pthread_t self = pthread_self();
    pthread_t sender;

    (void)state;
    evaluation_spec(&evaluation.spec, JOB_TRAIN);
    tiny_net_make(TINY_NET_BRANCHED, &evaluation.spec.phenotype);
    evaluation_make(&evaluation, NULL, &calm);
    assert_int_equal(runner_notice_install(&notice, -1, RUNNER_NOTICE_GRACE_MS, &err), NERO_OK);
    assert_int_equal(pthread_create(&sender, NULL, send_signals, &self), 0);
    for (int i = 0; i < ROUNDS; i++) {
        struct evaluation_result result;

        evaluation_make(&evaluation, NULL, &result);
        evaluation_assert_equal("under signals", &calm, &result);
        evaluation_result_fini(&result);
    }
    atomic_store(&over, true);
    assert_int_equal(pthread_join(sender, NULL), 0);
    assert_true(runner_notice_stopping(&notice));
    (void)printf("%u signals\n", atomic_load(&sent));
    assert_true(atomic_load(&sent) > 100);
    evaluation_result_fini(&calm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_runner_signals__training_under_signals_gives_equal_bytes),
    };
    struct nero_err err;
    int failed;

    if (hash_library_init(&err) != NERO_OK || small_cifar_load(&shipped) != 0) {
        return 1;
    }
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    small_cifar_free(&shipped);
    return failed;
}
