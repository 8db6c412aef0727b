#include "nero/safetensors.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "nero/mem.h"

static_assert(sizeof(float) == 4, "float32");
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
              "tensors are stored as they lie in memory");

/* Bytes of data in one file; keeps every sum of sizes far from overflow. */
#define SAFETENSORS_DATA_MAX (UINT64_C(1) << 40)

static bool name_is_clean(const char *name, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        char c = name[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '.' || c == '_' || c == '-')) {
            return false;
        }
    }
    return bytes > 0 && bytes < SAFETENSORS_NAME_BYTES;
}

static int name_order(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The first name that stands twice; NULL when there is none. */
static enum nero_status names_find_double(const struct safetensors_tensor *tensors, uint32_t count,
                                          const char **twice, struct nero_err *err)
{
    const char **names = mem_calloc(count, sizeof *names);

    if (names == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "safetensors: no memory for %u names", count);
    }
    for (uint32_t i = 0; i < count; i++) {
        names[i] = tensors[i].name;
    }
    qsort(names, count, sizeof *names, name_order);
    *twice = NULL;
    for (uint32_t i = 1; i < count && *twice == NULL; i++) {
        *twice = strcmp(names[i - 1], names[i]) == 0 ? names[i] : NULL;
    }
    free(names);
    return NERO_OK;
}

/* Product of the dimensions; false where one is 0 or the data would be out of all proportion. */
static bool dims_count(const struct safetensors_tensor *tensor, uint64_t *count)
{
    *count = 1;
    for (uint32_t i = 0; i < tensor->rank; i++) {
        if (tensor->dims[i] == 0 || __builtin_mul_overflow(*count, tensor->dims[i], count) ||
            *count > SAFETENSORS_DATA_MAX / 4) {
            return false;
        }
    }
    return true;
}

/* ---- writing ---- */

static enum nero_status tensor_check(const struct safetensors_tensor *tensor, struct nero_err *err)
{
    uint64_t count;

    if (!name_is_clean(tensor->name, strnlen(tensor->name, SAFETENSORS_NAME_BYTES))) {
        return err_set(err, NERO_INVALID, 0,
                       "safetensors: name '%.96s': expected 1 to %d of A-Z a-z 0-9 . _ -",
                       tensor->name, SAFETENSORS_NAME_BYTES - 1);
    }
    if (tensor->rank > SAFETENSORS_RANK_MAX || !dims_count(tensor, &count) ||
        count != tensor->count) {
        return err_set(err, NERO_INVALID, 0, "safetensors: %s: dimensions and count do not agree",
                       tensor->name);
    }
    return NERO_OK;
}

