#include "record_impl.h"

#include <assert.h>
#include <msgpack.h>
#include <string.h>

enum { TEXT_BYTES_MAX = 1024 }; /* the largest char[] that a record_text field has */

static bool text_is_continuation(uint8_t c)
{
    return (c & 0xc0) == 0x80;
}

/*
 * Bytes of the well-formed UTF-8 character at the start of `text`, 0 where there is none.
 * Source: Unicode 15, table 3-7 (no surrogates, no overlong forms, up to U+10FFFF).
 */
static size_t text_character(const uint8_t *text, size_t left)
{
    uint8_t c = text[0];

    if (c < 0x80) {
        return 1;
    }
    if (c >= 0xc2 && c <= 0xdf) {
        return left >= 2 && text_is_continuation(text[1]) ? 2 : 0;
    }
    if (c >= 0xe0 && c <= 0xef) {
        if (left < 3 || !text_is_continuation(text[1]) || !text_is_continuation(text[2]) ||
            (c == 0xe0 && text[1] < 0xa0) || (c == 0xed && text[1] > 0x9f)) {
            return 0;
        }
        return 3;
    }
    if (c >= 0xf0 && c <= 0xf4) {
        if (left < 4 || !text_is_continuation(text[1]) || !text_is_continuation(text[2]) ||
            !text_is_continuation(text[3]) || (c == 0xf0 && text[1] < 0x90) ||
            (c == 0xf4 && text[1] > 0x8f)) {
            return 0;
        }
        return 4;
    }
    return 0;
}

/* As text_character, and 0 for control characters: C0 but, with `lines`, \t \n \r; DEL; C1. */
static size_t text_printable(const uint8_t *text, size_t left, bool lines)
{
    size_t bytes = text_character(text, left);
    uint8_t c = text[0];

    if (bytes == 1 && (c < 0x20 || c == 0x7f)) {
        return lines && (c == '\n' || c == '\r' || c == '\t') ? 1 : 0;
    }
    return bytes == 2 && c == 0xc2 && text[1] < 0xa0 ? 0 : bytes;
}

bool record_text_is_clean(struct bytes_view text, bool lines)
{
    size_t at = 0;

    while (at < text.bytes) {
        size_t bytes = text_printable(text.data + at, text.bytes - at, lines);

        if (bytes == 0) {
            return false;
        }
        at += bytes;
    }
    return true;
}

static bool name_is_clean(const uint8_t *name, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        uint8_t c = name[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '.' || c == '_' || c == '-')) {
            return false;
        }
    }
    return true;
}

/* Take content of min..max bytes. */
static bool text_take(struct record *r, const char *field, enum token_type want, size_t min,
                      size_t max, struct token *token, const uint8_t **content)
{
    if (!record_take(r, field, want, token, content)) {
        return false;
    }
    if (token->length < min || token->length > max) {
        record_fail(r, field, "%zu bytes, not within [%zu, %zu]", (size_t)token->length, min, max);
        return false;
    }
    return true;
}

static void text_put_str(struct record *r, const void *data, size_t bytes)
{
    msgpack_packer packer;

    if (record_packer(r, &packer) && msgpack_pack_str(&packer, bytes) == 0) {
        (void)msgpack_pack_str_body(&packer, data, bytes);
    }
}

static void text_put_bin(struct record *r, const void *data, size_t bytes)
{
    msgpack_packer packer;

    if (record_packer(r, &packer) && msgpack_pack_bin(&packer, bytes) == 0 && bytes > 0) {
        (void)msgpack_pack_bin_body(&packer, data, bytes);
    }
}

