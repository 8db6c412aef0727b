/*
 * The stand-in for the engine: trainer.h's functions, linked in front of the real ones. A training
 * is a hash chain, one link a unit: any unit lost, done twice, or done from another state than its
 * predecessor's gives another outcome. All else (phases, epochs, counts, blobs) has the shape of a
 * real one. A unit takes virtual time.
 */
#ifndef NERO_TESTS_SIM_TRAINER_H
#define NERO_TESTS_SIM_TRAINER_H

#include "train/trainer.h"

/* The outcome that the job must have, computed without interruption. Call outside fibers. */
void sim_trainer_undisturbed(const struct job_spec *spec, const struct hash *job,
                             struct bytes_view continue_from, struct result_outcome *out,
                             uint64_t *units);

uint64_t sim_trainer_units(void); /* done by all trainers in fibers so far */

#endif