/* One entry of the header; the data lie at begin..end. */
static enum nero_status entry_print(const struct safetensors_tensor *tensor, uint64_t begin,
                                    uint64_t end, struct bytes *out, struct nero_err *err)
{
    enum nero_status status =
        bytes_printf(out, err, "\"%s\":{\"dtype\":\"F32\",\"shape\":[", tensor->name);

    for (uint32_t i = 0; i < tensor->rank && status == NERO_OK; i++) {
        status = bytes_printf(out, err, "%s%" PRIu64, i > 0 ? "," : "", tensor->dims[i]);
    }
    if (status == NERO_OK) {
        status =
            bytes_printf(out, err, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", begin, end);
    }
    return status;
}

static enum nero_status header_print(const struct safetensors_tensor *tensors, uint32_t count,
                                     struct bytes *out, struct nero_err *err)
{
    enum nero_status status = bytes_append(out, "{", 1, err);
    uint64_t at = 0;

    for (uint32_t i = 0; i < count && status == NERO_OK; i++) {
        status = tensor_check(&tensors[i], err);
        if (status == NERO_OK && i > 0) {
            status = bytes_append(out, ",", 1, err);
        }
        if (status == NERO_OK && 4 * tensors[i].count > SAFETENSORS_DATA_MAX - at) {
            status = err_set(err, NERO_TOO_BIG, 0, "safetensors: more than 1 TiB of data");
        }
        if (status == NERO_OK) {
            status = entry_print(&tensors[i], at, at + 4 * tensors[i].count, out, err);
            at += 4 * tensors[i].count;
        }
    }
    if (status == NERO_OK) {
        status = bytes_append(out, "}", 1, err);
    }
    while (status == NERO_OK && out->bytes % 8 != 0) {
        status = bytes_append(out, " ", 1, err);
    }
    return status;
}

/* The header that goes in front of these tensors. */
static enum nero_status header_make(const struct safetensors_tensor *tensors, uint32_t count,
                                    struct bytes *header, struct nero_err *err)
{
    const char *twice = NULL;
    enum nero_status status;

    if (count > SAFETENSORS_TENSORS_MAX) {
        return err_set(err, NERO_TOO_BIG, 0, "safetensors: %u tensors, more than %d", count,
                       SAFETENSORS_TENSORS_MAX);
    }
    status = header_print(tensors, count, header, err);
    if (status == NERO_OK) {
        status = names_find_double(tensors, count, &twice, err);
    }
    if (status == NERO_OK && twice != NULL) {
        status = err_set(err, NERO_INVALID, 0, "safetensors: name '%s' twice", twice);
    }
    return status;
}

enum nero_status safetensors_begin(const struct safetensors_tensor *tensors, uint32_t count,
                                   struct bytes *out, float **data, struct nero_err *err)
{
    struct bytes header;
    uint8_t *room;
    size_t floats = 0;
    enum nero_status status;

    bytes_init(&header, SAFETENSORS_HEADER_BYTES_MAX);
    status = header_make(tensors, count, &header, err);
    for (uint32_t i = 0; i < count && status == NERO_OK; i++) {
        floats += tensors[i].count; /* the header's making has bounded the sum */
    }
    if (status == NERO_OK) {
        status = bytes_extend(out, 8 + header.bytes + 4 * floats, &room, err);
    }
    if (status == NERO_OK) {
        void *first = room + 8 + header.bytes;

        bytes_put_u64le(room, header.bytes);
        memcpy(room + 8, header.data, header.bytes);
        *data = first;
    }
    bytes_fini(&header);
    return status;
}

enum nero_status safetensors_write(const struct safetensors_tensor *tensors, uint32_t count,
                                   struct bytes *out, struct nero_err *err)
{
    float *data;

    if (safetensors_begin(tensors, count, out, &data, err) != NERO_OK) {
        return err->status;
    }
    for (uint32_t i = 0; i < count; i++) {
        memcpy(data, tensors[i].data, 4 * tensors[i].count);
        data += tensors[i].count;
    }
    return NERO_OK;
}

/* ---- reading: exactly what is written above, so that equal tensors are equal bytes ---- */

struct cursor {
    const char *text; /* the whole file */
    size_t at;
    size_t end;       /* of the header */
    const char *name; /* of the tensor at hand; "" before the first */
    struct nero_err *err;
};

static enum nero_status cursor_fail(const struct cursor *cursor, const char *reason)
{
    return err_set(cursor->err, NERO_CORRUPT, 0, "safetensors: tensor '%s' at byte %zu: %s",
                   cursor->name, cursor->at, reason);
}

static bool cursor_skip(struct cursor *cursor, const char *expected)
{
    size_t bytes = strlen(expected);

    if (cursor->end - cursor->at < bytes ||
        memcmp(cursor->text + cursor->at, expected, bytes) != 0) {
        return false;
    }
    cursor->at += bytes;
    return true;
}

/* A decimal number without leading zeros, at most SAFETENSORS_DATA_MAX. */
static bool cursor_number(struct cursor *cursor, uint64_t *out)
{
    size_t start = cursor->at;
    uint64_t value = 0;

    while (cursor->at < cursor->end && cursor->text[cursor->at] >= '0' &&
           cursor->text[cursor->at] <= '9' && value <= SAFETENSORS_DATA_MAX) {
        value = 10 * value + (uint64_t)(cursor->text[cursor->at++] - '0');
    }
    *out = value;
    return cursor->at > start && value <= SAFETENSORS_DATA_MAX &&
           (cursor->text[start] != '0' || cursor->at == start + 1);
}

static enum nero_status name_read(struct cursor *cursor, struct safetensors_tensor *tensor)
{
    const char *start;
    const char *quote;

    if (!cursor_skip(cursor, "\"")) {
        return cursor_fail(cursor, "a name is expected");
    }
    start = cursor->text + cursor->at;
    quote = memchr(start, '"', cursor->end - cursor->at);
    if (quote == NULL || !name_is_clean(start, (size_t)(quote - start))) {
        return cursor_fail(cursor, "a name has 1 to 95 of A-Z a-z 0-9 . _ -");
    }
    memcpy(tensor->name, start, (size_t)(quote - start));
    tensor->name[quote - start] = 0;
    cursor->name = tensor->name;
    cursor->at += (size_t)(quote - start) + 1;
    return NERO_OK;
}

/* `data_at`: where its data must begin, so that the data are dense; moved to their end. */
static enum nero_status entry_read(struct cursor *cursor, struct safetensors_tensor *tensor,
                                   uint64_t *data_at)
{
    uint64_t begin;
    uint64_t end;
    enum nero_status status = name_read(cursor, tensor);

    if (status != NERO_OK) {
        return status;
    }
    if (!cursor_skip(cursor, ":{\"dtype\":\"F32\",\"shape\":[")) {
        return cursor_fail(cursor, "expected :{\"dtype\":\"F32\",\"shape\":[");
    }
    while (!cursor_skip(cursor, "]")) {
        if (tensor->rank == SAFETENSORS_RANK_MAX ||
            (tensor->rank > 0 && !cursor_skip(cursor, ",")) ||
            !cursor_number(cursor, &tensor->dims[tensor->rank])) {
            return cursor_fail(cursor, "the shape is no list of up to 4 numbers");
        }
        tensor->rank++;
    }
    if (!dims_count(tensor, &tensor->count)) {
        return cursor_fail(cursor, "the shape is empty or too large");
    }
    if (!cursor_skip(cursor, ",\"data_offsets\":[") || !cursor_number(cursor, &begin) ||
        !cursor_skip(cursor, ",") || !cursor_number(cursor, &end) || !cursor_skip(cursor, "]}")) {
        return cursor_fail(cursor, "expected \"data_offsets\":[begin,end]}");
    }
    if (begin != *data_at || end - begin != 4 * tensor->count) {
        return cursor_fail(cursor, "the data do not follow on one another as the shapes say");
    }
    *data_at = end;
    return NERO_OK;
}

/* An entry takes at least this many bytes: bounds what is allocated by what is there. */
enum {
    ENTRY_BYTES_MIN = sizeof "\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}" - 1
};

static enum nero_status header_read(struct cursor *cursor, struct safetensors_file *file,
                                    uint64_t *data_bytes)
{
    size_t count_max = (cursor->end - cursor->at) / ENTRY_BYTES_MIN;
    enum nero_status status = NERO_OK;

    count_max = count_max < SAFETENSORS_TENSORS_MAX ? count_max : SAFETENSORS_TENSORS_MAX;
    file->tensors = mem_calloc(count_max, sizeof *file->tensors);
    if (file->tensors == NULL) {
        return err_set(cursor->err, NERO_NO_MEMORY, 0, "safetensors: no memory for %zu tensors",
                       count_max);
    }
    *data_bytes = 0;
    if (!cursor_skip(cursor, "{")) {
        return cursor_fail(cursor, "expected {");
    }
    while (status == NERO_OK && !cursor_skip(cursor, "}")) {
        if (file->count == count_max || (file->count > 0 && !cursor_skip(cursor, ","))) {
            return cursor_fail(cursor, "expected , or } or fewer tensors");
        }
        status = entry_read(cursor, &file->tensors[file->count++], data_bytes);
    }
    if (status == NERO_OK && cursor->end - cursor->at > 7) {
        status = cursor_fail(cursor, "more than 7 bytes after the header's }");
    }
    while (status == NERO_OK && cursor->at < cursor->end) {
        if (!cursor_skip(cursor, " ")) {
            status = cursor_fail(cursor, "something else than spaces after the header's }");
        }
    }
    return status;
}

static enum nero_status file_read(struct cursor *cursor, struct bytes_view bytes,
                                  struct safetensors_file *file)
{
    uint64_t data_bytes = 0;
    const char *twice;
    size_t data_at = 0;
    enum nero_status status = header_read(cursor, file, &data_bytes);

    if (status == NERO_OK) {
        status = names_find_double(file->tensors, file->count, &twice, cursor->err);
    }
    if (status != NERO_OK) {
        return status;
    }
    if (twice != NULL) {
        cursor->name = twice;
        return cursor_fail(cursor, "stands there twice");
    }
    if (data_bytes != bytes.bytes - cursor->end) {
        return cursor_fail(cursor, "the file's length is not header and data");
    }
    for (uint32_t i = 0; i < file->count; i++) {
        const void *data = bytes.data + cursor->end + data_at;

        file->tensors[i].data = data;
        data_at += 4 * file->tensors[i].count;
    }
    return NERO_OK;
}

enum nero_status safetensors_read(struct bytes_view bytes, struct safetensors_file *out,
                                  struct nero_err *err)
{
    struct safetensors_file made = {.count = 0, .tensors = NULL};
    struct cursor cursor = {.text = (const char *)bytes.data, .name = "", .err = err};
    uint64_t header_bytes;
    enum nero_status status;

    if (bytes.bytes < 8) {
        return cursor_fail(&cursor, "shorter than the header's length");
    }
    if ((uintptr_t)bytes.data % 4 != 0) {
        return err_set(err, NERO_INVALID, 0, "safetensors: the buffer is not aligned to 4 bytes");
    }
    header_bytes = bytes_get_u64le(bytes.data);
    if (header_bytes > bytes.bytes - 8 || header_bytes > SAFETENSORS_HEADER_BYTES_MAX ||
        header_bytes % 8 != 0) {
        return cursor_fail(&cursor, "the header's length is more than there is, over the limit or "
                                    "no multiple of 8");
    }
    cursor.at = 8;
    cursor.end = 8 + (size_t)header_bytes;
    status = file_read(&cursor, bytes, &made);
    if (status != NERO_OK) {
        safetensors_file_fini(&made);
        return status;
    }
    *out = made;
    return NERO_OK;
}

void safetensors_file_fini(struct safetensors_file *file)
{
    free(file->tensors);
    file->tensors = NULL;
    file->count = 0;
}

const struct safetensors_tensor *safetensors_find(const struct safetensors_file *file,
                                                  const char *name)
{
    for (uint32_t i = 0; i < file->count; i++) {
        if (strcmp(file->tensors[i].name, name) == 0) {
            return &file->tensors[i];
        }
    }
    return NULL;
}
