/*
 * Goal: a search starts from a given architecture: it, mutants of it, each with a learning unit of
 * its own; the shipped architecture is the NSGA-Net network. Method: the shipped presets; seeds
 * damaged by hand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "evolve/connect.h"
#include "evolve/seed.h"
#include "nero/graph.h"
#include "nero/mem.h"
#include "tests/support/evolve_run.h"

enum { NSGA_PARAMETERS = 3337482, NSGA_MACS = 1290402560 };

static void propose(const struct evolve_fixture *fixture, uint32_t lineage,
                    struct evolve_proposal *out)
{
    struct nero_err err = {0};
    struct hash none = {0};

    if (evolve_propose(&fixture->run, lineage, 0, NULL, none, NULL, out, &err) != NERO_OK) {
        fail_msg("%s", err.message);
    }
}

static void decode_seed(const struct evolve_fixture *fixture, struct genotype *out)
{
    struct nero_err err = {0};

    assert_int_equal(genotype_decode(fixture->run.record->search.seed_genotype, out, &err),
                     NERO_OK);
}

/* The published size, and nothing to repair: six units do not read their predecessor. */
static void test_seed__nsga_net_has_its_published_size(void **state)
{
    struct evolve_fixture fixture;
    struct genotype genotype;
    struct phenotype phenotype;
    struct nero_err err = {0};
    struct graph graph;
    int skipping = 0;

    (void)state;
    evolve_fixture_open(&fixture, "nsga-net.yaml", 1);
    assert_int_equal(seed_check(&fixture.run, &err), NERO_OK);
    decode_seed(&fixture, &genotype);
    assert_int_equal(evolve_decode(&fixture.run, &genotype, &phenotype, &err), NERO_OK);
    assert_int_equal(graph_build(&phenotype, &graph, &err), NERO_OK);
    assert_int_equal(graph.trained_count, NSGA_PARAMETERS);
    assert_int_equal(graph.macs, NSGA_MACS);
    assert_int_equal(genotype.modules[1].unit_count, 20);
    for (uint32_t u = 0; u < 20; u++) {
        const struct genotype_unit *unit = &genotype.modules[1].units[u];

        assert_false(connect_is_dead_end(&genotype.modules[1], u));
        skipping += unit->inputs[unit->input_count - 1] != (int32_t)u - 1;
    }
    assert_int_equal(skipping, 6);
    graph_fini(&graph);
    phenotype_fini(&phenotype);
    genotype_fini(&genotype);
    evolve_fixture_close(&fixture);
}

/* Equal but for the learning gene? */
static bool same_architecture(struct bytes_view a, const struct genotype *seed)
{
    struct genotype other;
    struct genotype copy;
    struct nero_err err = {0};
    struct bytes one;
    struct bytes two;
    uint32_t rules;
    bool same;

    assert_int_equal(genotype_decode(a, &other, &err), NERO_OK);
    assert_int_equal(genotype_copy(seed, &copy, &err), NERO_OK);
    /* The learning gene comes last in the pool: leave it out of both. */
    rules = other.genes[other.learning_gene].rule_count;
    other.genes[other.learning_gene].rule_count = 0;
    copy.genes[copy.learning_gene].rule_count = 0;
    bytes_init(&one, GENOTYPE_BYTES_MAX);
    bytes_init(&two, GENOTYPE_BYTES_MAX);
    assert_int_equal(genotype_encode(&other, &one, &err), NERO_OK);
    assert_int_equal(genotype_encode(&copy, &two, &err), NERO_OK);
    same = bytes_view_equal(bytes_as_view(&one), bytes_as_view(&two));
    bytes_fini(&one);
    bytes_fini(&two);
    other.genes[other.learning_gene].rule_count = rules; /* all are freed */
    copy.genes[copy.learning_gene].rule_count = seed->genes[seed->learning_gene].rule_count;
    genotype_fini(&other);
    genotype_fini(&copy);
    return same;
}

