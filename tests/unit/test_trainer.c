/*
 * Goal: the trainer is the loop of the specification, its events tell what was done, a unit takes
 * no memory, and without memory it fails cleanly. Method: the same evaluation written out by hand
 * on the engine's parts, compared bit for bit; the N-th allocation made to fail for N = 0, 1, 2,
 * ...
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nero/mem.h"
#include "nero/safetensors.h"

#include "attack/attack.h"
#include "net/net.h"
#include "train/optimiser.h"

#include "tests/support/evaluation.h"
#include "tests/support/small_cifar.h"
#include "tests/support/tiny_net.h"

enum { IMAGE = 3072, CLASSES = 10 };

static struct dataset shipped;

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

static void make_evaluation(struct evaluation *evaluation, enum phenotype_optimiser optimiser)
{
    *evaluation = (struct evaluation){.name = "job", .backend = "ref", .dataset = &shipped};
    evaluation_spec(&evaluation->spec, JOB_TRAIN);
    tiny_net_make(TINY_NET_PLAIN, &evaluation->spec.phenotype);
    tiny_net_optimiser(&evaluation->spec.phenotype, optimiser);
    evaluation->spec.phenotype.learning.decay = 0.1; /* so that the update count shows */
}

/* --- the evaluation by hand, on the referee, whose memory is the host's --- */

struct by_hand {
    const struct job_spec *spec;
    struct backend *backend;
    struct graph graph;
    struct dataset_split split;
    struct optimiser optimiser;
    struct net *training;
    struct net *inference;
    float *trained, *stats, *grads, *slot0, *slot1;
    float images[32 * IMAGE];
    uint8_t labels[32];
    float logits[8 * CLASSES];
};

static struct by_hand *by_hand_open(const struct job_spec *spec)
{
    struct by_hand *hand = calloc(1, sizeof(*hand));
    struct net_options training = {.batch = 32, .training = true, .bn_momentum = 0.9f};
    struct net_options inference = {.batch = 8};
    const struct phenotype_learning *learning = &spec->phenotype.learning;
    struct nero_err err;

    assert_non_null(hand);
    hand->spec = spec;
    assert_int_equal(backend_ref_create(&hand->backend, &err), NERO_OK);
    assert_int_equal(graph_build(&spec->phenotype, &hand->graph, &err), NERO_OK);
    assert_int_equal(dataset_split_create(&shipped, &spec->protocol, &hand->split, &err), NERO_OK);
    assert_int_equal(
        optimiser_init(&hand->optimiser, &hand->graph, learning, spec->protocol.l2, &err), NERO_OK);
    assert_int_equal(net_create(&hand->graph, hand->backend, &training, &hand->training, &err),
                     NERO_OK);
    assert_int_equal(net_create(&hand->graph, hand->backend, &inference, &hand->inference, &err),
                     NERO_OK);
    hand->trained = calloc(hand->graph.trained_count, sizeof(float));
    hand->stats = calloc(hand->graph.stat_count, sizeof(float));
    hand->grads = calloc(hand->graph.trained_count, sizeof(float));
    hand->slot0 = calloc(hand->graph.trained_count, sizeof(float));
    hand->slot1 = calloc(hand->graph.trained_count, sizeof(float));
    net_init_weights(&hand->graph, spec->seed, hand->trained, hand->stats);
    return hand;
}

static void by_hand_close(struct by_hand *hand)
{
    free(hand->trained);
    free(hand->stats);
    free(hand->grads);
    free(hand->slot0);
    free(hand->slot1);
    net_destroy(hand->training);
    net_destroy(hand->inference);
    optimiser_fini(&hand->optimiser);
    dataset_split_fini(&hand->split);
    graph_fini(&hand->graph);
    backend_destroy(hand->backend);
    free(hand);
}

