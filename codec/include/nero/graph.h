/*
 * The graph: a phenotype expanded to single operations with inferred shapes, unbuildable units
 * aliased, dead nodes deleted (DESIGN 9), and what it costs, from the phenotype alone.
 *
 * Rules. A unit whose construction fails is an alias of unit i-1 (unit 0: of the image). A sole
 * input follows the alias; in a merge aliased inputs are dropped; if none remain, i-1. Two or more
 * inputs are first brought to the smallest height and width among them by alignment pooling (max
 * pool, kernel size - smallest + 1, stride 1, valid, rows then columns: two nodes, left out where
 * the kernel is 1), then concatenated over channels in the order of the inputs. SAME pads
 * floor((k-1)/2) before and the rest after, output ceil(in/stride); VALID pads nothing. An FC
 * flattens its input in the order C, H, W. Nodes that do not reach the output are deleted.
 *
 * Source: specs/evolution.md (c), (h).
 */
#ifndef NERO_GRAPH_H
#define NERO_GRAPH_H

#include <stdbool.h>
#include <stdint.h>

#include "nero/phenotype.h"

enum graph_op {
    GRAPH_INPUT = 0,
    GRAPH_CONV = 1,       /* weights [K,C,R,S], optional bias [K] */
    GRAPH_BATCH_NORM = 2, /* scale, shift, running mean, running variance [C]; epsilon 1e-3 */
    GRAPH_RELU = 3,
    GRAPH_SILU = 4,
    GRAPH_MAX_POOL = 5,
    GRAPH_AVG_POOL = 6, /* padding is not counted */
    GRAPH_CONCAT = 7,
    GRAPH_FC = 8 /* weights [K, C*H*W], optional bias [K]; output [K,1,1] */
};

enum { GRAPH_NODES_MAX = 4096 };

struct graph_shape {
    uint32_t c, h, w;
};

struct graph_node {
    enum graph_op op;
    struct graph_shape shape; /* of the output */
    uint32_t kernel_h, kernel_w;
    uint32_t stride; /* both axes */
    uint32_t pad_top, pad_left, pad_bottom, pad_right;
    bool bias;
    int32_t unit; /* that it stems from; -1: the image */
    uint32_t input_count;
    uint32_t *inputs; /* node numbers, smaller than its own; owned by the graph */
};

enum graph_param_kind {
    GRAPH_KERNEL = 0, /* convolution and FC weights: He-normal, L2 */
    GRAPH_BIAS = 1,   /* 0 */
    GRAPH_GAMMA = 2,  /* batch-norm scale, 1 */
    GRAPH_BETA = 3,   /* batch-norm shift, 0 */
    GRAPH_MEAN = 4,   /* running mean, 0; a statistic, not trained */
    GRAPH_VAR = 5     /* running variance, 1; a statistic, not trained */
};

/*
 * One tensor of the network's state. Trained tensors lie one after the other in one array of
 * trained_count floats, statistics in one of stat_count floats; offsets count floats. The order is
 * node order, within a node kernel, bias / gamma, beta / mean, var.
 */
struct graph_param {
    enum graph_param_kind kind;
    uint32_t node;
    uint32_t fan_in; /* kernels: C*R*S, or the inputs of an FC */
    uint32_t rank;
    uint32_t dims[4]; /* [K,C,R,S], [K,C] for an FC, [K] or [C] */
    uint64_t offset;
    uint64_t count;
};

struct graph {
    uint32_t node_count; /* node 0 is the input, the last node the logits [classes,1,1] */
    struct graph_node *nodes;
    uint32_t param_count;
    struct graph_param *params;
    uint64_t trained_count; /* trainable parameters */
    uint64_t stat_count;
    uint64_t macs; /* multiply-adds of one image's forward pass through convolutions and FCs */
    uint64_t plan_bytes_fixed;     /* state of training: 4 bytes * (parameters * 6 + statistics) */
    uint64_t plan_bytes_per_image; /* activations and their gradients of one image in training */
    uint32_t unit_count;
    bool *unit_live;    /* by unit: reaches the output */
    bool *unit_aliased; /* by unit: could not be built */
};

/*
 * Owns: *out on success (graph_fini). Errors: invalid where no classifier can be built; too_big
 * over GRAPH_NODES_MAX or where a count overflows.
 */
enum nero_status graph_build(const struct phenotype *phenotype, struct graph *out,
                             struct nero_err *err);
void graph_fini(struct graph *graph);

/* Name of a parameter tensor in checkpoints: "u03.n017.kernel". `out` has 48 bytes. */
enum { GRAPH_NAME_BYTES = 48 };
void graph_param_name(const struct graph *graph, uint32_t param, char out[GRAPH_NAME_BYTES]);

const char *graph_op_name(enum graph_op op);

#endif
