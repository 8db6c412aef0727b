/*
 * What happened in a simulation, an event a line: virtual time, process, what. Always hashed, so
 * that two runs of one seed can be compared; printed on request.
 */
#ifndef NERO_TESTS_SIM_TRACE_H
#define NERO_TESTS_SIM_TRACE_H

#include <stdbool.h>
#include <stdint.h>

void sim_trace_print(bool print);
void sim_trace(const char *format, ...) __attribute__((format(printf, 1, 2)));
uint64_t sim_trace_hash(void);

/* Something that must not be: traced, and kept as the run's verdict (the first one is). */
void sim_trace_broken(const char *format, ...) __attribute__((format(printf, 1, 2)));
const char *sim_trace_verdict(void); /* "": nothing is broken */

#endif
