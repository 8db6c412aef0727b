/*
 * The job of a member, as proposals and extensions write it. evolve_propose: evolve.h.
 */
#ifndef NERO_EVOLVE_PROPOSE_H
#define NERO_EVOLVE_PROPOSE_H

#include "evolve/evolve.h"

/*
 * Write the spec of member `slot`, whose budget is set, and name its job in the member. former: the
 * outcome whose training goes on; NULL, or without a training state: from scratch. Owns: takes
 * *phenotype.
 */
enum nero_status propose_spec(const struct evolve_run *run, struct generation *generation,
                              uint32_t slot, const struct result_outcome *former,
                              struct phenotype *phenotype, struct bytes *out, struct nero_err *err);

#endif
