/*
 * Small networks for the 32 x 32 images that the project ships: few enough operations for the
 * referee, and between them every kind of unit, padding, activation and place of batch norm.
 */
#ifndef NERO_TINY_NET_H
#define NERO_TINY_NET_H

#include "nero/job.h"

enum tiny_net {
    TINY_NET_PLAIN,   /* convolution, max pool, classifier: 5,400 parameters */
    TINY_NET_BRANCHED /* two branches of unlike sizes, merged; average pool; a hidden FC */
};

/* Owns: *out (phenotype_fini). Aborts without memory. Learning: SGD .05, momentum .9, batch 32. */
void tiny_net_make(enum tiny_net net, struct phenotype *out);

/* The learning unit with another optimiser and settings that train these networks. */
void tiny_net_optimiser(struct phenotype *phenotype, enum phenotype_optimiser optimiser);

#endif
