/*
 * Memory of a plan. Every stretch of memory is needed from one time (net_internal.h) to another;
 * two that overlap in time never overlap in memory, and all others may.
 *
 * The inference plan allows several backward passes after one forward pass: what a backward pass
 * needs of the forward pass lives to the end.
 */
#include "net/net_internal.h"

#include <stdlib.h>
#include <string.h>

#include "nero/mem.h"

/* Of every offset: a CUDA allocation's own alignment, more than any CPU vector wants. */
#define ARENA_ALIGN 256u

struct plan {
    struct net *net;
    struct net_item *items;
    uint32_t count;
    uint32_t capacity;
};

static enum nero_status add_item(struct plan *plan, uint64_t bytes, uint32_t from, uint32_t to,
                                 void *where, struct nero_err *err)
{
    if (bytes == 0) {
        return NERO_OK;
    }
    if (plan->count == plan->capacity) {
        uint32_t capacity = plan->capacity == 0 ? 64 : 2 * plan->capacity;
        struct net_item *items = mem_realloc_array(plan->items, capacity, sizeof(*items));

        if (items == NULL) {
            return err_set(err, NERO_NO_MEMORY, 0, "net: no memory for a memory plan");
        }
        plan->items = items;
        plan->capacity = capacity;
    }
    plan->items[plan->count++] =
        (struct net_item){.bytes = bytes, .from = from, .to = to, .where = where};
    return NERO_OK;
}

/* Until when something that the forward pass wrote lives, if the last to want it does so at `to`.
 */
static uint32_t kept_until(const struct net *net, uint32_t to)
{
    return !net->options.training && to > net_time_loss(net) ? net_time_end(net) : to;
}

static void later(uint32_t *to, uint32_t time)
{
    *to = time > *to ? time : *to;
}

/* Last use of the data of every tensor. */
static void find_last_uses(const struct net *net, uint32_t *to)
{
    for (uint32_t i = 0; i < net->op_count; i++) {
        const struct net_op *op = &net->ops[i];

        later(&to[i + 1], net_time_forward(i));
        if (op->runs_backward && !op->memory.backward_skips_dst) {
            later(&to[i + 1], net_time_backward(net, i));
        }
        for (uint32_t k = 0; k < op->src_count; k++) {
            later(&to[op->src[k]], net_time_forward(i));
            if (op->runs_backward && !op->memory.backward_skips_src) {
                later(&to[op->src[k]], net_time_backward(net, i));
            }
        }
    }
    later(&to[net->op_count], net_time_loss(net));
}

static enum nero_status plan_activations(struct plan *plan, struct nero_err *err)
{
    struct net *net = plan->net;
    uint32_t *to = mem_calloc((size_t)net->op_count + 1, sizeof(*to));
    enum nero_status status = NERO_OK;

    if (to == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "net: no memory for a memory plan");
    }
    find_last_uses(net, to);
    for (uint32_t t = 0; t <= net->op_count && status == NERO_OK; t++) {
        /* tensor t is written at time t: the image at 0, that of operation t - 1 at t */
        status = add_item(plan, net->tensors[t].layout.bytes, t, kept_until(net, to[t]),
                          &net->tensors[t].data, err);
    }
    free(to);
    return status;
}

/*
 * In backward order the first reader of a tensor writes its gradient, the others write an area of
 * their own that is added to it. The gradient lives until the tensor's writer has read it.
 */
static enum nero_status plan_source_gradient(struct plan *plan, uint32_t number, uint32_t slot,
                                             bool *written, struct nero_err *err)
{
    struct net *net = plan->net;
    struct net_op *op = &net->ops[number];
    uint32_t t = op->src[slot];
    struct net_tensor *tensor = &net->tensors[t];
    uint32_t now = net_time_backward(net, number);
    uint32_t to = t == 0 ? net_time_end(net) : net_time_backward(net, t - 1);

    if (!tensor->wants_grad) {
        return NERO_OK;
    }
    if (written[t]) {
        op->adds[slot] = true;
        return add_item(plan, tensor->layout.bytes, now, now, &op->dsrc[slot], err);
    }
    written[t] = true;
    return add_item(plan, tensor->layout.bytes, now, to, &tensor->grad, err);
}

static enum nero_status plan_gradients(struct plan *plan, struct nero_err *err)
{
    struct net *net = plan->net;
    bool *written = mem_calloc((size_t)net->op_count + 1, sizeof(*written));
    enum nero_status status;

    if (written == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "net: no memory for a memory plan");
    }
    status = add_item(plan, net_logits(net)->layout.bytes, net_time_loss(net),
                      net_time_backward(net, net->op_count - 1), &net_logits(net)->grad, err);
    for (uint32_t i = net->op_count; i-- > 0 && status == NERO_OK;) {
        for (uint32_t k = 0; k < net->ops[i].src_count && status == NERO_OK; k++) {
            status = plan_source_gradient(plan, i, k, written, err);
        }
    }
    free(written);
    return status;
}

