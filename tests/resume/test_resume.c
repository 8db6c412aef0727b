/*
 * Goal: an evaluation that is snapshot after every unit, or killed and restored anywhere, ends with
 * the bytes of the undisturbed one; a state that is broken or of something else is refused.
 * Method: jobs of every kind and end on small networks and real images; kills lose what was done
 * since the last snapshot and go on in a fresh trainer on a fresh backend, from encoded bytes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nero/graph.h"

#include "tests/support/evaluation.h"
#include "tests/support/small_cifar.h"
#include "tests/support/tiny_net.h"

static struct dataset shipped;

static const char *const backends[] = {"ref",
#if NERO_HAVE_DNNL
                                       "cpu"
#endif
};

enum { BACKENDS = sizeof(backends) / sizeof(backends[0]) };

static int load_shipped(void **state)
{
    struct nero_err err;

    (void)state;
    return hash_library_init(&err) == NERO_OK ? small_cifar_load(&shipped) : -1;
}

static int free_shipped(void **state)
{
    (void)state;
    small_cifar_free(&shipped);
    return 0;
}

static void make_evaluation(struct evaluation *evaluation, const char *backend, enum tiny_net net,
                            enum phenotype_optimiser optimiser)
{
    *evaluation = (struct evaluation){.name = "job", .backend = backend, .dataset = &shipped};
    evaluation_spec(&evaluation->spec, JOB_TRAIN);
    tiny_net_make(net, &evaluation->spec.phenotype);
    tiny_net_optimiser(&evaluation->spec.phenotype, optimiser);
}

/* Undisturbed, with a snapshot after every unit, killed after every unit, and at random. */
static void assert_undisturbed(const struct evaluation *evaluation, uint32_t random_runs,
                               struct evaluation_result *out)
{
    struct evaluation_kills every = {.snapshot_percent = 100};
    struct evaluation_kills always = {.snapshot_percent = 100, .kill_percent = 100};
    struct evaluation_result result;

    evaluation_make(evaluation, NULL, out);
    evaluation_make(evaluation, &every, &result);
    evaluation_assert_equal("snapshots", out, &result);
    evaluation_result_fini(&result);
    evaluation_make(evaluation, &always, &result);
    evaluation_assert_equal("killed after every unit", out, &result);
    assert_true(always.kills >= out->units);
    evaluation_result_fini(&result);
    for (uint32_t i = 0; i < random_runs; i++) {
        struct evaluation_kills random = {.seed = i, .snapshot_percent = 40, .kill_percent = 20};

        evaluation_make(evaluation, &random, &result);
        evaluation_assert_equal("killed at random", out, &result);
        evaluation_result_fini(&result);
    }
}

static void test_resume__every_optimiser_on_every_backend(void **state)
{
    (void)state;
    for (int b = 0; b < BACKENDS; b++) {
        for (int o = PHENOTYPE_SGD; o <= PHENOTYPE_ADAM; o++) {
            enum tiny_net net = (o + b) % 2 == 0 ? TINY_NET_PLAIN : TINY_NET_BRANCHED;
            struct evaluation evaluation;
            struct evaluation_result result;

            make_evaluation(&evaluation, backends[b], net, (enum phenotype_optimiser)o);
            assert_undisturbed(&evaluation, 3, &result);
            assert_int_equal(result.outcome.stop, RESULT_STOP_BUDGET);
            assert_int_equal(result.outcome.steps, 6);
            assert_int_equal(result.outcome.epochs, 2);
            assert_int_equal(result.outcome.count, 45);
            assert_true(result.outcome.attacked);
            evaluation_result_fini(&result);
            job_spec_fini(&evaluation.spec);
        }
    }
}

static void assert_class_ends_with(const struct evaluation_result *result, const char *text)
{
    const char *class = result->outcome.numeric_class;

    assert_true(strlen(class) > strlen(text));
    assert_string_equal(class + strlen(class) - strlen(text), text);
}

