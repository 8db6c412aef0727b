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

/* Mean of channel c over images and pixels, and the sum of squared distances from it. */
static void moments(struct ref_dims dims, const float *src, size_t c, double *mean, double *squares)
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
    *squares = sum2;
}

static float blend(float momentum, float running, double batch)
{
    return (float)((double)momentum * (double)running + (1.0 - (double)momentum) * batch);
}

/* Elements of a channel in the whole batch. */
static double norm_elements(const struct ref_op *op, const struct backend_op_args *args)
{
    size_t images = args->sums == NULL ? op->out.n : op->desc.batch;

    return (double)(images * op->out.h * op->out.w);
}

/* Workspace: mean and 1 / sqrt(var + epsilon) by channel, as doubles. */
void ref_batch_norm_forward(const struct ref_op *op, const struct backend_op_args *args)
{
    struct ref_dims dims = op->out;
    double *kept = args->workspace;

    for (size_t c = 0; c < dims.c; c++) {
        double mean, squares, var, inverse;

        if (args->sums == NULL) {
            moments(dims, args->src[0], c, &mean, &squares);
        } else {
            mean = args->sums[c];
            squares = args->sums[dims.c + c];
        }
        var = squares / norm_elements(op, args);
        inverse = 1.0 / sqrt(var + (double)op->desc.epsilon);
        kept[2 * c] = mean;
        kept[2 * c + 1] = inverse;
        if (args->stat[0] != NULL) {
            args->stat[0][c] = blend(op->desc.momentum, args->stat[0][c], mean);
            args->stat[1][c] = blend(op->desc.momentum, args->stat[1][c], var);
        }
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
 * With x^ = (x - mean) * inverse, dz = ddst * act'(gamma x^ + beta) and M elements a channel:
 * dbeta = sum dz, dgamma = sum dz x^, dx = gamma * inverse * (dz - dbeta / M - x^ dgamma / M).
 */
struct norm_channel {
    double mean, inverse, gamma, beta;
};

static struct norm_channel norm_channel_of(const struct backend_op_args *args, size_t c)
{
    const double *kept = args->workspace;

    return (struct norm_channel){.mean = kept[2 * c],
                                 .inverse = kept[2 * c + 1],
                                 .gamma = (double)args->param[0][c],
                                 .beta = (double)args->param[1][c]};
}

/* dz and x^ of element i. */
static double norm_slope(const struct ref_op *op, const struct backend_op_args *args,
                         const struct norm_channel *channel, size_t i, double *normal)
{
    double z;

    *normal = ((double)args->src[0][i] - channel->mean) * channel->inverse;
    z = channel->gamma * *normal + channel->beta;
    return (double)args->ddst[i] * ref_act_slope(op->desc.activation, z);
}

static void sum_gradients(const struct ref_op *op, const struct backend_op_args *args, size_t c,
                          double *dgamma, double *dbeta)
{
    struct norm_channel channel = norm_channel_of(args, c);

    *dgamma = 0.0;
    *dbeta = 0.0;
    for (size_t n = 0; n < op->out.n; n++) {
        size_t plane = ref_plane(op->out, n, c);

        for (size_t i = plane; i < plane + op->out.h * op->out.w; i++) {
            double normal;
            double dz = norm_slope(op, args, &channel, i, &normal);

            *dbeta += dz;
            *dgamma += dz * normal;
        }
    }
}

static void batch_norm_source(const struct ref_op *op, const struct backend_op_args *args, size_t c,
                              double dgamma, double dbeta)
{
    struct norm_channel channel = norm_channel_of(args, c);
    double elements = norm_elements(op, args);

    for (size_t n = 0; n < op->out.n; n++) {
        size_t plane = ref_plane(op->out, n, c);

        for (size_t i = plane; i < plane + op->out.h * op->out.w; i++) {
            double normal;
            double dz = norm_slope(op, args, &channel, i, &normal);
            double centred = dz - dbeta / elements - normal * dgamma / elements;

            args->dsrc[0][i] = (float)(channel.gamma * channel.inverse * centred);
        }
    }
}

void ref_batch_norm_backward(const struct ref_op *op, const struct backend_op_args *args)
{
    for (size_t c = 0; c < op->out.c; c++) {
        double dgamma, dbeta;

        if (args->sums == NULL) {
            sum_gradients(op, args, c, &dgamma, &dbeta);
        } else {
            dgamma = args->sums[c];
            dbeta = args->sums[op->out.c + c];
        }
        if (args->dsrc[0] != NULL) {
            batch_norm_source(op, args, c, dgamma, dbeta);
        }
        if (args->dparam[0] != NULL) {
            args->dparam[0][c] = (float)dgamma;
        }
        if (args->dparam[1] != NULL) {
            args->dparam[1][c] = (float)dbeta;
        }
    }
}

void ref_batch_norm_sums(const struct ref_op *op, const struct backend_op_args *args, bool backward,
                         double *sums)
{
    for (size_t c = 0; c < op->out.c; c++) {
        if (backward) {
            sum_gradients(op, args, c, &sums[c], &sums[op->out.c + c]);
        } else {
            moments(op->out, args->src[0], c, &sums[c], &sums[op->out.c + c]);
        }
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
