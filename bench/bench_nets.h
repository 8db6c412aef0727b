/* The architectures that are timed, as phenotypes. */
#ifndef NERO_BENCH_NETS_H
#define NERO_BENCH_NETS_H

#include "nero/phenotype.h"

struct bench_net {
    const char *name;
    const char *what; /* one line */
    uint32_t batch;
    void (*fill)(struct phenotype *phenotype); /* units are room for PHENOTYPE_UNITS_MAX */
};

enum { BENCH_NETS = 3 };
extern const struct bench_net bench_nets[BENCH_NETS];

#endif