/* A batch of 32 in shards of 16, or of 10, 11 and 11; killed on all threads, then on one. */
static void test_resume__shards_of_a_batch_give_the_same_bits(void **state)
{
    (void)state;
    for (int b = 0; b < BACKENDS; b++) {
        struct evaluation evaluation;
        struct evaluation_result whole;

        make_evaluation(&evaluation, backends[b], TINY_NET_BRANCHED, PHENOTYPE_ADAM);
        evaluation_make(&evaluation, NULL, &whole);
        assert_class_ends_with(&whole, "/S1");
        for (uint32_t shards = 2; shards <= 3; shards++) {
            struct evaluation_kills random = {
                .seed = 5, .snapshot_percent = 40, .kill_percent = 20};
            struct evaluation_result result;
            struct evaluation_result again;

            evaluation.shards = shards;
            evaluation.threads = 0;
            assert_undisturbed(&evaluation, 1, &result);
            assert_class_ends_with(&result, shards == 2 ? "/S2" : "/S3");
            evaluation.threads = 1;
            evaluation_make(&evaluation, &random, &again);
            evaluation_assert_equal("on one thread", &result, &again);
            /* Another class of the same format, and other bits. */
            assert_int_equal(result.state.bytes, whole.state.bytes);
            assert_false(
                bytes_view_equal(bytes_as_view(&result.state), bytes_as_view(&whole.state)));
            evaluation_result_fini(&result);
            evaluation_result_fini(&again);
        }
        evaluation_result_fini(&whole);
        job_spec_fini(&evaluation.spec);
    }
}

static void test_resume__early_stop_restores_the_best_weights(void **state)
{
    (void)state;
    for (int b = 0; b < BACKENDS; b++) {
        struct evaluation evaluation;
        struct evaluation_result result;

        make_evaluation(&evaluation, backends[b], TINY_NET_PLAIN, PHENOTYPE_SGD);
        evaluation.spec.phenotype.learning.lr = 0.8; /* soon the control loss grows */
        evaluation.spec.phenotype.learning.early_stop = 2;
        evaluation.spec.budget.amount = 60;
        assert_undisturbed(&evaluation, 1, &result);
        assert_int_equal(result.outcome.stop, RESULT_STOP_EARLY);
        assert_true(result.outcome.scored_best);
        assert_int_equal(result.outcome.epochs, result.outcome.best_epoch + 2);
        evaluation_result_fini(&result);
        job_spec_fini(&evaluation.spec);
    }
}

/* Fast-DENSER 12 */
static void test_resume__the_best_weights_are_scored_on_time_out(void **state)
{
    (void)state;
    for (int b = 0; b < BACKENDS; b++) {
        struct evaluation evaluation;
        struct evaluation_result best;
        struct evaluation_result last;

        make_evaluation(&evaluation, backends[b], TINY_NET_PLAIN, PHENOTYPE_SGD);
        evaluation.spec.phenotype.learning.lr = 0.8;
        evaluation.spec.phenotype.learning.early_stop = 50;
        evaluation.spec.budget.amount = 8;
        evaluation.spec.protocol.on_timeout = JOB_SCORE_BEST;
        assert_undisturbed(&evaluation, 1, &best);
        assert_int_equal(best.outcome.stop, RESULT_STOP_BUDGET);
        assert_true(best.outcome.scored_best);
        assert_true(best.outcome.best_epoch < 8);
        evaluation.spec.protocol.on_timeout = JOB_SCORE_LAST;
        evaluation_make(&evaluation, NULL, &last);
        assert_false(last.outcome.scored_best);
        /* What is scored differs, what an extension goes on from does not. */
        assert_true(bytes_view_equal(bytes_as_view(&best.state), bytes_as_view(&last.state)));
        assert_false(bytes_view_equal(bytes_as_view(&best.weights), bytes_as_view(&last.weights)));
        evaluation_result_fini(&best);
        evaluation_result_fini(&last);
        job_spec_fini(&evaluation.spec);
    }
}

