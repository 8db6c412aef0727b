/*
 * A run opened for reading: trust, record, grammar, data set sizes, closed generations. What every
 * reading subcommand starts from; no Redis, no keys.
 */
#ifndef NERO_RUN_VIEW_H
#define NERO_RUN_VIEW_H

#include <stdbool.h>

#include "nero/result.h"
#include "nero/storage.h"
#include "nero/trust.h"

#include "amendment.h"
#include "evolve/evolve.h"
#include "generation_store.h"
#include "lead.h"
#include "submission.h"

struct run_view {
    struct lead lead; /* store and run only: nothing is led */
    struct trust *trust;
    struct grammar grammar;
    struct evolve_run run;
    struct submission submission;
    struct amendment_list amendments; /* the last end: generations that the run is to have */
    uint32_t lineage_count;
    uint32_t *closed; /* closed generations by lineage; owned */
};

/* root: NULL when the signatures of run record and amendments are not to be checked. */
enum nero_status run_view_open(struct storage *store, const char *run,
                               const struct key_public *root, struct run_view *out,
                               struct nero_err *err);
void run_view_close(struct run_view *view);

/* The closed record of a generation. Owns: *out. */
enum nero_status run_view_generation(struct run_view *view, uint32_t lineage, uint32_t number,
                                     struct generation_stored *out, struct nero_err *err);

/* The result of a job from its chain; not_found while it has none. `member`: of the record that
 * accepted one; NULL: none has. */
enum nero_status run_view_result(struct run_view *view, const struct hash *job,
                                 const struct generation_member *member, struct result *out,
                                 struct nero_err *err);

/* "finished", "open" or "single"; closed and wanted generations over all lineages. */
const char *run_view_standing(const struct run_view *view, uint32_t *closed, uint32_t *wanted);

#endif
