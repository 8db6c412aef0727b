/*
 * Goal: learning rates, step counts, budgets and early stopping are those of the specification.
 * Method: its tables; sequences of control losses with the decision after each.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "train/optimiser.h"
#include "train/train_schedule.h"

#include "tests/support/tiny_net.h"

static struct job_spec spec_of(enum job_budget_kind kind, uint64_t amount, uint32_t train,
                               uint32_t batch)
{
    return (struct job_spec){
        .phenotype.learning = {.batch = batch, .early_stop = 3, .epochs_max = 10000},
        .budget = {.kind = kind, .amount = amount},
        .protocol.train_count = train};
}

static struct schedule schedule_of(enum job_budget_kind kind, uint64_t amount, uint32_t train,
                                   uint32_t batch, uint64_t macs)
{
    struct job_spec spec = spec_of(kind, amount, train, batch);
    struct schedule schedule;
    struct nero_err err;

    assert_int_equal(schedule_init(&schedule, &spec, macs, &err), NERO_OK);
    return schedule;
}

static void test_train_schedule__learning_rate_decays_as_tabled(void **state)
{
    struct phenotype_learning learning = {.lr = 0.1, .decay = 1e-3};

    (void)state;
    assert_true(optimiser_lr(&learning, 0) == 0.1);
    assert_true(fabs(optimiser_lr(&learning, 1000) - 0.05) < 1e-15);
    assert_true(fabs(optimiser_lr(&learning, 16800) - 0.005618) < 5e-7);
    learning.decay = 0.0;
    assert_true(optimiser_lr(&learning, 1000000) == 0.1);
}

static void test_train_schedule__adam_corrects_its_bias(void **state)
{
    struct phenotype_learning learning = {
        .optimiser = PHENOTYPE_ADAM, .lr = 1e-3, .beta1 = 0.9, .beta2 = 0.999};

    (void)state;
    for (uint64_t t = 1; t < 5000; t = t * 3 / 2 + 1) {
        double expected = sqrt(1.0 - pow(0.999, (double)t)) / (1.0 - pow(0.9, (double)t));
        struct backend_update update = optimiser_update_of(&learning, t - 1);

        assert_true(fabs((double)update.bias_correction - expected) < 1e-6 * expected);
    }
}

static void test_train_schedule__only_kernels_are_penalised(void **state)
{
    struct phenotype phenotype;
    struct graph graph;
    struct optimiser optimiser;
    struct nero_err err;
    uint64_t covered = 0;

    (void)state;
    tiny_net_make(TINY_NET_BRANCHED, &phenotype);
    assert_int_equal(graph_build(&phenotype, &graph, &err), NERO_OK);
    assert_int_equal(optimiser_init(&optimiser, &graph, &phenotype.learning, 5e-4, &err), NERO_OK);
    for (uint32_t r = 0; r < optimiser.range_count; r++) {
        assert_true(optimiser.ranges[r].offset == covered);
        covered += optimiser.ranges[r].count;
    }
    assert_true(covered == graph.trained_count);
    for (uint32_t i = 0; i < graph.param_count; i++) {
        const struct graph_param *param = &graph.params[i];
        uint32_t r = 0;

        if (param->kind == GRAPH_MEAN || param->kind == GRAPH_VAR) {
            continue;
        }
        while (optimiser.ranges[r].offset + optimiser.ranges[r].count <= param->offset) {
            r++;
        }
        assert_true(optimiser.ranges[r].two_lambda == (param->kind == GRAPH_KERNEL ? 1e-3f : 0.0f));
    }
    optimiser_fini(&optimiser);
    graph_fini(&graph);
    phenotype_fini(&phenotype);
}

static void test_train_schedule__steps_of_an_epoch_are_those_of_the_paper(void **state)
{
    static const uint32_t steps[][2] = {{32, 1343}, {64, 671}, {128, 335}, {256, 167}, {512, 83}};

    (void)state;
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        struct schedule schedule = schedule_of(JOB_EPOCHS, 2, 43000, steps[i][0], 1);
        uint64_t all;
        uint32_t epochs;

        assert_int_equal(schedule.steps_per_epoch, steps[i][1]);
        schedule_expected(&schedule, &all, &epochs);
        assert_int_equal(all, 2 * steps[i][1]);
        assert_int_equal(epochs, 2);
    }
}

static void test_train_schedule__flops_count_three_forward_passes(void **state)
{
    /* 2 * 1000 MACs * 3 * 32 images = 192,000 a step: 10 fit, the 11th does not */
    struct schedule schedule = schedule_of(JOB_FLOPS, 11 * 192000 - 1, 320, 32, 1000);

    (void)state;
    assert_int_equal(schedule.updates_max, 10);
    schedule = schedule_of(JOB_FLOPS, 11 * 192000, 320, 32, 1000);
    assert_int_equal(schedule.updates_max, 11);
}

