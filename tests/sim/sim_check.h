/* What must hold when a simulation has ended; each violation is sim_trace_broken. */
#ifndef NERO_TESTS_SIM_CHECK_H
#define NERO_TESTS_SIM_CHECK_H

#include <stdbool.h>
#include <stdint.h>

#include "nero/hash.h"

/* Hash over the generation records of a run, but what binds them to slots: its decisions. */
struct hash sim_check_decisions(const char *run);

struct sim_check_wanted {
    const struct hash *decisions; /* of the undisturbed run; NULL: this is the undisturbed one */
    bool exact;                   /* no unit may have been done that the jobs did not need */
    bool audit;                   /* nor may an audit find anything */
};
void sim_check(const char *run, const struct sim_check_wanted *wanted);

#endif
