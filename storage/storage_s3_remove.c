/*
 * s3://: many objects deleted by one request.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include <nettle/base64.h>
#include <nettle/md5.h>

#include "storage_s3.h"

enum {
    ELEMENT_BYTES = 64,      /* around a key in the request */
    ANSWER_KEY_BYTES = 1024, /* of a key in the answer, with what the server says of it */
    ANSWER_BYTES_MIN = 64 * 1024,
    MD5_TEXT_BYTES = BASE64_ENCODE_RAW_LENGTH(MD5_DIGEST_SIZE) + 1
};

/* A request under way, and what has been answered. */
struct removal {
    const char *prefix;
    const char *const *keys;
    size_t count;
    size_t next; /* where a server that keeps the order goes on */
    size_t answered;
    bool is_answered[STORAGE_REMOVE_MAX];
    enum nero_status status; /* of the first key that was refused */
    struct nero_err err;
};

/* What is said of one key, as if its request had been answered so. */
static enum nero_status key_status(const char *code)
{
    static const struct {
        const char *code;
        int http_code;
    } codes[] = {{"AccessDenied", 403},
                 {"InternalError", 500},
                 {"SlowDown", 503},
                 {"ServiceUnavailable", 503}};
    struct s3_xml_error error = {0};
    int http_code = 400;

    (void)snprintf(error.code, sizeof error.code, "%s", code);
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        http_code = strcmp(code, codes[i].code) == 0 ? codes[i].http_code : http_code;
    }
    return s3_client_status(http_code, &error, true);
}

/* The index of `key` among those asked for and not yet answered, or count. */
static size_t find_key(const struct removal *removal, const char *key)
{
    for (size_t i = 0; i < removal->count; i++) {
        size_t index = (removal->next + i) % removal->count;

        if (!removal->is_answered[index] && strcmp(removal->keys[index], key) == 0) {
            return index;
        }
    }
    return removal->count;
}

static enum nero_status take_answer(void *context, const char *const *values, struct nero_err *err)
{
    struct removal *removal = context;
    const char *name = values[0];
    const char *code = values[1];
    size_t prefix_bytes = strlen(removal->prefix);
    size_t index = removal->count;

    if (strncmp(name, removal->prefix, prefix_bytes) == 0) {
        index = find_key(removal, name + prefix_bytes);
    }
    if (index == removal->count) {
        return err_set(err, NERO_CORRUPT, 0, "'%.80s' is answered, which was not asked for", name);
    }
    removal->is_answered[index] = true;
    removal->answered++;
    removal->next = index + 1;
    if (code[0] != 0 && strcmp(code, "NoSuchKey") != 0 && removal->status == NERO_OK) {
        removal->status =
            err_set(&removal->err, key_status(code), 0, "'%s': %.60s", removal->keys[index], code);
    }
    return NERO_OK;
}

static enum nero_status write_keys(const struct removal *removal, struct bytes *body,
                                   struct nero_err *err)
{
    enum nero_status status = bytes_printf(body, err, "<Delete>");

    for (size_t i = 0; i < removal->count && status == NERO_OK; i++) { /* no key needs an escape */
        status = bytes_printf(body, err, "<Object><Key>%s%s</Key></Object>", removal->prefix,
                              removal->keys[i]);
    }
    return status == NERO_OK ? bytes_printf(body, err, "</Delete>") : status;
}

/* S3 wants it of this request, whatever the signature covers. */
static void content_md5(char out[MD5_TEXT_BYTES], struct bytes_view body)
{
    uint8_t digest[MD5_DIGEST_SIZE];
    struct md5_ctx md5;

    md5_init(&md5);
    md5_update(&md5, body.bytes, body.data);
    md5_digest(&md5, sizeof digest, digest);
    base64_encode_raw(out, sizeof digest, digest);
    out[MD5_TEXT_BYTES - 1] = 0;
}

/* unknown: what was sent may have taken effect, and the answer does not tell of every key. */
static enum nero_status check_answer(struct removal *removal, const struct s3_http_answer *answer,
                                     struct nero_err *err)
{
    if (s3_xml_deleted(bytes_as_view(&answer->body), take_answer, removal, err) != NERO_OK) {
        return err->status = NERO_UNKNOWN;
    }
    if (removal->status != NERO_OK) {
        *err = removal->err;
        return removal->status;
    }
    if (removal->answered != removal->count) {
        return err_set(err, NERO_UNKNOWN, answer->code, "of %zu keys %zu are answered",
                       removal->count, removal->answered);
    }
    return NERO_OK;
}

static enum nero_status send(struct storage_s3 *s3, struct removal *removal, struct bytes_view body,
                             struct nero_err *err)
{
    char md5[MD5_TEXT_BYTES];
    struct s3_call call = {.method = "POST",
                           .key = "",
                           .query = {{"delete", ""}},
                           .headers = {{"content-md5", md5}},
                           .body = body,
                           .is_write = true,
                           .body_bytes_max = ANSWER_BYTES_MIN + removal->count * ANSWER_KEY_BYTES};
    struct s3_http_answer answer;
    enum nero_status status;

    content_md5(md5, body);
    status = s3_client_send(s3->client, &call, &answer, NULL, err);
    if (status == NERO_OK) {
        status = check_answer(removal, &answer, err);
    }
    s3_http_answer_fini(&answer);
    return status;
}

/* One by one: DESIGN.md says why a refusal of all of them says nothing of any. */
static enum nero_status remove_each(struct storage_s3 *s3, const char *const *keys, size_t count,
                                    struct nero_err *err)
{
    for (size_t i = 0; i < count; i++) {
        if (storage_s3_remove(s3, keys[i], err) != NERO_OK) {
            return err_wrap(err, "'%s'", keys[i]);
        }
    }
    return NERO_OK;
}

enum nero_status storage_s3_remove_many(void *self, const char *const *keys, size_t count,
                                        struct nero_err *err)
{
    struct storage_s3 *s3 = self;
    struct removal removal = {
        .prefix = s3_client_config(s3->client)->prefix, .keys = keys, .count = count};
    enum nero_status status;
    struct bytes body;

    assert(count >= 1 && count <= STORAGE_REMOVE_MAX);
    bytes_init(&body, count * (STORAGE_S3_NAME_BYTES + ELEMENT_BYTES) + ELEMENT_BYTES);
    status = write_keys(&removal, &body, err);
    if (status == NERO_OK) {
        status = send(s3, &removal, bytes_as_view(&body), err);
    }
    bytes_fini(&body);
    return status == NERO_DENIED && err->system_code == 403 ? remove_each(s3, keys, count, err)
                                                            : status;
}
