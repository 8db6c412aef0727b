/*
 * JSON for people: any stored value without names (record_print_json), or the fields of a record by
 * name while they are read. Numbers that JSON readers lose are printed as strings: integers beyond
 * 2^53, infinities, NaN.
 */
#include "record_impl.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#define JSON_EXACT (INT64_C(1) << 53)

static const char *json_escape(uint8_t c, char out[8])
{
    if (c == '"' || c == '\\') {
        (void)snprintf(out, 8, "\\%c", c);
    } else if (c == '\n') {
        (void)snprintf(out, 8, "\\n");
    } else if (c < 0x20 || c == 0x7f) {
        (void)snprintf(out, 8, "\\u%04x", c);
    } else {
        (void)snprintf(out, 8, "%c", c);
    }
    return out;
}

/* A str that is not UTF-8 is printed as if it were Latin-1: the output is valid JSON always. */
static enum nero_status json_string(struct bytes *out, const uint8_t *text, size_t bytes,
                                    struct nero_err *err)
{
    bool utf8 = record_text_is_clean(bytes_view_of(text, bytes), true);
    enum nero_status status = bytes_append(out, "\"", 1, err);
    char escaped[8];

    for (size_t i = 0; i < bytes && status == NERO_OK; i++) {
        status = text[i] >= 0x80 && !utf8
                     ? bytes_printf(out, err, "\\u%04x", text[i])
                     : bytes_printf(out, err, "%s", json_escape(text[i], escaped));
    }
    return status == NERO_OK ? bytes_append(out, "\"", 1, err) : status;
}

static enum nero_status json_hex(struct bytes *out, const uint8_t *data, size_t bytes,
                                 struct nero_err *err)
{
    enum nero_status status = bytes_append(out, "\"", 1, err);
    char hex[3];

    for (size_t i = 0; i < bytes && status == NERO_OK; i++) {
        bytes_to_hex(hex, data + i, 1);
        status = bytes_append(out, hex, 2, err);
    }
    return status == NERO_OK ? bytes_append(out, "\"", 1, err) : status;
}

static enum nero_status json_token(struct bytes *out, const struct token *token,
                                   const uint8_t *content, struct nero_err *err)
{
    switch (token->type) {
    case TOKEN_NIL:
        return bytes_printf(out, err, "null");
    case TOKEN_BOOL:
        return bytes_printf(out, err, token->truth ? "true" : "false");
    case TOKEN_UINT:
        return bytes_printf(out, err, token->uint > JSON_EXACT ? "\"%" PRIu64 "\"" : "%" PRIu64,
                            token->uint);
    case TOKEN_INT:
        return bytes_printf(out, err, token->sint < -JSON_EXACT ? "\"%" PRId64 "\"" : "%" PRId64,
                            token->sint);
    case TOKEN_REAL:
        return bytes_printf(out, err, isfinite(token->real) ? "%.17g" : "\"%g\"", token->real);
    case TOKEN_STR:
        return json_string(out, content, (size_t)token->length, err);
    case TOKEN_BIN:
        return json_hex(out, content, (size_t)token->length, err);
    case TOKEN_ARRAY:
        break;
    }
    return bytes_printf(out, err, "[]");
}

/* The walker has passed, so a value is there and nesting is bounded. */
static enum nero_status json_values(struct bytes_view in, struct bytes *out, struct nero_err *err)
{
    uint64_t left[RECORD_DEPTH_MAX];
    size_t depth = 0;
    size_t at = 0;
    enum nero_status status = NERO_OK;

    do {
        struct token token;

        (void)token_parse(in, at, &token);
        at += token.head;
        if (token.type == TOKEN_ARRAY && token.length > 0) {
            left[depth++] = token.length;
            status = bytes_append(out, "[", 1, err);
            continue;
        }
        status = json_token(out, &token, in.data + at, err);
        at += (size_t)token.length;
        while (status == NERO_OK && depth > 0 && --left[depth - 1] == 0) {
            depth--;
            status = bytes_append(out, "]", 1, err);
        }
        if (status == NERO_OK && depth > 0) {
            status = bytes_append(out, ",", 1, err);
        }
    } while (status == NERO_OK && depth > 0);
    return status;
}

enum nero_status record_print_json(struct bytes_view bytes, struct bytes *out, struct nero_err *err)
{
    size_t start = out->bytes;
    size_t at;
    const char *wrong = token_walk(bytes, &at);
    enum nero_status status;

    if (wrong != NULL) {
        return err_set(err, NERO_CORRUPT, 0, "record: structure at byte %zu: %s", at, wrong);
    }
    status = json_values(bytes, out, err);
    if (status != NERO_OK) {
        out->bytes = start;
    }
    return status;
}

/* ---- by name, while a record is read ---- */

static void json_status(struct record *r, enum nero_status status)
{
    if (record_ok(r) && status != NERO_OK) {
        r->status = status;
    }
}

/* Comma, newline and, inside an object, the name. */
void record_json_lead(struct record *r, const char *field)
{
    struct record_place *inside = r->depth > 0 ? &r->path[r->depth - 1] : NULL;
    bool any = inside != NULL ? inside->json_any : r->json_any;
    bool list = inside != NULL && inside->json_list;

    if (any) {
        json_status(r, bytes_append(r->json, ",", 1, r->err));
    }
    if (inside != NULL) {
        inside->json_any = true;
    } else {
        r->json_any = true;
    }
    if (!list && field != NULL && record_ok(r)) {
        json_status(r, bytes_printf(r->json, r->err, "\"%s\":", field));
    }
}

void record_json_value(struct record *r, const char *field, const struct token *token,
                       const uint8_t *content)
{
    if (r->json == NULL || !record_ok(r)) {
        return;
    }
    if (token->type == TOKEN_BIN && r->expand != NULL &&
        r->expand(r, field, bytes_view_of(content, (size_t)token->length))) {
        return;
    }
    record_json_lead(r, field);
    if (record_ok(r)) {
        json_status(r, json_token(r->json, token, content, r->err));
    }
}

void record_json_text(struct record *r, struct bytes_view text)
{
    json_status(r, json_string(r->json, text.data, text.bytes, r->err));
}

void record_json_enter(struct record *r, const char *field, bool list)
{
    if (r->json == NULL || !record_ok(r)) {
        return;
    }
    if (field != NULL) {
        record_json_lead(r, field);
    }
    if (record_ok(r)) {
        json_status(r, bytes_append(r->json, list ? "[" : "{", 1, r->err));
    }
}

void record_json_leave(struct record *r, bool list)
{
    if (r->json != NULL && record_ok(r)) {
        json_status(r, bytes_append(r->json, list ? "]" : "}", 1, r->err));
    }
}
