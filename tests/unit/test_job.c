/*
 * Goal: equal work has one id, and a job says all that is needed for it. Method: one change at a
 * time to a sample; a table of budgets.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nero/job.h"
#include "tests/support/codec_samples.h"

static struct hash spec_id(const struct job_spec *spec)
{
    struct nero_err err;
    struct bytes bytes;
    struct hash id;

    bytes_init(&bytes, JOB_SPEC_BYTES_MAX);
    assert_int_equal(job_spec_encode(spec, &bytes, &err), NERO_OK);
    id = job_id(bytes_as_view(&bytes));
    bytes_fini(&bytes);
    return id;
}

static void test_job__the_id_is_of_the_work(void **state)
{
    struct job_spec a;
    struct job_spec b;
    struct hash id_a;
    struct hash id_b;

    (void)state;
    codec_sample_spec(&a);
    codec_sample_spec(&b);
    id_a = spec_id(&a);
    id_b = spec_id(&b);
    assert_true(hash_equal(&id_a, &id_b));
    b.seed++;
    id_b = spec_id(&b);
    assert_false(hash_equal(&id_a, &id_b));
    job_spec_fini(&a);
    job_spec_fini(&b);
}

#define REFUSED(change, where)                                    \
    do {                                                          \
        struct job_spec s;                                        \
        struct nero_err err;                                      \
        codec_sample_spec(&s);                                    \
        change;                                                   \
        assert_int_equal(job_spec_check(&s, &err), NERO_INVALID); \
        assert_non_null(strstr(err.message, where));              \
        job_spec_fini(&s);                                        \
    } while (0)

static void test_job__a_spec_is_checked(void **state)
{
    (void)state;
    REFUSED(s.kind = 0, "kind");
    REFUSED(s.kind = JOB_TRAIN, "train job may not have it");
    REFUSED(s.has_continue_from = false, "extend job needs it");
    REFUSED(s.budget.amount = 0, "budget.amount");
    REFUSED(s.protocol.attack.epsilon = 0.0, "protocol.attack.epsilon");
    REFUSED(s.protocol.fitness_count = 0, "protocol.fitness_count");
    REFUSED(s.protocol.bn_momentum = 1.0, "protocol.bn_momentum");
    REFUSED(s.phenotype.units[0].conv.kernel = 0, "phenotype.units[0].unit.conv.kernel");
    REFUSED(memset(s.numeric_class, 'a', sizeof s.numeric_class), "numeric_class");
}

static void test_job__budgets_are_parsed(void **state)
{
    static const struct {
        const char *text;
        enum job_budget_kind kind;
        uint64_t amount;
    } good[] = {
        {"seconds:600", JOB_SECONDS, 600}, {"epochs:8", JOB_EPOCHS, 8},
        {"steps:5", JOB_STEPS, 5},         {"flops:1e15", JOB_FLOPS, UINT64_C(1000000000000000)},
        {"flops:2.5e3", JOB_FLOPS, 2500},  {"flops:18446744073709551615", JOB_FLOPS, UINT64_MAX}};
    static const char *const bad[] = {"",
                                      "epochs",
                                      "epochs:",
                                      "epochs:0",
                                      "epochs:-1",
                                      "epochs: 8",
                                      "epochs:8 ",
                                      "epochs:1e3",
                                      "flops:0.5",
                                      "flops:1e30",
                                      "flops:1e",
                                      "flops:inf",
                                      "flops:0x10",
                                      "flops:2.5e0",
                                      "epoch:8",
                                      "Epochs:8",
                                      "seconds:99999999999999999999"};
    struct nero_err err;

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct job_budget budget;

        assert_int_equal(job_budget_parse(good[i].text, &budget, &err), NERO_OK);
        assert_int_equal(budget.kind, good[i].kind);
        assert_true(budget.amount == good[i].amount);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct job_budget budget;

        if (job_budget_parse(bad[i], &budget, &err) != NERO_INVALID) {
            fail_msg("'%s' is taken", bad[i]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_job__the_id_is_of_the_work),
        cmocka_unit_test(test_job__a_spec_is_checked),
        cmocka_unit_test(test_job__budgets_are_parsed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
