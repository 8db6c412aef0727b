/*
 * Goal: generations follow from the run record and the outcomes alone, with the jobs, budgets and
 * seeds of specs/evolution.md (e). Method: whole searches with made-up outcomes, computed twice and
 * compared byte for byte; each kind of job and of invalid member by itself.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "job_set.h"
#include "nero/mem.h"
#include "tests/support/evolve_run.h"

enum { RECORDS_MAX = 256 };

/* All records of a search in order, as stored bytes. */
struct history {
    struct bytes records[RECORDS_MAX];
    uint32_t count;
    long extended;
    long invalid;
    long trained_on; /* extensions for fairness */
    bool robust;
    struct generation last; /* closed; its views point into the last record */
    struct hash last_hash;
    struct result_outcome parent; /* outcome of its selected member */
    bool has_parent;
};

static struct hash keep(struct history *history, const struct generation *generation)
{
    struct nero_err err = {0};
    struct bytes *record = &history->records[history->count++];

    bytes_init(record, GENERATION_BYTES_MAX);
    if (generation_encode(generation, record, &err) != NERO_OK) {
        fail_msg("%s", err.message);
    }
    return hash_of(bytes_as_view(record));
}

static void history_fini(struct history *history)
{
    for (uint32_t i = 0; i < history->count; i++) {
        bytes_fini(&history->records[i]);
    }
    generation_fini(&history->last);
}

static void check_spec(const struct evolve_fixture *fixture, const struct generation *generation,
                       uint32_t slot, const struct bytes *bytes, struct history *history)
{
    const struct generation_member *member = &generation->members[slot];
    struct nero_err err = {0};
    struct job_spec spec;
    struct hash id = job_id(bytes_as_view(bytes));

    assert_int_equal(job_spec_decode(bytes_as_view(bytes), &spec, &err), NERO_OK);
    assert_true(hash_equal(&id, &member->job));
    if (fixture->preset.record.search.seed_policy == RUN_SEED_GENOTYPE) {
        uint64_t seed;

        assert_int_equal(
            evolve_genotype_seed(fixture->preset.record.seed, &spec.phenotype, &seed, &err),
            NERO_OK);
        assert_true(spec.seed == seed);
    } else {
        assert_true(spec.seed == evolve_training_seed(fixture->preset.record.seed,
                                                      generation->lineage, generation->number,
                                                      slot));
    }
    assert_true(spec.protocol.split_seed == generation->split_seed);
    assert_int_equal(spec.budget.amount, member->budget.amount);
    if (spec.kind == JOB_EXTEND) {
        assert_true(history->has_parent);
        assert_true(hash_equal(&spec.continue_from, &history->parent.state));
        assert_int_equal(member->events[0].op, GENERATION_TRAIN_LONGER);
        assert_int_equal(member->event_count, 1);
        history->extended++;
    } else if (generation->number > 0 && slot > 0) {
        assert_int_equal(spec.budget.amount, fixture->preset.record.search.budget.amount);
    }
    job_spec_fini(&spec);
}

/* What is made up for a generation's jobs. */
struct made_up {
    struct result_outcome outcomes[GENERATION_MEMBERS_MAX];
    struct evolve_evaluation evaluations[GENERATION_MEMBERS_MAX];
};

static void make_up(struct made_up *made, uint32_t slot, const struct generation_member *member)
{
    struct evolve_evaluation *evaluation = &made->evaluations[slot];

    made->outcomes[slot] = evolve_fake_outcome(member->job, 600);
    evaluation->slot = member->job;
    evaluation->outcome = &made->outcomes[slot];
    if (member->job.data[31] % 11 == 0) {
        evaluation->failed = true;
        evaluation->outcome = NULL;
        (void)snprintf(evaluation->text, sizeof evaluation->text, "exploded");
    }
}

