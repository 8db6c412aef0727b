/*
 * Images a second of training steps (forward, backward, update) on one thread, beside PyTorch's on
 * the same networks in the same minutes: the two take turns, round after round, and the ratio is
 * that of the medians, so that a busy machine slows both alike. With --shards a second one of ours,
 * whose batches are cut into shards on threads of their own, takes turns too, and the
 * peer a second time on as many threads.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nero/clock.h"
#include "nero/mem.h"
#include "nero/options.h"
#include "nero/rng.h"
#include "net/net.h"
#include "train/optimiser.h"

#include "bench_nets.h"
#include "bench_peer.h"
#include "bench_stats.h"

enum { LAYOUTS = 2, IMAGE_SIDE = 32, CLASSES = 10 };

static const char *const layouts[LAYOUTS] = {"contiguous", "channels_last"};

struct bench_options {
    const char *backend, *net, *python, *script;
    bool json, no_peer;
    uint64_t rounds;
    uint64_t shards, threads; /* shards 1: no second one of ours; threads 0: as many */
    double seconds;
};

/* Our side of one network. */
struct bench_side {
    struct backend *backend;
    struct phenotype phenotype;
    struct graph graph;
    struct net *net;
    struct optimiser optimiser;
    struct optimiser_arrays arrays;
    float *stats, *grads; /* backend memory, as the arrays */
    float *images;
    uint8_t *labels;
    uint64_t updates;
    double loss;
};

struct bench_result {
    double ours[BENCH_ROUNDS_MAX];
    double sharded[BENCH_ROUNDS_MAX];
    double theirs[LAYOUTS][BENCH_ROUNDS_MAX];
    double theirs_sharded[LAYOUTS][BENCH_ROUNDS_MAX]; /* on as many threads as `sharded` */
};

static enum nero_status build_graph(struct bench_side *side, const struct bench_net *net,
                                    struct nero_err *err)
{
    struct phenotype *phenotype = &side->phenotype;

    phenotype->units = mem_calloc(PHENOTYPE_UNITS_MAX, sizeof(*phenotype->units));
    if (phenotype->units == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory");
    }
    phenotype->channels = 3;
    phenotype->height = phenotype->width = IMAGE_SIDE;
    phenotype->classes = CLASSES;
    phenotype->learning = (struct phenotype_learning){.optimiser = PHENOTYPE_SGD,
                                                      .lr = 0.01,
                                                      .momentum = 0.9,
                                                      .batch = net->batch,
                                                      .early_stop = 1,
                                                      .epochs_max = 1};
    net->fill(phenotype);
    return graph_build(phenotype, &side->graph, err);
}

static float *device_floats(struct bench_side *side, uint64_t count)
{
    return side->backend->ops->mem_alloc(side->backend, count * sizeof(float));
}

static enum nero_status fill(struct bench_side *side, uint32_t batch, struct nero_err *err)
{
    const struct graph *graph = &side->graph;
    const size_t floats = (size_t)batch * 3 * IMAGE_SIDE * IMAGE_SIDE;
    struct rng_stream stream = rng_stream(1, RNG_TEST, 0, 0, 0);
    float *weights = mem_calloc(graph->trained_count + graph->stat_count, sizeof(float));
    enum nero_status status;

    side->arrays.trained = device_floats(side, graph->trained_count);
    side->arrays.slot0 = device_floats(side, graph->trained_count);
    side->grads = device_floats(side, graph->trained_count);
    side->stats = device_floats(side, graph->stat_count);
    side->images = mem_calloc(floats, sizeof(float));
    side->labels = mem_calloc(batch, 1);
    if (weights == NULL || side->arrays.trained == NULL || side->arrays.slot0 == NULL ||
        side->grads == NULL || side->stats == NULL || side->images == NULL ||
        side->labels == NULL) {
        free(weights);
        return err_set(err, NERO_NO_MEMORY, 0, "no memory");
    }
    side->arrays.grads = side->grads;
    for (size_t i = 0; i < floats; i++) {
        side->images[i] = (float)rng_uniform(&stream);
    }
    for (uint32_t i = 0; i < batch; i++) {
        side->labels[i] = (uint8_t)rng_below(&stream, CLASSES);
    }
    net_init_weights(graph, 1, weights, weights + graph->trained_count);
    status = side->backend->ops->upload(side->backend, side->arrays.trained, weights,
                                        graph->trained_count * sizeof(float), err);
    if (status == NERO_OK) {
        status =
            side->backend->ops->upload(side->backend, side->stats, weights + graph->trained_count,
                                       graph->stat_count * sizeof(float), err);
    }
    free(weights);
    return status;
}

