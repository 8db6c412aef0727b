/*
 * One msgpack value: its header, checked to be of an allowed type and in its shortest form. Shared
 * by the walker, the field reader and the JSON printer, so that they cannot disagree.
 * Source: msgpack specification, "Formats".
 */
#ifndef NERO_TOKEN_H
#define NERO_TOKEN_H

#include "nero/bytes.h"

enum token_type {
    TOKEN_NIL,
    TOKEN_BOOL,
    TOKEN_UINT, /* not negative */
    TOKEN_INT,  /* negative */
    TOKEN_REAL, /* float64 */
    TOKEN_STR,
    TOKEN_BIN,
    TOKEN_ARRAY
};

struct token {
    enum token_type type;
    size_t head;     /* bytes before the content */
    uint64_t length; /* str, bin: bytes of content, all there; array: elements, else 0 */
    uint64_t uint;
    int64_t sint;
    double real;
    bool truth;
};

/* NULL on success, else what is wrong with the value at `at`. */
const char *token_parse(struct bytes_view in, size_t at, struct token *out);

/* NULL when `in` is one well-formed value, else what is wrong, at *at. */
const char *token_walk(struct bytes_view in, size_t *at);

const char *token_name(enum token_type type);

#endif
