#include "evolve/seed.h"

#include <stdlib.h>
#include <string.h>

#include "evolve/connect.h"
#include "evolve/gene.h"
#include "evolve/individual.h"
#include "nero/rng.h"

bool seed_given(const struct evolve_run *run)
{
    return run->record->strategy == RUN_EVOLVE && run->record->search.seed_genotype.bytes > 0;
}

static enum nero_status check_dead_ends(const struct run_search *search,
                                        const struct genotype *genotype, struct nero_err *err)
{
    for (uint32_t m = 0; m < search->module_count; m++) {
        const struct genotype_module *module = &genotype->modules[m];

        for (uint32_t u = 0; search->modules[m].allow_skip && u < module->unit_count; u++) {
            if (connect_is_dead_end(module, u)) {
                return err_set(err, NERO_INVALID, 0, "module %s, unit %u: nobody reads it",
                               module->name, (unsigned)u);
            }
        }
    }
    return NERO_OK;
}

enum nero_status seed_check(const struct evolve_run *run, struct nero_err *err)
{
    struct genotype genotype;
    enum nero_status status = genotype_decode(run->record->search.seed_genotype, &genotype, err);

    if (status != NERO_OK) {
        return err_wrap(err, "seed genotype");
    }
    status = individual_check(run, &genotype, err);
    if (status == NERO_OK) {
        status = individual_check_genes(run, &genotype, err);
    }
    if (status == NERO_OK) {
        status = check_dead_ends(&run->record->search, &genotype, err);
    }
    genotype_fini(&genotype);
    return status == NERO_OK ? status : err_wrap(err, "seed genotype");
}

static bool draws_learning(const struct evolve_run *run)
{
    return run->record->search.seed_learning == RUN_LEARNING_RANDOM;
}

/* The training of an architecture is no part of it: every individual draws its own. */
static enum nero_status draw_learning(const struct evolve_run *run, uint32_t lineage, uint32_t slot,
                                      struct genotype *genotype, struct nero_err *err)
{
    struct rng_stream stream = rng_stream(run->record->seed, RNG_INITIAL, lineage, 0, slot);
    struct genotype_gene *learning = &genotype->genes[genotype->learning_gene];
    struct genotype_gene fresh;

    if (gene_draw(run->grammar, run->record->search.learning_symbol, &stream, &fresh, err) !=
        NERO_OK) {
        return err->status;
    }
    gene_fini(learning);
    *learning = fresh;
    return genotype_normalise(genotype, err);
}

/* Nothing has been trained yet that could train longer; a learning gene that is drawn anyway is not
 * mutated before. */
static enum nero_status mutate_architecture(const struct evolve_run *run,
                                            const struct genotype *seed, uint32_t lineage,
                                            uint32_t slot, struct genotype *out,
                                            struct generation_event **events, uint32_t *event_count,
                                            struct nero_err *err)
{
    struct run_record record = *run->record;
    struct evolve_run same = *run;
    bool longer;

    record.search.rates.train_longer = 0.0;
    if (draws_learning(run)) {
        record.search.rates.mutate_learning = 0.0;
    }
    same.record = &record;
    return evolve_mutate(&same, seed, record.search.budget.amount, lineage, 0, slot, out, &longer,
                         events, event_count, err);
}

enum nero_status seed_individual(const struct evolve_run *run, uint32_t lineage, uint32_t slot,
                                 bool mutant, struct genotype *out,
                                 struct generation_event **events, uint32_t *event_count,
                                 struct nero_err *err)
{
    struct generation_event *made = NULL;
    uint32_t made_count = 0;
    struct genotype seed;
    struct genotype individual;
    enum nero_status status = genotype_decode(run->record->search.seed_genotype, &seed, err);

    if (status != NERO_OK) {
        return err_wrap(err, "seed genotype");
    }
    if (mutant) {
        status =
            mutate_architecture(run, &seed, lineage, slot, &individual, &made, &made_count, err);
        genotype_fini(&seed);
    } else {
        individual = seed;
    }
    if (status != NERO_OK) {
        return status;
    }
    if (draws_learning(run) && draw_learning(run, lineage, slot, &individual, err) != NERO_OK) {
        genotype_fini(&individual);
        free(made);
        return err_wrap(err, "learning gene");
    }
    *out = individual;
    *events = made;
    *event_count = made_count;
    return NERO_OK;
}
