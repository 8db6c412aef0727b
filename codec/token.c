#include "token.h"

#include <string.h>

#include "nero/record.h"

static uint64_t token_big_endian(const uint8_t *data, size_t bytes)
{
    uint64_t value = 0;

    for (size_t i = 0; i < bytes; i++) {
        value = value << 8 | data[i];
    }
    return value;
}

/* Lengths and integers have one spelling, the shortest: equal records are equal bytes. */
static const char *token_uint(uint64_t value, size_t bytes, struct token *out)
{
    static const uint64_t least[] = {[1] = 128, [2] = 256, [4] = 65536, [8] = 1ull << 32};

    out->type = TOKEN_UINT;
    out->uint = value;
    return value < least[bytes] ? "an integer longer than it need be" : NULL;
}

static const char *token_int(uint64_t raw, size_t bytes, struct token *out)
{
    static const int64_t below[] = {[1] = -32, [2] = INT8_MIN, [4] = INT16_MIN, [8] = INT32_MIN};
    unsigned shift = 64 - 8 * (unsigned)bytes;

    out->type = TOKEN_INT;
    out->sint = (int64_t)(raw << shift) >> shift; /* arithmetic: gcc and clang extend the sign */
    return out->sint >= below[bytes] ? "an integer longer than it need be" : NULL;
}

static const char *token_real(uint64_t raw, struct token *out)
{
    out->type = TOKEN_REAL;
    memcpy(&out->real, &raw, sizeof raw);
    if (out->real != out->real && raw != 0x7ff8000000000000u) {
        return "a NaN other than 0x7ff8000000000000";
    }
    return NULL;
}

/* Content of str and bin must be there; an element takes at least one byte. */
static const char *token_sized(enum token_type type, uint64_t length, uint64_t least, size_t left,
                               struct token *out)
{
    out->type = type;
    out->length = length;
    if (length < least) {
        return "a length longer than it need be";
    }
    return length > left ? "declares more than the bytes that remain" : NULL;
}

/* The value has a one-byte tag and `bytes` bytes of length or number after it. */
static const char *token_long(uint8_t tag, uint64_t raw, size_t bytes, size_t left,
                              struct token *out)
{
    uint64_t wide = bytes == 4 ? 65536 : 256;

    switch (tag) {
    case 0xc4:
        return token_sized(TOKEN_BIN, raw, 0, left, out);
    case 0xc5:
    case 0xc6:
        return token_sized(TOKEN_BIN, raw, wide, left, out);
    case 0xcb:
        return token_real(raw, out);
    case 0xcc:
    case 0xcd:
    case 0xce:
    case 0xcf:
        return token_uint(raw, bytes, out);
    case 0xd0:
    case 0xd1:
    case 0xd2:
    case 0xd3:
        return token_int(raw, bytes, out);
    case 0xd9:
        return token_sized(TOKEN_STR, raw, 32, left, out);
    case 0xda:
    case 0xdb:
        return token_sized(TOKEN_STR, raw, wide, left, out);
    case 0xdc:
        return token_sized(TOKEN_ARRAY, raw, 16, left, out);
    default: /* 0xdd */
        return token_sized(TOKEN_ARRAY, raw, 65536, left, out);
    }
}

const char *token_parse(struct bytes_view in, size_t at, struct token *out)
{
    /* Bytes after the tag, from 0xc4 on; 0: a type that records do not use. */
    static const uint8_t follow[] = {[0xc4 - 0xc4] = 1, [0xc5 - 0xc4] = 2, [0xc6 - 0xc4] = 4,
                                     [0xcb - 0xc4] = 8, [0xcc - 0xc4] = 1, [0xcd - 0xc4] = 2,
                                     [0xce - 0xc4] = 4, [0xcf - 0xc4] = 8, [0xd0 - 0xc4] = 1,
                                     [0xd1 - 0xc4] = 2, [0xd2 - 0xc4] = 4, [0xd3 - 0xc4] = 8,
                                     [0xd9 - 0xc4] = 1, [0xda - 0xc4] = 2, [0xdb - 0xc4] = 4,
                                     [0xdc - 0xc4] = 2, [0xdd - 0xc4] = 4};
    size_t left;
    uint8_t tag;

    memset(out, 0, sizeof *out);
    if (at >= in.bytes) {
        return "the bytes end";
    }
    tag = in.data[at];
    left = in.bytes - at - 1;
    out->head = 1;
    if (tag <= 0x7f) {
        out->type = TOKEN_UINT;
        out->uint = tag;
        return NULL;
    }
    if (tag >= 0xe0) {
        out->type = TOKEN_INT;
        out->sint = (int64_t)tag - 256;
        return NULL;
    }
    if (tag >= 0x90 && tag <= 0x9f) {
        return token_sized(TOKEN_ARRAY, tag & 15u, 0, left, out);
    }
    if (tag >= 0xa0 && tag <= 0xbf) {
        return token_sized(TOKEN_STR, tag & 31u, 0, left, out);
    }
    if (tag == 0xc0 || tag == 0xc2 || tag == 0xc3) {
        out->type = tag == 0xc0 ? TOKEN_NIL : TOKEN_BOOL;
        out->truth = tag == 0xc3;
        return NULL;
    }
    if (tag < 0xc4 || tag - 0xc4u >= sizeof follow || follow[tag - 0xc4u] == 0) {
        return "a type that records do not use (map, extension, float32)";
    }
    if (left < follow[tag - 0xc4u]) {
        return "the bytes end";
    }
    out->head += follow[tag - 0xc4u];
    return token_long(tag, token_big_endian(in.data + at + 1, follow[tag - 0xc4u]),
                      follow[tag - 0xc4u], left - follow[tag - 0xc4u], out);
}

const char *token_walk(struct bytes_view in, size_t *at)
{
    uint64_t left[RECORD_DEPTH_MAX]; /* values still due in each open array */
    size_t depth = 0;
    struct token token;
    const char *wrong;

    *at = 0;
    do {
        wrong = token_parse(in, *at, &token);
        if (wrong != NULL) {
            return wrong;
        }
        if (token.type == TOKEN_ARRAY && token.length > 0) {
            if (depth == RECORD_DEPTH_MAX) {
                return "nested too deeply";
            }
            left[depth++] = token.length;
            *at += token.head;
            continue;
        }
        *at += token.head + (size_t)token.length;
        while (depth > 0 && --left[depth - 1] == 0) {
            depth--;
        }
    } while (depth > 0);
    return *at == in.bytes ? NULL : "bytes after the end";
}

const char *token_name(enum token_type type)
{
    static const char *const names[] = {
        [TOKEN_NIL] = "nil",         [TOKEN_BOOL] = "a boolean",
        [TOKEN_UINT] = "an integer", [TOKEN_INT] = "a negative integer",
        [TOKEN_REAL] = "a float64",  [TOKEN_STR] = "a string",
        [TOKEN_BIN] = "bytes",       [TOKEN_ARRAY] = "an array"};

    return names[type];
}
