#include "nero/phenotype.h"

#include <float.h>
#include <stdlib.h>
#include <string.h>

#include "fields.h"

void phenotype_init(struct phenotype *phenotype)
{
    memset(phenotype, 0, sizeof *phenotype);
}

void phenotype_fini(struct phenotype *phenotype)
{
    free(phenotype->units);
    phenotype_init(phenotype);
}

static void conv_fields(struct record *r, struct phenotype_conv *conv)
{
    record_group(r, "conv", 9);
    record_u32(r, "filters", &conv->filters, 1, PHENOTYPE_FILTERS_MAX);
    record_u32(r, "kernel", &conv->kernel, 1, PHENOTYPE_KERNEL_MAX);
    record_u32(r, "stride", &conv->stride, 1, PHENOTYPE_KERNEL_MAX);
    record_u32(r, "padding", &conv->padding, PHENOTYPE_VALID, PHENOTYPE_SAME);
    record_bool(r, "bias", &conv->bias);
    record_u32(r, "activation", &conv->activation, PHENOTYPE_LINEAR, PHENOTYPE_SILU);
    record_u32(r, "act_position", &conv->act_position, PHENOTYPE_POST_CONV, PHENOTYPE_PRE_CONV);
    record_u32(r, "bn", &conv->bn, PHENOTYPE_BN_NONE, PHENOTYPE_BN_POST);
    record_u32(r, "filters_mult", &conv->filters_mult, 0, PHENOTYPE_FILTERS_MAX);
    if (record_ok(r) && (uint64_t)conv->filters * conv->filters_mult > PHENOTYPE_FILTERS_MAX) {
        record_fail(r, "filters_mult", "%u times %u filters are more than %d", conv->filters_mult,
                    conv->filters, PHENOTYPE_FILTERS_MAX);
    }
    record_leave(r);
}

static void pool_fields(struct record *r, struct phenotype_pool *pool)
{
    record_group(r, "pool", 4);
    record_u32(r, "pooling", &pool->pooling, PHENOTYPE_MAX_POOL, PHENOTYPE_AVG_POOL);
    record_u32(r, "kernel", &pool->kernel, 1, PHENOTYPE_KERNEL_MAX);
    record_u32(r, "stride", &pool->stride, 1, PHENOTYPE_KERNEL_MAX);
    record_u32(r, "padding", &pool->padding, PHENOTYPE_VALID, PHENOTYPE_SAME);
    record_leave(r);
}

static void fc_fields(struct record *r, struct phenotype_unit *unit)
{
    record_group(r, "fc", 3);
    record_u32(r, "units", &unit->fc_units, 1, PHENOTYPE_FILTERS_MAX);
    record_bool(r, "bias", &unit->fc_bias);
    record_u32(r, "activation", &unit->fc_activation, PHENOTYPE_LINEAR, PHENOTYPE_SILU);
    record_leave(r);
}

static void input_fields(struct record *r, const struct phenotype *phenotype, uint32_t number)
{
    struct phenotype_unit *unit = &phenotype->units[number];

    record_list(r, "inputs", &unit->input_count, 1, PHENOTYPE_INPUTS_MAX);
    for (uint32_t i = 0; record_ok(r) && i < unit->input_count; i++) {
        int32_t least = i == 0 ? PHENOTYPE_IMAGE : unit->inputs[i - 1] + 1;
        int32_t from;

        record_item(r, i);
        record_i32(r, NULL, &unit->inputs[i], least, (int32_t)number - 1);
        from = unit->inputs[i];
        if (record_ok(r) && from >= 0 && unit->kind != PHENOTYPE_FC &&
            phenotype->units[from].kind == PHENOTYPE_FC) {
            record_fail(r, NULL, "a convolution is fed by unit %d, a fully connected one", from);
        }
    }
    record_leave(r);
}

static void unit_fields(struct record *r, const struct phenotype *phenotype, uint32_t number)
{
    struct phenotype_unit *unit = &phenotype->units[number];

    record_group(r, "unit", 5);
    record_u32(r, "kind", &unit->kind, PHENOTYPE_CONV, PHENOTYPE_FC);
    input_fields(r, phenotype, number);
    if (record_when(r, "conv", unit->kind != PHENOTYPE_FC)) {
        conv_fields(r, &unit->conv);
    }
    if (record_when(r, "pool", unit->kind == PHENOTYPE_POOL)) {
        pool_fields(r, &unit->pool);
    }
    if (record_when(r, "fc", unit->kind == PHENOTYPE_FC)) {
        fc_fields(r, unit);
    }
    record_leave(r);
}

