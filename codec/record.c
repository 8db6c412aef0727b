#include "record_impl.h"

#include <assert.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <msgpack.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "nero/mem.h"

/* "blobs[2].hash", cut where it does not fit. */
static void record_place_text(const struct record *r, const char *field, char *out, size_t bytes)
{
    size_t used = 0;

    out[0] = 0;
    for (uint32_t i = 0; i < r->depth && used < bytes; i++) {
        const struct record_place *place = &r->path[i];
        int n = place->index < 0 ? snprintf(out + used, bytes - used, "%s.", place->name)
                                 : snprintf(out + used, bytes - used, "%s[%" PRId64 "].",
                                            place->name, place->index);

        used += n > 0 ? (size_t)n : 0;
    }
    if (field != NULL && used < bytes) {
        (void)snprintf(out + used, bytes - used, "%s", field);
    } else if (used > 0 && used < bytes) {
        out[used - 1] = 0; /* the last dot */
    }
}

static void record_fail_status(struct record *r, enum nero_status status, const char *field,
                               const char *reason)
{
    char place[256];

    if (r->status != NERO_OK) {
        return;
    }
    record_place_text(r, field, place, sizeof place);
    if (r->mode == RECORD_READ) {
        r->status =
            err_set(r->err, status, 0, "%s: %s at byte %zu: %s", r->name, place, r->at, reason);
    } else {
        r->status = err_set(r->err, status, 0, "%s: %s: %s", r->name, place, reason);
    }
}

void record_fail(struct record *r, const char *field, const char *format, ...)
{
    char reason[384];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    record_fail_status(r, r->mode == RECORD_READ ? NERO_CORRUPT : NERO_INVALID, field, reason);
}

static void record_begin(struct record *r, enum record_mode mode, const char *name,
                         struct nero_err *err)
{
    memset(r, 0, sizeof *r);
    r->mode = mode;
    r->name = name;
    r->err = err;
}

void record_check_begin(struct record *r, const char *name, struct nero_err *err)
{
    record_begin(r, RECORD_CHECK, name, err);
}

void record_write_begin(struct record *r, const char *name, struct bytes *out, size_t bytes_max,
                        struct nero_err *err)
{
    record_begin(r, RECORD_WRITE, name, err);
    r->out = out;
    r->out_start = out->bytes;
    r->out_max = bytes_max;
}

void record_read_begin(struct record *r, const char *name, struct bytes_view in, size_t bytes_max,
                       struct nero_err *err)
{
    const char *wrong;
    size_t at;

    record_begin(r, RECORD_READ, name, err);
    r->in = in;
    if (in.bytes > bytes_max) {
        r->status = err_set(err, NERO_TOO_BIG, 0, "%s: %zu bytes, more than %zu", name, in.bytes,
                            bytes_max);
        return;
    }
    wrong = token_walk(in, &at);
    if (wrong != NULL) {
        r->status = err_set(err, NERO_CORRUPT, 0, "%s: structure at byte %zu: %s", name, at, wrong);
    }
}

enum nero_status record_end(struct record *r)
{
    assert(r->depth == 0 || r->status != NERO_OK);
    if (r->mode == RECORD_READ && r->at != r->in.bytes) {
        record_fail(r, "end", "%zu bytes are left over", r->in.bytes - r->at);
    }
    if (r->mode == RECORD_WRITE && r->status != NERO_OK) {
        r->out->bytes = r->out_start;
    }
    return r->status;
}

/* ---- writing: msgpack-c packs, this decides how much ---- */

static int record_sink(void *context, const char *data, size_t bytes)
{
    struct record *r = context;

    if (r->status == NERO_OK && bytes > r->out_max - (r->out->bytes - r->out_start)) {
        r->status =
            err_set(r->err, NERO_TOO_BIG, 0, "%s: more than %zu bytes", r->name, r->out_max);
    }
    if (r->status == NERO_OK) {
        r->status = bytes_append(r->out, data, bytes, r->err);
        if (r->status != NERO_OK) {
            (void)err_wrap(r->err, "%s", r->name);
        }
    }
    return r->status == NERO_OK ? 0 : -1;
}

bool record_packer(struct record *r, msgpack_packer *packer)
{
    if (r->mode != RECORD_WRITE || r->status != NERO_OK) {
        return false;
    }
    msgpack_packer_init(packer, r, record_sink);
    return true;
}

/* ---- reading ---- */

bool record_take(struct record *r, const char *field, enum token_type want, struct token *token,
                 const uint8_t **content)
{
    const char *wrong;

    if (r->mode != RECORD_READ || r->status != NERO_OK) {
        return false;
    }
    wrong = token_parse(r->in, r->at, token);
    if (wrong != NULL) {
        record_fail(r, field, "%s", wrong);
        return false;
    }
    if (token->type != want) {
        record_fail(r, field, "%s where %s is expected", token_name(token->type), token_name(want));
        return false;
    }
    if (content != NULL) {
        *content = r->in.data + r->at + token->head;
    }
    return true;
}

