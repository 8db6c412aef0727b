/*
 * A run for tests of the search: a shipped preset, its grammar, CIFAR's shape; and outcomes made up
 * from a job's hash, so that whole searches run without training anything.
 */
#ifndef NERO_TESTS_EVOLVE_RUN_H
#define NERO_TESTS_EVOLVE_RUN_H

#include "evolve/evolve.h"
#include "preset.h"

struct evolve_fixture {
    struct preset preset;
    struct grammar grammar;
    struct evolve_run run;
};

/* `file` is below presets/; ends the test program on failure. */
void evolve_fixture_open(struct evolve_fixture *fixture, const char *file, uint64_t seed);
void evolve_fixture_close(struct evolve_fixture *fixture);

/* A child of `parent`, of generation and slot by its trial; ends the test program on failure. */
struct mutant {
    struct genotype genotype;
    bool longer;
    struct generation_event *events;
    uint32_t event_count;
};
void mutant_make(const struct evolve_fixture *fixture, const struct genotype *parent,
                 uint64_t budget, uint32_t trial, struct mutant *out);
void mutant_fini(struct mutant *mutant);

/* A plausible outcome of `job`; every seventh or so is ill-fitted. Pure. */
struct result_outcome evolve_fake_outcome(struct hash job, uint32_t count);

/* Upper 0.001 quantile of chi-square for 1 to 12 degrees of freedom. */
double evolve_chi2_limit(int freedom);

/* Chi-square of counts against probabilities that sum to 1. */
double evolve_chi2(const long *counts, const double *probabilities, int bins);

#endif
