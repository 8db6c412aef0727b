#include "train/train_meta.h"

#include <string.h>

/* One walk over the floats; `bad` once a float is no integer of 16 bits. */
struct meta_cursor {
    float *write;
    const float *read;
    bool bad;
};

static void put(struct meta_cursor *at, uint64_t value, uint32_t words)
{
    for (uint32_t i = 0; i < words; i++) {
        *at->write++ = (float)(value >> 16 * i & 0xffff);
    }
}

static uint64_t get(struct meta_cursor *at, uint32_t words)
{
    uint64_t value = 0;

    for (uint32_t i = 0; i < words; i++) {
        float word = *at->read++;

        if (!(word >= 0.0f && word <= 65535.0f) || (float)(uint32_t)word != word) {
            at->bad = true;
            word = 0.0f;
        }
        value |= (uint64_t)(uint32_t)word << 16 * i;
    }
    return value;
}

static void put_double(struct meta_cursor *at, double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof(bits));
    put(at, bits, 4);
}

static double get_double(struct meta_cursor *at)
{
    uint64_t bits = get(at, 4);
    double value;

    memcpy(&value, &bits, sizeof(value));
    return value;
}

static void put_hash(struct meta_cursor *at, const struct hash *hash, uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes; i += 8) {
        put(at, bytes_get_u64le(hash->data + i), 4);
    }
}

static void get_hash(struct meta_cursor *at, struct hash *hash, uint32_t bytes)
{
    memset(hash, 0, sizeof(*hash));
    for (uint32_t i = 0; i < bytes; i += 8) {
        bytes_put_u64le(hash->data + i, get(at, 4));
    }
}

static void hash_u32(struct hash_state *state, uint32_t value)
{
    uint8_t bytes[4];

    bytes_put_u32le(bytes, value);
    hash_update(state, bytes, sizeof(bytes));
}

struct hash train_meta_network(const struct graph *graph, enum phenotype_optimiser optimiser)
{
    struct hash_state state;
    struct hash hash;

    hash_begin(&state);
    hash_u32(&state, (uint32_t)optimiser);
    hash_u32(&state, graph->node_count);
    for (uint32_t i = 0; i < graph->node_count; i++) {
        const struct graph_node *node = &graph->nodes[i];
        uint32_t fields[] = {(uint32_t)node->op, node->shape.c,    node->shape.h,   node->shape.w,
                             node->kernel_h,     node->kernel_w,   node->stride,    node->pad_top,
                             node->pad_left,     node->pad_bottom, node->pad_right, node->bias,
                             node->input_count};

        for (size_t k = 0; k < sizeof(fields) / sizeof(fields[0]); k++) {
            hash_u32(&state, fields[k]);
        }
        for (uint32_t k = 0; k < node->input_count; k++) {
            hash_u32(&state, node->inputs[k]);
        }
    }
    hash = hash_end(&state);
    memset(hash.data + 16, 0, sizeof(hash.data) - 16);
    return hash;
}

void train_meta_write(const struct train_meta *meta, const struct result_epoch *curve, float *out)
{
    struct meta_cursor at = {.write = out};

    put(&at, TRAIN_META_VERSION, 1);
    put_hash(&at, &meta->network, 16);
    put_hash(&at, &meta->job, HASH_BYTES);
    put(&at, (uint64_t)meta->budget.kind, 2);
    put(&at, meta->budget.amount, 4);
    put(&at, meta->updates, 4);
    put_double(&at, meta->seconds_used);
    put(&at, meta->patience, 2);
    put(&at, meta->has_best, 2);
    put_double(&at, meta->best_loss);
    put(&at, meta->best_epoch, 2);
    put(&at, meta->epoch_count, 2);
    for (uint32_t i = 0; i < meta->epoch_count; i++) {
        put_double(&at, curve[i].loss);
        put_double(&at, curve[i].control_loss);
        put(&at, curve[i].control_correct, 2);
        put(&at, curve[i].steps, 2);
    }
}

static void read_head(struct meta_cursor *at, struct train_meta *meta)
{
    uint64_t budget_kind;
    uint64_t has_best;

    get_hash(at, &meta->network, 16);
    get_hash(at, &meta->job, HASH_BYTES);
    budget_kind = get(at, 2);
    meta->budget.kind = (enum job_budget_kind)budget_kind;
    meta->budget.amount = get(at, 4);
    meta->updates = get(at, 4);
    meta->seconds_used = get_double(at);
    meta->patience = (uint32_t)get(at, 2);
    has_best = get(at, 2);
    meta->has_best = has_best == 1;
    meta->best_loss = get_double(at);
    meta->best_epoch = (uint32_t)get(at, 2);
    meta->epoch_count = (uint32_t)get(at, 2);
    at->bad = at->bad || budget_kind > JOB_FLOPS || has_best > 1 ||
              !(meta->seconds_used >= 0.0 && meta->seconds_used < 1e12);
}

enum nero_status train_meta_read(const float *floats, uint64_t count, struct train_meta *out,
                                 struct result_epoch *curve, struct nero_err *err)
{
    struct meta_cursor at = {.read = floats};
    struct train_meta meta = {0};
    uint64_t steps = 0;

    if (count < TRAIN_META_HEAD_FLOATS) {
        return err_set(err, NERO_CORRUPT, 0, "tensor meta: %llu floats", (unsigned long long)count);
    }
    if (get(&at, 1) != TRAIN_META_VERSION && !at.bad) {
        return err_set(err, NERO_VERSION, 0, "tensor meta: version %g, this engine reads %d",
                       (double)floats[0], TRAIN_META_VERSION);
    }
    read_head(&at, &meta);
    if (at.bad || meta.epoch_count > RESULT_EPOCHS_MAX ||
        count != train_meta_floats(meta.epoch_count)) {
        return err_set(err, NERO_CORRUPT, 0, "tensor meta: not what it claims to be");
    }
    for (uint32_t i = 0; i < meta.epoch_count; i++) {
        curve[i].loss = get_double(&at);
        curve[i].control_loss = get_double(&at);
        curve[i].control_correct = (uint32_t)get(&at, 2);
        curve[i].steps = (uint32_t)get(&at, 2);
        steps += curve[i].steps;
    }
    /* Fewer updates than the finished epochs had would wrap in schedule_steps_of_epoch. */
    if (at.bad || steps > meta.updates || meta.best_epoch > meta.epoch_count) {
        return err_set(err, NERO_CORRUPT, 0, "tensor meta: curve and counters disagree");
    }
    *out = meta;
    return NERO_OK;
}
