/*
 * The messages of an ONNX model are built in one block of memory whose size is known before from
 * the counts of the graph, so that only checks of the weights can fail on the way; weights are
 * pointed to, not copied. protobuf-c, generated from Debian's onnx.proto, then writes them in the
 * order of field numbers, which makes the bytes a function of the contents.
 *
 * ONNX tells [N,K] from [N,K,1,1]: what comes of a Gemm has rank 2. The graph allows such a value
 * to be concatenated with others of one pixel; those are flattened before.
 */
#include "nero/onnx.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nero/mem.h"

#include "onnx.pb-c.h"

enum {
    /* Room of the block, generous: the largest node (a convolution) takes about 2 KiB. */
    ROOM_FIXED = 64 * 1024,
    ROOM_NODE = 4096,
    ROOM_INPUT = 1024, /* of a concat: a Flatten each */
    ROOM_PARAM = 512,
    ROOM_ALIGN = 16,
    NAME_BYTES = 48,
    NODES_EACH = 2 /* ONNX nodes of a graph node, beside the Flattens of a concat */
};

static const float BATCH_NORM_EPSILON = 1e-3f;

struct onnx_model {
    const struct graph *graph;
    const struct safetensors_file *weights;
    uint8_t *room; /* owned */
    size_t room_bytes;
    size_t room_used;
    bool *flat;            /* by graph node: its value has rank 2; in the room */
    char **values;         /* by graph node: name of its value; in the room */
    uint32_t *first_param; /* by graph node; in the room */
    Onnx__GraphProto out;
};

/* ---- the block ---- */

static void *take(struct onnx_model *model, size_t bytes)
{
    uint8_t *at = model->room + model->room_used;

    bytes = (bytes + ROOM_ALIGN - 1) / ROOM_ALIGN * ROOM_ALIGN;
    assert(bytes <= model->room_bytes - model->room_used);
    model->room_used += bytes;
    return at;
}

static char *take_text(struct onnx_model *model, const char *text)
{
    size_t bytes = strlen(text) + 1;

    return memcpy(take(model, bytes), text, bytes);
}

static enum nero_status take_room(struct onnx_model *model, const struct onnx_property *properties,
                                  uint32_t property_count, struct nero_err *err)
{
    const struct graph *graph = model->graph;
    size_t bytes = ROOM_FIXED + (size_t)graph->node_count * ROOM_NODE +
                   (size_t)graph->param_count * ROOM_PARAM;

    for (uint32_t i = 0; i < graph->node_count; i++) {
        bytes += (size_t)graph->nodes[i].input_count * ROOM_INPUT;
    }
    if (property_count > ONNX_PROPERTIES_MAX) {
        return err_set(err, NERO_INVALID, 0, "onnx: more than %d properties", ONNX_PROPERTIES_MAX);
    }
    for (uint32_t i = 0; i < property_count; i++) {
        size_t key = strlen(properties[i].key);
        size_t value = strlen(properties[i].value);

        if (key == 0 || key >= ONNX_TEXT_BYTES_MAX || value >= ONNX_TEXT_BYTES_MAX) {
            return err_set(err, NERO_INVALID, 0, "onnx: property \"%.40s\" is empty or too long",
                           properties[i].key);
        }
        bytes += key + value + ROOM_PARAM;
    }
    model->room = mem_calloc(1, bytes);
    model->room_bytes = bytes;
    return model->room != NULL ? NERO_OK : err_set(err, NERO_NO_MEMORY, 0, "onnx: no memory");
}

/* ---- nodes ---- */

static Onnx__NodeProto *add_node(struct onnx_model *model, const char *op, size_t input_count,
                                 char *output)
{
    Onnx__NodeProto *node = take(model, sizeof(*node));

    onnx__node_proto__init(node);
    node->op_type = take_text(model, op);
    node->name = output;
    node->n_input = input_count;
    node->input = take(model, input_count * sizeof(*node->input));
    node->n_output = 1;
    node->output = take(model, sizeof(*node->output));
    node->output[0] = output;
    node->attribute = take(model, 4 * sizeof(Onnx__AttributeProto *));
    model->out.node[model->out.n_node++] = node;
    return node;
}

static Onnx__AttributeProto *add_attribute(struct onnx_model *model, Onnx__NodeProto *node,
                                           const char *name,
                                           Onnx__AttributeProto__AttributeType type)
{
    Onnx__AttributeProto *attribute = take(model, sizeof(*attribute));

    assert(node->n_attribute < 4);
    onnx__attribute_proto__init(attribute);
    attribute->name = take_text(model, name);
    attribute->has_type = true;
    attribute->type = type;
    node->attribute[node->n_attribute++] = attribute;
    return attribute;
}

