/*
 * A training step over the shards of a batch. Shards do their calls side by side and meet before
 * each batch norm, forward and backward, where the sums over the whole batch are needed; between
 * two meetings lies a phase. What is merged is merged in the order of shards, by the calling
 * thread, or by whichever thread it is where every element is a sum of its own.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "nero/mem.h"
#include "nero/thread_team.h"
#include "net/net_internal.h"

struct shard {
    struct net *net;
    struct net_step step;
    double *sums;   /* of the batch norm that is met at; several shards */
    float *grads;   /* its own; NULL for the first, which writes the caller's */
    uint64_t slice; /* of the gradient: the part that it adds up for all shards */
    struct backend_layout slice_layout;
    enum nero_status status; /* of the last phase */
    struct nero_err err;
};

struct net_shards {
    uint32_t count;
    struct thread_team *threads;
    float *loss_rows; /* host, of the whole batch */
    double *sums;     /* those of all shards, merged */
    struct shard shard[];
};

uint32_t net_shards_count(const struct net_options *options)
{
    uint32_t count = options->shards > 1 ? options->shards : 1;

    return count < options->batch ? count : options->batch;
}

uint32_t net_shards_row(uint32_t batch, uint32_t count, uint32_t number)
{
    return (uint32_t)((uint64_t)batch * number / count);
}

/* --- creation --- */

static uint32_t most_channels(const struct net *net)
{
    uint32_t most = 0;

    for (uint32_t i = 0; i < net->op_count; i++) {
        const struct backend_op_desc *desc = &net->ops[i].desc;

        if (desc->kind == BACKEND_BATCH_NORM && desc->out_c > most) {
            most = desc->out_c;
        }
    }
    return most;
}

static uint64_t slice_start(const struct net_shards *shards, uint64_t floats, uint32_t number)
{
    return floats / shards->count * number + floats % shards->count * number / shards->count;
}

static enum nero_status make_slice(struct net_shards *shards, uint32_t number, struct nero_err *err)
{
    struct shard *shard = &shards->shard[number];
    struct backend *backend = shard->net->backend;
    uint64_t floats = shard->net->graph->trained_count;
    uint64_t count;

    shard->slice = slice_start(shards, floats, number);
    count = slice_start(shards, floats, number + 1) - shard->slice;
    if (count > UINT32_MAX) {
        return err_set(err, NERO_NO_MEMORY, 0, "net: %llu parameters are too many for %u shards",
                       (unsigned long long)floats, shards->count);
    }
    return backend->ops->image_layout(backend, 1, 1, 1, (uint32_t)count, &shard->slice_layout, err);
}

static enum nero_status make_shard(struct net_shards *shards, uint32_t number, struct nero_err *err)
{
    struct shard *shard = &shards->shard[number];
    const struct net *first = shards->shard[0].net;
    uint32_t batch = first->options.batch;
    uint32_t rows = net_shards_row(batch, shards->count, number + 1) -
                    net_shards_row(batch, shards->count, number);
    uint64_t floats = first->graph->trained_count;

    if (number > 0 && net_compile(first, rows, &shard->net, err) != NERO_OK) {
        return err_wrap(err, "shard %u", number);
    }
    if (shards->count == 1) {
        return NERO_OK;
    }
    shard->sums = mem_calloc(2 * (size_t)most_channels(first) + 1, sizeof(*shard->sums));
    if (number > 0) {
        shard->grads = first->backend->ops->mem_alloc(first->backend, floats * sizeof(float));
    }
    if (shard->sums == NULL || (number > 0 && shard->grads == NULL)) {
        return err_set(err, NERO_NO_MEMORY, 0, "net: no memory for a shard");
    }
    return make_slice(shards, number, err);
}

enum nero_status net_shards_create(struct net *net, struct nero_err *err)
{
    uint32_t count = net_shards_count(&net->options);
    uint32_t threads = net->options.threads;
    struct net_shards *shards =
        mem_calloc(1, sizeof(*shards) + (size_t)count * sizeof(shards->shard[0]));
    enum nero_status status;

