/*
 * A network as an ONNX file, for whoever wants to run it elsewhere: what the inference plan
 * computes, node by node and unfolded, with the trained weights in it.
 *
 * Input "image", float32 [N,C,H,W] in [0,1] with N free; output "logits", float32 [N,classes], no
 * softmax. IR version 7, operator set 13: Conv, BatchNormalization (epsilon 1e-3), Relu, Sigmoid
 * and Mul (SiLU), MaxPool, AveragePool (padding is not counted), Concat, Flatten and Gemm. Padding
 * is explicit. Values are named as the graph's parameters, "u03.n017"; parameters as in
 * checkpoints. Equal networks, weights and properties give equal bytes.
 *
 * Source: onnx.proto and the operator reference of ONNX 1.12.
 */
#ifndef NERO_ONNX_H
#define NERO_ONNX_H

#include <stdint.h>

#include "nero/bytes.h"
#include "nero/graph.h"
#include "nero/safetensors.h"

enum {
    ONNX_IR_VERSION = 7,
    ONNX_OPSET = 13,
    ONNX_PROPERTIES_MAX = 64,
    ONNX_TEXT_BYTES_MAX = 1024 /* of a property's key or value */
};

/* An entry of the file's metadata_props, in the order given. */
struct onnx_property {
    const char *key;
    const char *value;
};

/*
 * Append the file. weights: the parameters and statistics of this graph by name, as a runner writes
 * them (further tensors are ignored). All arguments are borrowed until return.
 * Errors: invalid (a parameter is missing or has another shape; properties over the limits),
 * too_big (over out's maximum, or 2 GiB, which is the format's), no_memory.
 */
enum nero_status onnx_write(const struct graph *graph, const struct safetensors_file *weights,
                            const struct onnx_property *properties, uint32_t property_count,
                            struct bytes *out, struct nero_err *err);

#endif
