/* Comparing floats with the referee's: NaN fails first, error relative to the referee's largest. */
#ifndef NERO_TESTS_BACKEND_COMPARE_H
#define NERO_TESTS_BACKEND_COMPARE_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* tolerance * largest |expected|; says on stdout where it fails. */
static inline bool compare_floats(const char *what, const char *part, const float *got,
                                  const float *expected, size_t count, double tolerance)
{
    double largest = 0.0;
    double worst = 0.0;
    size_t where = 0;

    for (size_t i = 0; i < count; i++) {
        if (!isfinite(got[i]) || !isfinite(expected[i])) {
            printf("FAIL %s: %s[%zu]: %g, expected %g\n", what, part, i, (double)got[i],
                   (double)expected[i]);
            return false;
        }
        largest = fmax(largest, fabs((double)expected[i]));
        if (fabs((double)got[i] - (double)expected[i]) > worst) {
            worst = fabs((double)got[i] - (double)expected[i]);
            where = i;
        }
    }
    if (worst <= tolerance * largest) {
        return true;
    }
    printf("FAIL %s: %s[%zu] of %zu: %.9g, expected %.9g, error %.3g of %.3g, allowed %.3g\n", what,
           part, where, count, (double)got[where], (double)expected[where], worst, largest,
           tolerance);
    return false;
}

#endif