static enum nero_status side_open(struct bench_side *side, const struct bench_net *net,
                                  const struct bench_options *options, uint64_t shards,
                                  struct nero_err *err)
{
    struct net_options plan = {.batch = net->batch,
                               .training = true,
                               .bn_momentum = 0.9f,
                               .shards = (uint32_t)shards,
                               .threads = (uint32_t)options->threads};

    memset(side, 0, sizeof(*side));
    if (build_graph(side, net, err) != NERO_OK ||
        backend_create(options->backend, &side->backend, err) != NERO_OK ||
        net_create(&side->graph, side->backend, &plan, &side->net, err) != NERO_OK ||
        fill(side, net->batch, err) != NERO_OK) {
        return err->status;
    }
    return optimiser_init(&side->optimiser, &side->graph, &side->phenotype.learning, 1e-4, err);
}

static void side_close(struct bench_side *side)
{
    float *const device[] = {side->arrays.trained, side->arrays.slot0, side->grads, side->stats};

    net_destroy(side->net);
    for (size_t i = 0; i < sizeof(device) / sizeof(*device) && side->backend != NULL; i++) {
        side->backend->ops->mem_free(side->backend, device[i]);
    }
    optimiser_fini(&side->optimiser);
    backend_destroy(side->backend);
    graph_fini(&side->graph);
    phenotype_fini(&side->phenotype);
    free(side->images);
    free(side->labels);
}

static enum nero_status side_step(struct bench_side *side, struct nero_err *err)
{
    enum nero_status status =
        net_train_step(side->net, side->images, side->labels, side->arrays.trained, side->stats,
                       side->grads, &side->loss, err);

    if (status == NERO_OK) {
        status =
            optimiser_step(&side->optimiser, side->backend, &side->arrays, side->updates++, err);
    }
    return status;
}

static enum nero_status side_run(struct bench_side *side, uint32_t batch, double seconds,
                                 double *images_per_s, struct nero_err *err)
{
    const struct clock_source *clock = clock_system();
    int64_t start = clock_mono_ns(clock);
    double elapsed = 0.0;
    uint64_t steps = 0;

    while (elapsed < seconds || steps == 0) {
        if (side_step(side, err) != NERO_OK) {
            return err->status;
        }
        steps++;
        elapsed = clock_seconds_since(clock, start);
    }
    *images_per_s = (double)steps * (double)batch / elapsed;
    return NERO_OK;
}

/* Of the side in shards. */
static uint64_t threads_of(const struct bench_options *options)
{
    return options->threads > 0 ? options->threads : options->shards;
}

/* Rounds of ours, ours in shards, theirs in one layout, theirs in the other. sharded, peer NULL:
 * not that one. */
static enum nero_status run_rounds(struct bench_side *side, struct bench_side *sharded,
                                   struct bench_peer *peer, const struct bench_net *net,
                                   const struct bench_options *options, struct bench_result *result,
                                   struct nero_err *err)
{
    double warm;

    if (side_run(side, net->batch, 0.0, &warm, err) != NERO_OK ||
        (sharded != NULL && side_run(sharded, net->batch, 0.0, &warm, err) != NERO_OK) ||
        (peer != NULL &&
         bench_peer_net(peer, net->name, net->batch, &side->graph, err) != NERO_OK)) {
        return err->status;
    }
    for (uint64_t r = 0; r < options->rounds; r++) {
        if (side_run(side, net->batch, options->seconds, &result->ours[r], err) != NERO_OK) {
            return err->status;
        }
        if (sharded != NULL &&
            side_run(sharded, net->batch, options->seconds, &result->sharded[r], err) != NERO_OK) {
            return err->status;
        }
        for (int k = 0; k < LAYOUTS && peer != NULL; k++) {
            if (bench_peer_run(peer, layouts[k], 1, options->seconds, &result->theirs[k][r], err) !=
                    NERO_OK ||
                (sharded != NULL &&
                 bench_peer_run(peer, layouts[k], threads_of(options), options->seconds,
                                &result->theirs_sharded[k][r], err) != NERO_OK)) {
                return err->status;
            }
        }
    }
    return NERO_OK;
}

