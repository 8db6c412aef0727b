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
    uint32_t rows; /* of the batch that are computed here: all, or those of a shard */
    bool plain;    /* compiled with plain algorithms */
    uint32_t op_count;
    struct net_op *ops;
    struct net_tensor *tensors; /* op_count + 1 */
    void *arena;                /* all backend memory of the plan */
    uint64_t arena_bytes;
    void *scratch;
    float *fold_host; /* inference: parameters, statistics and one operation's folded weights */
    struct net_shards
        *shards; /* training: of the net that callers hold, which is the first shard */
};

static inline struct net_tensor *net_logits(const struct net *net)
{
    return &net->tensors[net->op_count];
}

/*
 * Time counts calls: 0 import of the images, i + 1 forward of operation i, n + 1 the loss (or the
 * logits' way to the host), 2n + 1 - i backward of operation i, 2n + 2 the end.
 */
static inline uint32_t net_time_forward(uint32_t op)
{
    return op + 1;
}

static inline uint32_t net_time_loss(const struct net *net)
{
    return net->op_count + 1;
}

static inline uint32_t net_time_backward(const struct net *net, uint32_t op)
{
    return 2 * net->op_count + 1 - op;
}

static inline uint32_t net_time_end(const struct net *net)
{
    return 2 * net->op_count + 2;
}

/* The operation whose forward or backward it is time for; NET_NONE: neither. */
static inline uint32_t net_op_at(const struct net *net, uint32_t time)
{
    if (time == 0 || time == net_time_loss(net) || time >= net_time_end(net)) {
        return NET_NONE;
    }
    return time < net_time_loss(net) ? time - 1 : net_time_end(net) - 1 - time;
}

/* What calls work on; each may be NULL where no call reads it. */
struct net_step {
    const float *images; /* host, as all but the parameters' three: of this net's rows */
    const uint8_t *labels;
    float *loss_rows;
    const float *trained; /* in training, as the next two */
    float *stats;         /* NULL: a shard that leaves the results of batch norms to the first */
    float *grads;
    const double *sums; /* backend_op_args.sums */
};

/* Do the calls of the times from..to - 1. */
enum nero_status net_run(struct net *net, const struct net_step *step, uint32_t from, uint32_t to,
                         struct nero_err *err);

/* What the batch norm whose time it is must tell the other shards. */
enum nero_status net_sums(struct net *net, const struct net_step *step, uint32_t time, double *sums,
                          struct nero_err *err);

/* Compile for some rows of the batch. Owns: *out. */
enum nero_status net_compile(const struct net *like, uint32_t rows, struct net **out,
                             struct nero_err *err);

/* Make the other shards of the batch that `net` is the first of; how many rows each has. */
enum nero_status net_shards_create(struct net *net, struct nero_err *err);
void net_shards_destroy(struct net_shards *shards);
uint64_t net_shards_bytes(const struct net_shards *shards); /* of the others' plans */
uint32_t net_shards_count(const struct net_options *options);
/* The first row of shard `number` of `count`; that of `count` is the end of the batch. */
uint32_t net_shards_row(uint32_t batch, uint32_t count, uint32_t number);

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
