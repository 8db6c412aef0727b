/*
 * Jobs that fail for a cause of their own: their units end with an error. At most twice each, so
 * that their outcomes stay what they are; or one job, so often that it is given up.
 */
#ifndef NERO_TESTS_SIM_FAILING_H
#define NERO_TESTS_SIM_FAILING_H

#include <stdbool.h>
#include <stdint.h>

#include "nero/hash.h"

/* Until then units fail now and then. */
void sim_failing_until(int64_t until_ns);
/* The next job that does a unit fails until it is given up; once given another chance, no more. */
void sim_failing_for_good(void);

/* Whether the unit of the job that is done now fails. */
bool sim_failing_unit(const struct hash *job);
/* So many units of it have. */
uint32_t sim_failing_count(const struct hash *job);

#endif