/* Those that train on: from the state of the member that they extend, to the best one's budget. */
static void check_extension(const struct made_up *made, const struct evolve_proposal *extension,
                            uint32_t slot, uint64_t default_budget)
{
    const struct generation_member *member = &extension->generation.members[slot];
    const struct generation_member *extended = &extension->generation.members[member->extends];
    struct nero_err err = {0};
    struct job_spec spec;

    assert_int_equal(member->origin, GENERATION_EXTENSION);
    assert_true(bytes_view_equal(member->genotype, extended->genotype));
    assert_int_equal(extended->verdict, GENERATION_SCORED);
    assert_true(member->budget.amount > extended->budget.amount &&
                member->budget.amount > default_budget);
    assert_int_equal(job_spec_decode(bytes_as_view(&extension->specs[slot]), &spec, &err), NERO_OK);
    assert_int_equal(spec.kind, JOB_EXTEND);
    assert_true(hash_equal(&spec.continue_from, &made->outcomes[member->extends].state));
    assert_int_equal(spec.budget.amount, member->budget.amount);
    job_spec_fini(&spec);
}

/* Proposed and evaluated by made-up outcomes. */
static void propose_and_evaluate(const struct evolve_fixture *fixture, uint32_t number,
                                 struct history *history, struct made_up *made,
                                 struct evolve_proposal *proposal, struct generation *evaluated)
{
    struct nero_err err = {0};
    struct hash hash;

    if (evolve_propose(&fixture->run, 0, number, number > 0 ? &history->last : NULL,
                       history->last_hash, history->has_parent ? &history->parent : NULL, proposal,
                       &err) != NERO_OK) {
        fail_msg("%s", err.message);
    }
    for (uint32_t i = 0; i < proposal->generation.member_count; i++) {
        const struct generation_member *member = &proposal->generation.members[i];

        assert_int_equal(member->has_job, member->text[0] == '\0');
        history->invalid += !member->has_job;
        if (member->has_job && proposal->specs[i].bytes > 0) {
            check_spec(fixture, &proposal->generation, i, &proposal->specs[i], history);
        }
        make_up(made, i, member);
    }
    hash = keep(history, &proposal->generation);
    assert_int_equal(evolve_evaluate(&fixture->run, &proposal->generation, hash, made->evaluations,
                                     evaluated, &err),
                     NERO_OK);
}

/* One generation to its end. */
static void step(const struct evolve_fixture *fixture, uint32_t number, struct history *history)
{
    static struct made_up made;
    const struct generation *previous = number > 0 ? &history->last : NULL;
    const struct generation *last;
    struct evolve_proposal proposal;
    struct evolve_proposal extension;
    struct generation evaluated;
    struct generation closed;
    struct nero_err err = {0};
    struct hash hash;

    memset(&made, 0, sizeof made);
    propose_and_evaluate(fixture, number, history, &made, &proposal, &evaluated);
    hash = keep(history, &evaluated);
    last = &evaluated;
    assert_int_equal(
        evolve_extend(&fixture->run, &evaluated, hash, made.evaluations, &extension, &err),
        NERO_OK);
    if (extension.generation.member_count > 0) {
        assert_int_equal(
            evolve_close(&fixture->run, &evaluated, hash, NULL, previous, &closed, &err),
            NERO_INVALID); /* not without them */
        last = &extension.generation;
        for (uint32_t i = evaluated.member_count; i < last->member_count; i++) {
            check_extension(&made, &extension, i, fixture->preset.record.search.budget.amount);
            make_up(&made, i, &last->members[i]);
            history->trained_on++;
        }
        hash = keep(history, last);
    }
    assert_int_equal(
        evolve_close(&fixture->run, last, hash, made.evaluations, previous, &closed, &err),
        NERO_OK);
    history->has_parent = made.evaluations[closed.selected].outcome != NULL &&
                          closed.members[closed.selected].has_job;
    history->parent = made.outcomes[closed.selected];
    history->robust = closed.next_robust;
    history->last_hash = keep(history, &closed);
    generation_fini(&history->last);
    assert_int_equal(generation_decode(bytes_as_view(&history->records[history->count - 1]),
                                       &history->last, &err),
                     NERO_OK);
    generation_fini(&closed);
    generation_fini(&evaluated);
    evolve_proposal_fini(&extension);
    evolve_proposal_fini(&proposal);
}