    if (shards == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "net: no memory for shards");
    }
    net->shards = shards;
    shards->count = count;
    shards->shard[0].net = net;
    shards->loss_rows = mem_calloc(net->options.batch, sizeof(float));
    shards->sums = mem_calloc(2 * (size_t)most_channels(net) + 1, sizeof(*shards->sums));
    if (shards->loss_rows == NULL || shards->sums == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "net: no memory for sums");
    }
    status = thread_team_create("shard", threads > 0 && threads < count ? threads : count,
                                &shards->threads, err);
    for (uint32_t i = 0; i < count && status == NERO_OK; i++) {
        status = make_shard(shards, i, err);
    }
    return status;
}

void net_shards_destroy(struct net_shards *shards)
{
    if (shards == NULL) {
        return;
    }
    thread_team_destroy(shards->threads);
    for (uint32_t i = 0; i < shards->count; i++) {
        struct shard *shard = &shards->shard[i];

        if (shard->grads != NULL) {
            shard->net->backend->ops->mem_free(shard->net->backend, shard->grads);
        }
        if (i > 0) { /* the first is the caller's own */
            net_destroy(shard->net);
        }
        free(shard->sums);
    }
    free(shards->loss_rows);
    free(shards->sums);
    free(shards);
}

uint64_t net_shards_bytes(const struct net_shards *shards)
{
    uint64_t bytes = 0;

    for (uint32_t i = 1; i < shards->count; i++) {
        bytes += shards->shard[i].net->arena_bytes;
        bytes += shards->shard[i].net->graph->trained_count * sizeof(float);
    }
    return bytes;
}

/* --- a step --- */

struct phase {
    struct net_shards *shards;
    uint32_t from, to; /* times */
};

static void run_shard(const struct phase *phase, struct shard *shard)
{
    struct net *net = shard->net;

    shard->status = net_run(net, &shard->step, phase->from, phase->to, &shard->err);
    if (shard->status == NERO_OK && phase->to < net_time_end(net)) {
        shard->status = net_sums(net, &shard->step, phase->to, shard->sums, &shard->err);
    }
}

/* Shards are dealt out to threads. */
static void run_phase(void *context, uint32_t member)
{
    const struct phase *phase = context;
    struct net_shards *shards = phase->shards;

    for (uint32_t i = member; i < shards->count; i += thread_team_members(shards->threads)) {
        run_shard(phase, &shards->shard[i]);
    }
}

static void add_slice(struct net_shards *shards, struct shard *owner)
{
    struct backend *backend = owner->net->backend;
    float *to = shards->shard[0].step.grads + owner->slice;

    owner->status = NERO_OK;
    for (uint32_t i = 1; i < shards->count && owner->status == NERO_OK; i++) {
        owner->status = backend->ops->accumulate(
            backend, &owner->slice_layout, to, shards->shard[i].grads + owner->slice, &owner->err);
    }
}

static void add_gradients(void *context, uint32_t member)
{
    struct net_shards *shards = context;

    for (uint32_t i = member; i < shards->count; i += thread_team_members(shards->threads)) {
        add_slice(shards, &shards->shard[i]);
    }
}

/* Let all threads do it; the error is that of the first shard that has one. */
static enum nero_status run_all(struct net_shards *shards, thread_team_fn *run, void *context,
                                struct nero_err *err)
{
    thread_team_run(shards->threads, run, context);
    for (uint32_t i = 0; i < shards->count; i++) {
        if (shards->shard[i].status != NERO_OK) {
            *err = shards->shard[i].err;
            return err->status;
        }
    }
    return NERO_OK;
}

/*
 * With n elements, mean m and sum of squared distances q on both sides and d = m2 - m1:
 * m = m1 + d n2 / n,  q = q1 + q2 + d^2 n1 n2 / n.
 * Source: Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm", 1979.
 */