static void test_resume__losses_that_are_not_finite_end_it(void **state)
{
    (void)state;
    for (int b = 0; b < BACKENDS; b++) {
        struct evaluation evaluation;
        struct evaluation_result result;

        make_evaluation(&evaluation, backends[b], TINY_NET_BRANCHED, PHENOTYPE_SGD);
        evaluation.spec.phenotype.learning.lr = 100.0;
        evaluation.spec.phenotype.learning.momentum = 0.99;
        evaluation.spec.protocol.l2 = 0.5;
        evaluation.spec.budget.amount = 50;
        assert_undisturbed(&evaluation, 2, &result);
        assert_int_equal(result.outcome.stop, RESULT_STOP_NOT_FINITE);
        assert_int_equal(result.outcome.ill, RESULT_ILL_NOT_FINITE);
        assert_false(result.outcome.attacked);
        assert_false(result.outcome.has_state);
        assert_int_equal(result.outcome.count, 0);
        evaluation_result_fini(&result);
        job_spec_fini(&evaluation.spec);
    }
}

static void test_resume__one_class_for_all_is_ill_and_not_attacked(void **state)
{
    struct evaluation evaluation;
    struct evaluation_result result;

    (void)state;
    make_evaluation(&evaluation, "ref", TINY_NET_PLAIN, PHENOTYPE_SGD);
    evaluation.spec.phenotype.learning.lr = 1e-6;
    evaluation.spec.protocol.ill_fitted_share = 0.11; /* some class has more than 4.95 of 45 */
    evaluation.spec.budget.amount = 1;
    assert_undisturbed(&evaluation, 1, &result);
    assert_int_equal(result.outcome.ill, RESULT_ILL_ONE_CLASS);
    assert_false(result.outcome.attacked);
    assert_int_equal(result.outcome.kept, 0);
    assert_int_equal(result.outcome.count, 45);
    assert_true(result.outcome.has_state);
    evaluation_result_fini(&result);
    job_spec_fini(&evaluation.spec);
}

static void test_resume__budgets_may_end_within_an_epoch(void **state)
{
    (void)state;
    for (int b = 0; b < BACKENDS; b++) {
        struct evaluation evaluation;
        struct evaluation_result steps;
        struct evaluation_result flops;
        struct graph graph;
        struct nero_err err;

        make_evaluation(&evaluation, backends[b], TINY_NET_PLAIN, PHENOTYPE_ADAM);
        evaluation.spec.budget = (struct job_budget){.kind = JOB_STEPS, .amount = 5};
        assert_undisturbed(&evaluation, 2, &steps);
        assert_int_equal(steps.outcome.steps, 5);
        assert_int_equal(steps.outcome.epochs, 2);
        assert_int_equal(steps.outcome.curve[1].steps, 2);

        assert_int_equal(graph_build(&evaluation.spec.phenotype, &graph, &err), NERO_OK);
        evaluation.spec.budget =
            (struct job_budget){.kind = JOB_FLOPS, .amount = 5 * (2 * graph.macs * 3 * 32) + 17};
        evaluation_make(&evaluation, NULL, &flops); /* its state names another budget */
        assert_int_equal(flops.outcome.steps, 5);
        assert_true(bytes_view_equal(bytes_as_view(&flops.weights), bytes_as_view(&steps.weights)));
        graph_fini(&graph);
        evaluation_result_fini(&steps);
        evaluation_result_fini(&flops);
        job_spec_fini(&evaluation.spec);
    }
}

static void test_resume__a_budget_in_seconds_counts_committed_time(void **state)
{
    struct evaluation evaluation;
    struct evaluation_result result;

    (void)state;
    make_evaluation(&evaluation, "ref", TINY_NET_PLAIN, PHENOTYPE_RMSPROP);
    evaluation.spec.budget = (struct job_budget){.kind = JOB_SECONDS, .amount = 1};
    /* The clock makes units equally long, so kills lose whole units of time, and no more. */
    assert_undisturbed(&evaluation, 1, &result);
    assert_int_equal(result.outcome.stop, RESULT_STOP_BUDGET);
    assert_true(result.outcome.epochs > 8 && result.outcome.epochs < 25);
    evaluation_result_fini(&result);
    job_spec_fini(&evaluation.spec);
}

