/*
 * A backend: the operations of a network on one kind of device.
 *
 * The table is in the manner of ggml: operations are made once from a description and the layouts
 * of their inputs, choose the layout of their output, state the memory that they want, and then run
 * without allocating. net/ compiles a graph into a list of them and owns all memory planning.
 *
 * Layouts. A tensor [N,C,H,W] of floats has one layout, chosen by the operation that writes it (the
 * image's by the backend). A layout is the backend's own: others only copy it, ask for its size,
 * and convert with `import_nchw` / `export_nchw`. A gradient has the layout of its tensor. An
 * operation that wants its inputs otherwise converts them itself, inside its scratch.
 *
 * Parameters and their gradients are always plain float arrays in the order of graph.h ([K,C,R,S],
 * [K,C], [C]), so that optimisers, checkpoints and audits see one form.
 *
 * Memory is the backend's (`mem_alloc`): host memory on a CPU, device memory on a GPU.
 *
 * Determinism: with equal inputs every function gives equal bits, in any process, within one
 * numeric class. Row i of an inference forward does not depend on the other rows.
 *
 * Shards. A batch in training may be cut into shards, whose operations run at one time in threads
 * of their own. Only a batch norm needs to know of the others: `op_sums` gives what it sums over
 * its shard, the caller merges that of all shards and passes it to `op_forward` or `op_backward`.
 *
 * Thread: one thread at a time uses a backend instance and what was made from it, but that
 * operations may run in several threads, each in one at a time.
 */
#ifndef NERO_BACKEND_H
#define NERO_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nero/err.h"

enum backend_op_kind {
    BACKEND_CONV = 1,        /* + bias, + activation (inference only) */
    BACKEND_BATCH_NORM = 2,  /* training: batch statistics; + activation */
    BACKEND_SCALE_SHIFT = 3, /* inference: y = act(scale[c] * x + shift[c]) */
    BACKEND_ACTIVATION = 4,
    BACKEND_POOL = 5,
    BACKEND_CONCAT = 6,
    BACKEND_FC = 7 /* + bias, + activation (inference only); input flattened in C,H,W order */
};

enum backend_activation { BACKEND_LINEAR = 0, BACKEND_RELU = 1, BACKEND_SILU = 2 };

enum {
    BACKEND_LAYOUT_BYTES = 768, /* room for a backend's own description (dnnl_memory_desc_t: 656) */
    BACKEND_NAME_BYTES = 160
};

/* n, c, h, w are the logical sizes; the rest belongs to the backend. */
struct backend_layout {
    uint32_t n, c, h, w;
    uint64_t bytes; /* of a tensor in this layout, padding included */
    _Alignas(16) unsigned char opaque[BACKEND_LAYOUT_BYTES];
};

struct backend_op_desc {
    enum backend_op_kind kind;
    bool training; /* forward will be followed by backward of parameters; batch norm by batch */
    bool backward; /* backward of the input is needed (training, or an attack's input gradient) */
    bool input_gradient; /* false: nobody needs the gradient of the input (first layer, training) */
    bool plain; /* inference: an algorithm whose rows do not depend on each other, however slow */
    uint32_t out_c, out_h, out_w;
    uint32_t kernel_h, kernel_w, stride;
    uint32_t pad_top, pad_left, pad_bottom, pad_right;
    bool bias;
    bool max_pool; /* BACKEND_POOL: max, else average without the padding */
    enum backend_activation activation;
    uint32_t batch; /* batch norm with args.sums: images of all shards */
    float epsilon;  /* batch norm */
    float momentum; /* batch norm: running = momentum * running + (1 - momentum) * batch */
};

/* What an operation wants besides its inputs and output. All may be 0. */
struct backend_op_memory {
    uint64_t
        workspace_bytes;    /* kept from forward to its backward (max-pool winners, batch stats) */
    uint64_t scratch_bytes; /* only during a call; one area serves all operations */
    uint64_t weights_bytes; /* inference: prepared weights, filled by `prepare`, kept */
    /* Backward does not read src, or dst: their memory may be used again before it. */
    bool backward_skips_src, backward_skips_dst;
};

/*
 * Pointers of one call; all borrowed. Which are set depends on kind and call:
 * forward reads src, param, prepared and writes dst, workspace, stat (batch norm in training);
 * backward reads src, dst, ddst, param, workspace and writes dsrc and dparam; of these each entry
 * may be NULL: not wanted (in inference both of dparam are). `dsrc` itself always has input_count
 * entries. dsrc and dparam are overwritten, not added to, and overlap nothing else. With sums, stat
 * may be NULL too: one shard keeps the running statistics, as one takes dparam of a batch norm.
 */
struct backend_op_args {
    const float *const *src; /* input_count tensors */
    float *dst;
    float *const *dsrc;
    const float *ddst;
    const float *param[2]; /* kernel, bias; or scale (gamma), shift (beta) */
    float *dparam[2];
    float *stat[2];     /* running mean, running variance (biased batch variance, as Keras) */
    const double *sums; /* batch norm: op_sums of all shards, merged; NULL: src is the batch */
    void *workspace;
    void *scratch;
    void *prepared;
};

struct backend_op; /* an operation made by a backend */
struct backend;

/* Optimisers; formulas in train/optimiser.h. */
enum backend_optimiser { BACKEND_SGD = 1, BACKEND_RMSPROP = 2, BACKEND_ADAM = 3 };