/* Mean cross-entropy of an epoch's steps. */
static double epoch_by_hand(struct by_hand *hand, uint32_t epoch, uint64_t *updates)
{
    struct optimiser_arrays arrays = {
        .trained = hand->trained, .grads = hand->grads, .slot0 = hand->slot0, .slot1 = hand->slot1};
    uint32_t order[110];
    struct nero_err err;
    double sum = 0.0;

    dataset_epoch_order(hand->spec->seed, epoch, 110, order);
    for (uint32_t step = 0; step < 3; step++) {
        double loss;

        for (uint32_t row = 0; row < 32; row++) {
            hand->labels[row] = dataset_augmented_image(&shipped, hand->spec->seed, epoch,
                                                        hand->split.train[order[step * 32 + row]],
                                                        hand->images + (size_t)row * IMAGE);
        }
        assert_int_equal(net_train_step(hand->training, hand->images, hand->labels, hand->trained,
                                        hand->stats, hand->grads, &loss, &err),
                         NERO_OK);
        assert_int_equal(
            optimiser_step(&hand->optimiser, hand->backend, &arrays, (*updates)++, &err), NERO_OK);
        sum += 32.0 * loss;
    }
    return sum / 96.0;
}

/* Logits of image `index` alone, in row 0; returns its label. */
static uint8_t forward_by_hand(struct by_hand *hand, uint32_t index)
{
    struct nero_err err;
    uint8_t label;

    memset(hand->images, 0, sizeof(hand->images));
    label = dataset_image(&shipped, shipped.train, index, hand->images);
    assert_int_equal(net_load(hand->inference, hand->trained, hand->stats, &err), NERO_OK);
    assert_int_equal(net_forward(hand->inference, hand->images, hand->logits, &err), NERO_OK);
    return label;
}

static struct result_epoch control_by_hand(struct by_hand *hand, double train_loss)
{
    struct result_epoch epoch = {.steps = 3};
    struct nero_err err;
    double penalty;
    double sum = 0.0;

    for (uint32_t i = 0; i < hand->split.control_count; i++) {
        uint8_t label = forward_by_hand(hand, hand->split.control[i]);

        sum += attack_cross_entropy(hand->logits, CLASSES, label);
        epoch.control_correct += attack_argmax(hand->logits, CLASSES) == label;
    }
    assert_int_equal(optimiser_penalty(&hand->optimiser, hand->backend, hand->trained,
                                       hand->spec->protocol.l2, &penalty, &err),
                     NERO_OK);
    assert_true(penalty > 0.0);
    epoch.loss = train_loss + penalty;
    epoch.control_loss = sum / (double)hand->split.control_count + penalty;
    return epoch;
}

static void score_by_hand(struct by_hand *hand, uint32_t *correct, uint32_t *kept)
{
    struct attack_model model = attack_model_of_net(hand->inference, 8, IMAGE, CLASSES);
    struct attack *attack;
    struct nero_err err;

    *correct = 0;
    *kept = 0;
    assert_int_equal(attack_create(&hand->spec->protocol.attack, &model, &attack, &err), NERO_OK);
    for (uint32_t i = 0; i < hand->split.fitness_count; i++) {
        uint8_t label = forward_by_hand(hand, hand->split.fitness[i]);
        struct attack_counts counts;

        if (attack_argmax(hand->logits, CLASSES) == label) {
            ++*correct;
            assert_int_equal(attack_batch(attack, hand->images, &label, 1, &counts, &err), NERO_OK);
            *kept += counts.kept;
        }
    }
    attack_destroy(attack);
}

static void assert_weights(const struct by_hand *hand, struct bytes_view blob)
{
    struct safetensors_file file;
    struct nero_err err;

    assert_int_equal(safetensors_read(blob, &file, &err), NERO_OK);
    assert_int_equal(file.count, hand->graph.param_count);
    for (uint32_t i = 0; i < file.count; i++) {
        const struct graph_param *param = &hand->graph.params[i];
        bool stat = param->kind == GRAPH_MEAN || param->kind == GRAPH_VAR;

        assert_memory_equal(file.tensors[i].data,
                            (stat ? hand->stats : hand->trained) + param->offset,
                            param->count * sizeof(float));
    }
    safetensors_file_fini(&file);
}

