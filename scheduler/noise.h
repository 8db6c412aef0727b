/*
 * Noise of a measurement over repetitions that differ in their seed alone.
 */
#ifndef NERO_NOISE_H
#define NERO_NOISE_H

#include <stdint.h>

struct noise {
    double mean;
    double deviation; /* of the sample, n - 1; 0 for one value */
    double low, high; /* 95 % interval of the mean by Student's t; the mean itself for one value */
};

/* count: 1 or more. */
struct noise noise_of(const double *values, uint32_t count);

/* Two-sided 95 % quantile of Student's t; freedom: 1 or more. */
double noise_t95(uint32_t freedom);

#endif