/* Train for 2 epochs and extend to 4: as if 4 had been asked for at once. */
static void test_resume__an_extension_goes_on_where_its_parent_ended(void **state)
{
    (void)state;
    for (int b = 0; b < BACKENDS; b++) {
        for (int o = PHENOTYPE_SGD; o <= PHENOTYPE_ADAM; o++) {
            struct evaluation evaluation;
            struct evaluation_result parent;
            struct evaluation_result child;
            struct evaluation_result whole;

            make_evaluation(&evaluation, backends[b], TINY_NET_PLAIN, (enum phenotype_optimiser)o);
            evaluation_make(&evaluation, NULL, &parent);
            evaluation.spec.budget.amount = 4;
            evaluation_make(&evaluation, NULL, &whole);
            evaluation.spec.kind = JOB_EXTEND;
            evaluation.spec.has_continue_from = true;
            evaluation.spec.continue_from = parent.outcome.state;
            evaluation.continue_from = bytes_as_view(&parent.state);
            assert_undisturbed(&evaluation, 1, &child);
            assert_int_equal(child.outcome.steps, 12);
            assert_int_equal(child.outcome.epochs, 4);
            if (whole.outcome.best_epoch == child.outcome.best_epoch) {
                evaluation_assert_equal("extension", &child, &whole);
            }
            assert_true(hash_equal(&child.outcome.weights, &whole.outcome.weights));
            evaluation_result_fini(&parent);
            evaluation_result_fini(&child);
            evaluation_result_fini(&whole);
            job_spec_fini(&evaluation.spec);
        }
    }
}

/*
 * A parent that stops early, and is extended: from the best weights, by what the budget is longer,
 * and with whole patience.
 */
static void test_resume__an_extension_follows_an_early_stop(void **state)
{
    (void)state;
    for (int b = 0; b < BACKENDS; b++) {
        struct evaluation evaluation;
        struct evaluation_result parent;
        struct evaluation_result scored;
        struct evaluation_result child;
        struct evaluation_result patient;

        make_evaluation(&evaluation, backends[b], TINY_NET_PLAIN, PHENOTYPE_SGD);
        evaluation.spec.phenotype.learning.lr = 0.8; /* soon the control loss grows */
        evaluation.spec.phenotype.learning.early_stop = 2;
        evaluation.spec.budget.amount = 60;
        evaluation_make(&evaluation, NULL, &parent);
        assert_int_equal(parent.outcome.stop, RESULT_STOP_EARLY);

        evaluation.spec.kind = JOB_EXTEND;
        evaluation.spec.has_continue_from = true;
        evaluation.spec.continue_from = parent.outcome.state;
        evaluation.continue_from = bytes_as_view(&parent.state);
        evaluation_make(&evaluation, NULL, &scored); /* not longer: the best weights as they are */
        assert_int_equal(scored.outcome.epochs, parent.outcome.epochs);
        assert_int_equal(scored.outcome.correct, parent.outcome.correct);
        assert_true(hash_equal(&scored.outcome.weights, &parent.outcome.weights));

        evaluation.spec.budget.amount = 61;
        assert_undisturbed(&evaluation, 1, &child);
        assert_int_equal(child.outcome.stop, RESULT_STOP_BUDGET);
        assert_int_equal(child.outcome.epochs, parent.outcome.epochs + 1);
        assert_int_equal(child.outcome.steps, parent.outcome.steps + 3);
        for (uint32_t i = 0; i < parent.outcome.epochs; i++) {
            assert_true(child.outcome.curve[i].control_loss ==
                        parent.outcome.curve[i].control_loss);
        }

        evaluation.spec.budget.amount = 120;
        assert_undisturbed(&evaluation, 1, &patient);
        assert_int_equal(patient.outcome.stop, RESULT_STOP_EARLY);
        assert_int_equal(patient.outcome.epochs,
                         2 + (patient.outcome.best_epoch > parent.outcome.epochs
                                  ? patient.outcome.best_epoch
                                  : parent.outcome.epochs));
        evaluation_result_fini(&parent);
        evaluation_result_fini(&scored);
        evaluation_result_fini(&child);
        evaluation_result_fini(&patient);
        job_spec_fini(&evaluation.spec);
    }
}