static void add_int(struct onnx_model *model, Onnx__NodeProto *node, const char *name,
                    int64_t value)
{
    Onnx__AttributeProto *attribute =
        add_attribute(model, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);

    attribute->has_i = true;
    attribute->i = value;
}

static void add_ints(struct onnx_model *model, Onnx__NodeProto *node, const char *name,
                     const int64_t *values, size_t count)
{
    Onnx__AttributeProto *attribute =
        add_attribute(model, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);

    attribute->n_ints = count;
    attribute->ints = memcpy(take(model, count * sizeof(*values)), values, count * sizeof(*values));
}

static void add_window(struct onnx_model *model, Onnx__NodeProto *made,
                       const struct graph_node *node)
{
    const int64_t kernel[2] = {node->kernel_h, node->kernel_w};
    const int64_t strides[2] = {node->stride, node->stride};
    const int64_t pads[4] = {node->pad_top, node->pad_left, node->pad_bottom, node->pad_right};

    add_ints(model, made, "kernel_shape", kernel, 2);
    add_ints(model, made, "pads", pads, 4);
    add_ints(model, made, "strides", strides, 2);
}

/* Inputs of a node from `at` on: the names of the parameters of graph node `number`. */
static void add_param_inputs(struct onnx_model *model, Onnx__NodeProto *made, uint32_t number)
{
    for (size_t i = 1; i < made->n_input; i++) {
        char name[GRAPH_NAME_BYTES];

        graph_param_name(model->graph, model->first_param[number] + (uint32_t)i - 1, name);
        made->input[i] = take_text(model, name);
    }
}

/* A value made on the way to that of graph node `number`: "u03.n017.<what>". */
static char *side_value(struct onnx_model *model, uint32_t number, const char *what)
{
    char name[NAME_BYTES];

    (void)snprintf(name, sizeof name, "u%02d.n%03u.%s", (int)model->graph->nodes[number].unit,
                   number, what);
    return take_text(model, name);
}

static char *flattened(struct onnx_model *model, char *value, char *name)
{
    Onnx__NodeProto *made = add_node(model, "Flatten", 1, name);

    made->input[0] = value;
    add_int(model, made, "axis", 1);
    return name;
}

static void add_fc(struct onnx_model *model, uint32_t number)
{
    const struct graph_node *node = &model->graph->nodes[number];
    char *from =
        flattened(model, model->values[node->inputs[0]], side_value(model, number, "flat"));
    Onnx__NodeProto *made = add_node(model, "Gemm", node->bias ? 3 : 2, model->values[number]);

    made->input[0] = from;
    add_param_inputs(model, made, number);
    add_int(model, made, "transB", 1); /* weights are [K, C*H*W] */
    model->flat[number] = true;
}

static void add_concat(struct onnx_model *model, uint32_t number)
{
    const struct graph_node *node = &model->graph->nodes[number];
    Onnx__NodeProto *made;
    char **inputs = take(model, node->input_count * sizeof(*inputs));

    for (uint32_t i = 0; i < node->input_count; i++) {
        model->flat[number] = model->flat[number] || model->flat[node->inputs[i]];
    }
    for (uint32_t i = 0; i < node->input_count; i++) {
        char what[24];

        inputs[i] = model->values[node->inputs[i]];
        if (model->flat[number] && !model->flat[node->inputs[i]]) {
            (void)snprintf(what, sizeof what, "flat%u", i);
            inputs[i] = flattened(model, inputs[i], side_value(model, number, what));
        }
    }
    made = add_node(model, "Concat", node->input_count, model->values[number]);
    memcpy(made->input, inputs, node->input_count * sizeof(*inputs));
    add_int(model, made, "axis", 1);
}

static void add_silu(struct onnx_model *model, uint32_t number)
{
    char *from = model->values[model->graph->nodes[number].inputs[0]];
    char *gate = side_value(model, number, "sigmoid");
    Onnx__NodeProto *made = add_node(model, "Sigmoid", 1, gate);

    made->input[0] = from;
    made = add_node(model, "Mul", 2, model->values[number]);
    made->input[0] = from;
    made->input[1] = gate;
}

static void add_batch_norm(struct onnx_model *model, uint32_t number)
{
    Onnx__NodeProto *made = add_node(model, "BatchNormalization", 5, model->values[number]);
    Onnx__AttributeProto *epsilon =
        add_attribute(model, made, "epsilon", ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);

    made->input[0] = model->values[model->graph->nodes[number].inputs[0]];
    add_param_inputs(model, made, number);
    epsilon->has_f = true;
    epsilon->f = BATCH_NORM_EPSILON;
}

