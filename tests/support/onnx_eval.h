/*
 * An ONNX file read and evaluated with plain loops in double precision: a referee for the export
 * that shares no code with it, with the graph or with any backend. It knows the operators that the
 * export may write and refuses others, unknown attributes and files that are not well formed.
 */
#ifndef NERO_TESTS_ONNX_EVAL_H
#define NERO_TESTS_ONNX_EVAL_H

#include <stdint.h>

#include "nero/bytes.h"

struct onnx_eval;

/* NULL, and a line on standard error, where the file cannot be read. */
struct onnx_eval *onnx_eval_open(struct bytes_view file);
void onnx_eval_close(struct onnx_eval *eval);

/* Value of a metadata property; NULL when there is none. */
const char *onnx_eval_property(const struct onnx_eval *eval, const char *key);

/* How many nodes are of this operator. */
uint32_t onnx_eval_count(const struct onnx_eval *eval, const char *op);

/*
 * images [batch, C,H,W] of the file's input shape to logits [batch, classes]; `count` is the room
 * in logits and must be exactly filled. Returns 0, or -1 with a line on standard error.
 */
int onnx_eval_run(struct onnx_eval *eval, uint32_t batch, const float *images, double *logits,
                  uint32_t count);

#endif