/* The median of each layout; returns the better one. */
static double best_layout(double rates[LAYOUTS][BENCH_ROUNDS_MAX], uint64_t rounds,
                          double medians[LAYOUTS])
{
    for (int k = 0; k < LAYOUTS; k++) {
        medians[k] = bench_median(rates[k], rounds);
    }
    return medians[0] > medians[1] ? medians[0] : medians[1];
}

static void report(const struct bench_side *side, const struct bench_peer *peer,
                   const struct bench_net *net, const struct bench_options *options,
                   struct bench_result *result)
{
    double ours = bench_median(result->ours, options->rounds);
    double macs = (double)side->graph.macs;
    double sharded = options->shards > 1 ? bench_median(result->sharded, options->rounds) : 0.0;
    double theirs[LAYOUTS];
    double theirs_sharded[LAYOUTS];
    double best = best_layout(result->theirs, options->rounds, theirs);
    double best_sharded = best_layout(result->theirs_sharded, options->rounds, theirs_sharded);

    if (options->json) {
        printf("{\"net\":\"%s\",\"batch\":%u,\"parameters\":%llu,\"macs\":%.0f,"
               "\"images_per_s\":%.4g,\"gflops\":%.4g",
               net->name, (unsigned)net->batch, (unsigned long long)side->graph.trained_count, macs,
               ours, ours * macs * 6e-9);
        if (options->shards > 1) {
            printf(",\"shards\":%u,\"sharded_images_per_s\":%.4g,\"sharded_ratio\":%.3f",
                   (unsigned)options->shards, sharded, sharded / ours);
        }
        if (peer != NULL) {
            printf(",\"peer\":\"%s\",\"peer_contiguous\":%.4g,\"peer_channels_last\":%.4g,"
                   "\"ratio\":%.3f",
                   peer->version, theirs[0], theirs[1], ours / best);
        }
        if (peer != NULL && options->shards > 1) {
            printf(",\"threads\":%u,\"peer_contiguous_threads\":%.4g,"
                   "\"peer_channels_last_threads\":%.4g,\"threads_ratio\":%.3f",
                   (unsigned)threads_of(options), theirs_sharded[0], theirs_sharded[1],
                   sharded / best_sharded);
        }
        printf("}\n");
        return;
    }
    printf("%-6s %8.2f images/s  %6.1f GFLOP/s", net->name, ours, ours * macs * 6e-9);
    if (options->shards > 1) {
        printf("   %u shards: %.2f images/s, ratio %.2f", (unsigned)options->shards, sharded,
               sharded / ours);
    }
    if (peer != NULL) {
        printf("   %s: contiguous %.2f, channels_last %.2f   ratio %.2f", peer->version, theirs[0],
               theirs[1], ours / best);
    }
    if (peer != NULL && options->shards > 1) {
        printf("   on %u threads: contiguous %.2f, channels_last %.2f   ratio %.2f",
               (unsigned)threads_of(options), theirs_sharded[0], theirs_sharded[1],
               sharded / best_sharded);
    }
    printf("   (%s; batch %u, %.3g M MACs, loss %.3f)\n", net->what, (unsigned)net->batch,
           macs * 1e-6, side->loss);
}