/* A node with one value as input: convolution, pooling, ReLU. */
static void add_plain(struct onnx_model *model, uint32_t number)
{
    const struct graph_node *node = &model->graph->nodes[number];
    const char *op = node->op == GRAPH_CONV       ? "Conv"
                     : node->op == GRAPH_MAX_POOL ? "MaxPool"
                     : node->op == GRAPH_AVG_POOL ? "AveragePool"
                                                  : "Relu";
    size_t params = node->op != GRAPH_CONV ? 0 : node->bias ? 2 : 1;
    Onnx__NodeProto *made = add_node(model, op, 1 + params, model->values[number]);

    made->input[0] = model->values[node->inputs[0]];
    add_param_inputs(model, made, number);
    if (node->op == GRAPH_AVG_POOL) {
        add_int(model, made, "count_include_pad", 0);
    }
    if (node->op != GRAPH_RELU) {
        add_window(model, made, node);
    }
}

static void add_graph_node(struct onnx_model *model, uint32_t number)
{
    const struct graph_node *node = &model->graph->nodes[number];

    switch (node->op) {
    case GRAPH_INPUT:
        return;
    case GRAPH_FC:
        add_fc(model, number);
        return;
    case GRAPH_CONCAT:
        add_concat(model, number);
        return;
    case GRAPH_SILU:
        add_silu(model, number);
        break;
    case GRAPH_BATCH_NORM:
        add_batch_norm(model, number);
        break;
    case GRAPH_CONV:
    case GRAPH_RELU:
    case GRAPH_MAX_POOL:
    case GRAPH_AVG_POOL:
        add_plain(model, number);
        break;
    }
    model->flat[number] = model->flat[node->inputs[0]];
}

static void add_nodes(struct onnx_model *model)
{
    const struct graph *graph = model->graph;
    size_t nodes = (size_t)graph->node_count * NODES_EACH;

    model->flat = take(model, graph->node_count * sizeof(*model->flat));
    model->values = take(model, graph->node_count * sizeof(*model->values));
    model->first_param = take(model, graph->node_count * sizeof(*model->first_param));
    for (uint32_t i = 0; i < graph->node_count; i++) {
        char name[NAME_BYTES];

        nodes += graph->nodes[i].input_count;
        (void)snprintf(name, sizeof name, "u%02d.n%03u", (int)graph->nodes[i].unit, i);
        model->values[i] = take_text(model, i == 0                       ? "image"
                                            : i + 1 == graph->node_count ? "logits"
                                                                         : name);
    }
    for (uint32_t i = graph->param_count; i-- > 0;) {
        model->first_param[graph->params[i].node] = i;
    }
    model->out.node = take(model, nodes * sizeof(Onnx__NodeProto *));
    for (uint32_t i = 0; i < graph->node_count; i++) {
        add_graph_node(model, i);
    }
}

/* ---- parameters ---- */

static enum nero_status find_param(const struct onnx_model *model, uint32_t number,
                                   const struct safetensors_tensor **out, struct nero_err *err)
{
    const struct graph_param *param = &model->graph->params[number];
    char name[GRAPH_NAME_BYTES];
    bool equal;

    graph_param_name(model->graph, number, name);
    *out = safetensors_find(model->weights, name);
    if (*out == NULL) {
        return err_set(err, NERO_INVALID, 0, "onnx: the weights have no tensor \"%s\"", name);
    }
    equal = (*out)->rank == param->rank;
    for (uint32_t d = 0; equal && d < param->rank; d++) {
        equal = (*out)->dims[d] == param->dims[d];
    }
    return equal ? NERO_OK
                 : err_set(err, NERO_INVALID, 0,
                           "onnx: tensor \"%s\" of the weights has another shape", name);
}

static enum nero_status add_initializers(struct onnx_model *model, struct nero_err *err)
{
    const struct graph *graph = model->graph;

    model->out.initializer = take(model, graph->param_count * sizeof(Onnx__TensorProto *));
    for (uint32_t i = 0; i < graph->param_count; i++) {
        const struct safetensors_tensor *from;
        Onnx__TensorProto *tensor = take(model, sizeof(*tensor));

        if (find_param(model, i, &from, err) != NERO_OK) {
            return err->status;
        }
        onnx__tensor_proto__init(tensor);
        tensor->name = take_text(model, from->name);
        tensor->n_dims = from->rank;
        tensor->dims = take(model, from->rank * sizeof(*tensor->dims));
        for (uint32_t d = 0; d < from->rank; d++) {
            tensor->dims[d] = (int64_t)from->dims[d];
        }
        tensor->has_data_type = true;
        tensor->data_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
        tensor->has_raw_data = true;
        tensor->raw_data.len = (size_t)from->count * sizeof(float);
        /* Packing only reads it; the generated struct has no const. */
        tensor->raw_data.data = (uint8_t *)(uintptr_t)from->data;
        model->out.initializer[model->out.n_initializer++] = tensor;
    }
    return NERO_OK;
}

