/* What benchmarks make of their repetitions. */
#ifndef NERO_BENCH_STATS_H
#define NERO_BENCH_STATS_H

#include <stdint.h>

enum { BENCH_ROUNDS_MAX = 64 };

/* The median of 1 to BENCH_ROUNDS_MAX values. */
double bench_median(const double *values, uint64_t count);

#endif