struct backend_update {
    enum backend_optimiser optimiser;
    float lr;       /* of this update, decay applied */
    float momentum; /* SGD */
    bool nesterov;
    float rho;   /* RMSprop */
    float beta1; /* Adam */
    float beta2;
    float bias_correction; /* Adam: sqrt(1 - beta2^t) / (1 - beta1^t), computed in double */
    float epsilon;         /* 1e-7 */
};

struct backend_ops {
    const char *name; /* "cpu", "ref", "cuda" */
    void (*destroy)(struct backend *backend);

    /* Part of the numeric class: libraries with versions, effective ISA or GPU model, precision. */
    void (*describe)(struct backend *backend, char out[BACKEND_NAME_BYTES]);

    void *(*mem_alloc)(struct backend *backend, uint64_t bytes); /* zeroed; NULL: no memory */
    void (*mem_free)(struct backend *backend, void *ptr);        /* NULL does nothing */
    enum nero_status (*upload)(struct backend *backend, void *to, const void *from_host,
                               uint64_t bytes, struct nero_err *err);
    enum nero_status (*download)(struct backend *backend, void *to_host, const void *from,
                                 uint64_t bytes, struct nero_err *err);

    /* Layout of an image batch [n,c,h,w]: fills out. */
    enum nero_status (*image_layout)(struct backend *backend, uint32_t n, uint32_t c, uint32_t h,
                                     uint32_t w, struct backend_layout *out, struct nero_err *err);
    /* Convert between plain NCHW floats on the host and a tensor of the backend. */
    enum nero_status (*import_nchw)(struct backend *backend, const struct backend_layout *layout,
                                    const float *host, float *tensor, struct nero_err *err);
    enum nero_status (*export_nchw)(struct backend *backend, const struct backend_layout *layout,
                                    const float *tensor, float *host, struct nero_err *err);

    bool (*supports)(struct backend *backend, const struct backend_op_desc *desc,
                     const struct backend_layout *const *src, uint32_t src_count);

    /*
     * Make an operation. Owns: *out on success (op_destroy). Fills dst_layout and memory.
     * Errors: invalid (unsupported), no_memory, gpu.
     */
    enum nero_status (*op_create)(struct backend *backend, const struct backend_op_desc *desc,
                                  const struct backend_layout *const *src, uint32_t src_count,
                                  struct backend_layout *dst_layout,
                                  struct backend_op_memory *memory, struct backend_op **out,
                                  struct nero_err *err);
    void (*op_destroy)(struct backend_op *op);

    /* Inference: put param into the form forward wants, into args->prepared. May be NULL-op. */
    enum nero_status (*op_prepare)(struct backend_op *op, const struct backend_op_args *args,
                                   struct nero_err *err);
    enum nero_status (*op_forward)(struct backend_op *op, const struct backend_op_args *args,
                                   struct nero_err *err);
    enum nero_status (*op_backward)(struct backend_op *op, const struct backend_op_args *args,
                                    struct nero_err *err);

    /*
     * Batch norm in training over a shard, before op_forward, or before op_backward if `backward`:
     * reads what that will read. sums: 2 * c doubles on the host. Forward: by channel the mean,
     * then by channel the sum of squared distances from it. Backward: any sums over images and
     * pixels.
     */
    enum nero_status (*op_sums)(struct backend_op *op, const struct backend_op_args *args,
                                bool backward, double *sums, struct nero_err *err);

    /* to += from, both tensors of `layout` (gradients of a tensor with several readers). */
    enum nero_status (*accumulate)(struct backend *backend, const struct backend_layout *layout,
                                   float *to, const float *from, struct nero_err *err);

    /*
     * Softmax cross-entropy from logits [n,k] (layout as the op that wrote them; k = c, h = w = 1).
     * labels: n host bytes. Rows from `valid` on are padding: no loss, zero gradient.
     * loss (host): per-row loss, n floats. dlogits (tensor, may be NULL) = (softmax - onehot) *
     * scale.
     */
    enum nero_status (*softmax_ce)(struct backend *backend, const struct backend_layout *layout,
                                   const float *logits, const uint8_t *labels, uint32_t valid,
                                   float scale, float *loss_rows, float *dlogits,
                                   struct nero_err *err);

    /*
     * One update of count parameters: gradient g + 2 * l2[i] * w where l2 is lambda for kernels and
     * 0 elsewhere, given as ranges by the caller calling once a tensor. slot0, slot1: optimiser
     * state (SGD: slot0 velocity; RMSprop: slot0 mean square; Adam: slot0 m, slot1 v).
     */
    enum nero_status (*update)(struct backend *backend, const struct backend_update *update,
                               float two_lambda, float *w, const float *g, float *slot0,
                               float *slot1, uint64_t count, struct nero_err *err);

    /* Sum of w[i]^2 in double, fixed order. */
    enum nero_status (*sum_squares)(struct backend *backend, const float *w, uint64_t count,
                                    double *out, struct nero_err *err);
};

/* First member of every backend's own struct. */
struct backend {
    const struct backend_ops *ops;
};

/* Plain loops, the referee. */
enum nero_status backend_ref_create(struct backend **out, struct nero_err *err);

/* oneDNN, one thread. */
enum nero_status backend_cpu_create(struct backend **out, struct nero_err *err);

/* "cpu", "ref", "cuda" or "auto". Errors: invalid (unknown name, or not in this build). */
enum nero_status backend_create(const char *name, struct backend **out, struct nero_err *err);
void backend_destroy(struct backend *backend); /* NULL does nothing */

#endif