/* ---- the model ---- */

/* float32 [N, dims...] under a name. */
static Onnx__ValueInfoProto **value_info(struct onnx_model *model, char *name, const uint32_t *dims,
                                         size_t count)
{
    Onnx__ValueInfoProto **list = take(model, sizeof(*list));
    Onnx__ValueInfoProto *info = take(model, sizeof(*info));
    Onnx__TypeProto *type = take(model, sizeof(*type));
    Onnx__TypeProto__Tensor *tensor = take(model, sizeof(*tensor));
    Onnx__TensorShapeProto *shape = take(model, sizeof(*shape));

    onnx__value_info_proto__init(info);
    onnx__type_proto__init(type);
    onnx__type_proto__tensor__init(tensor);
    onnx__tensor_shape_proto__init(shape);
    shape->dim = take(model, (count + 1) * sizeof(*shape->dim));
    for (size_t i = 0; i <= count; i++) {
        Onnx__TensorShapeProto__Dimension *dim = take(model, sizeof(*dim));

        onnx__tensor_shape_proto__dimension__init(dim);
        if (i == 0) {
            dim->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
            dim->dim_param = take_text(model, "N");
        } else {
            dim->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
            dim->dim_value = dims[i - 1];
        }
        shape->dim[shape->n_dim++] = dim;
    }
    tensor->has_elem_type = true;
    tensor->elem_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    tensor->shape = shape;
    type->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    type->tensor_type = tensor;
    info->name = name;
    info->type = type;
    list[0] = info;
    return list;
}

static enum nero_status fill_graph(struct onnx_model *model, struct nero_err *err)
{
    const struct graph *graph = model->graph;
    const struct graph_shape in = graph->nodes[0].shape;
    const struct graph_shape last = graph->nodes[graph->node_count - 1].shape;

    onnx__graph_proto__init(&model->out);
    model->out.name = take_text(model, "nero");
    add_nodes(model);
    model->out.n_input = 1;
    model->out.input =
        value_info(model, model->values[0], &(const uint32_t[]){in.c, in.h, in.w}[0], 3);
    model->out.n_output = 1;
    model->out.output = value_info(model, model->values[graph->node_count - 1], &last.c, 1);
    return add_initializers(model, err);
}

static void add_properties(struct onnx_model *model, const struct onnx_property *properties,
                           uint32_t count, Onnx__ModelProto *out)
{
    out->metadata_props = take(model, count * sizeof(*out->metadata_props));
    for (uint32_t i = 0; i < count; i++) {
        Onnx__StringStringEntryProto *entry = take(model, sizeof(*entry));

        onnx__string_string_entry_proto__init(entry);
        entry->key = take_text(model, properties[i].key);
        entry->value = take_text(model, properties[i].value);
        out->metadata_props[out->n_metadata_props++] = entry;
    }
}

static enum nero_status pack(const Onnx__ModelProto *model, struct bytes *out, struct nero_err *err)
{
    size_t bytes = onnx__model_proto__get_packed_size(model);
    uint8_t *room;

    if (bytes > INT32_MAX) {
        return err_set(err, NERO_TOO_BIG, 0, "onnx: %zu bytes are over the format's 2 GiB", bytes);
    }
    if (bytes_extend(out, bytes, &room, err) != NERO_OK) {
        return err_wrap(err, "onnx");
    }
    (void)onnx__model_proto__pack(model, room);
    return NERO_OK;
}

enum nero_status onnx_write(const struct graph *graph, const struct safetensors_file *weights,
                            const struct onnx_property *properties, uint32_t property_count,
                            struct bytes *out, struct nero_err *err)
{
    struct onnx_model model = {.graph = graph, .weights = weights};
    Onnx__OperatorSetIdProto opset = ONNX__OPERATOR_SET_ID_PROTO__INIT;
    Onnx__OperatorSetIdProto *opsets[1] = {&opset};
    Onnx__ModelProto file = ONNX__MODEL_PROTO__INIT;
    enum nero_status status = take_room(&model, properties, property_count, err);

    if (status == NERO_OK) {
        status = fill_graph(&model, err);
    }
    if (status == NERO_OK) {
        add_properties(&model, properties, property_count, &file);
        opset.domain = take_text(&model, "");
        opset.has_version = true;
        opset.version = ONNX_OPSET;
        file.has_ir_version = true;
        file.ir_version = ONNX_IR_VERSION;
        file.producer_name = take_text(&model, "nero");
        file.producer_version = take_text(&model, NERO_RELEASE);
        file.n_opset_import = 1;
        file.opset_import = opsets;
        file.graph = &model.out;
        status = pack(&file, out, err);
    }
    free(model.room);
    return status;
}