static void test_trainer__is_the_loop_of_the_specification(void **state)
{
    (void)state;
    for (int o = PHENOTYPE_SGD; o <= PHENOTYPE_ADAM; o++) {
        struct evaluation evaluation;
        struct evaluation_result result;
        struct by_hand *hand;
        uint64_t updates = 0;
        uint32_t correct;
        uint32_t kept;

        make_evaluation(&evaluation, (enum phenotype_optimiser)o);
        evaluation.spec.phenotype.learning.lr *= 0.2; /* well enough to be attacked */
        evaluation_make(&evaluation, NULL, &result);
        hand = by_hand_open(&evaluation.spec);
        for (uint32_t e = 0; e < 2; e++) {
            struct result_epoch epoch = control_by_hand(hand, epoch_by_hand(hand, e, &updates));

            assert_true(result.outcome.curve[e].loss == epoch.loss);
            assert_true(result.outcome.curve[e].control_loss == epoch.control_loss);
            assert_int_equal(result.outcome.curve[e].control_correct, epoch.control_correct);
            assert_int_equal(result.outcome.curve[e].steps, 3);
        }
        score_by_hand(hand, &correct, &kept);
        assert_int_equal(result.outcome.steps, updates);
        assert_true(result.outcome.attacked);
        assert_int_equal(result.outcome.correct, correct);
        assert_int_equal(result.outcome.kept, kept);
        assert_weights(hand, bytes_as_view(&result.weights));
        by_hand_close(hand);
        evaluation_result_fini(&result);
        job_spec_fini(&evaluation.spec);
    }
}

static void test_trainer__events_tell_what_was_done(void **state)
{
    static const struct {
        enum progress_phase phase;
        uint32_t epoch, step, steps;
    } expected[] = {
        {PROGRESS_TRAIN, 0, 1, 3},    {PROGRESS_TRAIN, 0, 2, 3},     {PROGRESS_TRAIN, 0, 3, 3},
        {PROGRESS_CONTROL, 0, 8, 21}, {PROGRESS_CONTROL, 0, 16, 21}, {PROGRESS_CONTROL, 0, 21, 21},
        {PROGRESS_TRAIN, 1, 1, 3},    {PROGRESS_TRAIN, 1, 2, 3},     {PROGRESS_TRAIN, 1, 3, 3},
        {PROGRESS_CONTROL, 1, 8, 21}, {PROGRESS_CONTROL, 1, 16, 21}, {PROGRESS_CONTROL, 1, 21, 21},
        {PROGRESS_CLEAN, 2, 8, 45},   {PROGRESS_CLEAN, 2, 16, 45},   {PROGRESS_CLEAN, 2, 24, 45},
        {PROGRESS_CLEAN, 2, 32, 45},  {PROGRESS_CLEAN, 2, 40, 45},   {PROGRESS_CLEAN, 2, 45, 45}};
    struct evaluation evaluation;
    struct evaluation_run run;
    struct trainer_event event;
    struct nero_err err;
    uint64_t steps;
    uint32_t epochs;

    (void)state;
    make_evaluation(&evaluation, PHENOTYPE_SGD);
    evaluation.spec.protocol.attack.kind = JOB_ATTACK_NONE;
    evaluation_open(&evaluation, &run);
    trainer_expected(run.trainer, &steps, &epochs);
    assert_int_equal(steps, 6);
    assert_int_equal(epochs, 2);
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        bool ends = expected[i].phase == PROGRESS_CONTROL && expected[i].step == 21;

        assert_int_equal(trainer_advance(run.trainer, &event, &err), NERO_OK);
        assert_int_equal(event.phase, expected[i].phase);
        assert_int_equal(event.epoch, expected[i].epoch);
        assert_int_equal(event.step, expected[i].step);
        assert_int_equal(event.steps, expected[i].steps);
        assert_int_equal(event.epoch_ended, ends);
        assert_int_equal(event.done, i == 17);
        assert_true(isnan(event.control_accuracy) == (i < 5));
        assert_true(event.phase != PROGRESS_TRAIN || event.loss > event.cross_entropy);
    }
    assert_int_equal(trainer_advance(run.trainer, &event, &err), NERO_OK); /* nothing more */
    assert_true(event.done);
    evaluation_close(&run);
    job_spec_fini(&evaluation.spec);
}

