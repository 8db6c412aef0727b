/*
 * The self-test of an inference plan: rows are paired at random, both rows of a pair get the same
 * random image, and one forward and one backward pass must give both the same bits, whatever place
 * and neighbours they have.
 */
#include "net/net_internal.h"

#include <stdlib.h>
#include <string.h>

#include "nero/mem.h"
#include "nero/rng.h"

/* Buffers on the host, [rows, ...] each, and the weights in backend memory. */
struct trial {
    struct net *net;
    size_t image_floats, classes;
    float *images, *logits, *dlogits, *dimages;
    uint32_t *rows;         /* a random order: rows[2j] and rows[2j + 1] are a pair */
    float *host;            /* trained, then stats */
    float *trained, *stats; /* backend memory */
};

static void fill_row(struct trial *trial, uint32_t pair, uint32_t row)
{
    struct rng_stream pixels = rng_stream(1, RNG_TEST, 0, 0, 0);
    struct rng_stream gradient = rng_stream(2, RNG_TEST, 0, 0, 0);

    pixels.generation = pair;
    gradient.generation = pair;
    for (size_t i = 0; i < trial->image_floats; i++) {
        trial->images[row * trial->image_floats + i] = (float)rng_uniform(&pixels);
    }
    for (size_t k = 0; k < trial->classes; k++) {
        trial->dlogits[row * trial->classes + k] = (float)(rng_uniform(&gradient) - 0.5);
    }
}

/* Both rows of a pair have equal logits and equal gradients, bit for bit. */
static bool pair_is_equal(const struct trial *trial, uint32_t first, uint32_t second)
{
    size_t logits = trial->classes * sizeof(float);
    size_t image = trial->image_floats * sizeof(float);

    return memcmp(trial->logits + first * trial->classes, trial->logits + second * trial->classes,
                  logits) == 0 &&
           memcmp(trial->dimages + first * trial->image_floats,
                  trial->dimages + second * trial->image_floats, image) == 0;
}

static enum nero_status allocate(struct trial *trial, struct nero_err *err)
{
    const struct graph *graph = trial->net->graph;
    struct backend *backend = trial->net->backend;
    size_t batch = trial->net->options.batch;

    trial->images = mem_calloc(batch * trial->image_floats, sizeof(float));
    trial->dimages = mem_calloc(batch * trial->image_floats, sizeof(float));
    trial->logits = mem_calloc(batch * trial->classes, sizeof(float));
    trial->dlogits = mem_calloc(batch * trial->classes, sizeof(float));
    trial->rows = mem_calloc(batch, sizeof(uint32_t));
    trial->host = mem_calloc((size_t)(graph->trained_count + graph->stat_count), sizeof(float));
    trial->trained = backend->ops->mem_alloc(backend, graph->trained_count * sizeof(float));
    trial->stats = backend->ops->mem_alloc(backend, (graph->stat_count + 1) * sizeof(float));
    if (trial->images == NULL || trial->dimages == NULL || trial->logits == NULL ||
        trial->dlogits == NULL || trial->rows == NULL || trial->host == NULL ||
        trial->trained == NULL || trial->stats == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "net: no memory for the self-test");
    }
    return NERO_OK;
}

static void release(struct trial *trial)
{
    struct backend *backend = trial->net->backend;

    free(trial->images);
    free(trial->dimages);
    free(trial->logits);
    free(trial->dlogits);
    free(trial->rows);
    free(trial->host);
    backend->ops->mem_free(backend, trial->trained);
    backend->ops->mem_free(backend, trial->stats);
}

static enum nero_status load_random(struct trial *trial, struct nero_err *err)
{
    const struct graph *graph = trial->net->graph;
    struct backend *backend = trial->net->backend;
    float *stats = trial->host + graph->trained_count;
    enum nero_status status;

    net_init_weights(graph, 1, trial->host, stats);
    status = backend->ops->upload(backend, trial->trained, trial->host,
                                  graph->trained_count * sizeof(float), err);
    if (status == NERO_OK && graph->stat_count > 0) {
        status = backend->ops->upload(backend, trial->stats, stats,
                                      graph->stat_count * sizeof(float), err);
    }
    return status != NERO_OK ? status : net_load(trial->net, trial->trained, trial->stats, err);
}

static enum nero_status run(struct trial *trial, bool *out, struct nero_err *err)
{
    uint32_t batch = trial->net->options.batch;
    struct rng_stream order = rng_stream(3, RNG_TEST, 0, 0, 0);
    enum nero_status status = load_random(trial, err);

    if (status != NERO_OK) {
        return status;
    }
    for (uint32_t i = 0; i < batch; i++) {
        trial->rows[i] = i;
    }
    rng_shuffle_u32(&order, trial->rows, batch);
    for (uint32_t i = 0; i < batch; i++) {
        fill_row(trial, i / 2, trial->rows[i]);
    }
    status = net_forward(trial->net, trial->images, trial->logits, err);
    if (status == NERO_OK) {
        status = net_backward_input(trial->net, trial->dlogits, trial->dimages, err);
    }
    *out = true;
    for (uint32_t i = 0; i + 1 < batch && status == NERO_OK; i += 2) {
        *out = *out && pair_is_equal(trial, trial->rows[i], trial->rows[i + 1]);
    }
    return status;
}

enum nero_status net_rows_are_independent(struct net *net, bool *out, struct nero_err *err)
{
    struct graph_shape image = net->graph->nodes[0].shape;
    struct trial trial = {.net = net,
                          .image_floats = (size_t)image.c * image.h * image.w,
                          .classes = net->graph->nodes[net->graph->node_count - 1].shape.c};
    enum nero_status status = allocate(&trial, err);

    if (status == NERO_OK) {
        status = run(&trial, out, err);
    }
    release(&trial);
    return status;
}