static void test_train_schedule__budgets_without_a_step_are_invalid(void **state)
{
    struct job_spec spec = spec_of(JOB_FLOPS, 191999, 320, 32);
    struct schedule schedule;
    struct nero_err err;

    (void)state;
    assert_int_equal(schedule_init(&schedule, &spec, 1000, &err), NERO_INVALID);
    assert_non_null(strstr(err.message, "flops"));
    assert_int_equal(schedule_init(&schedule, &spec, UINT64_MAX, &err), NERO_INVALID);
    spec = spec_of(JOB_STEPS, 0, 320, 32);
    assert_int_equal(schedule_init(&schedule, &spec, 1, &err), NERO_INVALID);
    spec = spec_of(JOB_STEPS, 1, 31, 32);
    assert_int_equal(schedule_init(&schedule, &spec, 1, &err), NERO_INVALID);
}

static void test_train_schedule__an_epoch_ends_full_or_with_the_budget(void **state)
{
    struct schedule schedule = schedule_of(JOB_STEPS, 13, 320, 32, 1);
    struct result_epoch curve[4] = {{.steps = 10}};
    struct progress progress = {.curve = curve, .epoch_count = 1, .updates = 12, .cursor = 2};

    (void)state;
    assert_false(schedule_epoch_is_over(&schedule, &progress));
    progress.updates = 13;
    progress.cursor = 3;
    assert_true(schedule_epoch_is_over(&schedule, &progress));
    assert_int_equal(schedule_steps_of_epoch(&progress), 3);
    progress = (struct progress){.curve = curve, .updates = 10, .cursor = 10};
    assert_true(schedule_epoch_is_over(&schedule, &progress));
}

/* Feed control losses; what is decided after the last, 0 for "go on". */
static int stop_after(const struct schedule *schedule, const double *losses, uint32_t count,
                      struct progress *progress)
{
    static struct result_epoch curve[RESULT_EPOCHS_MAX];

    *progress = (struct progress){.curve = curve, .patience = schedule->early_stop};
    for (uint32_t i = 0; i < count; i++) {
        assert_false(progress->stopped);
        progress->curve[progress->epoch_count++] =
            (struct result_epoch){.loss = 1.0, .control_loss = losses[i], .steps = 10};
        progress->updates += 10;
        schedule_end_epoch(schedule, progress);
    }
    return progress->stopped ? (int)progress->stop : 0;
}

static void test_train_schedule__patience_counts_epochs_without_a_better_loss(void **state)
{
    static const double losses[] = {3.0, 2.0, 2.0, 1.5, 1.6, 1.5, 9.0, 1.0};
    struct schedule schedule = schedule_of(JOB_EPOCHS, 100, 320, 32, 1); /* patience 3 */
    struct progress progress;

    (void)state;
    for (uint32_t count = 1; count <= 6; count++) {
        assert_int_equal(stop_after(&schedule, losses, count, &progress), 0);
    }
    assert_int_equal(stop_after(&schedule, losses, 7, &progress), RESULT_STOP_EARLY);
    assert_int_equal(progress.best_epoch, 4); /* an equal loss is no better one */
    assert_true(progress.best_loss == 1.5);
}

static void test_train_schedule__reasons_have_an_order(void **state)
{
    static const double worse[] = {1.0, 2.0, 2.0, 2.0};
    static const double infinite[] = {1.0, 2.0, 2.0, (double)INFINITY};
    struct schedule schedule = schedule_of(JOB_EPOCHS, 4, 320, 32, 1);
    struct progress progress;

    (void)state;
    assert_int_equal(stop_after(&schedule, worse, 3, &progress), 0);
    assert_int_equal(stop_after(&schedule, worse, 4, &progress), RESULT_STOP_EARLY);
    assert_int_equal(stop_after(&schedule, infinite, 4, &progress), RESULT_STOP_NOT_FINITE);
    schedule.early_stop = 50;
    assert_int_equal(stop_after(&schedule, worse, 4, &progress), RESULT_STOP_BUDGET);
    schedule.epochs_max = 4;
    assert_int_equal(stop_after(&schedule, worse, 4, &progress), RESULT_STOP_EPOCHS);
}

static void test_train_schedule__a_curve_never_outgrows_its_record(void **state)
{
    struct schedule schedule = schedule_of(JOB_SECONDS, 1000000, 320, 32, 1);

    (void)state;
    assert_int_equal(schedule.epochs_max, RESULT_EPOCHS_MAX); /* 10,000 were asked for */
}

static void test_train_schedule__seconds_are_looked_at_when_an_epoch_ends(void **state)
{
    static const double losses[] = {1.0};
    struct schedule schedule = schedule_of(JOB_SECONDS, 60, 320, 32, 1);
    struct result_epoch curve[1];
    struct progress progress = {.curve = curve, .seconds_used = 61.0, .updates = 1, .cursor = 1};

    (void)state;
    assert_false(schedule_epoch_is_over(&schedule, &progress));
    assert_true(schedule_budget_is_used(&schedule, &progress));
    progress.seconds_used = 59.9;
    assert_false(schedule_budget_is_used(&schedule, &progress));
    assert_int_equal(stop_after(&schedule, losses, 1, &progress), 0);
}

