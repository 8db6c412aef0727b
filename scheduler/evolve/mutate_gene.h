/*
 * DSGE mutation of one gene (DESIGN.md, "A mutant").
 */
#ifndef NERO_EVOLVE_MUTATE_GENE_H
#define NERO_EVOLVE_MUTATE_GENE_H

#include "nero/generation.h"
#include "nero/genotype.h"
#include "nero/rng.h"

#include "evolve/grammar.h"

/*
 * Change one codon of a complete gene and complete it again. *fired is false where the chosen codon
 * has nothing to change; else op, what, before and after of *event are filled in.
 * Errors: invalid (not complete), no_memory.
 */
enum nero_status mutate_gene(const struct grammar *grammar, struct genotype_gene *gene,
                             double float_sigma, struct rng_stream *stream,
                             struct generation_event *event, bool *fired, struct nero_err *err);

#endif
