/*
 * A network compiled for one backend and one physical batch: operations, memory planned up front,
 * no allocation in a step.
 *
 * Two plans are made of the same graph: the training plan (batch-norm statistics of the batch, all
 * gradients) and the inference plan (running statistics, batch norm folded into the convolution
 * before it or a fused scale-shift-activation, gradient of the input only). Clean accuracy, every
 * attack and the export use the inference plan, with a fixed physical batch and padded tails, so
 * that an image's logits do not depend on its neighbours.
 *
 * Arrays: `trained` holds graph->trained_count floats, `stats` graph->stat_count floats, in the
 * order of graph.h, both in backend memory and owned by the caller (`stats` may be NULL where
 * stat_count is 0).
 */
#ifndef NERO_NET_H
#define NERO_NET_H

#include <stdbool.h>
#include <stdint.h>

#include "nero/graph.h"

#include "backend/backend.h"

struct net;

struct net_options {
    uint32_t batch;      /* physical batch N */
    bool training;       /* else inference */
    float bn_momentum;   /* training */
    uint32_t shards;     /* training: parts of a batch (net/DESIGN.md), at least 1; 0 as 1 */
    uint32_t threads;    /* training: that share the shards out; 0 or too many: one a shard */
    bool skip_self_test; /* inference: see net_create */
};

/*
 * Compile. The graph and the backend are borrowed for the life of the net.
 * Inference: a self-test on random rows permutes them and compares bits; a plan whose rows depend
 * on one another is recompiled with plain algorithms, and refused if that fails too. Owns: *out
 * (net_destroy). Errors: invalid (unsupported operation, names the node), no_memory, gpu.
 */
enum nero_status net_create(const struct graph *graph, struct backend *backend,
                            const struct net_options *options, struct net **out,
                            struct nero_err *err);
void net_destroy(struct net *net);

/* Bytes of backend memory that the plan holds (activations, gradients, workspace, scratch), those
 * of all shards together. */
uint64_t net_plan_bytes(const struct net *net);

/*
 * Training plan: forward, mean cross-entropy over the batch, backward.
 * images [N,C,H,W] host floats in [0,1], labels N host bytes; grads: trained_count floats in
 * backend memory, overwritten. stats: running statistics, updated. loss: the mean over the batch
 * without L2. All bits depend on the number of shards, none on the number of threads.
 */
enum nero_status net_train_step(struct net *net, const float *images, const uint8_t *labels,
                                const float *trained, float *stats, float *grads, double *loss,
                                struct nero_err *err);

/* Inference plan: take over the weights (fold batch norm, prepare). Copies what it needs, allocates
 * nothing. */
enum nero_status net_load(struct net *net, const float *trained, const float *stats,
                          struct nero_err *err);

/* Logits [N,K] to the host. images [N,C,H,W] host floats; rows past the valid ones may be zero. */
enum nero_status net_forward(struct net *net, const float *images, float *logits,
                             struct nero_err *err);

/*
 * After net_forward, any number of times: gradient of sum over rows of <dlogits, logits> with
 * respect to the images. dlogits [N,K] host, dimages [N,C,H,W] host.
 */
enum nero_status net_backward_input(struct net *net, const float *dlogits, float *dimages,
                                    struct nero_err *err);

/* He-normal kernels (truncated at 2 sigma as Keras), zero biases, BN scale 1, shift 0, mean 0,
 * var 1. Host arrays. Pure function of the seed. */
void net_init_weights(const struct graph *graph, uint64_t seed, float *trained, float *stats);

#endif
