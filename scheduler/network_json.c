#include "network_json.h"

static const char *activation_name(enum phenotype_activation activation)
{
    static const char *const names[] = {"linear", "relu", "silu"};

    return names[activation];
}

static const char *padding_name(enum phenotype_padding padding)
{
    return padding == PHENOTYPE_SAME ? "same" : "valid";
}

static json_t *shape_json(struct graph_shape shape)
{
    return json_pack("[i, i, i]", (int)shape.c, (int)shape.h, (int)shape.w);
}

static void set(json_t *object, const char *key, json_t *value)
{
    (void)json_object_set_new(object, key, value);
}

static void set_integer(json_t *object, const char *key, uint64_t value)
{
    set(object, key, json_integer((json_int_t)value));
}

static json_t *learning_json(const struct phenotype_learning *learning)
{
    static const char *const names[] = {"", "sgd", "rmsprop", "adam"};
    json_t *out = json_pack("{s:s, s:f, s:f}", "optimiser", names[learning->optimiser], "lr",
                            learning->lr, "decay", learning->decay);

    switch (learning->optimiser) {
    case PHENOTYPE_SGD:
        set(out, "momentum", json_real(learning->momentum));
        set(out, "nesterov", json_boolean(learning->nesterov));
        break;
    case PHENOTYPE_RMSPROP:
        set(out, "rho", json_real(learning->rho));
        break;
    case PHENOTYPE_ADAM:
        set(out, "beta1", json_real(learning->beta1));
        set(out, "beta2", json_real(learning->beta2));
        break;
    }
    set_integer(out, "batch", learning->batch);
    set_integer(out, "early_stop", learning->early_stop);
    set_integer(out, "epochs_max", learning->epochs_max);
    return out;
}

static json_t *conv_json(const struct phenotype_conv *conv)
{
    static const char *const norms[] = {"none", "pre", "mid", "post"};
    json_t *out = json_pack(
        "{s:i, s:i, s:i, s:s, s:b, s:s, s:s, s:s}", "filters", (int)conv->filters, "kernel",
        (int)conv->kernel, "stride", (int)conv->stride, "padding", padding_name(conv->padding),
        "bias", (int)conv->bias, "activation", activation_name(conv->activation), "act_position",
        conv->act_position == PHENOTYPE_PRE_CONV ? "before" : "after", "batch_norm",
        norms[conv->bn]);

    if (conv->filters_mult > 0) {
        set_integer(out, "led_by_1x1_of", (uint64_t)conv->filters_mult * conv->filters);
    }
    return out;
}

static json_t *inputs_json(const struct phenotype_unit *unit)
{
    json_t *out = json_array();

    for (uint32_t i = 0; i < unit->input_count; i++) {
        (void)json_array_append_new(out, unit->inputs[i] == PHENOTYPE_IMAGE
                                             ? json_string("image")
                                             : json_integer(unit->inputs[i]));
    }
    return out;
}

/* The last node that stems from the unit; 0 where none does. */
static uint32_t node_of_unit(const struct graph *graph, uint32_t unit)
{
    uint32_t found = 0;

    for (uint32_t i = 1; i < graph->node_count; i++) {
        found = graph->nodes[i].unit == (int32_t)unit ? i : found;
    }
    return found;
}

