/* Time and randomness of the simulation; see sim_thread.c. */
#ifndef NERO_TESTS_SIM_THREAD_H
#define NERO_TESTS_SIM_THREAD_H

#include <stdint.h>

#define SIM_THREAD_EPOCH_MS INT64_C(1800000000000) /* wall clock at virtual time 0 */

enum { SIM_THREAD_YIELD_PERCENT = 25 /* of entries into a monitor */ };

/* From here on libsodium draws from this seed. */
void sim_thread_seed(uint64_t seed);

#endif
