/*
 * Parts of an individual that several operators share. The functions of evolve.h that concern one
 * individual are in individual.c and mutate.c.
 */
#ifndef NERO_EVOLVE_INDIVIDUAL_H
#define NERO_EVOLVE_INDIVIDUAL_H

#include "nero/genotype.h"
#include "nero/rng.h"

#include "evolve/evolve.h"

/* Append a gene to the pool. Owns: *gene taken, on failure too. Errors: no_memory. */
enum nero_status individual_add_gene(struct genotype *genotype, struct genotype_gene *gene,
                                     uint32_t *number, struct nero_err *err);

/* The genotype's modules are the structure's, sizes and connections within its rules. */
enum nero_status individual_check(const struct evolve_run *run, const struct genotype *genotype,
                                  struct nero_err *err);

/* Every gene decodes by itself: to a layer, or to the learning unit. */
enum nero_status individual_check_genes(const struct evolve_run *run,
                                        const struct genotype *genotype, struct nero_err *err);

#endif