static json_t *unit_json(const struct phenotype *phenotype, const struct graph *graph,
                         uint32_t number)
{
    static const char *const kinds[] = {"", "conv", "pool", "fc"};
    const struct phenotype_unit *unit = &phenotype->units[number];
    uint32_t node = node_of_unit(graph, number);
    json_t *out =
        json_pack("{s:i, s:s, s:o, s:b, s:b}", "unit", (int)number, "kind", kinds[unit->kind],
                  "inputs", inputs_json(unit), "live", (int)graph->unit_live[number], "aliased",
                  (int)graph->unit_aliased[number]);

    if (unit->kind == PHENOTYPE_FC) {
        set_integer(out, "units", unit->fc_units);
        set(out, "bias", json_boolean(unit->fc_bias));
        set(out, "activation", json_string(activation_name(unit->fc_activation)));
    } else {
        set(out, "conv", conv_json(&unit->conv));
    }
    if (unit->kind == PHENOTYPE_POOL) {
        set(out, "pool",
            json_pack("{s:s, s:i, s:i, s:s}", "pooling",
                      unit->pool.pooling == PHENOTYPE_MAX_POOL ? "max" : "average", "kernel",
                      (int)unit->pool.kernel, "stride", (int)unit->pool.stride, "padding",
                      padding_name(unit->pool.padding)));
    }
    if (node > 0) {
        set(out, "shape", shape_json(graph->nodes[node].shape));
    }
    return out;
}

static json_t *node_json(const struct graph *graph, uint32_t number)
{
    const struct graph_node *node = &graph->nodes[number];
    json_t *inputs = json_array();
    json_t *out;

    for (uint32_t i = 0; i < node->input_count; i++) {
        (void)json_array_append_new(inputs, json_integer(node->inputs[i]));
    }
    out = json_pack("{s:i, s:s, s:i, s:o, s:o}", "node", (int)number, "op", graph_op_name(node->op),
                    "unit", (int)node->unit, "inputs", inputs, "shape", shape_json(node->shape));
    if (node->kernel_h > 0) {
        set(out, "kernel", json_pack("[i, i]", (int)node->kernel_h, (int)node->kernel_w));
        set_integer(out, "stride", node->stride);
        set(out, "pads",
            json_pack("[i, i, i, i]", (int)node->pad_top, (int)node->pad_left,
                      (int)node->pad_bottom, (int)node->pad_right));
    }
    return out;
}

json_t *network_json(const struct phenotype *phenotype, const struct graph *graph)
{
    json_t *units = json_array();
    json_t *nodes = json_array();

    for (uint32_t i = 0; i < phenotype->unit_count; i++) {
        (void)json_array_append_new(units, unit_json(phenotype, graph, i));
    }
    for (uint32_t i = 0; i < graph->node_count; i++) {
        (void)json_array_append_new(nodes, node_json(graph, i));
    }
    return json_pack("{s:o, s:i, s:I, s:I, s:o, s:o, s:o}", "image",
                     shape_json(graph->nodes[0].shape), "classes", (int)phenotype->classes,
                     "parameters", (json_int_t)graph->trained_count, "macs",
                     (json_int_t)graph->macs, "learning", learning_json(&phenotype->learning),
                     "units", units, "nodes", nodes);
}

json_t *network_json_scores(const struct result_outcome *outcome, double beta)
{
    double clean = result_clean_accuracy(outcome);
    double adversarial = result_adversarial_accuracy(outcome);

    return json_pack("{s:i, s:i, s:i, s:i, s:b, s:s, s:f, s:f, s:f, s:f}", "count",
                     (int)outcome->count, "correct", (int)outcome->correct, "kept",
                     (int)outcome->kept, "zero_gradient", (int)outcome->zero_gradient, "attacked",
                     (int)outcome->attacked, "ill_fitted", result_ill_name(outcome->ill),
                     "clean_accuracy", clean, "adversarial_accuracy", adversarial, "beta", beta,
                     "fitness", result_fitness(clean, adversarial, beta));
}

json_t *network_json_attack(const struct job_attack *attack)
{
    static const char *const names[] = {"none", "fgsm", "pgd"};
    json_t *out = json_pack("{s:s}", "kind", names[attack->kind]);

    if (attack->kind != JOB_ATTACK_NONE) {
        set(out, "norm", json_string("linf"));
        set(out, "epsilon", json_real(attack->epsilon));
    }
    if (attack->kind == JOB_ATTACK_PGD) {
        set(out, "step_size", json_real(attack->step_size));
        set_integer(out, "steps", attack->steps);
    }
    return out;
}