static void search(const struct evolve_fixture *fixture, uint32_t generations,
                   struct history *history)
{
    memset(history, 0, sizeof *history);
    generation_init(&history->last);
    for (uint32_t g = 0; g < generations; g++) {
        step(fixture, g, history);
    }
}

static void check_search(const char *preset, bool reevaluate, enum run_strategy strategy)
{
    enum { GENERATIONS = 40 };
    struct evolve_fixture fixture;
    struct history one;
    struct history two;

    evolve_fixture_open(&fixture, preset, 7);
    fixture.preset.record.search.warmup_threshold = 0.2;
    fixture.preset.record.search.penalty = 0.0;
    fixture.preset.record.search.rates.train_longer = 0.4;
    fixture.preset.record.search.reevaluate_parent = reevaluate;
    fixture.preset.record.strategy = strategy;
    search(&fixture, GENERATIONS, &one);
    search(&fixture, GENERATIONS, &two);
    assert_true(one.count >= 3 * GENERATIONS);
    assert_true(strategy == RUN_RANDOM ? one.trained_on == 0 : one.trained_on > 0);
    assert_int_equal(two.count, one.count);
    for (uint32_t i = 0; i < one.count; i++) {
        assert_true(
            bytes_view_equal(bytes_as_view(&one.records[i]), bytes_as_view(&two.records[i])));
    }
    assert_true(one.robust && one.last.has_champion);
    assert_true(strategy == RUN_RANDOM || one.extended > 0);
    history_fini(&one);
    history_fini(&two);
    evolve_fixture_close(&fixture);
}

static void test_propose__same_inputs_give_equal_records(void **state)
{
    (void)state;
    check_search("demo.yaml", true, RUN_EVOLVE);
    check_search("demo.yaml", false, RUN_EVOLVE);
    check_search("smoke.yaml", true, RUN_RANDOM);
}

/*
 * The baseline: in every generation fresh random individuals at the default budget, as many
 * trainings as an evolution has, whatever was measured before.
 */
static void test_propose__random_search_trains_as_often(void **state)
{
    struct evolve_fixture fixture;
    struct history history;

    (void)state;
    evolve_fixture_open(&fixture, "smoke.yaml", 3);
    fixture.preset.record.strategy = RUN_RANDOM;
    fixture.preset.record.search.rates.train_longer = 1.0;
    memset(&history, 0, sizeof history);
    generation_init(&history.last);
    for (uint32_t g = 0; g < 4; g++) {
        fixture.preset.record.search.reevaluate_parent = g < 3;
        step(&fixture, g, &history);
        assert_int_equal(history.last.member_count, g == 0 || g == 3 ? 2 : 3);
        for (uint32_t i = 0; i < history.last.member_count; i++) {
            const struct generation_member *member = &history.last.members[i];
            struct genotype fresh;
            struct bytes bytes;
            struct nero_err err = {0};

            bytes_init(&bytes, GENOTYPE_BYTES_MAX);
            assert_int_equal(member->origin, GENERATION_RANDOM);
            assert_int_equal(member->event_count, 0);
            assert_int_equal(member->budget.amount, 3);
            assert_int_equal(evolve_random(&fixture.run, 0, g, i, &fresh, &err), NERO_OK);
            assert_int_equal(genotype_encode(&fresh, &bytes, &err), NERO_OK);
            assert_true(bytes_view_equal(member->genotype, bytes_as_view(&bytes)));
            genotype_fini(&fresh);
            bytes_fini(&bytes);
        }
    }
    history_fini(&history);
    evolve_fixture_close(&fixture);
}