void record_step(struct record *r, const char *field, const struct token *token)
{
    if (token->type != TOKEN_ARRAY) {
        record_json_value(r, field, token, r->in.data + r->at + token->head);
        r->at += (size_t)token->length;
    }
    r->at += token->head;
}

/* ---- structure ---- */

static void record_enter(struct record *r, const char *field, bool list)
{
    assert(r->depth < RECORD_DEPTH_MAX);
    if (r->mode == RECORD_READ) {
        record_json_enter(r, field, list);
    }
    r->path[r->depth++] =
        (struct record_place){.name = field, .index = -1, .json_list = list, .json_any = false};
}

void record_open(struct record *r, uint32_t version, uint32_t fields)
{
    struct token array;
    uint32_t found = version;
    msgpack_packer packer;

    if (record_take(r, "record", TOKEN_ARRAY, &array, NULL)) {
        size_t start = r->at;

        if (array.length == 0) {
            record_fail(r, "record", "empty");
            return;
        }
        record_step(r, "record", &array);
        record_json_enter(r, NULL, false);
        record_u32(r, "version", &found, 1, UINT32_MAX);
        if (record_ok(r) && found != version) {
            char reason[96];

            r->at = start;
            (void)snprintf(reason, sizeof reason, "version %u; this program knows %u", found,
                           version);
            record_fail_status(r, NERO_VERSION, "version", reason);
        } else if (array.length != fields) {
            r->at = start;
            record_fail(r, "record", "%" PRIu64 " fields where %u are expected", array.length,
                        fields);
        }
    } else if (record_packer(r, &packer)) {
        (void)msgpack_pack_array(&packer, fields);
        record_u32(r, "version", &found, 1, UINT32_MAX);
    }
}

bool record_open_either(struct record *r, uint32_t version, uint32_t fields, bool newer)
{
    struct token array;

    if (record_take(r, "record", TOKEN_ARRAY, &array, NULL)) {
        newer = array.length != fields - 1;
    }
    record_open(r, newer ? version : version - 1, newer ? fields : fields - 1);
    return newer;
}

void record_close(struct record *r)
{
    if (record_ok(r) && record_reading(r)) {
        record_json_leave(r, false);
    }
}

void record_group(struct record *r, const char *field, uint32_t fields)
{
    struct token array;
    msgpack_packer packer;

    if (record_take(r, field, TOKEN_ARRAY, &array, NULL)) {
        if (array.length != fields) {
            record_fail(r, field, "%" PRIu64 " fields where %u are expected", array.length, fields);
        } else {
            record_step(r, field, &array);
        }
    } else if (record_packer(r, &packer)) {
        (void)msgpack_pack_array(&packer, fields);
    }
    if (record_ok(r)) {
        record_enter(r, field, false);
    }
}

void record_list(struct record *r, const char *field, uint32_t *count, uint32_t min, uint32_t max)
{
    struct token array;
    msgpack_packer packer;

    if (record_take(r, field, TOKEN_ARRAY, &array, NULL)) {
        if (array.length < min || array.length > max) {
            record_fail(r, field, "%" PRIu64 " items, not within [%u, %u]", array.length, min, max);
        } else {
            record_step(r, field, &array);
            *count = (uint32_t)array.length;
        }
    } else if (record_ok(r) && (*count < min || *count > max)) {
        record_fail(r, field, "%u items, not within [%u, %u]", *count, min, max);
    } else if (record_packer(r, &packer)) {
        (void)msgpack_pack_array(&packer, *count);
    }
    if (record_ok(r)) {
        record_enter(r, field, true);
    }
}

void record_item(struct record *r, uint32_t index)
{
    if (record_ok(r)) {
        r->path[r->depth - 1].index = index;
    }
}

void record_leave(struct record *r)
{
    if (!record_ok(r)) {
        return;
    }
    r->depth--;
    if (r->mode == RECORD_READ) {
        record_json_leave(r, r->path[r->depth].json_list);
    }
}

bool record_optional(struct record *r, const char *field, bool *present)
{
    msgpack_packer packer;

    if (!record_ok(r)) {
        return false;
    }
    if (r->mode == RECORD_READ) {
        struct token token;

        *present = token_parse(r->in, r->at, &token) != NULL || token.type != TOKEN_NIL;
        if (!*present) {
            record_step(r, field, &token);
        }
    } else if (!*present && record_packer(r, &packer)) {
        (void)msgpack_pack_nil(&packer);
    }
    return *present && record_ok(r);
}

bool record_when(struct record *r, const char *field, bool wanted)
{
    bool present = wanted;

    (void)record_optional(r, field, &present);
    if (record_ok(r) && present != wanted) {
        record_fail(r, field, wanted ? "missing" : "must be nil beside the other fields");
    }
    return wanted && record_ok(r);
}