static enum nero_status run_net(const struct bench_net *net, struct bench_peer *peer,
                                const struct bench_options *options, struct nero_err *err)
{
    struct bench_side side;
    struct bench_side sharded = {.backend = NULL};
    bool both = options->shards > 1;
    struct bench_result result;
    enum nero_status status = side_open(&side, net, options, 1, err);

    memset(&result, 0, sizeof(result));
    if (status == NERO_OK && both) {
        status = side_open(&sharded, net, options, options->shards, err);
    }
    if (status == NERO_OK) {
        status = run_rounds(&side, both ? &sharded : NULL, peer, net, options, &result, err);
    }
    if (status == NERO_OK) {
        report(&side, peer, net, options, &result);
        fflush(stdout);
    }
    side_close(&side);
    side_close(&sharded);
    return status == NERO_OK ? NERO_OK : err_wrap(err, "%s", net->name);
}

static enum nero_status run_all(const struct bench_options *options, struct nero_err *err)
{
    struct bench_peer peer;
    struct bench_peer *used = NULL;
    enum nero_status status = NERO_OK;
    bool any = false;

    if (!options->no_peer) {
        if (bench_peer_open(&peer, options->python, options->script, err) == NERO_OK) {
            used = &peer;
        } else {
            fprintf(stderr, "bench_train: the peer did not run: %s\n", err->message);
        }
    }
    for (size_t i = 0; i < BENCH_NETS && status == NERO_OK; i++) {
        if (strcmp(options->net, "all") == 0 || strcmp(options->net, bench_nets[i].name) == 0) {
            any = true;
            status = run_net(&bench_nets[i], used, options, err);
        }
    }
    if (used != NULL) {
        bench_peer_close(used);
    }
    if (status == NERO_OK && !any) {
        return err_set(err, NERO_INVALID, 0, "--net %s: known are nsga, plain, demo and all",
                       options->net);
    }
    return status;
}

int main(int argc, char **argv)
{
    struct bench_options options = {.backend = "auto",
                                    .net = "all",
                                    .python = "python3",
                                    .script = NERO_SOURCE_DIR "/bench/bench_train.py",
                                    .rounds = 5,
                                    .shards = 1,
                                    .seconds = 1.0};
    const struct options_spec specs[] = {
        {"net", OPTIONS_STRING, "NAME", "nsga, plain, demo or all", NULL, &options.net, 0},
        {"backend", OPTIONS_STRING, "NAME", "cpu, ref or auto", NULL, &options.backend, 0},
        {"shards", OPTIONS_U64, "S", "time batches in S shards too", NULL, &options.shards, 256},
        {"threads", OPTIONS_U64, "N", "that share the shards out (S)", NULL, &options.threads, 256},
        {"rounds", OPTIONS_U64, "N", "turns of each side (5)", NULL, &options.rounds,
         BENCH_ROUNDS_MAX},
        {"seconds", OPTIONS_DOUBLE, "S", "of a turn, at least one step (1)", NULL, &options.seconds,
         0},
        {"python", OPTIONS_STRING, "PATH", "an interpreter that can import torch", NULL,
         &options.python, 0},
        {"script", OPTIONS_STRING, "PATH", "the peer's program", NULL, &options.script, 0},
        {"no-peer", OPTIONS_FLAG, NULL, "time our side alone", NULL, &options.no_peer, 0},
        {"json", OPTIONS_FLAG, NULL, "a JSON object a line", NULL, &options.json, 0}};
    const struct options_command command = {
        .program = "bench_train",
        .arguments = "",
        .about = "Images a second of training steps on one thread, ours and PyTorch's in turns.\n"
                 "PyTorch runs in both layouts (contiguous, channels_last); the better counts.",
        .specs = specs,
        .spec_count = sizeof(specs) / sizeof(*specs)};
    struct options_parsed parsed;
    struct nero_err err;

    if (options_parse(&command, argc, argv, &parsed, &err) != NERO_OK) {
        goto fail;
    }
    if (parsed.help) {
        options_print_help(&command, stdout);
        return ERR_EXIT_DONE;
    }
    if (options.rounds == 0) {
        err_set(&err, NERO_INVALID, 0, "--rounds: at least 1");
        goto fail;
    }
    if (run_all(&options, &err) == NERO_OK) {
        return ERR_EXIT_DONE;
    }
fail:
    fprintf(stderr, "bench_train: %s\n", err.message);
    return (int)err_exit_code(err.status);
}