/*
 * Per genotype the parent's job is that of the generation before, and a child that is its parent is
 * the same job; per slot no job of a search is another's.
 */
static void check_reuse(enum run_seed_policy policy)
{
    enum { GENERATIONS = 30 };
    struct evolve_fixture fixture;
    struct history history;
    struct job_set jobs = {.room = 0};
    struct nero_err err = {0};
    uint64_t silent = 0;

    evolve_fixture_open(&fixture, "demo.yaml", 7);
    fixture.preset.record.search.seed_policy = policy;
    memset(&history, 0, sizeof history);
    generation_init(&history.last);
    for (uint32_t g = 0; g < GENERATIONS; g++) {
        struct hash parent = {0};
        bool unchanged;

        if (g > 0) { /* a parent that trains from scratch for the same budget is the same work */
            const struct generation_member *former = &history.last.members[history.last.selected];

            parent = former->job;
            unchanged = former->origin != GENERATION_EXTENSION && former->has_job &&
                        former->budget.amount == fixture.preset.record.search.budget.amount;
        }
        step(&fixture, g, &history);
        if (g > 0 && unchanged) {
            assert_int_equal(hash_equal(&history.last.members[0].job, &parent),
                             policy == RUN_SEED_GENOTYPE);
        }
        for (uint32_t i = 1; g > 0 && i < history.last.member_count; i++) {
            silent += history.last.members[i].has_job &&
                      hash_equal(&history.last.members[i].job, &history.last.members[0].job);
        }
        assert_int_equal(job_set_add_generation(&jobs, &history.last, &err), NERO_OK);
    }
    print_message("%llu evaluations, %llu reused, %llu children were their parents\n",
                  (unsigned long long)jobs.named, (unsigned long long)jobs.reused,
                  (unsigned long long)silent);
    if (policy == RUN_SEED_GENOTYPE) {
        assert_true(silent > 0 && jobs.reused >= GENERATIONS / 2 + silent);
    } else {
        assert_int_equal(silent + jobs.reused, 0);
    }
    job_set_fini(&jobs);
    history_fini(&history);
    evolve_fixture_close(&fixture);
}

static void test_propose__seed_policy_decides_what_is_reused(void **state)
{
    (void)state;
    check_reuse(RUN_SEED_SLOT);
    check_reuse(RUN_SEED_GENOTYPE);
}

static void test_propose__genotype_seeds_follow_the_phenotype(void **state)
{
    struct evolve_fixture fixture;
    struct evolve_proposal proposal;
    struct phenotype phenotype;
    struct genotype genotype;
    struct nero_err err = {0};
    struct hash none = {0};
    uint64_t seeds[3];

    (void)state;
    evolve_fixture_open(&fixture, "demo.yaml", 7);
    assert_int_equal(evolve_propose(&fixture.run, 0, 0, NULL, none, NULL, &proposal, &err),
                     NERO_OK);
    assert_int_equal(genotype_decode(proposal.generation.members[0].genotype, &genotype, &err),
                     NERO_OK);
    assert_int_equal(evolve_decode(&fixture.run, &genotype, &phenotype, &err), NERO_OK);
    assert_int_equal(evolve_genotype_seed(7, &phenotype, &seeds[0], &err), NERO_OK);
    assert_int_equal(evolve_genotype_seed(8, &phenotype, &seeds[1], &err), NERO_OK);
    phenotype.learning.lr *= 2;
    assert_int_equal(evolve_genotype_seed(7, &phenotype, &seeds[2], &err), NERO_OK);
    assert_true(seeds[0] != seeds[1] && seeds[0] != seeds[2] && seeds[1] != seeds[2]);
    genotype_fini(&genotype);
    phenotype_fini(&phenotype);
    evolve_proposal_fini(&proposal);
    evolve_fixture_close(&fixture);
}

