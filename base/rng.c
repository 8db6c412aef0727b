#include "nero/rng.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wundef"
#pragma GCC diagnostic ignored "-Wcast-qual"
#include <Random123/philox.h>
#pragma GCC diagnostic pop

struct rng_stream rng_stream(uint64_t seed, enum rng_purpose purpose, uint32_t lineage,
                             uint32_t generation, uint32_t slot)
{
    assert(lineage <= UINT16_MAX && slot <= UINT16_MAX);
    return (struct rng_stream){.seed = seed,
                               .purpose = (uint32_t)purpose,
                               .lineage = (uint16_t)lineage,
                               .slot = (uint16_t)slot,
                               .generation = generation,
                               .index = 0};
}

void rng_block_at(const struct rng_stream *stream, uint32_t index, uint32_t out[4])
{
    philox4x32_key_t key = {{(uint32_t)stream->seed, (uint32_t)(stream->seed >> 32)}};
    philox4x32_ctr_t counter = {{index, stream->generation,
                                 (uint32_t)stream->lineage << 16 | stream->slot, stream->purpose}};
    philox4x32_ctr_t block = philox4x32(counter, key);

    memcpy(out, block.v, sizeof block.v);
}

static void rng_next(struct rng_stream *stream, uint32_t out[4])
{
    rng_block_at(stream, stream->index, out);
    stream->index++;
    assert(stream->index != 0); /* 2^32 draws: no stream comes near */
}

uint64_t rng_u64(struct rng_stream *stream)
{
    uint32_t block[4];

    rng_next(stream, block);
    return (uint64_t)block[1] << 32 | block[0];
}

/* The upper 53 bits of two words as a double in [0, 1). */
static double unit_double(uint32_t high, uint32_t low)
{
    uint64_t bits = ((uint64_t)high << 32 | low) >> 11;

    return (double)bits * (1.0 / 9007199254740992.0);
}

double rng_uniform(struct rng_stream *stream)
{
    uint32_t block[4];

    rng_next(stream, block);
    return unit_double(block[1], block[0]);
}

uint64_t rng_below(struct rng_stream *stream, uint64_t bound)
{
    uint64_t limit;
    uint64_t value;

    assert(bound > 0);
    limit = UINT64_MAX - UINT64_MAX % bound; /* a multiple of bound: no value is favoured */
    do {
        value = rng_u64(stream);
    } while (value >= limit);
    return value % bound;
}

int64_t rng_between(struct rng_stream *stream, int64_t low, int64_t high)
{
    assert(low <= high && (uint64_t)high - (uint64_t)low < UINT64_MAX);
    return (int64_t)((uint64_t)low + rng_below(stream, (uint64_t)high - (uint64_t)low + 1));
}

/*
 * log(m * 2^e) = e * ln 2 + 2 * atanh((m - 1) / (m + 1)) with m in [sqrt(1/2), sqrt(2)), so that
 * |t| < 0.172 and 20 terms of the odd series reach double precision.
 */
double rng_log(double x)
{
    const double ln2 = 0.693147180559945309417232121458;
    int exponent;
    double mantissa = frexp(x, &exponent); /* exact: takes the number apart, no rounding */
    double t;
    double t2;
    double sum = 0.0;

    assert(x > 0.0);
    if (mantissa < 0.70710678118654752440) {
        mantissa = mantissa * 2.0;
        exponent--;
    }
    t = (mantissa - 1.0) / (mantissa + 1.0);
    t2 = t * t;
    for (int k = 39; k >= 1; k -= 2) {
        sum = sum * t2 + 1.0 / (double)k;
    }
    return (double)exponent * ln2 + 2.0 * (t * sum);
}

double rng_normal(struct rng_stream *stream)
{
    for (;;) {
        uint32_t block[4];
        double u;
        double v;
        double s;

        rng_next(stream, block);
        u = 2.0 * unit_double(block[1], block[0]) - 1.0;
        v = 2.0 * unit_double(block[3], block[2]) - 1.0;
        s = u * u + v * v;
        if (s > 0.0 && s < 1.0) {
            return u * sqrt(-2.0 * rng_log(s) / s);
        }
    }
}

void rng_shuffle_u32(struct rng_stream *stream, uint32_t *items, size_t count)
{
    for (size_t i = count; i > 1; i--) {
        size_t j = (size_t)rng_below(stream, i);
        uint32_t other = items[j];

        items[j] = items[i - 1];
        items[i - 1] = other;
    }
}