/* lambda individuals: the seed, and mutants that say what changed. No learning unit twice. */
static void test_seed__generation_zero_is_the_seed_and_its_mutants(void **state)
{
    struct evolve_fixture fixture;
    struct evolve_proposal proposal;
    struct evolve_proposal again;
    struct genotype seed;

    (void)state;
    evolve_fixture_open(&fixture, "paper.yaml", 5);
    decode_seed(&fixture, &seed);
    propose(&fixture, 0, &proposal);
    propose(&fixture, 0, &again);
    assert_int_equal(proposal.generation.member_count, 4);
    for (uint32_t i = 0; i < 4; i++) {
        const struct generation_member *member = &proposal.generation.members[i];

        assert_int_equal(member->origin, i == 0 ? GENERATION_SEED : GENERATION_MUTANT);
        assert_true(bytes_view_equal(member->genotype, again.generation.members[i].genotype));
        assert_int_equal(member->budget.amount, 600);
        for (uint32_t e = 0; e < member->event_count; e++) {
            assert_true(member->events[e].op != GENERATION_TRAIN_LONGER);
            assert_string_not_equal(member->events[e].module, "learning");
        }
        for (uint32_t j = 0; j < i; j++) {
            assert_false(
                bytes_view_equal(member->genotype, proposal.generation.members[j].genotype));
        }
    }
    assert_int_equal(proposal.generation.members[0].event_count, 0);
    assert_true(same_architecture(proposal.generation.members[0].genotype, &seed));
    assert_true(proposal.generation.members[1].event_count > 0);
    assert_false(same_architecture(proposal.generation.members[1].genotype, &seed));
    evolve_proposal_fini(&proposal);
    evolve_proposal_fini(&again);
    genotype_fini(&seed);
    evolve_fixture_close(&fixture);
}

/* Over seeds and lineages the learning units are as varied as the grammar's. */
static void test_seed__learning_units_are_drawn(void **state)
{
    struct evolve_fixture fixture;
    uint32_t kinds[4] = {0};

    (void)state;
    evolve_fixture_open(&fixture, "nsga-net.yaml", 9);
    for (uint32_t lineage = 0; lineage < 30; lineage++) {
        struct evolve_proposal proposal;

        propose(&fixture, lineage, &proposal);
        for (uint32_t i = 0; i < proposal.generation.member_count; i++) {
            struct nero_err err = {0};
            struct job_spec spec;

            if (proposal.specs[i].bytes == 0) {
                continue; /* a mutant that cannot be built */
            }
            assert_int_equal(job_spec_decode(bytes_as_view(&proposal.specs[i]), &spec, &err),
                             NERO_OK);
            assert_int_equal(spec.kind, JOB_TRAIN);
            kinds[spec.phenotype.learning.optimiser]++;
            job_spec_fini(&spec);
        }
        evolve_proposal_fini(&proposal);
    }
    assert_true(kinds[1] > 20 && kinds[2] > 20 && kinds[3] > 20);
    evolve_fixture_close(&fixture);
}

/* search.seed_learning: the seed as it is, learning unit and all, and mutants in which that may
 * mutate, too. */
static void test_seed__learning_unit_may_be_the_seeds(void **state)
{
    struct evolve_fixture fixture;
    struct bytes_view seed;
    uint32_t mutated = 0;

    (void)state;
    evolve_fixture_open(&fixture, "nsga-net.yaml", 9);
    fixture.preset.record.search.seed_learning = RUN_LEARNING_SEED;
    seed = fixture.preset.record.search.seed_genotype;
    for (uint32_t lineage = 0; lineage < 30; lineage++) {
        struct evolve_proposal proposal;

        propose(&fixture, lineage, &proposal);
        assert_true(bytes_view_equal(proposal.generation.members[0].genotype, seed));
        for (uint32_t i = 1; i < proposal.generation.member_count; i++) {
            const struct generation_member *member = &proposal.generation.members[i];

            for (uint32_t e = 0; e < member->event_count; e++) {
                assert_true(member->events[e].op != GENERATION_TRAIN_LONGER);
                mutated += strcmp(member->events[e].module, "learning") == 0;
            }
        }
        evolve_proposal_fini(&proposal);
    }
    assert_true(mutated > 10 && mutated < 50); /* of 90, at 0.30 each */
    evolve_fixture_close(&fixture);
}