void record_name(struct record *r, const char *field, char *text, size_t bytes)
{
    struct token token;
    const uint8_t *content = (const uint8_t *)text;
    bool taken = text_take(r, field, TOKEN_STR, 1, bytes - 1, &token, &content);
    size_t length;

    if (!record_ok(r)) {
        return;
    }
    length = taken ? (size_t)token.length : strnlen(text, bytes);
    if (length == 0 || length == bytes) {
        record_fail(r, field, "a name has 1 to %zu characters", bytes - 1);
    } else if (!name_is_clean(content, length)) {
        record_fail(r, field, "a name holds only A-Z a-z 0-9 . _ -");
    } else if (taken) {
        memcpy(text, content, length);
        text[length] = 0;
        record_step(r, field, &token);
    } else {
        text_put_str(r, text, length);
    }
}

void record_clean_text(char *text)
{
    size_t length = strlen(text);

    for (size_t at = 0; at < length;) {
        size_t bytes = text_printable((const uint8_t *)text + at, length - at, false);

        if (bytes == 0) {
            text[at] = '?';
        }
        at += bytes > 0 ? bytes : 1;
    }
}

/* WRITE: cleaned, since an error's message may hold anything. */
static void text_put_clean(struct record *r, const char *text, size_t length)
{
    char clean[TEXT_BYTES_MAX];

    assert(length < sizeof clean);
    memcpy(clean, text, length);
    clean[length] = 0;
    record_clean_text(clean);
    text_put_str(r, clean, length);
}

void record_text(struct record *r, const char *field, char *text, size_t bytes)
{
    struct token token;
    const uint8_t *content;

    if (text_take(r, field, TOKEN_STR, 0, bytes - 1, &token, &content)) {
        size_t length = (size_t)token.length;

        if (!record_text_is_clean(bytes_view_of(content, length), false)) {
            record_fail(r, field, "a text is UTF-8 without control characters");
            return;
        }
        memcpy(text, content, length);
        text[length] = 0;
        record_step(r, field, &token);
    } else if (record_ok(r) && !record_reading(r)) {
        size_t length = strnlen(text, bytes);

        if (length == bytes) {
            record_fail(r, field, "a text has at most %zu bytes", bytes - 1);
        } else {
            text_put_clean(r, text, length);
        }
    }
}

void record_document(struct record *r, const char *field, struct bytes_view *text, size_t bytes_max)
{
    struct token token;
    const uint8_t *content;
    bool taken = text_take(r, field, TOKEN_STR, 0, bytes_max, &token, &content);
    struct bytes_view view;

    if (!record_ok(r)) {
        return;
    }
    view = taken ? bytes_view_of(content, (size_t)token.length) : *text;
    if (view.bytes > bytes_max) {
        record_fail(r, field, "%zu bytes, more than %zu", view.bytes, bytes_max);
    } else if (!record_text_is_clean(view, true)) {
        record_fail(r, field, "a document is UTF-8 without control characters but newline and tab");
    } else if (taken) {
        *text = view;
        record_step(r, field, &token);
    } else {
        text_put_str(r, view.data, view.bytes);
    }
}

void record_fixed(struct record *r, const char *field, uint8_t *data, size_t bytes)
{
    struct token token;
    const uint8_t *content;

    if (text_take(r, field, TOKEN_BIN, bytes, bytes, &token, &content)) {
        memcpy(data, content, bytes);
        record_step(r, field, &token);
    } else {
        text_put_bin(r, data, bytes);
    }
}

void record_hash(struct record *r, const char *field, struct hash *hash)
{
    record_fixed(r, field, hash->data, HASH_BYTES);
}

void record_bin(struct record *r, const char *field, struct bytes_view *data, size_t bytes_min,
                size_t bytes_max)
{
    struct token token;
    const uint8_t *content;

    if (text_take(r, field, TOKEN_BIN, bytes_min, bytes_max, &token, &content)) {
        *data = bytes_view_of(content, (size_t)token.length);
        record_step(r, field, &token);
    } else if (record_ok(r) && !record_reading(r)) {
        if (data->bytes < bytes_min || data->bytes > bytes_max) {
            record_fail(r, field, "%zu bytes, not within [%zu, %zu]", data->bytes, bytes_min,
                        bytes_max);
        } else {
            text_put_bin(r, data->data, data->bytes);
        }
    }
}
