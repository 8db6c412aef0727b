/*
 * Counter-based random numbers: Philox4x32-10 (Salmon et al., SC'11; Random123).
 *
 * There is no hidden generator state. A stream is named by (seed, purpose, lineage, generation,
 * slot); its i-th block of four 32-bit words is a pure function of that name and i. A draw takes
 * one whole block and advances the index, so draws are a sequence that any machine re-derives.
 *
 *   key      = seed (two 32-bit halves, low first)
 *   counter  = { index, generation, lineage << 16 | slot, purpose }
 *
 * Only + - * / and sqrt on doubles are used, and the project is compiled with -ffp-contract=off:
 * the same bits on every machine.
 */
#ifndef NERO_RNG_H
#define NERO_RNG_H

#include <stddef.h>
#include <stdint.h>

/* What a draw is for. Stored runs depend on these numbers: never reuse or renumber one. */
enum rng_purpose {
    RNG_TRAINING_SEED = 1, /* search: the seed of an evaluation */
    RNG_SPLIT_SEED = 2,    /* search: a lineage's data split */
    RNG_INITIAL = 3,       /* search: a random first individual */
    RNG_MUTATION = 4,      /* search: the mutation of a child */
    RNG_WEIGHTS = 16,      /* training: initial weights; slot = tensor index */
    RNG_SHUFFLE = 17,      /* training: order of an epoch; generation = epoch */
    RNG_AUGMENT = 18,      /* training: one image; generation = epoch, index = image */
    RNG_SPLIT = 19,        /* data: stratified split; slot = class */
    RNG_ATTACK = 20,       /* attacks; slot = attack number */
    RNG_JITTER = 32,       /* waiting times; never reaches an outcome */
    RNG_TEST = 63
};

struct rng_stream {
    uint64_t seed;
    uint32_t purpose;
    uint16_t lineage;
    uint16_t slot;
    uint32_t generation;
    uint32_t index; /* of the next block */
};

struct rng_stream rng_stream(uint64_t seed, enum rng_purpose purpose, uint32_t lineage,
                             uint32_t generation, uint32_t slot);

/* The block at `index` of the stream, without advancing it. */
void rng_block_at(const struct rng_stream *stream, uint32_t index, uint32_t out[4]);

/* Each of these takes one block (rng_below may take more: it rejects to stay unbiased). */
uint64_t rng_u64(struct rng_stream *stream);
double rng_uniform(struct rng_stream *stream);                 /* [0, 1), 53 bits */
uint64_t rng_below(struct rng_stream *stream, uint64_t bound); /* [0, bound), bound > 0 */
int64_t rng_between(struct rng_stream *stream, int64_t low, int64_t high); /* inclusive */

/* Standard normal by the polar method with rng_log; takes two values of a block a try. */
double rng_normal(struct rng_stream *stream);

/* Natural logarithm of a positive finite double by + - * / alone; relative error below 1e-14. */
double rng_log(double x);

/* Fisher-Yates over items[0..count), count < 2^32. */
void rng_shuffle_u32(struct rng_stream *stream, uint32_t *items, size_t count);

#endif
