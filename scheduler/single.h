/*
 * A run of one evaluation (RUN_SINGLE), made of a search's preset and a genotype: what `submit
 * --genotype` and `evaluate` put into a run record.
 */
#ifndef NERO_SINGLE_H
#define NERO_SINGLE_H

#include <stdbool.h>

#include "nero/genotype.h"
#include "nero/storage.h"

#include "preset.h"

struct single_options {
    const struct genotype *genotype;
    const char *budget; /* "epochs:8"; NULL: the preset's */
    uint64_t seed;      /* of the training */
    bool test;          /* score all test images instead of the fitness part */
};

/*
 * Make preset->record that of one evaluation. job: cleared, then the job record's bytes, which the
 * record refers to from then on. dataset: the one that the preset names. The split is that of
 * lineage 0 of a search with the record's seed. Errors: invalid (genotype, budget), too_big.
 */
enum nero_status single_prepare(const struct run_dataset *dataset, struct preset *preset,
                                const struct single_options *options, struct bytes *job,
                                struct nero_err *err);

#endif
