/*
 * Losses of single rows of logits. exp and log are made of + - * / alone: the same bits whatever
 * libm the machine has, so that control losses and attacks do not depend on it.
 */
#include "attack/attack.h"

#include <math.h>

#include "nero/rng.h"

/*
 * exp(x) for x <= 0: x = k ln 2 + r with |r| <= 0.35, then the series of exp(r), whose terms past
 * the 14th are below 1e-18. ldexp is exact. ln 2 stands in two parts, the first with trailing
 * zeros, so that k * ln2_high is exact.
 */
static double exp_negative(double x)
{
    const double ln2_high = 6.93147180369123816490e-01;
    const double ln2_low = 1.90821492927058770002e-10;
    double k;
    double r;
    double sum = 1.0;

    if (!(x > -745.0)) {
        return 0.0;
    }
    k = floor(x / (ln2_high + ln2_low) + 0.5);
    r = (x - k * ln2_high) - k * ln2_low;
    for (int i = 14; i >= 1; i--) {
        sum = 1.0 + sum * r / (double)i;
    }
    return ldexp(sum, (int)k);
}

uint32_t attack_argmax(const float *logits, uint32_t classes)
{
    uint32_t best = 0;

    for (uint32_t k = 1; k < classes; k++) {
        if (logits[k] > logits[best]) {
            best = k;
        }
    }
    return best;
}

bool attack_logits_finite(const float *logits, uint32_t classes)
{
    for (uint32_t k = 0; k < classes; k++) {
        if (!isfinite(logits[k])) {
            return false;
        }
    }
    return true;
}

/* Sum of exp(z - max); *max is the largest logit. */
static double sum_exp(const float *logits, uint32_t classes, double *max)
{
    double sum = 0.0;

    *max = (double)logits[attack_argmax(logits, classes)];
    for (uint32_t k = 0; k < classes; k++) {
        sum += exp_negative((double)logits[k] - *max);
    }
    return sum;
}

double attack_cross_entropy(const float *logits, uint32_t classes, uint32_t label)
{
    double max;
    double sum;

    if (!attack_logits_finite(logits, classes)) {
        return (double)NAN;
    }
    sum = sum_exp(logits, classes, &max);
    return rng_log(sum) + (max - (double)logits[label]);
}

void attack_cross_entropy_gradient(const float *logits, uint32_t classes, uint32_t label,
                                   float *dlogits)
{
    double max;
    double sum;

    if (!attack_logits_finite(logits, classes)) {
        for (uint32_t k = 0; k < classes; k++) {
            dlogits[k] = NAN;
        }
        return;
    }
    sum = sum_exp(logits, classes, &max);
    for (uint32_t k = 0; k < classes; k++) {
        double share = exp_negative((double)logits[k] - max) / sum;

        /* The label's entry is minus the others' sum: share - 1 would cancel to 0 too early. */
        if (k != label) {
            dlogits[k] = (float)share;
        }
    }
    sum = 0.0;
    for (uint32_t k = 0; k < classes; k++) {
        sum += k == label ? 0.0 : (double)dlogits[k];
    }
    dlogits[label] = (float)-sum;
}
