/*
 * The champion of a run: the fittest member over all robust-phase generations and lineages (ties:
 * the lower lineage, as the records order the rest), and the score job that measures it on the test
 * images. Beside it, never instead of it: the best of the warm-up, whose fitness is another
 * formula, and any other candidate. Everything is read from closed generation records.
 */
#ifndef NERO_CHAMPION_H
#define NERO_CHAMPION_H

#include <stdbool.h>

#include "evolve/evolve.h"
#include "generation_store.h"

/* A found member; `closed` is the record of its generation (owned: champion_fini). */
struct champion {
    bool found; /* false: there is none, as where no generation was scored with F */
    uint32_t lineage;
    uint32_t member;
    double fitness; /* as recorded: F, or C of a warm-up generation */
    struct generation_stored closed;
};

/* closed_count[l]: closed generations of lineage l. */
enum nero_status champion_find(struct storage *store, struct trust *trust,
                               const uint32_t *closed_count, uint32_t lineage_count,
                               struct champion *out, struct nero_err *err);
void champion_fini(struct champion *champion);

/*
 * The best of the warm-up: the selected member with the highest C over all generations before the
 * robust phase; ties as for the champion. Its fitness compares with no champion's: it is kept apart
 * (specs/evolution.md a), and reset by nothing.
 */
enum nero_status champion_find_warmup(struct storage *store, struct trust *trust,
                                      const uint32_t *closed_count, uint32_t lineage_count,
                                      struct champion *out, struct nero_err *err);

/* Where a candidate stands. */
struct champion_place {
    uint32_t lineage, generation, member;
};

/*
 * Any candidate that was trained and evaluated. Errors: not_found, saying whether lineage,
 * generation, member or its evaluation is not there.
 */
enum nero_status champion_take(struct storage *store, struct trust *trust,
                               const uint32_t *closed_count, uint32_t lineage_count,
                               const struct champion_place *place, struct champion *out,
                               struct nero_err *err);

/*
 * The spec of the score job: the champion's phenotype and scored weights, the run's protocol on all
 * test images. Pure: scheduler and auditor get the same bytes.
 */
enum nero_status champion_score_spec(const struct evolve_run *run, const struct champion *champion,
                                     const struct result_outcome *outcome, struct bytes *out,
                                     struct nero_err *err);

#endif
