/*
 * The peer: bench_train.py in a child process, spoken to over two pipes, a line each way.
 *
 *   us:   net {"name":...,"batch":...,"input":[C,H,W],"nodes":[...]}    peer: ok
 *   us:   run LAYOUT THREADS SECONDS                                   peer: IMAGES_PER_SECOND
 */
#ifndef NERO_BENCH_PEER_H
#define NERO_BENCH_PEER_H

#include <stdio.h>
#include <sys/types.h>

#include "nero/err.h"
#include "nero/graph.h"

struct bench_peer {
    pid_t pid;
    FILE *to;
    FILE *from;
    char version[64];
};

/* Errors: unavailable (cannot import torch, or did not start), with the reason. */
enum nero_status bench_peer_open(struct bench_peer *peer, const char *python, const char *script,
                                 struct nero_err *err);
void bench_peer_close(struct bench_peer *peer);

enum nero_status bench_peer_net(struct bench_peer *peer, const char *name, uint32_t batch,
                                const struct graph *graph, struct nero_err *err);
/* threads: that the peer computes on, as many as the side that it is compared with. */
enum nero_status bench_peer_run(struct bench_peer *peer, const char *layout, uint64_t threads,
                                double seconds, double *images_per_s, struct nero_err *err);

#endif