static void test_resume__an_exhausted_extension_only_scores(void **state)
{
    struct evaluation evaluation;
    struct evaluation_result parent;
    struct evaluation_result child;

    (void)state;
    make_evaluation(&evaluation, "ref", TINY_NET_PLAIN, PHENOTYPE_SGD);
    evaluation_make(&evaluation, NULL, &parent);
    evaluation.spec.kind = JOB_EXTEND;
    evaluation.spec.has_continue_from = true;
    evaluation.continue_from = bytes_as_view(&parent.state);
    assert_undisturbed(&evaluation, 1, &child);
    assert_int_equal(child.outcome.steps, parent.outcome.steps);
    assert_int_equal(child.outcome.stop, RESULT_STOP_BUDGET);
    assert_int_equal(child.outcome.correct, parent.outcome.correct);
    assert_int_equal(child.outcome.kept, parent.outcome.kept);
    evaluation_result_fini(&parent);
    evaluation_result_fini(&child);
    job_spec_fini(&evaluation.spec);
}

static void test_resume__scoring_the_weights_gives_the_same_counts(void **state)
{
    (void)state;
    for (int b = 0; b < BACKENDS; b++) {
        struct evaluation evaluation;
        struct evaluation_result trained;
        struct evaluation_result scored;
        struct evaluation_result tested;

        make_evaluation(&evaluation, backends[b], TINY_NET_BRANCHED, PHENOTYPE_ADAM);
        evaluation_make(&evaluation, NULL, &trained);
        evaluation.spec.kind = JOB_SCORE;
        evaluation.spec.has_continue_from = true;
        evaluation.continue_from = bytes_as_view(&trained.weights);
        assert_undisturbed(&evaluation, 2, &scored);
        assert_int_equal(scored.outcome.stop, RESULT_STOP_SCORED);
        assert_int_equal(scored.outcome.correct, trained.outcome.correct);
        assert_int_equal(scored.outcome.kept, trained.outcome.kept);
        assert_memory_equal(scored.outcome.histogram, trained.outcome.histogram,
                            10 * sizeof(uint32_t));
        assert_int_equal(scored.outcome.steps, 0);
        assert_int_equal(scored.state.bytes, 0);
        assert_true(hash_equal(&scored.outcome.weights, &trained.outcome.weights));

        evaluation.spec.protocol.part = JOB_PART_TEST;
        evaluation.spec.protocol.fitness_count = 100;
        assert_undisturbed(&evaluation, 1, &tested);
        assert_int_equal(tested.outcome.count, 100);
        evaluation_result_fini(&trained);
        evaluation_result_fini(&scored);
        evaluation_result_fini(&tested);
        job_spec_fini(&evaluation.spec);
    }
}

/* PGD is resumed at any batch of images; one step of epsilon gives the outcome of FGSM. */
static void test_resume__pgd_goes_on_in_the_middle_of_the_attack(void **state)
{
    (void)state;
    for (int b = 0; b < BACKENDS; b++) {
        struct evaluation evaluation;
        struct evaluation_result fgsm;
        struct evaluation_result one;
        struct evaluation_result seven;
        struct job_attack *attack = &evaluation.spec.protocol.attack;

        make_evaluation(&evaluation, backends[b], TINY_NET_BRANCHED, PHENOTYPE_ADAM);
        evaluation.spec.protocol.eval_batch = 2; /* many units of attack */
        evaluation.spec.budget.amount = 4;
        attack->epsilon = 0.5 / 255.0; /* small enough that some images withstand */
        evaluation_make(&evaluation, NULL, &fgsm);
        attack->kind = JOB_ATTACK_PGD;
        attack->step_size = attack->epsilon;
        attack->steps = 1;
        evaluation_make(&evaluation, NULL, &one);
        evaluation_assert_equal("one step of epsilon", &fgsm, &one);
        attack->step_size = attack->epsilon / 3.0;
        attack->steps = 7;
        assert_undisturbed(&evaluation, 3, &seven);
        assert_true(seven.outcome.attacked && seven.outcome.correct > 2);
        assert_true(seven.outcome.kept > 0 && seven.outcome.kept <= one.outcome.kept);
        evaluation_result_fini(&fgsm);
        evaluation_result_fini(&one);
        evaluation_result_fini(&seven);
        job_spec_fini(&evaluation.spec);
    }
}

