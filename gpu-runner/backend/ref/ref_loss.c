/* Softmax cross-entropy from logits, by log-sum-exp, in double. */
#include "backend/ref/ref.h"

#include <math.h>

static void loss_row(const float *logits, size_t classes, size_t label, float scale, float *loss,
                     float *dlogits)
{
    double top = (double)logits[0];
    double sum = 0.0;

    for (size_t k = 1; k < classes; k++) {
        top = (double)logits[k] > top ? (double)logits[k] : top;
    }
    for (size_t k = 0; k < classes; k++) {
        sum += exp((double)logits[k] - top);
    }
    *loss = (float)(log(sum) + top - (double)logits[label]);
    for (size_t k = 0; dlogits != NULL && k < classes; k++) {
        double softmax = exp((double)logits[k] - top) / sum;

        dlogits[k] = (float)((softmax - (k == label ? 1.0 : 0.0)) * (double)scale);
    }
}

enum nero_status ref_softmax_ce(struct backend *backend, const struct backend_layout *layout,
                                const float *logits, const uint8_t *labels, uint32_t valid,
                                float scale, float *loss_rows, float *dlogits, struct nero_err *err)
{
    size_t classes = layout->c;

    (void)backend;
    for (size_t n = 0; n < layout->n; n++) {
        float *row = dlogits == NULL ? NULL : dlogits + n * classes;

        if (n < valid) {
            if (labels[n] >= classes) {
                return err_set(err, NERO_INVALID, 0, "label %u of row %zu: there are %zu classes",
                               labels[n], n, classes);
            }
            loss_row(logits + n * classes, classes, labels[n], scale, &loss_rows[n], row);
            continue;
        }
        loss_rows[n] = 0.0f;
        for (size_t k = 0; row != NULL && k < classes; k++) {
            row[k] = 0.0f;
        }
    }
    return NERO_OK;
}
