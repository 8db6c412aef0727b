#include "noise.h"

#include <assert.h>
#include <math.h>
#include <stddef.h>

/* For 1 to 30 degrees of freedom; the usual table. */
static const double T95[] = {12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060,
                             2.2622,  2.2281, 2.2010, 2.1788, 2.1604, 2.1448, 2.1314, 2.1199,
                             2.1098,  2.1009, 2.0930, 2.0860, 2.0796, 2.0739, 2.0687, 2.0639,
                             2.0595,  2.0555, 2.0518, 2.0484, 2.0452, 2.0423};

double noise_t95(uint32_t freedom)
{
    const double z = 1.959963985;
    double n = (double)freedom;

    assert(freedom > 0);
    if (freedom <= sizeof T95 / sizeof T95[0]) {
        return T95[freedom - 1];
    }
    /* Cornish-Fisher, two terms: right to 1e-4 beyond 30. */
    return z + (z * z * z + z) / (4 * n) + (5 * pow(z, 5) + 16 * pow(z, 3) + 3 * z) / (96 * n * n);
}

struct noise noise_of(const double *values, uint32_t count)
{
    struct noise noise = {.mean = 0};
    double squares = 0;
    double half;

    assert(count > 0);
    for (uint32_t i = 0; i < count; i++) {
        noise.mean += values[i] / (double)count;
    }
    for (uint32_t i = 0; i < count; i++) {
        squares += (values[i] - noise.mean) * (values[i] - noise.mean);
    }
    noise.deviation = count > 1 ? sqrt(squares / (double)(count - 1)) : 0;
    half = count > 1 ? noise_t95(count - 1) * noise.deviation / sqrt((double)count) : 0;
    noise.low = noise.mean - half;
    noise.high = noise.mean + half;
    return noise;
}