/* --- what is refused --- */

/* A snapshot in the middle of the second epoch. */
static void take_snapshot(const struct evaluation *evaluation, uint32_t units,
                          struct progress *progress, struct bytes *state)
{
    struct evaluation_run run;
    struct trainer_event event;
    struct nero_err err;

    evaluation_open(evaluation, &run);
    for (uint32_t i = 0; i < units; i++) {
        assert_int_equal(trainer_advance(run.trainer, &event, &err), NERO_OK);
    }
    progress_init(progress);
    bytes_init(state, 64 << 20);
    assert_int_equal(trainer_snapshot(run.trainer, progress, state, &err), NERO_OK);
    evaluation_close(&run);
}

static enum nero_status try_restore(const struct evaluation *evaluation,
                                    const struct progress *progress, struct bytes_view state,
                                    struct nero_err *err)
{
    struct evaluation_run run;
    enum nero_status status;

    evaluation_open(evaluation, &run);
    status = trainer_restore(run.trainer, progress, state, err);
    evaluation_close(&run);
    return status;
}

static void test_resume__a_truncated_or_damaged_state_is_refused(void **state)
{
    struct evaluation evaluation;
    struct evaluation_run run;
    struct progress progress;
    struct bytes blob;
    struct nero_err err;
    uint64_t header;

    (void)state;
    make_evaluation(&evaluation, "ref", TINY_NET_PLAIN, PHENOTYPE_SGD);
    take_snapshot(&evaluation, 8, &progress, &blob);
    evaluation_open(&evaluation, &run); /* a refused state leaves it as it was: try again */
    for (size_t bytes = 0; bytes < blob.bytes; bytes += 1 + bytes / 50) {
        struct bytes_view cut = bytes_view_of(blob.data, bytes);

        assert_int_equal(trainer_restore(run.trainer, &progress, cut, &err), NERO_CORRUPT);
    }
    header = bytes_get_u64le(blob.data);
    for (size_t at = 0; at < 8 + header; at += 3) {
        enum nero_status status;

        blob.data[at] ^= 0x04;
        status = trainer_restore(run.trainer, &progress, bytes_as_view(&blob), &err);
        assert_true(status == NERO_CORRUPT || status == NERO_TOO_BIG);
        blob.data[at] ^= 0x04;
    }
    assert_int_equal(trainer_restore(run.trainer, &progress, bytes_as_view(&blob), &err), NERO_OK);
    evaluation_close(&run);
    bytes_fini(&blob);
    progress_fini(&progress);
    job_spec_fini(&evaluation.spec);
}

static void test_resume__a_foreign_state_is_refused(void **state)
{
    struct evaluation evaluation;
    struct progress progress;
    struct progress later;
    struct bytes blob;
    struct bytes later_blob;
    struct nero_err err;

    (void)state;
    make_evaluation(&evaluation, "ref", TINY_NET_PLAIN, PHENOTYPE_SGD);
    take_snapshot(&evaluation, 8, &progress, &blob);
    take_snapshot(&evaluation, 2, &later, &later_blob);

    assert_int_equal(try_restore(&evaluation, &progress, bytes_as_view(&later_blob), &err),
                     NERO_CORRUPT); /* of another moment */
    evaluation.name = "another job";
    assert_int_equal(try_restore(&evaluation, &progress, bytes_as_view(&blob), &err), NERO_INVALID);
    assert_non_null(strstr(err.message, "another job"));
    evaluation.name = "job";

    tiny_net_optimiser(&evaluation.spec.phenotype, PHENOTYPE_ADAM);
    assert_int_equal(try_restore(&evaluation, &progress, bytes_as_view(&blob), &err), NERO_INVALID);
    assert_non_null(strstr(err.message, "network or optimiser"));
    tiny_net_optimiser(&evaluation.spec.phenotype, PHENOTYPE_SGD);

    /* The same shapes, another function. */
    evaluation.spec.phenotype.units[0].conv.activation = PHENOTYPE_SILU;
    assert_int_equal(try_restore(&evaluation, &progress, bytes_as_view(&blob), &err), NERO_INVALID);
    evaluation.spec.phenotype.units[0].conv.activation = PHENOTYPE_RELU;

    evaluation.shards = 2;
    assert_int_equal(try_restore(&evaluation, &progress, bytes_as_view(&blob), &err), NERO_VERSION);
    assert_non_null(strstr(err.message, "/S2"));
    evaluation.shards = 0;

    memcpy(progress.numeric_class, "nero-engine-0/", 14);
    assert_int_equal(try_restore(&evaluation, &progress, bytes_as_view(&blob), &err), NERO_VERSION);
    bytes_fini(&blob);
    bytes_fini(&later_blob);
    progress_fini(&progress);
    progress_fini(&later);
    job_spec_fini(&evaluation.spec);
}

