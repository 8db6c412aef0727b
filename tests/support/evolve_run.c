#include "tests/support/evolve_run.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SLOTS = 1000 }; /* of a generation, in trials */

void evolve_fixture_open(struct evolve_fixture *fixture, const char *file, uint64_t seed)
{
    struct nero_err err = {0};
    char path[1024];

    memset(fixture, 0, sizeof *fixture);
    (void)snprintf(path, sizeof path, "%s/presets/%s", NERO_SOURCE_DIR, file);
    if (preset_load(path, NULL, 0, &fixture->preset, &err) != NERO_OK ||
        grammar_parse(file, bytes_as_view(&fixture->preset.grammar), &fixture->grammar, &err) !=
            NERO_OK) {
        (void)fprintf(stderr, "%s\n", err.message);
        abort();
    }
    (void)snprintf(fixture->preset.record.name, sizeof fixture->preset.record.name, "test");
    fixture->preset.record.seed = seed;
    fixture->run = (struct evolve_run){.record = &fixture->preset.record,
                                       .record_hash = hash_of(bytes_view_str("run record")),
                                       .grammar = &fixture->grammar,
                                       .channels = 3,
                                       .height = 32,
                                       .width = 32,
                                       .classes = 10};
    if (evolve_check(&fixture->run, &err) != NERO_OK) {
        (void)fprintf(stderr, "%s\n", err.message);
        abort();
    }
}

void evolve_fixture_close(struct evolve_fixture *fixture)
{
    grammar_fini(&fixture->grammar);
    preset_fini(&fixture->preset);
}

void mutant_make(const struct evolve_fixture *fixture, const struct genotype *parent,
                 uint64_t budget, uint32_t trial, struct mutant *out)
{
    struct nero_err err = {0};

    if (evolve_mutate(&fixture->run, parent, budget, 0, trial / SLOTS, trial % SLOTS,
                      &out->genotype, &out->longer, &out->events, &out->event_count,
                      &err) != NERO_OK) {
        (void)fprintf(stderr, "trial %u: %s\n", (unsigned)trial, err.message);
        abort();
    }
}

void mutant_fini(struct mutant *mutant)
{
    genotype_fini(&mutant->genotype);
    free(mutant->events);
}

struct result_outcome evolve_fake_outcome(struct hash job, uint32_t count)
{
    struct result_outcome outcome = {.job = job,
                                     .stop = RESULT_STOP_BUDGET,
                                     .count = count,
                                     .attacked = true,
                                     .has_state = true};

    outcome.ill = job.data[0] % 7 == 0 ? RESULT_ILL_ONE_CLASS : RESULT_WELL;
    outcome.correct = bytes_get_u32le(job.data + 1) % (count + 1);
    outcome.kept =
        outcome.ill == RESULT_WELL ? bytes_get_u32le(job.data + 5) % (outcome.correct + 1) : 0;
    outcome.state = hash_tagged("state", bytes_view_of(job.data, sizeof job.data));
    outcome.weights = hash_tagged("weights", bytes_view_of(job.data, sizeof job.data));
    return outcome;
}

double evolve_chi2_limit(int freedom)
{
    static const double limits[] = {0,     10.83, 13.82, 16.27, 18.47, 20.52, 22.46,
                                    24.32, 26.12, 27.88, 29.59, 31.26, 32.91};

    assert(freedom >= 1 && freedom <= 12);
    return limits[freedom];
}

double evolve_chi2(const long *counts, const double *probabilities, int bins)
{
    double total = 0.0;
    double chi2 = 0.0;

    for (int i = 0; i < bins; i++) {
        total += (double)counts[i];
    }
    for (int i = 0; i < bins; i++) {
        double off = (double)counts[i] - total * probabilities[i];

        chi2 += off * off / (total * probabilities[i]);
    }
    return chi2;
}
