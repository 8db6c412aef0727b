/*
 * The two draws that all operators share. A choice among one takes no block of the stream, so that
 * the written order of draws (DESIGN.md) has no empty steps.
 */
#ifndef NERO_EVOLVE_DRAW_H
#define NERO_EVOLVE_DRAW_H

#include <stdbool.h>
#include <stdint.h>

#include "nero/rng.h"

/* Uniform in [0, count), count > 0. */
static inline uint32_t draw_index(struct rng_stream *stream, uint32_t count)
{
    return count > 1 ? (uint32_t)rng_below(stream, count) : 0;
}

/* Uniform in [low, high]. */
static inline int64_t draw_between(struct rng_stream *stream, int64_t low, int64_t high)
{
    return high > low ? rng_between(stream, low, high) : low;
}

/* True with probability p; never for 0, always for 1. Always takes one block. */
static inline bool draw_chance(struct rng_stream *stream, double p)
{
    return rng_uniform(stream) < p;
}

#endif