/* Another seed or lineage is another search; the training seeds of a generation all differ. */
static void test_propose__seeds_tell_apart(void **state)
{
    struct evolve_fixture fixture;
    struct nero_err err = {0};
    struct evolve_proposal a;
    struct evolve_proposal b;
    struct hash none = {0};

    (void)state;
    evolve_fixture_open(&fixture, "demo.yaml", 1);
    assert_int_equal(evolve_propose(&fixture.run, 0, 0, NULL, none, NULL, &a, &err), NERO_OK);
    assert_int_equal(evolve_propose(&fixture.run, 1, 0, NULL, none, NULL, &b, &err), NERO_OK);
    assert_true(hash_equal(&a.generation.prev, &fixture.run.record_hash));
    assert_true(a.generation.split_seed != b.generation.split_seed);
    assert_false(
        bytes_view_equal(a.generation.members[0].genotype, b.generation.members[0].genotype));
    for (uint32_t i = 0; i < 4; i++) {
        assert_true(evolve_training_seed(1, 0, 0, i) != evolve_training_seed(1, 1, 0, i));
        assert_true(evolve_training_seed(1, 0, 0, i) != evolve_training_seed(1, 0, 1, i));
        assert_true(evolve_training_seed(1, 0, 0, i) != evolve_training_seed(1, 0, 0, i + 1));
    }
    evolve_proposal_fini(&a);
    evolve_proposal_fini(&b);
    evolve_fixture_close(&fixture);
}

