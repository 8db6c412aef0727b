#include "nero/bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nero/mem.h"

struct bytes_view bytes_view_of(const void *data, size_t bytes)
{
    struct bytes_view view = {.data = data, .bytes = bytes};

    return view;
}

struct bytes_view bytes_view_str(const char *text)
{
    return bytes_view_of(text, strlen(text));
}

bool bytes_view_equal(struct bytes_view a, struct bytes_view b)
{
    return a.bytes == b.bytes && (a.bytes == 0 || memcmp(a.data, b.data, a.bytes) == 0);
}

void bytes_init(struct bytes *buf, size_t bytes_max)
{
    memset(buf, 0, sizeof *buf);
    buf->bytes_max = bytes_max;
}

void bytes_fini(struct bytes *buf)
{
    free(buf->data);
    bytes_init(buf, buf->bytes_max);
}

void bytes_clear(struct bytes *buf)
{
    buf->bytes = 0;
}

struct bytes_view bytes_as_view(const struct bytes *buf)
{
    return bytes_view_of(buf->data, buf->bytes);
}

/* Grow so that `more` further bytes fit. On failure nothing changes. */
static enum nero_status bytes_reserve(struct bytes *buf, size_t more, struct nero_err *err)
{
    size_t need;
    size_t capacity = buf->capacity;
    uint8_t *data;

    if (more > buf->bytes_max - buf->bytes) {
        return err_set(err, NERO_TOO_BIG, 0, "%zu bytes and %zu more exceed the limit of %zu",
                       buf->bytes, more, buf->bytes_max);
    }
    need = buf->bytes + more;
    if (need <= capacity) {
        return NERO_OK;
    }
    capacity = capacity < 64 ? 64 : capacity;
    while (capacity < need) {
        capacity = capacity > buf->bytes_max / 2 ? buf->bytes_max : capacity * 2;
    }
    if (capacity > buf->bytes_max) {
        capacity = buf->bytes_max;
    }
    data = mem_realloc(buf->data, capacity);
    if (data == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for a buffer of %zu bytes", capacity);
    }
    buf->data = data;
    buf->capacity = capacity;
    return NERO_OK;
}

enum nero_status bytes_append(struct bytes *buf, const void *data, size_t bytes,
                              struct nero_err *err)
{
    enum nero_status status = bytes_reserve(buf, bytes, err);

    if (status != NERO_OK) {
        return status;
    }
    if (bytes > 0) {
        memcpy(buf->data + buf->bytes, data, bytes);
    }
    buf->bytes += bytes;
    return NERO_OK;
}

enum nero_status bytes_extend(struct bytes *buf, size_t bytes, uint8_t **room, struct nero_err *err)
{
    enum nero_status status = bytes_reserve(buf, bytes, err);

    if (status != NERO_OK) {
        return status;
    }
    *room = buf->data + buf->bytes;
    buf->bytes += bytes;
    return NERO_OK;
}

enum nero_status bytes_printf(struct bytes *buf, struct nero_err *err, const char *format, ...)
{
    enum nero_status status;
    va_list args;
    int length;

    va_start(args, format);
    length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (length < 0) {
        return err_set(err, NERO_INVALID, 0, "format '%s' cannot be printed", format);
    }
    status = bytes_reserve(buf, (size_t)length + 1, err);
    if (status != NERO_OK) {
        return status;
    }
    va_start(args, format);
    (void)vsnprintf((char *)buf->data + buf->bytes, (size_t)length + 1, format, args);
    va_end(args);
    buf->bytes += (size_t)length;
    return NERO_OK;
}

enum nero_status bytes_terminate(struct bytes *buf, struct nero_err *err)
{
    enum nero_status status = bytes_reserve(buf, 1, err);

    if (status == NERO_OK) {
        buf->data[buf->bytes] = 0;
    }
    return status;
}

uint8_t *bytes_take(struct bytes *buf, size_t *bytes)
{
    uint8_t *data = buf->data;

    *bytes = buf->bytes;
    bytes_init(buf, buf->bytes_max);
    return data;
}

void bytes_put_u32le(uint8_t out[4], uint32_t value)
{
    for (int i = 0; i < 4; i++) {
        out[i] = (uint8_t)(value >> (8 * i));
    }
}

void bytes_put_u64le(uint8_t out[8], uint64_t value)
{
    for (int i = 0; i < 8; i++) {
        out[i] = (uint8_t)(value >> (8 * i));
    }
}

uint32_t bytes_get_u32le(const uint8_t in[4])
{
    uint32_t value = 0;

    for (int i = 3; i >= 0; i--) {
        value = value << 8 | in[i];
    }
    return value;
}

uint64_t bytes_get_u64le(const uint8_t in[8])
{
    uint64_t value = 0;

    for (int i = 7; i >= 0; i--) {
        value = value << 8 | in[i];
    }
    return value;
}

void bytes_to_hex(char *out, const uint8_t *data, size_t bytes)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < bytes; i++) {
        out[2 * i] = digits[data[i] >> 4];
        out[2 * i + 1] = digits[data[i] & 15];
    }
    out[2 * bytes] = 0;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

enum nero_status bytes_from_hex(uint8_t *out, size_t bytes, const char *hex, struct nero_err *err)
{
    if (strlen(hex) != 2 * bytes) {
        return err_set(err, NERO_INVALID, 0, "'%.80s' is not %zu hex digits", hex, 2 * bytes);
    }
    for (size_t i = 0; i < bytes; i++) {
        int high = hex_digit(hex[2 * i]);
        int low = hex_digit(hex[2 * i + 1]);

        if (high < 0 || low < 0) {
            return err_set(err, NERO_INVALID, 0, "'%.80s' holds more than 0-9 and a-f", hex);
        }
        out[i] = (uint8_t)(high << 4 | low);
    }
    return NERO_OK;
}
