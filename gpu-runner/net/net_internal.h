/*
 * A compiled net from the inside. Tensor 0 is the image; operation i writes tensor i + 1; the last
 * tensor holds the logits. Operations stand in the order of their forward pass.
 */
#ifndef NERO_NET_INTERNAL_H
#define NERO_NET_INTERNAL_H

#include "net/net.h"

#define NET_NONE UINT32_MAX

/* Keras' default of batch norm. */
#define NET_EPSILON 1e-3

struct net_tensor {
    struct backend_layout layout;
    bool wants_grad;
    float *data;
    float *grad; /* NULL where !wants_grad */
};

struct net_op {
    struct backend_op_desc desc;
    struct backend_op *op;
    struct backend_op_memory memory;
    uint32_t node; /* of the graph: the convolution, batch norm, ... that it is made of */
    uint32_t norm; /* batch norm folded into a convolution; NET_NONE */
    bool runs_backward;
    uint32_t src_count;
    uint32_t *src;          /* tensors */
    const float **src_data; /* by source: what forward and backward read */
    float **dsrc;           /* by source: gradient of the tensor, or an area of its own; or NULL */
    bool *adds;             /* by source: dsrc is that area and is added to the gradient */
    uint32_t param[2];      /* parameters of the graph: kernel, bias or gamma, beta; NET_NONE */
    uint32_t stat[2];       /* running mean, variance; NET_NONE */
    uint64_t own_count[2];  /* inference: floats of own[] */
    float *own[2];          /* inference: kernel and bias with the batch norm in, scale and shift */
    void *workspace;
    void *prepared;
};

struct net {
    const struct graph *graph;
    struct backend *backend;
    struct net_options options;
    bool plain; /* compiled with plain algorithms */
    uint32_t op_count;
    struct net_op *ops;
    struct net_tensor *tensors; /* op_count + 1 */
    void *arena;                /* all backend memory of the plan */
    uint64_t arena_bytes;
    void *scratch;
    float *loss_rows; /* host, N; training */
    float *fold_host; /* inference: parameters, statistics and one operation's folded weights */
};

static inline struct net_tensor *net_logits(const struct net *net)
{
    return &net->tensors[net->op_count];
}

/* Fill net->ops from the graph: fusion, sources, parameters; no backend. Errors: no_memory. */
enum nero_status net_lower(struct net *net, struct nero_err *err);

/*
 * Choose where gradients are written and added, lay everything out in one arena by liveness,
 * allocate it and set every pointer. After the operations are made. Errors: no_memory.
 */
enum nero_status net_plan_memory(struct net *net, struct nero_err *err);

/* Host memory for net_load, which then takes none. After the operations are made. */
enum nero_status net_fold_init(struct net *net, struct nero_err *err);

/* Whether rows of the inference plan depend on each other, by one pass over random images. */
enum nero_status net_rows_are_independent(struct net *net, bool *out, struct nero_err *err);

/* One stretch of memory: needed at the times from..to, both included. */
struct net_item {
    uint64_t bytes;
    uint32_t from, to;
    uint64_t offset;
    void *where; /* a pointer to set, of whatever object type */
};

/*
 * Give every item an offset so that no two that live at one time overlap: the largest first, each
 * at the lowest offset that is free. Returns the bytes of the whole; UINT64_MAX: overflow. `items`
 * is reordered.
 */
uint64_t net_place(struct net_item *items, uint32_t count);

#endif
