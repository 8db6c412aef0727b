/*
 * Byte views, owned byte buffers and little-endian helpers.
 *
 * A view never owns. A buffer owns its memory, has a maximum given at init, grows by doubling up to
 * that maximum, and on any failed append is unchanged.
 */
#ifndef NERO_BYTES_H
#define NERO_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nero/err.h"

struct bytes_view {
    const uint8_t *data; /* may be NULL where bytes is 0 */
    size_t bytes;
};

/* Invariant: bytes <= capacity <= bytes_max; data is NULL exactly when capacity is 0. */
struct bytes {
    uint8_t *data;
    size_t bytes;
    size_t capacity;
    size_t bytes_max;
};

struct bytes_view bytes_view_of(const void *data, size_t bytes);
struct bytes_view bytes_view_str(const char *text);
bool bytes_view_equal(struct bytes_view a, struct bytes_view b);

void bytes_init(struct bytes *buf, size_t bytes_max);
void bytes_fini(struct bytes *buf);
void bytes_clear(struct bytes *buf); /* keeps the memory */
struct bytes_view bytes_as_view(const struct bytes *buf);

/* Errors: too_big (over bytes_max), no_memory. `data` may not point into `buf`. */
enum nero_status bytes_append(struct bytes *buf, const void *data, size_t bytes,
                              struct nero_err *err);
enum nero_status bytes_printf(struct bytes *buf, struct nero_err *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Make room for `bytes` more and return where they go; the caller fills them. */
enum nero_status bytes_extend(struct bytes *buf, size_t bytes, uint8_t **room,
                              struct nero_err *err);

/* Append a NUL that `bytes` does not count, so that data can be read as a C string. */
enum nero_status bytes_terminate(struct bytes *buf, struct nero_err *err);

/* Hand the memory to the caller (free with free()); buf is empty afterwards. */
uint8_t *bytes_take(struct bytes *buf, size_t *bytes);

void bytes_put_u32le(uint8_t out[4], uint32_t value);
void bytes_put_u64le(uint8_t out[8], uint64_t value);
uint32_t bytes_get_u32le(const uint8_t in[4]);
uint64_t bytes_get_u64le(const uint8_t in[8]);

/* Lower-case hex; `out` has room for 2 * bytes + 1. */
void bytes_to_hex(char *out, const uint8_t *data, size_t bytes);

/* Errors: invalid (length or a character). Only lower case is accepted: one id, one spelling. */
enum nero_status bytes_from_hex(uint8_t *out, size_t bytes, const char *hex, struct nero_err *err);

#endif