/* A random search has no seed; neither has a preset that clears the key. */
static void test_seed__only_an_evolution_is_seeded(void **state)
{
    struct evolve_fixture fixture;
    struct evolve_proposal proposal;

    (void)state;
    evolve_fixture_open(&fixture, "nsga-net.yaml", 9);
    fixture.preset.record.strategy = RUN_RANDOM;
    assert_false(seed_given(&fixture.run));
    propose(&fixture, 0, &proposal);
    assert_int_equal(proposal.generation.members[0].origin, GENERATION_RANDOM);
    evolve_proposal_fini(&proposal);
    evolve_fixture_close(&fixture);
}

static void refuse(struct evolve_fixture *fixture, const struct genotype *genotype,
                   const char *says)
{
    struct nero_err err = {0};
    struct bytes bytes;

    bytes_init(&bytes, GENOTYPE_BYTES_MAX);
    assert_int_equal(genotype_encode(genotype, &bytes, &err), NERO_OK);
    fixture->preset.record.search.seed_genotype = bytes_as_view(&bytes);
    assert_int_equal(evolve_check(&fixture->run, &err), NERO_INVALID);
    if (strstr(err.message, says) == NULL) {
        fail_msg("%s", err.message);
    }
    fixture->preset.record.search.seed_genotype = bytes_as_view(&fixture->preset.seed_genotype);
    bytes_fini(&bytes);
}

/* Out of reach, a dead end, a foreign codon: refused when the run is made, with the place. */
static void test_seed__bad_seeds_are_refused(void **state)
{
    struct evolve_fixture fixture;
    struct genotype seed;
    struct genotype_unit *units;

    (void)state;
    evolve_fixture_open(&fixture, "nsga-net.yaml", 1);
    decode_seed(&fixture, &seed);
    units = seed.modules[1].units;
    units[12].inputs[0] = 6; /* reaches back 6 */
    refuse(&fixture, &seed, "features, unit 12");
    units[12].inputs[0] = 7;
    units[7].inputs[0] = 5; /* nobody reads 6 but 8 and 9 */
    units[8].inputs[0] = 5;
    units[9].inputs[0] = 5;
    refuse(&fixture, &seed, "features, unit 6: nobody reads it");
    units[7].inputs[0] = units[8].inputs[0] = units[9].inputs[0] = 6;
    seed.genes[0].rules[0].codons[0].alternative = 7;
    refuse(&fixture, &seed, "gene 0, of <stem>");
    genotype_fini(&seed);
    evolve_fixture_close(&fixture);
}

static void test_seed__allocation_failures_travel_up(void **state)
{
    struct evolve_fixture fixture;

    (void)state;
    evolve_fixture_open(&fixture, "nsga-net.yaml", 1);
    for (long skip = 0;; skip += 7) {
        struct generation_event *events = NULL;
        struct nero_err err = {0};
        struct genotype genotype;
        uint32_t count;
        enum nero_status status;

        (void)mem_fail_plan(skip, 1);
        status = seed_individual(&fixture.run, 0, 1, true, &genotype, &events, &count, &err);
        if (mem_fail_plan(0, 0) == 0) {
            assert_int_equal(status, NERO_OK);
            genotype_fini(&genotype);
            free(events);
            break;
        }
        assert_int_equal(status, NERO_NO_MEMORY);
    }
    evolve_fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_seed__nsga_net_has_its_published_size),
        cmocka_unit_test(test_seed__generation_zero_is_the_seed_and_its_mutants),
        cmocka_unit_test(test_seed__learning_units_are_drawn),
        cmocka_unit_test(test_seed__learning_unit_may_be_the_seeds),
        cmocka_unit_test(test_seed__only_an_evolution_is_seeded),
        cmocka_unit_test(test_seed__bad_seeds_are_refused),
        cmocka_unit_test(test_seed__allocation_failures_travel_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
