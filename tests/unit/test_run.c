/*
 * Goal: a run, a generation and the records around them are taken only when they make sense.
 * Method: decode a sample, change one thing, encode.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nero/generation.h"
#include "nero/run.h"
#include "tests/support/codec_samples.h"

static struct bytes sample_bytes(const char *name)
{
    struct nero_err err;
    struct bytes out;

    bytes_init(&out, 1 << 20);
    for (size_t i = 0; i < codec_sample_count; i++) {
        if (strcmp(codec_samples[i].name, name) == 0) {
            assert_int_equal(codec_samples[i].make(&out, &err), NERO_OK);
        }
    }
    assert_true(out.bytes > 0);
    return out;
}

static void check_refused(enum nero_status status, const struct nero_err *err, const char *where)
{
    assert_int_equal(status, NERO_INVALID);
    if (strstr(err->message, where) == NULL) {
        fail_msg("'%s' does not name '%s'", err->message, where);
    }
}

#define RUN_REFUSED(change, where)                                                     \
    do {                                                                               \
        struct bytes bytes = sample_bytes("run");                                      \
        struct run_record r;                                                           \
        struct nero_err err;                                                           \
        assert_int_equal(run_record_decode(bytes_as_view(&bytes), &r, &err), NERO_OK); \
        change;                                                                        \
        check_refused(run_record_check(&r, &err), &err, where);                        \
        bytes_fini(&bytes);                                                            \
    } while (0)

static void test_run__a_run_is_checked(void **state)
{
    (void)state;
    RUN_REFUSED(r.name[0] = '-', "run: run");
    RUN_REFUSED(r.strategy = 4, "strategy");
    RUN_REFUSED(r.search.lineages = 0, "search.lineages");
    RUN_REFUSED(r.search.lambda = 512, "search.lambda");
    RUN_REFUSED(r.search.rates.add_unit = 1.5, "search.rates.add_unit");
    RUN_REFUSED(r.search.rates.float_sigma = NAN, "search.rates.float_sigma");
    RUN_REFUSED(r.search.module_count = 0, "search.modules");
    RUN_REFUSED(r.search.modules[0].units_max = 0, "modules[0].module.units_max");
    RUN_REFUSED(r.search.modules[0].initial_max = 31, "modules[0].module.initial_max");
    RUN_REFUSED(memcpy(r.search.modules[1].symbol, "features", 9), "'features' twice");
    RUN_REFUSED(r.search.learning_symbol[0] = 0, "search.learning_symbol");
    RUN_REFUSED(r.search.budget_cap = 16, "search.budget_cap");
    RUN_REFUSED(r.search.beta = 0.0, "search.beta");
    RUN_REFUSED(r.search.seed_policy = 3, "search.seed_policy");
    RUN_REFUSED(r.search.seed_learning = 0, "search.seed_learning");
    RUN_REFUSED(r.search.clip = 1.0, "search.clip");
    RUN_REFUSED(r.search.clip = 0.4, "search.clip");
    RUN_REFUSED(r.search.clip = NAN, "search.clip");
    RUN_REFUSED(r.grammar.bytes = 0, "grammar");
    RUN_REFUSED(r.grammar = bytes_view_str("a\x01"), "grammar");
    RUN_REFUSED(r.single_job = bytes_view_str("x"), "single_job");
    RUN_REFUSED(r.strategy = RUN_SINGLE, "single_job");
}

static void test_run__a_single_run_needs_no_search(void **state)
{
    struct bytes bytes = sample_bytes("run");
    struct run_record run;
    struct run_record back;
    struct nero_err err;
    struct bytes out;

    (void)state;
    assert_int_equal(run_record_decode(bytes_as_view(&bytes), &run, &err), NERO_OK);
    run.strategy = RUN_SINGLE;
    run.single_job = bytes_view_str("job");
    run.grammar = bytes_view_str("");
    bytes_init(&out, RUN_BYTES_MAX);
    assert_int_equal(run_record_encode(&run, &out, &err), NERO_OK);
    assert_int_equal(run_record_decode(bytes_as_view(&out), &back, &err), NERO_OK);
    assert_true(bytes_view_equal(back.single_job, bytes_view_str("job")));
    assert_int_equal(back.search.lineages, 0);
    bytes_fini(&out);
    bytes_fini(&bytes);
}

static void test_run__batches_and_epochs_are_checked(void **state)
{
    struct run_batch_job job = {.priority = 512};
    struct run_batch batch = {.run = "r", .count = 1, .jobs = &job};
    struct run_epoch epoch = {.run = "r", .number = UINT64_C(10000000000)};
    struct nero_err err;
    struct bytes out;

    (void)state;
    bytes_init(&out, RUN_BYTES_MAX);
    check_refused(run_batch_encode(&batch, &out, &err), &err, "jobs[0].job.priority");
    job.priority = 511;
    job.not_before_ms = -1;
    check_refused(run_batch_encode(&batch, &out, &err), &err, "jobs[0].job.not_before_ms");
    batch.count = 0;
    check_refused(run_batch_encode(&batch, &out, &err), &err, "jobs");
    check_refused(run_epoch_encode(&epoch, &out, &err), &err, "number");
    bytes_fini(&out);
}

#define GENERATION_REFUSED(change, where)                                              \
    do {                                                                               \
        struct bytes bytes = sample_bytes("generation");                               \
        struct generation g;                                                           \
        struct nero_err err;                                                           \
        struct bytes out;                                                              \
        assert_int_equal(generation_decode(bytes_as_view(&bytes), &g, &err), NERO_OK); \
        bytes_init(&out, GENERATION_BYTES_MAX);                                        \
        change;                                                                        \
        check_refused(generation_encode(&g, &out, &err), &err, where);                 \
        assert_int_equal(out.bytes, 0);                                                \
        generation_fini(&g);                                                           \
        bytes_fini(&out);                                                              \
        bytes_fini(&bytes);                                                            \
    } while (0)

static void test_run__a_generation_is_checked(void **state)
{
    (void)state;
    GENERATION_REFUSED(g.state = 5, "state");
    GENERATION_REFUSED(g.state = GENERATION_PROPOSED, "members[0].member.verdict");
    GENERATION_REFUSED(g.members[0].budget.kind = 0, "members[0].member.budget");
    GENERATION_REFUSED(g.members[1].verdict = GENERATION_SCORED, "scored without a job");
    GENERATION_REFUSED(g.members[0].kept = 3063, "members[0].member.evaluation.kept");
    GENERATION_REFUSED(g.members[0].fitness = INFINITY, "members[0].member.evaluation.fitness");
    GENERATION_REFUSED(g.members[1].events[1].op = 13, "members[1].member.events[1].event.op");
    GENERATION_REFUSED(g.selected = 3, "closing.selected");
    GENERATION_REFUSED(g.members[2].extends = 2, "members[2].member.extends");
    GENERATION_REFUSED(g.members[0].origin = GENERATION_EXTENSION, "members[0].member.origin");
    GENERATION_REFUSED(g.state = GENERATION_EVALUATED, "members[2].member.origin");
    GENERATION_REFUSED(g.champion_generation = 8, "closing.champion.generation");
    GENERATION_REFUSED(g.lineage = 65536, "lineage");
}

/* What an open state does not store leaves no trace: two schedulers write equal bytes. */
static void test_run__an_open_generation_has_no_closing(void **state)
{
    struct bytes bytes = sample_bytes("generation");
    struct generation generation;
    struct generation back;
    struct nero_err err;
    struct bytes out;

    (void)state;
    assert_int_equal(generation_decode(bytes_as_view(&bytes), &generation, &err), NERO_OK);
    generation.state = GENERATION_PROPOSED;
    generation.member_count = 2; /* without the extension, which owns nothing */
    generation.members[0].verdict = GENERATION_PENDING;
    generation.members[1].verdict = GENERATION_PENDING;
    bytes_init(&out, GENERATION_BYTES_MAX);
    assert_int_equal(generation_encode(&generation, &out, &err), NERO_OK);
    generation_fini(&generation);
    assert_int_equal(generation_decode(bytes_as_view(&out), &back, &err), NERO_OK);
    assert_false(back.has_champion);
    assert_false(back.members[0].has_slot);
    assert_int_equal(back.members[0].count, 0);
    assert_int_equal(back.members[0].budget.amount, 17);
    assert_string_equal(back.members[1].events[1].after, "128");
    generation_fini(&back);
    bytes_fini(&out);
    bytes_fini(&bytes);
}

static void test_run__names_are_defined(void **state)
{
    (void)state;
    assert_string_equal(generation_state_name(GENERATION_CLOSED), "closed");
    assert_string_equal(generation_origin_name(GENERATION_SEED), "seed");
    assert_string_equal(generation_operator_name(GENERATION_TRAIN_LONGER_AT_CAP),
                        "train_longer_at_cap");
    assert_string_equal(generation_verdict_name(GENERATION_ILL_FITTED), "ill_fitted");
    assert_string_equal(generation_verdict_name(9), "undefined");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_run__a_run_is_checked),
        cmocka_unit_test(test_run__a_single_run_needs_no_search),
        cmocka_unit_test(test_run__batches_and_epochs_are_checked),
        cmocka_unit_test(test_run__a_generation_is_checked),
        cmocka_unit_test(test_run__an_open_generation_has_no_closing),
        cmocka_unit_test(test_run__names_are_defined),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