void *record_alloc(struct record *r, uint32_t count, size_t bytes_each)
{
    void *items;

    assert(r->mode == RECORD_READ);
    if (!record_ok(r) || count == 0) {
        return NULL;
    }
    items = mem_calloc(count, bytes_each);
    if (items == NULL) {
        record_fail_status(r, NERO_NO_MEMORY, NULL, "no memory");
    }
    return items;
}

/* ---- numbers ---- */

void record_u64(struct record *r, const char *field, uint64_t *value, uint64_t min, uint64_t max)
{
    struct token token;
    bool taken = record_take(r, field, TOKEN_UINT, &token, NULL);
    uint64_t number;
    msgpack_packer packer;

    if (!record_ok(r)) {
        return;
    }
    number = taken ? token.uint : *value;
    if (number < min || number > max) {
        record_fail(r, field, "%" PRIu64 " is not within [%" PRIu64 ", %" PRIu64 "]", number, min,
                    max);
    } else if (taken) {
        *value = number;
        record_step(r, field, &token);
    } else if (record_packer(r, &packer)) {
        (void)msgpack_pack_uint64(&packer, number);
    }
}

void record_u32(struct record *r, const char *field, uint32_t *value, uint32_t min, uint32_t max)
{
    uint64_t wide = record_reading(r) ? 0 : *value;

    record_u64(r, field, &wide, min, max);
    if (record_reading(r) && record_ok(r)) {
        *value = (uint32_t)wide;
    }
}

void record_i64(struct record *r, const char *field, int64_t *value, int64_t min, int64_t max)
{
    struct token token;
    bool taken;
    int64_t number;
    msgpack_packer packer;

    /* Two token types, one field: a negative one is looked for first. */
    if (record_reading(r) && record_ok(r) && token_parse(r->in, r->at, &token) == NULL &&
        token.type == TOKEN_INT) {
        taken = true;
    } else {
        taken = record_take(r, field, TOKEN_UINT, &token, NULL);
        if (taken && token.uint > INT64_MAX) {
            record_fail(r, field, "%" PRIu64 " is too large", token.uint);
        }
        token.sint = taken && record_ok(r) ? (int64_t)token.uint : 0;
    }
    if (!record_ok(r)) {
        return;
    }
    number = taken ? token.sint : *value;
    if (number < min || number > max) {
        record_fail(r, field, "%" PRId64 " is not within [%" PRId64 ", %" PRId64 "]", number, min,
                    max);
    } else if (taken) {
        *value = number;
        record_step(r, field, &token);
    } else if (record_packer(r, &packer)) {
        (void)msgpack_pack_int64(&packer, number);
    }
}

void record_i32(struct record *r, const char *field, int32_t *value, int32_t min, int32_t max)
{
    int64_t wide = record_reading(r) ? 0 : *value;

    record_i64(r, field, &wide, min, max);
    if (record_reading(r) && record_ok(r)) {
        *value = (int32_t)wide;
    }
}

void record_bool(struct record *r, const char *field, bool *value)
{
    struct token token;
    msgpack_packer packer;

    if (record_take(r, field, TOKEN_BOOL, &token, NULL)) {
        *value = token.truth;
        record_step(r, field, &token);
    } else if (record_packer(r, &packer)) {
        (void)(*value ? msgpack_pack_true(&packer) : msgpack_pack_false(&packer));
    }
}

/* Ends of the doubles stand for bounds that are not themselves allowed. */
static void fail_bounds(struct record *r, const char *field, double number, double min, double max)
{
    char low[40];
    char high[40];

    (void)snprintf(low, sizeof low, min == DBL_MIN ? "above 0" : "at least %.15g", min);
    (void)snprintf(high, sizeof high, max == RECORD_BELOW_ONE ? "below 1" : "at most %.15g", max);
    record_fail(r, field, "%.15g is not a number that is %s and %s", number, low, high);
}

static void record_double(struct record *r, const char *field, double *value, bool any, double min,
                          double max)
{
    struct token token;
    bool taken = record_take(r, field, TOKEN_REAL, &token, NULL);
    double number;
    msgpack_packer packer;

    if (!record_ok(r)) {
        return;
    }
    number = taken ? token.real : *value;
    if (!any && !(isfinite(number) && number >= min && number <= max)) {
        fail_bounds(r, field, number, min, max);
    } else if (taken) {
        *value = number;
        record_step(r, field, &token);
    } else if (record_packer(r, &packer)) {
        static const uint8_t quiet[] = {0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0};

        if (isnan(number)) {
            (void)record_sink(r, (const char *)quiet, sizeof quiet);
        } else {
            (void)msgpack_pack_double(&packer, number);
        }
    }
}

void record_real(struct record *r, const char *field, double *value, double min, double max)
{
    record_double(r, field, value, false, min, max);
}

void record_real_any(struct record *r, const char *field, double *value)
{
    record_double(r, field, value, true, 0.0, 0.0);
}