static void refuse_progress(const struct evaluation *evaluation, const struct progress *good,
                            struct bytes_view blob, const struct progress *bad)
{
    struct nero_err err;

    assert_int_equal(try_restore(evaluation, bad, blob, &err), NERO_CORRUPT);
    assert_int_equal(try_restore(evaluation, good, blob, &err), NERO_OK);
}

static void test_resume__impossible_progress_is_refused(void **state)
{
    struct evaluation evaluation;
    struct progress progress;
    struct progress bad;
    struct bytes blob;

    (void)state;
    make_evaluation(&evaluation, "ref", TINY_NET_PLAIN, PHENOTYPE_SGD);
    take_snapshot(&evaluation, 8, &progress, &blob); /* epoch 1, two steps done */
    assert_int_equal(progress.phase, PROGRESS_TRAIN);
    assert_int_equal(progress.cursor, 2);
    bad = progress;
    bad.cursor = 1;
    refuse_progress(&evaluation, &progress, bytes_as_view(&blob), &bad);
    bad = progress;
    bad.epoch = 7;
    refuse_progress(&evaluation, &progress, bytes_as_view(&blob), &bad);
    bad = progress;
    bad.phase = PROGRESS_ATTACK;
    refuse_progress(&evaluation, &progress, bytes_as_view(&blob), &bad);
    bad = progress;
    bad.phase = PROGRESS_DONE;
    refuse_progress(&evaluation, &progress, bytes_as_view(&blob), &bad);
    bad = progress;
    bad.correct = 1;
    refuse_progress(&evaluation, &progress, bytes_as_view(&blob), &bad);
    bad = progress;
    bad.updates++;
    bad.cursor++;
    refuse_progress(&evaluation, &progress, bytes_as_view(&blob), &bad);
    bad = progress;
    bad.best_loss += 1.0;
    refuse_progress(&evaluation, &progress, bytes_as_view(&blob), &bad);
    bytes_fini(&blob);
    progress_fini(&progress);
    job_spec_fini(&evaluation.spec);
}

static void refuse_create(const struct evaluation *evaluation, enum nero_status expected,
                          const char *words)
{
    struct trainer_options options = {.spec = &evaluation->spec,
                                      .dataset = evaluation->dataset,
                                      .clock = evaluation_clock(),
                                      .continue_from = evaluation->continue_from};
    struct trainer *trainer = NULL;
    struct nero_err err;

    assert_int_equal(backend_create(evaluation->backend, &options.backend, &err), NERO_OK);
    assert_int_equal(trainer_create(&options, &trainer, &err), expected);
    assert_non_null(strstr(err.message, words));
    assert_null(trainer);
    backend_destroy(options.backend);
}