/* time_check step: the epoch ends with the step in which the seconds were used up. */
static void test_train_schedule__seconds_may_be_looked_at_after_every_step(void **state)
{
    static const enum job_budget_kind others[] = {JOB_EPOCHS, JOB_STEPS, JOB_FLOPS};
    struct job_spec spec = spec_of(JOB_SECONDS, 60, 320, 32);
    struct progress progress = {.seconds_used = 59.9, .updates = 1, .cursor = 1};
    struct schedule schedule;
    struct nero_err err;

    (void)state;
    spec.protocol.time_check = JOB_CHECK_STEP;
    assert_int_equal(schedule_init(&schedule, &spec, 1, &err), NERO_OK);
    assert_false(schedule_epoch_is_over(&schedule, &progress));
    progress.seconds_used = 60.0;
    assert_true(schedule_epoch_is_over(&schedule, &progress));
    for (size_t i = 0; i < 3; i++) {
        spec.budget = (struct job_budget){.kind = others[i], .amount = 1000000};
        assert_int_equal(schedule_init(&schedule, &spec, 1, &err), NERO_OK);
        progress.seconds_used = 1e9; /* other budgets have no clock */
        assert_false(schedule_epoch_is_over(&schedule, &progress));
    }
}

/* spec (e): a training run gets what is allowed less what was allowed before, not less what it
 * used. */
static void test_train_schedule__an_extension_has_what_is_longer(void **state)
{
    static const struct {
        enum job_budget_kind kind;
        uint64_t granted, amount;
        uint32_t epochs; /* at the parent's end */
        uint64_t updates;
        double seconds;
        uint64_t epochs_end, updates_max;
        double seconds_end;
    } rows[] = {
        /* used up; stopped early; the seconds passed by an epoch; not longer; shorter */
        {JOB_EPOCHS, 8, 16, 8, 80, 0.0, 16, UINT64_MAX, (double)INFINITY},
        {JOB_EPOCHS, 8, 16, 5, 50, 0.0, 13, UINT64_MAX, (double)INFINITY},
        {JOB_EPOCHS, 8, 8, 5, 50, 0.0, 5, UINT64_MAX, (double)INFINITY},
        {JOB_EPOCHS, 16, 8, 5, 50, 0.0, 5, UINT64_MAX, (double)INFINITY},
        {JOB_STEPS, 20, 60, 1, 7, 0.0, UINT64_MAX, 47, (double)INFINITY},
        {JOB_SECONDS, 600, 1200, 17, 170, 633.5, UINT64_MAX, UINT64_MAX, 1233.5},
        {JOB_SECONDS, 600, 1200, 9, 90, 311.25, UINT64_MAX, UINT64_MAX, 911.25},
        /* 192,000 FLOPs a step: 3 were allowed and 5 are, though the difference alone holds 1 */
        {JOB_FLOPS, 3 * 192000 + 191999, 5 * 192000, 1, 3, 0.0, UINT64_MAX, 5, (double)INFINITY},
    };
    struct nero_err err;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct schedule schedule = schedule_of(rows[i].kind, rows[i].amount, 320, 32, 1000);
        struct job_budget granted = {.kind = rows[i].kind, .amount = rows[i].granted};
        struct progress progress = {.epoch_count = rows[i].epochs,
                                    .updates = rows[i].updates,
                                    .seconds_used = rows[i].seconds};

        assert_int_equal(schedule_continue(&schedule, &granted, &progress, &err), NERO_OK);
        assert_int_equal(schedule.epochs_end, rows[i].epochs_end);
        assert_int_equal(schedule.updates_max, rows[i].updates_max);
        assert_true(schedule.seconds_end == rows[i].seconds_end);
        assert_int_equal(schedule_budget_is_used(&schedule, &progress),
                         rows[i].granted >= rows[i].amount);
        granted.kind = rows[i].kind == JOB_STEPS ? JOB_EPOCHS : JOB_STEPS;
        assert_int_equal(schedule_continue(&schedule, &granted, &progress, &err), NERO_INVALID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_train_schedule__learning_rate_decays_as_tabled),
        cmocka_unit_test(test_train_schedule__an_extension_has_what_is_longer),
        cmocka_unit_test(test_train_schedule__adam_corrects_its_bias),
        cmocka_unit_test(test_train_schedule__only_kernels_are_penalised),
        cmocka_unit_test(test_train_schedule__steps_of_an_epoch_are_those_of_the_paper),
        cmocka_unit_test(test_train_schedule__flops_count_three_forward_passes),
        cmocka_unit_test(test_train_schedule__budgets_without_a_step_are_invalid),
        cmocka_unit_test(test_train_schedule__an_epoch_ends_full_or_with_the_budget),
        cmocka_unit_test(test_train_schedule__patience_counts_epochs_without_a_better_loss),
        cmocka_unit_test(test_train_schedule__reasons_have_an_order),
        cmocka_unit_test(test_train_schedule__a_curve_never_outgrows_its_record),
        cmocka_unit_test(test_train_schedule__seconds_are_looked_at_when_an_epoch_ends),
        cmocka_unit_test(test_train_schedule__seconds_may_be_looked_at_after_every_step),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