static int compare_seeds(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/* No list that ends: the seeds of all lineages that a run can have differ (Fast-DENSER 10). */
static void test_propose__any_number_of_lineages_has_seeds(void **state)
{
    static uint64_t seeds[2 * RUN_LINEAGES_MAX];

    (void)state;
    for (uint32_t i = 0; i < RUN_LINEAGES_MAX; i++) {
        seeds[2 * i] = evolve_split_seed(1, i);
        seeds[2 * i + 1] = evolve_training_seed(1, i, 0, 0);
    }
    qsort(seeds, 2 * RUN_LINEAGES_MAX, sizeof *seeds, compare_seeds);
    for (uint32_t i = 1; i < 2 * RUN_LINEAGES_MAX; i++) {
        assert_true(seeds[i - 1] != seeds[i]);
    }
}

/*
 * A job is some hundred bytes: the data set by its hash (Fast-DENSER 14), a numeric class where the
 * run asks for one, and no device (Fast-DENSER 11).
 */
static void test_propose__a_job_names_its_data_set_and_no_device(void **state)
{
    struct evolve_fixture fixture;
    struct evolve_proposal proposal;
    struct job_spec spec;
    struct nero_err err = {0};
    struct hash none = {0};

    (void)state;
    evolve_fixture_open(&fixture, "paper.yaml", 1);
    fixture.preset.record.protocol.dataset = hash_of(bytes_view_str("images"));
    assert_int_equal(evolve_propose(&fixture.run, 0, 0, NULL, none, NULL, &proposal, &err),
                     NERO_OK);
    assert_in_range(proposal.specs[0].bytes, 100, 8192);
    assert_int_equal(job_spec_decode(bytes_as_view(&proposal.specs[0]), &spec, &err), NERO_OK);
    assert_true(hash_equal(&spec.protocol.dataset, &fixture.preset.record.protocol.dataset));
    assert_string_equal(spec.numeric_class, "");
    job_spec_fini(&spec);
    evolve_proposal_fini(&proposal);
    evolve_fixture_close(&fixture);
}

/* A closed generation 0 of one lineage whose member 0 is selected. */
static void first_generation(const struct evolve_fixture *fixture, struct history *history)
{
    memset(history, 0, sizeof *history);
    generation_init(&history->last);
    step(fixture, 0, history);
    history->parent.has_state = true;
    history->has_parent = true;
}

static struct job_spec propose_one(const struct evolve_fixture *fixture,
                                   const struct history *history, uint32_t slot,
                                   struct evolve_proposal *proposal)
{
    struct nero_err err = {0};
    struct job_spec spec;

    assert_int_equal(evolve_propose(&fixture->run, 0, 1, &history->last, history->last_hash,
                                    history->has_parent ? &history->parent : NULL, proposal, &err),
                     NERO_OK);
    assert_int_equal(job_spec_decode(bytes_as_view(&proposal->specs[slot]), &spec, &err), NERO_OK);
    return spec;
}

/*
 * Train longer: one default budget more, from the parent's state; without a state the same budget
 * from scratch; at the cap the operator is ignored. Parent: its own budget, fresh seed.
 */
static void test_propose__train_longer_and_parent(void **state)
{
    struct evolve_fixture fixture;
    struct evolve_proposal proposal;
    struct history history;
    struct job_spec spec;

    (void)state;
    evolve_fixture_open(&fixture, "smoke.yaml", 3);
    fixture.preset.record.search.rates.train_longer = 1.0;
    first_generation(&fixture, &history);

    spec = propose_one(&fixture, &history, 0, &proposal);
    assert_int_equal(spec.kind, JOB_TRAIN);
    assert_int_equal(spec.budget.amount, 3);
    assert_true(spec.seed == evolve_training_seed(3, 0, 1, 0));
    assert_true(bytes_view_equal(proposal.generation.members[0].genotype,
                                 history.last.members[history.last.selected].genotype));
    job_spec_fini(&spec);
    evolve_proposal_fini(&proposal);

    spec = propose_one(&fixture, &history, 1, &proposal);
    assert_int_equal(spec.kind, JOB_EXTEND);
    assert_int_equal(spec.budget.amount, 6);
    assert_true(hash_equal(&spec.continue_from, &history.parent.state));
    assert_true(bytes_view_equal(proposal.generation.members[0].genotype,
                                 proposal.generation.members[1].genotype));
    job_spec_fini(&spec);
    evolve_proposal_fini(&proposal);

    history.parent.has_state = false;
    spec = propose_one(&fixture, &history, 1, &proposal);
    assert_int_equal(spec.kind, JOB_TRAIN);
    assert_int_equal(spec.budget.amount, 6);
    job_spec_fini(&spec);
    evolve_proposal_fini(&proposal);

    history.has_parent = false; /* failed: never continued (Fast-DENSER 7) */
    spec = propose_one(&fixture, &history, 1, &proposal);
    assert_int_equal(spec.kind, JOB_TRAIN);
    assert_int_equal(spec.budget.amount, 6);
    job_spec_fini(&spec);
    evolve_proposal_fini(&proposal);
    history.has_parent = true;

    history.last.members[history.last.selected].budget.amount = 6;
    history.parent.has_state = true;
    spec = propose_one(&fixture, &history, 1, &proposal);
    assert_int_equal(spec.kind, JOB_TRAIN);
    assert_int_equal(spec.budget.amount, 3);
    assert_int_equal(proposal.generation.members[1].events[0].op, GENERATION_TRAIN_LONGER_AT_CAP);
    assert_int_equal(proposal.generation.members[0].budget.amount, 6);
    job_spec_fini(&spec);
    evolve_proposal_fini(&proposal);

    history_fini(&history);
    evolve_fixture_close(&fixture);
}

/* Without re-evaluation the parent's job is named again and its counts are scored by F after the
 * switch. */
static void test_propose__stored_parent_is_rescored(void **state)
{
    struct evolve_evaluation evaluations[3] = {0};
    struct result_outcome outcomes[3];
    struct evolve_fixture fixture;
    struct evolve_proposal proposal;
    struct generation evaluated;
    struct history history;
    struct nero_err err = {0};
    const struct generation_member *former;

    (void)state;
    evolve_fixture_open(&fixture, "smoke.yaml", 3);
    fixture.preset.record.search.reevaluate_parent = false;
    first_generation(&fixture, &history);
    former = &history.last.members[history.last.selected];
    assert_true(history.last.next_robust && !history.last.robust);
    assert_int_equal(evolve_propose(&fixture.run, 0, 1, &history.last, history.last_hash,
                                    &history.parent, &proposal, &err),
                     NERO_OK);
    assert_int_equal(proposal.specs[0].bytes, 0);
    assert_true(proposal.generation.robust);
    assert_true(hash_equal(&proposal.generation.members[0].job, &former->job));
    for (uint32_t i = 0; i < 3; i++) {
        outcomes[i] = evolve_fake_outcome(proposal.generation.members[i].job, 80);
        outcomes[i].ill = RESULT_WELL;
        outcomes[i].correct = 40;
        outcomes[i].kept = 10;
        evaluations[i].outcome = &outcomes[i];
    }
    assert_int_equal(evolve_evaluate(&fixture.run, &proposal.generation, history.last_hash,
                                     evaluations, &evaluated, &err),
                     NERO_OK);
    assert_true(evaluated.members[0].fitness == result_fitness(0.5, 0.25, 4.0));
    generation_fini(&evaluated);
    evolve_proposal_fini(&proposal);
    history_fini(&history);
    evolve_fixture_close(&fixture);
}

static void expect_invalid(const struct evolve_fixture *fixture, const char *says)
{
    struct nero_err err = {0};
    struct evolve_proposal proposal;
    struct hash none = {0};

    assert_int_equal(evolve_propose(&fixture->run, 0, 0, NULL, none, NULL, &proposal, &err),
                     NERO_OK);
    for (uint32_t i = 0; i < proposal.generation.member_count; i++) {
        assert_false(proposal.generation.members[i].has_job);
        assert_int_equal(proposal.specs[i].bytes, 0);
        assert_non_null(strstr(proposal.generation.members[i].text, says));
    }
    evolve_proposal_fini(&proposal);
}

static void test_propose__limits_make_members_invalid(void **state)
{
    struct evolve_fixture fixture;
    struct job_protocol *protocol = &fixture.preset.record.protocol;
    struct job_protocol good;

    (void)state;
    evolve_fixture_open(&fixture, "smoke.yaml", 3);
    good = *protocol;
    protocol->max_parameters = 1;
    expect_invalid(&fixture, "parameters");
    *protocol = good;
    protocol->max_macs = 1;
    expect_invalid(&fixture, "multiply-adds");
    *protocol = good;
    protocol->max_plan_bytes = 1;
    expect_invalid(&fixture, "plan bytes");
    *protocol = good;
    protocol->train_count = 15;
    expect_invalid(&fixture, "batch size: 16");
    evolve_fixture_close(&fixture);
}

/* Members of the first generations of some seeds that stand as invalid. */
static uint32_t count_invalid(struct evolve_fixture *fixture, uint32_t redraws)
{
    uint32_t invalid = 0;

    fixture->preset.record.search.redraws = redraws;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct nero_err err = {0};
        struct evolve_proposal proposal;
        struct hash none = {0};

        fixture->preset.record.seed = seed;
        assert_int_equal(evolve_propose(&fixture->run, 0, 0, NULL, none, NULL, &proposal, &err),
                         NERO_OK);
        for (uint32_t i = 0; i < proposal.generation.member_count; i++) {
            invalid += !proposal.generation.members[i].has_job;
        }
        evolve_proposal_fini(&proposal);
    }
    return invalid;
}