static void learning_fields(struct record *r, struct phenotype_learning *learning)
{
    record_group(r, "learning", 11);
    record_u32(r, "optimiser", &learning->optimiser, PHENOTYPE_SGD, PHENOTYPE_ADAM);
    record_real(r, "lr", &learning->lr, DBL_MIN, 100.0);
    record_real(r, "decay", &learning->decay, 0.0, 1.0);
    if (record_when(r, "momentum", learning->optimiser == PHENOTYPE_SGD)) {
        record_real(r, "momentum", &learning->momentum, 0.0, RECORD_BELOW_ONE);
    }
    if (record_when(r, "nesterov", learning->optimiser == PHENOTYPE_SGD)) {
        record_bool(r, "nesterov", &learning->nesterov);
    }
    if (record_when(r, "rho", learning->optimiser == PHENOTYPE_RMSPROP)) {
        record_real(r, "rho", &learning->rho, 0.0, RECORD_BELOW_ONE);
    }
    if (record_when(r, "beta1", learning->optimiser == PHENOTYPE_ADAM)) {
        record_real(r, "beta1", &learning->beta1, 0.0, RECORD_BELOW_ONE);
    }
    if (record_when(r, "beta2", learning->optimiser == PHENOTYPE_ADAM)) {
        record_real(r, "beta2", &learning->beta2, 0.0, RECORD_BELOW_ONE);
    }
    record_u32(r, "batch", &learning->batch, 1, PHENOTYPE_BATCH_MAX);
    record_u32(r, "early_stop", &learning->early_stop, 1, PHENOTYPE_EPOCHS_MAX);
    record_u32(r, "epochs_max", &learning->epochs_max, 1, PHENOTYPE_EPOCHS_MAX);
    record_leave(r);
}

/* The last unit's outputs are the logits: softmax belongs to the loss. */
static void classifier_check(struct record *r, const struct phenotype *phenotype)
{
    const struct phenotype_unit *last;

    if (!record_ok(r)) {
        return;
    }
    last = &phenotype->units[phenotype->unit_count - 1];
    if (last->kind != PHENOTYPE_FC || last->fc_activation != PHENOTYPE_LINEAR ||
        last->fc_units != phenotype->classes) {
        record_fail(r, "units", "the last one must be a linear fully connected unit of %u outputs",
                    phenotype->classes);
    }
}

void phenotype_fields(struct record *r, struct phenotype *phenotype)
{
    record_u32(r, "channels", &phenotype->channels, 1, PHENOTYPE_CHANNELS_MAX);
    record_u32(r, "height", &phenotype->height, 1, PHENOTYPE_IMAGE_SIDE_MAX);
    record_u32(r, "width", &phenotype->width, 1, PHENOTYPE_IMAGE_SIDE_MAX);
    record_u32(r, "classes", &phenotype->classes, 2, PHENOTYPE_CLASSES_MAX);
    learning_fields(r, &phenotype->learning);
    record_list(r, "units", &phenotype->unit_count, 1, PHENOTYPE_UNITS_MAX);
    if (record_reading(r)) {
        phenotype->units = record_alloc(r, phenotype->unit_count, sizeof *phenotype->units);
    }
    for (uint32_t i = 0; record_ok(r) && i < phenotype->unit_count; i++) {
        record_item(r, i);
        unit_fields(r, phenotype, i);
    }
    record_leave(r);
    classifier_check(r, phenotype);
}

static void phenotype_record(struct record *r, struct phenotype *phenotype)
{
    record_open(r, 1, 1 + PHENOTYPE_FIELDS);
    phenotype_fields(r, phenotype);
    record_close(r);
}

enum nero_status phenotype_check(const struct phenotype *phenotype, struct nero_err *err)
{
    struct phenotype copy = *phenotype;
    struct record r;

    record_check_begin(&r, "phenotype", err);
    phenotype_record(&r, &copy);
    return record_end(&r);
}

enum nero_status phenotype_encode(const struct phenotype *phenotype, struct bytes *out,
                                  struct nero_err *err)
{
    struct phenotype copy = *phenotype;
    struct record r;

    record_write_begin(&r, "phenotype", out, PHENOTYPE_BYTES_MAX, err);
    phenotype_record(&r, &copy);
    return record_end(&r);
}

enum nero_status phenotype_decode(struct bytes_view bytes, struct phenotype *out,
                                  struct nero_err *err)
{
    struct phenotype made;
    struct record r;

    phenotype_init(&made);
    record_read_begin(&r, "phenotype", bytes, PHENOTYPE_BYTES_MAX, err);
    phenotype_record(&r, &made);
    if (record_end(&r) != NERO_OK) {
        phenotype_fini(&made);
        return r.status;
    }
    *out = made;
    return NERO_OK;
}