static void merge_moments(struct net_shards *shards, uint32_t channels, double pixels)
{
    for (uint32_t c = 0; c < channels; c++) {
        double n = (double)shards->shard[0].net->rows * pixels;
        double mean = shards->shard[0].sums[c];
        double squares = shards->shard[0].sums[channels + c];

        for (uint32_t i = 1; i < shards->count; i++) {
            const struct shard *shard = &shards->shard[i];
            double more = (double)shard->net->rows * pixels;
            double apart = shard->sums[c] - mean;

            mean += apart * more / (n + more);
            squares += shard->sums[channels + c] + apart * apart * n * more / (n + more);
            n += more;
        }
        shards->sums[c] = mean;
        shards->sums[channels + c] = squares;
    }
}

static void add_sums(struct net_shards *shards, uint32_t count)
{
    memcpy(shards->sums, shards->shard[0].sums, count * sizeof(double));
    for (uint32_t i = 1; i < shards->count; i++) {
        for (uint32_t k = 0; k < count; k++) {
            shards->sums[k] += shards->shard[i].sums[k];
        }
    }
}

/* All shards have told their sums for the batch norm whose time it is. */
static void merge(struct net_shards *shards, uint32_t time)
{
    const struct net *net = shards->shard[0].net;
    const struct backend_op_desc *desc = &net->ops[net_op_at(net, time)].desc;

    if (time < net_time_loss(net)) {
        merge_moments(shards, desc->out_c, (double)desc->out_h * (double)desc->out_w);
    } else {
        add_sums(shards, 2 * desc->out_c);
    }
}

/* The end of the phase that begins at `from`. */
static uint32_t next_meeting(const struct net_shards *shards, uint32_t from)
{
    const struct net *net = shards->shard[0].net;
    uint32_t end = net_time_end(net);

    for (uint32_t time = from + 1; time < end && shards->count > 1; time++) {
        uint32_t number = net_op_at(net, time);

        if (number != NET_NONE && net->ops[number].desc.kind == BACKEND_BATCH_NORM) {
            return time;
        }
    }
    return end;
}

/* What `step` says of the whole batch, for one shard. */
static struct net_step step_of(const struct net_shards *shards, uint32_t number,
                               const struct net_step *step)
{
    const struct net *first = shards->shard[0].net;
    struct graph_shape image = first->graph->nodes[0].shape;
    uint32_t row = net_shards_row(first->options.batch, shards->count, number);
    struct net_step made = *step;

    made.images += (size_t)row * image.c * image.h * image.w;
    made.labels += row;
    made.loss_rows += row;
    made.sums = shards->count > 1 ? shards->sums : NULL;
    if (number > 0) {
        made.stats = NULL;
        made.grads = shards->shard[number].grads;
    }
    return made;
}

enum nero_status net_train_step(struct net *net, const float *images, const uint8_t *labels,
                                const float *trained, float *stats, float *grads, double *loss,
                                struct nero_err *err)
{
    struct net_shards *shards = net->shards;
    const struct net_step step = {images, labels, shards->loss_rows, trained, stats, grads, NULL};
    struct phase phase = {.shards = shards};
    enum nero_status status = NERO_OK;
    double sum = 0.0;

    assert(net->options.training);
    for (uint32_t i = 0; i < shards->count; i++) {
        shards->shard[i].step = step_of(shards, i, &step);
    }
    while (phase.from < net_time_end(net) && status == NERO_OK) {
        phase.to = next_meeting(shards, phase.from);
        status = run_all(shards, run_phase, &phase, err);
        if (status == NERO_OK && phase.to < net_time_end(net)) {
            merge(shards, phase.to);
        }
        phase.from = phase.to;
    }
    if (status == NERO_OK && shards->count > 1) {
        status = run_all(shards, add_gradients, shards, err);
    }
    if (status != NERO_OK) {
        return status;
    }
    for (uint32_t i = 0; i < net->options.batch; i++) {
        sum += (double)shards->loss_rows[i];
    }
    *loss = sum / net->options.batch;
    return NERO_OK;
}
