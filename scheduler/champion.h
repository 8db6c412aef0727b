/*
 * The champion of a run: the fittest member over all robust-phase generations and lineages (ties:
 * the lower lineage, as the records order the rest), and the score job that measures it on the test
 * images. Everything is read from closed generation records.
 */
#ifndef NERO_CHAMPION_H
#define NERO_CHAMPION_H

#include <stdbool.h>

#include "evolve/evolve.h"
#include "generation_store.h"

/* Found champion; `closed` is the record of its generation (owned: champion_fini). */
struct champion {
    bool found; /* false: no generation was scored with F */
    uint32_t lineage;
    uint32_t member;
    double fitness;
    struct generation_stored closed;
};

/* closed_count[l]: closed generations of lineage l. */
enum nero_status champion_find(struct storage *store, struct trust *trust,
                               const uint32_t *closed_count, uint32_t lineage_count,
                               struct champion *out, struct nero_err *err);
void champion_fini(struct champion *champion);

/*
 * The spec of the score job: the champion's phenotype and scored weights, the run's protocol on all
 * test images. Pure: scheduler and auditor get the same bytes.
 */
enum nero_status champion_score_spec(const struct evolve_run *run, const struct champion *champion,
                                     const struct result_outcome *outcome, struct bytes *out,
                                     struct nero_err *err);

#endif