static void test_trainer__a_unit_takes_no_memory(void **state)
{
    static const char *const backends[] = {
        "ref",
#if NERO_HAVE_DNNL
        "cpu"
#endif
    };

    (void)state;
    for (size_t b = 0; b < sizeof(backends) / sizeof(backends[0]); b++) {
        struct evaluation evaluation;
        struct evaluation_run run;
        struct trainer_event event = {.done = false};
        struct nero_err err;

        make_evaluation(&evaluation, PHENOTYPE_ADAM);
        evaluation.backend = backends[b];
        evaluation_open(&evaluation, &run);
        mem_fail_plan(0, -1);
        while (!event.done) {
            enum nero_status status = trainer_advance(run.trainer, &event, &err);

            if (status != NERO_OK) {
                mem_fail_plan(0, 0);
                fail_msg("%s: %s", backends[b], err.message);
            }
        }
        assert_int_equal(mem_fail_plan(0, 0), 0);
        evaluation_close(&run);
        job_spec_fini(&evaluation.spec);
    }
}

/* One attempt with the allocations failing from the `skip`-th on, `times` of them; true when none
 * fired. */
static bool create_without_memory(const struct evaluation *evaluation, struct backend *backend,
                                  long skip, long times)
{
    struct trainer_options options = {.spec = &evaluation->spec,
                                      .dataset = evaluation->dataset,
                                      .backend = backend,
                                      .clock = evaluation_clock(),
                                      .continue_from = evaluation->continue_from};
    struct trainer *trainer = NULL;
    struct progress progress;
    struct bytes blob;
    enum nero_status status;
    struct nero_err err;
    int fired;

    progress_init(&progress);
    bytes_init(&blob, 64 << 20);
    mem_fail_plan(skip, times);
    status = trainer_create(&options, &trainer, &err);
    if (status == NERO_OK) {
        status = trainer_snapshot(trainer, &progress, &blob, &err);
    }
    if (status == NERO_OK) {
        status = trainer_restore(trainer, &progress, bytes_as_view(&blob), &err);
    }
    fired = mem_fail_plan(0, 0);
    if (fired > 0 && status != NERO_NO_MEMORY) {
        fail_msg("allocation %ld: status %s", skip, err_status_name(status));
    }
    if (fired == 0 && status != NERO_OK) {
        fail_msg("%s", err.message);
    }
    trainer_destroy(trainer);
    progress_fini(&progress);
    bytes_fini(&blob);
    return fired == 0;
}

static void test_trainer__fails_cleanly_without_memory(void **state)
{
    struct evaluation evaluation;
    struct evaluation_result parent;
    struct backend *backend;
    struct nero_err err;

    (void)state;
    make_evaluation(&evaluation, PHENOTYPE_ADAM);
    evaluation_make(&evaluation, NULL, &parent);
    evaluation.spec.kind = JOB_EXTEND;
    evaluation.spec.has_continue_from = true;
    evaluation.spec.budget.amount = 3;
    evaluation.continue_from = bytes_as_view(&parent.state);
    assert_int_equal(backend_create("ref", &backend, &err), NERO_OK);
    for (long times = -1; times <= 1; times += 2) {
        long skip = 0;

        while (!create_without_memory(&evaluation, backend, skip, times)) {
            skip++;
            assert_true(skip < 10000);
        }
        assert_true(skip > 20);
    }
    backend_destroy(backend);
    evaluation_result_fini(&parent);
    job_spec_fini(&evaluation.spec);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trainer__is_the_loop_of_the_specification),
        cmocka_unit_test(test_trainer__events_tell_what_was_done),
        cmocka_unit_test(test_trainer__a_unit_takes_no_memory),
        cmocka_unit_test(test_trainer__fails_cleanly_without_memory),
    };

    return cmocka_run_group_tests(tests, load_shipped, free_shipped);
}