/* A tight limit turns most random individuals away; redraws find admissible ones all the same. */
static void test_propose__inadmissible_candidates_are_drawn_again(void **state)
{
    struct evolve_fixture fixture;
    uint32_t without;
    uint32_t with;

    (void)state;
    evolve_fixture_open(&fixture, "demo.yaml", 1);
    without = count_invalid(&fixture, 0);
    with = count_invalid(&fixture, RUN_REDRAWS_MAX);
    assert_true(without > 20); /* of 80 */
    assert_int_equal(with, 0);
    assert_int_equal(count_invalid(&fixture, 0), without);
    evolve_fixture_close(&fixture);
}

/* Only what the phenotype is makes it invalid: a failing machine is an error (Fast-DENSER 13). */
static void test_propose__allocation_failures_travel_up(void **state)
{
    struct evolve_fixture fixture;
    struct hash none = {0};
    long fired = 0;

    (void)state;
    evolve_fixture_open(&fixture, "smoke.yaml", 3);
    for (long skip = 0;; skip++) {
        struct evolve_proposal proposal;
        struct nero_err err = {0};
        enum nero_status status;

        (void)mem_fail_plan(skip, 1);
        status = evolve_propose(&fixture.run, 0, 0, NULL, none, NULL, &proposal, &err);
        if (mem_fail_plan(0, 0) == 0) {
            assert_int_equal(status, NERO_OK);
            evolve_proposal_fini(&proposal);
            break;
        }
        fired++;
        assert_int_equal(status, NERO_NO_MEMORY);
    }
    assert_true(fired > 20);
    evolve_fixture_close(&fixture);
}

