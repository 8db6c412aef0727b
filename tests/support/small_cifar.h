/*
 * The images that the project ships (data/README.md) as a data set, for tests and benchmarks.
 */
#ifndef NERO_SMALL_CIFAR_H
#define NERO_SMALL_CIFAR_H

#include "data/dataset.h"

/* 0, or -1 with a message on stderr. */
int small_cifar_load(struct dataset *out);
void small_cifar_free(struct dataset *dataset);

#endif