static void test_resume__jobs_that_cannot_be_done_are_refused(void **state)
{
    struct evaluation evaluation;
    struct job_protocol *protocol = &evaluation.spec.protocol;
    struct job_protocol good;

    (void)state;
    make_evaluation(&evaluation, "ref", TINY_NET_PLAIN, PHENOTYPE_SGD);
    good = *protocol;
    protocol->max_parameters = 100;
    refuse_create(&evaluation, NERO_INVALID, "parameters");
    *protocol = good;
    protocol->max_macs = 100;
    refuse_create(&evaluation, NERO_INVALID, "multiply-adds");
    *protocol = good;
    protocol->max_plan_bytes = 100;
    refuse_create(&evaluation, NERO_INVALID, "plan bytes");
    *protocol = good;
    protocol->attack =
        (struct job_attack){.kind = JOB_ATTACK_PGD, .epsilon = 0.03, .step_size = 0.01};
    refuse_create(&evaluation, NERO_INVALID, "steps");
    *protocol = good;
    protocol->train_count = 20;
    refuse_create(&evaluation, NERO_INVALID, "batch of 32");
    *protocol = good;
    protocol->train_count = 4000;
    refuse_create(&evaluation, NERO_INVALID, "data split");
    *protocol = good;
    evaluation.spec.phenotype.width = 28;
    refuse_create(&evaluation, NERO_INVALID, "data set of");
    evaluation.spec.phenotype.width = 32;
    snprintf(evaluation.spec.numeric_class, sizeof(evaluation.spec.numeric_class), "other");
    refuse_create(&evaluation, NERO_VERSION, "numeric class");
    evaluation.spec.numeric_class[0] = '\0';
    evaluation.spec.kind = JOB_EXTEND;
    evaluation.spec.has_continue_from = true;
    refuse_create(&evaluation, NERO_CORRUPT, "training state");
    evaluation.spec.kind = JOB_SCORE;
    refuse_create(&evaluation, NERO_CORRUPT, "weights");
    job_spec_fini(&evaluation.spec);
}

static void test_resume__weights_of_another_network_are_refused(void **state)
{
    struct evaluation evaluation;
    struct evaluation_result plain;

    (void)state;
    make_evaluation(&evaluation, "ref", TINY_NET_PLAIN, PHENOTYPE_SGD);
    evaluation.spec.budget = (struct job_budget){.kind = JOB_STEPS, .amount = 1};
    evaluation_make(&evaluation, NULL, &plain);
    job_spec_fini(&evaluation.spec);
    make_evaluation(&evaluation, "ref", TINY_NET_BRANCHED, PHENOTYPE_SGD);
    evaluation.spec.kind = JOB_SCORE;
    evaluation.spec.has_continue_from = true;
    evaluation.continue_from = bytes_as_view(&plain.weights);
    refuse_create(&evaluation, NERO_INVALID, "weights");
    evaluation.spec.kind = JOB_EXTEND;
    evaluation.continue_from = bytes_as_view(&plain.state);
    refuse_create(&evaluation, NERO_INVALID, "another network");
    evaluation_result_fini(&plain);
    job_spec_fini(&evaluation.spec);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resume__every_optimiser_on_every_backend),
        cmocka_unit_test(test_resume__shards_of_a_batch_give_the_same_bits),
        cmocka_unit_test(test_resume__early_stop_restores_the_best_weights),
        cmocka_unit_test(test_resume__the_best_weights_are_scored_on_time_out),
        cmocka_unit_test(test_resume__losses_that_are_not_finite_end_it),
        cmocka_unit_test(test_resume__one_class_for_all_is_ill_and_not_attacked),
        cmocka_unit_test(test_resume__budgets_may_end_within_an_epoch),
        cmocka_unit_test(test_resume__a_budget_in_seconds_counts_committed_time),
        cmocka_unit_test(test_resume__an_extension_goes_on_where_its_parent_ended),
        cmocka_unit_test(test_resume__an_extension_follows_an_early_stop),
        cmocka_unit_test(test_resume__an_exhausted_extension_only_scores),
        cmocka_unit_test(test_resume__scoring_the_weights_gives_the_same_counts),
        cmocka_unit_test(test_resume__pgd_goes_on_in_the_middle_of_the_attack),
        cmocka_unit_test(test_resume__a_truncated_or_damaged_state_is_refused),
        cmocka_unit_test(test_resume__a_foreign_state_is_refused),
        cmocka_unit_test(test_resume__impossible_progress_is_refused),
        cmocka_unit_test(test_resume__jobs_that_cannot_be_done_are_refused),
        cmocka_unit_test(test_resume__weights_of_another_network_are_refused),
    };

    return cmocka_run_group_tests(tests, load_shipped, free_shipped);
}