/* Records that do not follow each other, outcomes of other jobs and impossible counts are refused.
 */
static void test_propose__refuses_what_does_not_fit(void **state)
{
    struct evolve_evaluation evaluations[2] = {0};
    struct result_outcome outcomes[2];
    struct evolve_fixture fixture;
    struct evolve_proposal proposal;
    struct generation out;
    struct nero_err err = {0};
    struct hash none = {0};

    (void)state;
    evolve_fixture_open(&fixture, "smoke.yaml", 3);
    assert_int_equal(evolve_propose(&fixture.run, 0, 1, NULL, none, NULL, &proposal, &err),
                     NERO_INVALID);
    assert_int_equal(evolve_propose(&fixture.run, 0, 0, NULL, none, NULL, &proposal, &err),
                     NERO_OK);
    assert_int_equal(
        evolve_propose(&fixture.run, 0, 1, &proposal.generation, none, NULL, NULL, &err),
        NERO_INVALID);
    assert_int_equal(evolve_close(&fixture.run, &proposal.generation, none, NULL, NULL, &out, &err),
                     NERO_INVALID);
    for (uint32_t i = 0; i < 2; i++) {
        outcomes[i] = evolve_fake_outcome(proposal.generation.members[i].job, 80);
        evaluations[i].outcome = &outcomes[i];
    }
    outcomes[1].job = none;
    assert_int_equal(
        evolve_evaluate(&fixture.run, &proposal.generation, none, evaluations, &out, &err),
        NERO_INVALID);
    outcomes[1].job = proposal.generation.members[1].job;
    outcomes[1].kept = outcomes[1].correct + 1;
    assert_int_equal(
        evolve_evaluate(&fixture.run, &proposal.generation, none, evaluations, &out, &err),
        NERO_INVALID);
    assert_non_null(strstr(err.message, "slot 1"));
    evolve_proposal_fini(&proposal);
    evolve_fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_propose__same_inputs_give_equal_records),
        cmocka_unit_test(test_propose__random_search_trains_as_often),
        cmocka_unit_test(test_propose__seed_policy_decides_what_is_reused),
        cmocka_unit_test(test_propose__genotype_seeds_follow_the_phenotype),
        cmocka_unit_test(test_propose__seeds_tell_apart),
        cmocka_unit_test(test_propose__any_number_of_lineages_has_seeds),
        cmocka_unit_test(test_propose__a_job_names_its_data_set_and_no_device),
        cmocka_unit_test(test_propose__train_longer_and_parent),
        cmocka_unit_test(test_propose__stored_parent_is_rescored),
        cmocka_unit_test(test_propose__limits_make_members_invalid),
        cmocka_unit_test(test_propose__inadmissible_candidates_are_drawn_again),
        cmocka_unit_test(test_propose__allocation_failures_travel_up),
        cmocka_unit_test(test_propose__refuses_what_does_not_fit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