/* Workspaces, the common scratch, prepared weights and own parameters. */
static enum nero_status plan_extras(struct plan *plan, struct nero_err *err)
{
    struct net *net = plan->net;
    uint32_t end = net_time_end(net);
    uint64_t scratch = 0;
    enum nero_status status = NERO_OK;

    for (uint32_t i = 0; i < net->op_count && status == NERO_OK; i++) {
        struct net_op *op = &net->ops[i];
        uint32_t to = op->runs_backward ? net_time_backward(net, i) : net_time_forward(i);

        scratch = op->memory.scratch_bytes > scratch ? op->memory.scratch_bytes : scratch;
        status = add_item(plan, op->memory.workspace_bytes, net_time_forward(i),
                          kept_until(net, to), &op->workspace, err);
        if (status == NERO_OK) {
            status = add_item(plan, op->memory.weights_bytes, 0, end, &op->prepared, err);
        }
        for (uint32_t k = 0; k < 2 && !net->options.training && status == NERO_OK; k++) {
            status = add_item(plan, op->own_count[k] * sizeof(float), 0, end, &op->own[k], err);
        }
    }
    if (status == NERO_OK) {
        status = add_item(plan, scratch, 0, end, &net->scratch, err);
    }
    return status;
}

static int by_bytes(const void *left, const void *right)
{
    const struct net_item *a = left;
    const struct net_item *b = right;

    if (a->bytes != b->bytes) {
        return a->bytes < b->bytes ? 1 : -1;
    }
    if (a->from != b->from) {
        return a->from < b->from ? -1 : 1;
    }
    return a->to < b->to ? -1 : a->to > b->to;
}

/* Where items[number] fits below, between or above those placed before it. */
static uint64_t lowest_free(const struct net_item *items, uint32_t number)
{
    const struct net_item *item = &items[number];
    uint64_t offset = 0;
    bool moved = true;

    /* The offset only grows, each time to the end of an item in the way: it ends. */
    while (moved) {
        moved = false;
        for (uint32_t i = 0; i < number; i++) {
            const struct net_item *other = &items[i];

            if (other->to >= item->from && other->from <= item->to &&
                offset < other->offset + other->bytes && other->offset < offset + item->bytes) {
                offset = other->offset + other->bytes;
                moved = true;
            }
        }
    }
    return offset;
}

uint64_t net_place(struct net_item *items, uint32_t count)
{
    uint64_t sum = 0;
    uint64_t total = 0;

    for (uint32_t i = 0; i < count; i++) {
        uint64_t bytes = items[i].bytes;

        /* No offset can be above the sum, so that the sum alone can overflow. */
        if (__builtin_add_overflow(bytes, ARENA_ALIGN - 1, &bytes) ||
            __builtin_add_overflow(sum, bytes, &sum)) {
            return UINT64_MAX;
        }
        items[i].bytes = bytes / ARENA_ALIGN * ARENA_ALIGN;
    }
    qsort(items, count, sizeof(*items), by_bytes);
    for (uint32_t i = 0; i < count; i++) {
        items[i].offset = lowest_free(items, i);
        total = items[i].offset + items[i].bytes > total ? items[i].offset + items[i].bytes : total;
    }
    return total;
}

static enum nero_status allocate_arena(struct plan *plan, struct nero_err *err)
{
    struct net *net = plan->net;

    net->arena_bytes = net_place(plan->items, plan->count);
    if (net->arena_bytes != UINT64_MAX) {
        net->arena = net->backend->ops->mem_alloc(net->backend, net->arena_bytes);
    }
    if (net->arena == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "net: no memory for a plan of %llu bytes",
                       (unsigned long long)net->arena_bytes);
    }
    for (uint32_t i = 0; i < plan->count; i++) {
        void *data = (unsigned char *)net->arena + plan->items[i].offset;

        memcpy(plan->items[i].where, &data, sizeof(data));
    }
    return NERO_OK;
}

static void point_operations(struct net *net)
{
    for (uint32_t i = 0; i < net->op_count; i++) {
        struct net_op *op = &net->ops[i];

        for (uint32_t k = 0; k < op->src_count; k++) {
            op->src_data[k] = net->tensors[op->src[k]].data;
            if (!op->adds[k]) {
                op->dsrc[k] = net->tensors[op->src[k]].grad;
            }
        }
    }
}

enum nero_status net_plan_memory(struct net *net, struct nero_err *err)
{
    struct plan plan = {.net = net};
    enum nero_status status = plan_activations(&plan, err);

    if (status == NERO_OK) {
        status = plan_gradients(&plan, err);
    }
    if (status == NERO_OK) {
        status = plan_extras(&plan, err);
    }
    if (status == NERO_OK) {
        status = allocate_arena(&plan, err);
    }
    if (status == NERO_OK) {
        point_operations(net);
    }
    free(plan.items);
    return status;
}
