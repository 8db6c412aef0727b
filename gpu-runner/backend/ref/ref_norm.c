/* Batch norm with batch statistics, scale and shift, and the activations that follow a sum. */
#include "backend/ref/ref.h"

#include <math.h>
#include <string.h>

double ref_act(enum backend_activation activation, double z)
{
    if (activation == BACKEND_RELU) {
        return z < 0.0 ? 0.0 : z;
    }
    return activation == BACKEND_SILU ? z / (1.0 + exp(-z)) : z;
}

double ref_act_slope(enum backend_activation activation, double z)
{
    if (activation == BACKEND_RELU) {
        return z > 0.0 ? 1.0 : 0.0;
    }
    if (activation == BACKEND_SILU) {
        double sigmoid = 1.0 / (1.0 + exp(-z));

        return sigmoid * (1.0 + z * (1.0 - sigmoid));
    }
    return 1.0;
}

void ref_act_finish(const struct ref_op *op, float *dst, float *kept)
{
    size_t count = ref_count(op->out);

    if (op->desc.activation == BACKEND_LINEAR) {
        return;
    }
    if (kept != NULL) {
        memcpy(kept, dst, count * sizeof(*dst));
    }
    for (size_t i = 0; i < count; i++) {
        dst[i] = (float)ref_act(op->desc.activation, (double)dst[i]);
    }
}

const float *ref_act_backward(const struct ref_op *op, const float *ddst, const float *kept,
                              float *scratch)
{
    size_t count = ref_count(op->out);

    if (op->desc.activation == BACKEND_LINEAR) {
        return ddst;
    }
    for (size_t i = 0; i < count; i++) {
        double slope = ref_act_slope(op->desc.activation, (double)kept[i]);

        scratch[i] = (float)((double)ddst[i] * slope);
    }
    return scratch;
}

void ref_activation_forward(const struct ref_op *op, const struct backend_op_args *args)
{
    for (size_t i = 0; i < ref_count(op->out); i++) {
        args->dst[i] = (float)ref_act(op->desc.activation, (double)args->src[0][i]);
    }
}

void ref_activation_backward(const struct ref_op *op, const struct backend_op_args *args)
{
    if (args->dsrc[0] != NULL) {
        ref_act_backward(op, args->ddst, args->src[0], args->dsrc[0]);
    }
}

/* Mean and biased variance of channel c over batch and pixels. */
static void moments(struct ref_dims dims, const float *src, size_t c, double *mean, double *var)
{
    size_t area = dims.h * dims.w;
    double count = (double)(dims.n * area);
    double sum = 0.0;
    double sum2 = 0.0;

    for (size_t n = 0; n < dims.n; n++) {
        const float *plane = src + ref_plane(dims, n, c);

        for (size_t i = 0; i < area; i++) {
            sum += (double)plane[i];
        }
    }
    *mean = sum / count;
    for (size_t n = 0; n < dims.n; n++) {
        const float *plane = src + ref_plane(dims, n, c);

        for (size_t i = 0; i < area; i++) {
            double off = (double)plane[i] - *mean;

            sum2 += off * off;
        }
    }
    *var = sum2 / count;
}

static float blend(float momentum, float running, double batch)
{
    return (float)((double)momentum * (double)running + (1.0 - (double)momentum) * batch);
}

/* Workspace: mean and 1 / sqrt(var + epsilon) by channel, as doubles. */
void ref_batch_norm_forward(const struct ref_op *op, const struct backend_op_args *args)
{
    struct ref_dims dims = op->out;
    double *kept = args->workspace;

    for (size_t c = 0; c < dims.c; c++) {
        double mean, var, inverse;

        moments(dims, args->src[0], c, &mean, &var);
        inverse = 1.0 / sqrt(var + (double)op->desc.epsilon);
        kept[2 * c] = mean;
        kept[2 * c + 1] = inverse;
        args->stat[0][c] = blend(op->desc.momentum, args->stat[0][c], mean);
        args->stat[1][c] = blend(op->desc.momentum, args->stat[1][c], var);
        for (size_t n = 0; n < dims.n; n++) {
            size_t plane = ref_plane(dims, n, c);

            for (size_t i = plane; i < plane + dims.h * dims.w; i++) {
                double normal = ((double)args->src[0][i] - mean) * inverse;
                double z = (double)args->param[0][c] * normal + (double)args->param[1][c];

                args->dst[i] = (float)ref_act(op->desc.activation, z);
            }
        }
    }
}

/*
 * With x^ = (x - mean) * inverse, dz = ddst * act'(gamma x^ + beta) and M pixels a channel:
 * dbeta = sum dz, dgamma = sum dz x^, dx = gamma * inverse * (dz - dbeta / M - x^ dgamma / M).
 */
static void batch_norm_channel(const struct ref_op *op, const struct backend_op_args *args,
                               size_t c)
{
    struct ref_dims dims = op->out;
    const double *kept = args->workspace;
    double mean = kept[2 * c];
    double inverse = kept[2 * c + 1];
    double gamma = (double)args->param[0][c];
    double pixels = (double)(dims.n * dims.h * dims.w);
    double dgamma = 0.0;
    double dbeta = 0.0;

    for (int pass = 0; pass < 2; pass++) {
        for (size_t n = 0; n < dims.n; n++) {
            size_t plane = ref_plane(dims, n, c);

            for (size_t i = plane; i < plane + dims.h * dims.w; i++) {
                double normal = ((double)args->src[0][i] - mean) * inverse;
                double z = gamma * normal + (double)args->param[1][c];
                double dz = (double)args->ddst[i] * ref_act_slope(op->desc.activation, z);

                if (pass == 0) {
                    dbeta += dz;
                    dgamma += dz * normal;
                } else if (args->dsrc[0] != NULL) {
                    double centred = dz - dbeta / pixels - normal * dgamma / pixels;

                    args->dsrc[0][i] = (float)(gamma * inverse * centred);
                }
            }
        }
    }
    if (args->dparam[0] != NULL) {
        args->dparam[0][c] = (float)dgamma;
    }
    if (args->dparam[1] != NULL) {
        args->dparam[1][c] = (float)dbeta;
    }
}

void ref_batch_norm_backward(const struct ref_op *op, const struct backend_op_args *args)
{
    for (size_t c = 0; c < op->out.c; c++) {
        batch_norm_channel(op, args, c);
    }
}

void ref_scale_shift_forward(const struct ref_op *op, const struct backend_op_args *args)
{
    struct ref_dims dims = op->out;
    size_t area = dims.h * dims.w;

    for (size_t i = 0; i < ref_count(dims); i++) {
        size_t c = i / area % dims.c;
        double z = (double)args->param[0][c] * (double)args->src[0][i] + (double)args->param[1][c];

        args->dst[i] = (float)ref_act(op->desc.activation, z);
    }
}

void ref_scale_shift_backward(const struct ref_op *op, const struct backend_op_args *args)
{
    struct ref_dims dims = op->out;
    size_t area = dims.h * dims.w;

    for (size_t i = 0; args->dsrc[0] != NULL && i < ref_count(dims); i++) {
        size_t c = i / area % dims.c;
        double scale = (double)args->param[0][c];
        double z = scale * (double)args->src[0][i] + (double)args->param[1][c];

        args->dsrc[0][i] =
            (float)((double)args->ddst[i] * ref_act_slope(op->desc.activation, z) * scale);
    }
}
