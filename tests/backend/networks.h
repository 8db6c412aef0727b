/*
 * Random small phenotypes, and a network evaluated node by node in double precision: no fusion, no
 * folding, no plan, no code in common with any backend.
 */
#ifndef NERO_TESTS_BACKEND_NETWORKS_H
#define NERO_TESTS_BACKEND_NETWORKS_H

#include "nero/graph.h"

/* A graph drawn from the seed; everything that the engine knows appears sooner or later. */
void network_draw(uint64_t seed, struct graph *out);

/*
 * Logits [batch, classes]. training: batch statistics, which go to batch_stats (in the order of
 * graph.h; may be NULL); else those of `stats`.
 */
void network_forward(const struct graph *graph, uint32_t batch, bool training, const double *images,
                     const double *trained, const double *stats, double *batch_stats,
                     double *logits);

/* Mean cross-entropy. */
double network_loss(const double *logits, const uint8_t *labels, uint32_t batch, uint32_t classes);

#endif
