#include "s3_sign.h"

#include <assert.h>
#include <nettle/hmac.h>
#include <nettle/sha2.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nero/clock.h"

/* One parameter or header as it is sorted; `place` keeps the order of equal names. */
struct sorted {
    struct s3_sign_pair pair;
    size_t place;
};

void s3_sign_hash(char out[S3_SIGN_HASH_BYTES], struct bytes_view body)
{
    uint8_t digest[S3_SIGN_SHA256_BYTES];
    struct sha256_ctx context;

    sha256_init(&context);
    if (body.bytes > 0) {
        sha256_update(&context, body.bytes, body.data);
    }
    sha256_digest(&context, sizeof digest, digest);
    bytes_to_hex(out, digest, sizeof digest);
}

static bool is_unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

enum nero_status s3_sign_encode(struct bytes *out, const char *text, bool is_path,
                                struct nero_err *err)
{
    static const char digits[] = "0123456789ABCDEF";

    for (; *text != 0; text++) {
        unsigned char c = (unsigned char)*text;
        char encoded[3] = {'%', digits[c >> 4], digits[c & 15]};
        bool plain = is_unreserved(*text) || (is_path && c == '/');
        enum nero_status status = bytes_append(out, plain ? text : encoded, plain ? 1 : 3, err);

        if (status != NERO_OK) {
            return status;
        }
    }
    return NERO_OK;
}

/*
 * The order of encoded bytes. Comparing unencoded bytes would differ: '%' sorts before every
 * unreserved character but the escaped byte may not.
 */
static int compare_encoded(const char *a, const char *b)
{
    for (;; a++, b++) {
        bool a_plain = is_unreserved(*a);
        bool b_plain = is_unreserved(*b);
        int left = *a == 0 ? -1 : a_plain ? (unsigned char)*a : '%';
        int right = *b == 0 ? -1 : b_plain ? (unsigned char)*b : '%';

        if (left != right) {
            return left < right ? -1 : 1;
        }
        if (*a == 0) {
            return 0;
        }
        if (*a != *b) { /* both escaped: two capital hex digits sort as the byte does */
            return (unsigned char)*a < (unsigned char)*b ? -1 : 1;
        }
    }
}

static int compare_query(const void *a, const void *b)
{
    const struct sorted *left = a;
    const struct sorted *right = b;
    int order = compare_encoded(left->pair.name, right->pair.name);

    return order != 0 ? order : compare_encoded(left->pair.value, right->pair.value);
}

static int compare_header(const void *a, const void *b)
{
    const struct sorted *left = a;
    const struct sorted *right = b;
    int order = strcmp(left->pair.name, right->pair.name);

    return order != 0 ? order : (left->place > right->place) - (left->place < right->place);
}

static enum nero_status add_query(struct bytes *out, const struct s3_sign_input *input,
                                  struct nero_err *err)
{
    struct sorted sorted[S3_SIGN_PAIRS_MAX];
    enum nero_status status = NERO_OK;

    if (input->query_count > S3_SIGN_PAIRS_MAX) {
        return err_set(err, NERO_INVALID, 0, "more than %d query parameters", S3_SIGN_PAIRS_MAX);
    }
    for (size_t i = 0; i < input->query_count; i++) {
        sorted[i] = (struct sorted){.pair = input->query[i], .place = i};
    }
    qsort(sorted, input->query_count, sizeof sorted[0], compare_query);
    for (size_t i = 0; i < input->query_count && status == NERO_OK; i++) {
        status = i > 0 ? bytes_append(out, "&", 1, err) : NERO_OK;
        if (status == NERO_OK) {
            status = s3_sign_encode(out, sorted[i].pair.name, false, err);
        }
        if (status == NERO_OK) { /* a parameter without a value has its '=' all the same */
            status = bytes_append(out, "=", 1, err);
        }
        if (status == NERO_OK) {
            status = s3_sign_encode(out, sorted[i].pair.value, false, err);
        }
    }
    return status;
}

enum nero_status s3_sign_target(struct bytes *out, const struct s3_sign_input *input,
                                struct nero_err *err)
{
    enum nero_status status = s3_sign_encode(out, input->path, true, err);

    if (status == NERO_OK && input->query_count > 0) {
        status = bytes_append(out, "?", 1, err);
    }
    return status == NERO_OK ? add_query(out, input, err) : status;
}

/* Blanks around a value do not count, and several in it count as one. */
static enum nero_status add_value(struct bytes *out, const char *value, struct nero_err *err)
{
    enum nero_status status = NERO_OK;
    bool began = false;

    while (*value != 0 && status == NERO_OK) {
        const char *word = value + strspn(value, " \t");
        size_t bytes = strcspn(word, " \t");

        if (bytes > 0) {
            status = began ? bytes_append(out, " ", 1, err) : NERO_OK;
        }
        if (bytes > 0 && status == NERO_OK) {
            status = bytes_append(out, word, bytes, err);
        }
        began = began || bytes > 0;
        value = word + bytes;
    }
    return status;
}

/* Fill `sorted` with all signed headers in their order. */
static enum nero_status sort_headers(struct sorted sorted[S3_SIGN_PAIRS_MAX], size_t *count,
                                     const struct s3_sign_input *input, const char *date,
                                     struct nero_err *err)
{
    size_t n = 0;

    if (input->header_count > S3_SIGN_PAIRS_MAX - 2) {
        return err_set(err, NERO_INVALID, 0, "more than %d headers", S3_SIGN_PAIRS_MAX - 2);
    }
    sorted[n++] = (struct sorted){.pair = {.name = "host", .value = input->host}};
    sorted[n++] = (struct sorted){.pair = {.name = "x-amz-date", .value = date}};
    for (size_t i = 0; i < input->header_count; i++) {
        sorted[n++] = (struct sorted){.pair = input->headers[i], .place = i + 2};
    }
    qsort(sorted, n, sizeof sorted[0], compare_header);
    *count = n;
    return NERO_OK;
}

/* "name:value\n" for each name; values of equal names are joined by commas. */
static enum nero_status add_headers(struct bytes *out, const struct sorted *sorted, size_t count,
                                    struct nero_err *err)
{
    enum nero_status status = NERO_OK;

    for (size_t i = 0; i < count && status == NERO_OK; i++) {
        bool repeats = i > 0 && strcmp(sorted[i - 1].pair.name, sorted[i].pair.name) == 0;

        if (repeats) {
            status = bytes_append(out, ",", 1, err);
        } else {
            status = bytes_printf(out, err, "%s%s:", i > 0 ? "\n" : "", sorted[i].pair.name);
        }
        if (status == NERO_OK) {
            status = add_value(out, sorted[i].pair.value, err);
        }
    }
    return status == NERO_OK ? bytes_append(out, "\n\n", 2, err) : status;
}

static enum nero_status add_names(struct bytes *out, const struct sorted *sorted, size_t count,
                                  struct nero_err *err)
{
    enum nero_status status = NERO_OK;

    for (size_t i = 0; i < count && status == NERO_OK; i++) {
        if (i == 0 || strcmp(sorted[i - 1].pair.name, sorted[i].pair.name) != 0) {
            status = bytes_printf(out, err, "%s%s", i > 0 ? ";" : "", sorted[i].pair.name);
        }
    }
    return status;
}

enum nero_status s3_sign_canonical(struct bytes *out, const struct s3_sign_input *input,
                                   struct nero_err *err)
{
    struct sorted sorted[S3_SIGN_PAIRS_MAX];
    char date[S3_SIGN_DATE_BYTES];
    enum nero_status status;
    size_t count = 0;

    s3_sign_date(date, input->wall_ms);
    status = sort_headers(sorted, &count, input, date, err);
    if (status == NERO_OK) {
        status = bytes_printf(out, err, "%s\n", input->method);
    }
    if (status == NERO_OK) {
        status = s3_sign_encode(out, input->path, true, err);
    }
    if (status == NERO_OK) {
        status = bytes_append(out, "\n", 1, err);
    }
    if (status == NERO_OK) {
        status = add_query(out, input, err);
    }
    if (status == NERO_OK) {
        status = bytes_append(out, "\n", 1, err);
    }
    if (status == NERO_OK) {
        status = add_headers(out, sorted, count, err);
    }
    if (status == NERO_OK) {
        status = add_names(out, sorted, count, err);
    }
    return status == NERO_OK ? bytes_printf(out, err, "\n%s", input->payload_hash) : status;
}

void s3_sign_date(char out[S3_SIGN_DATE_BYTES], int64_t wall_ms)
{
    char text[CLOCK_TEXT_BYTES]; /* 2026-11-23T05:41:33.000Z */

    clock_format_utc(text, wall_ms);
    (void)snprintf(out, S3_SIGN_DATE_BYTES, "%.4s%.2s%.2sT%.2s%.2s%.2sZ", text, text + 5, text + 8,
                   text + 11, text + 14, text + 17);
}

static void hmac(uint8_t out[S3_SIGN_SHA256_BYTES], const uint8_t *key, size_t key_bytes,
                 const char *text)
{
    struct hmac_sha256_ctx context;

    hmac_sha256_set_key(&context, key_bytes, key);
    hmac_sha256_update(&context, strlen(text), (const uint8_t *)text);
    hmac_sha256_digest(&context, S3_SIGN_SHA256_BYTES, out);
    sodium_memzero(&context, sizeof context);
}

/* HMAC chain over date, region, service; then over what is signed. */
static void sign(char out[S3_SIGN_HASH_BYTES], const struct s3_sign_input *input, const char *date,
                 const char *text, uint8_t *secret, size_t secret_bytes)
{
    uint8_t key[S3_SIGN_SHA256_BYTES];
    char day[9];

    (void)snprintf(day, sizeof day, "%.8s", date);
    hmac(key, secret, secret_bytes, day);
    hmac(key, key, sizeof key, input->region);
    hmac(key, key, sizeof key, input->service);
    hmac(key, key, sizeof key, "aws4_request");
    hmac(key, key, sizeof key, text);
    bytes_to_hex(out, key, sizeof key);
    sodium_memzero(key, sizeof key);
}

static enum nero_status signature(char out[S3_SIGN_HASH_BYTES], const struct s3_sign_input *input,
                                  const char *date, struct bytes *scratch, struct nero_err *err)
{
    char hash[S3_SIGN_HASH_BYTES];
    struct bytes secret;
    enum nero_status status = s3_sign_canonical(scratch, input, err);

    if (status != NERO_OK) {
        return status;
    }
    s3_sign_hash(hash, bytes_as_view(scratch));
    bytes_clear(scratch);
    status = bytes_printf(scratch, err, "AWS4-HMAC-SHA256\n%s\n%.8s/%s/%s/aws4_request\n%s", date,
                          date, input->region, input->service, hash);
    if (status == NERO_OK) {
        status = bytes_terminate(scratch, err);
    }
    if (status != NERO_OK) {
        return status;
    }
    bytes_init(&secret, strlen(input->secret_key) + 64);
    status = bytes_printf(&secret, err, "AWS4%s", input->secret_key);
    if (status == NERO_OK) {
        sign(out, input, date, (const char *)scratch->data, secret.data, secret.bytes);
        sodium_memzero(secret.data, secret.capacity);
    }
    bytes_fini(&secret);
    return status;
}

enum nero_status s3_sign_authorization(struct bytes *out, const struct s3_sign_input *input,
                                       struct nero_err *err)
{
    struct sorted sorted[S3_SIGN_PAIRS_MAX];
    char date[S3_SIGN_DATE_BYTES];
    char hex[S3_SIGN_HASH_BYTES];
    size_t before = out->bytes;
    struct bytes scratch;
    enum nero_status status;
    size_t count = 0;

    bytes_init(&scratch, S3_SIGN_CANONICAL_MAX);
    s3_sign_date(date, input->wall_ms);
    status = sort_headers(sorted, &count, input, date, err);
    if (status == NERO_OK) {
        status = signature(hex, input, date, &scratch, err);
    }
    if (status == NERO_OK) {
        status = bytes_printf(
            out, err, "AWS4-HMAC-SHA256 Credential=%s/%.8s/%s/%s/aws4_request, SignedHeaders=",
            input->access_key, date, input->region, input->service);
    }
    if (status == NERO_OK) {
        status = add_names(out, sorted, count, err);
    }
    if (status == NERO_OK) {
        status = bytes_printf(out, err, ", Signature=%s", hex);
    }
    bytes_fini(&scratch);
    if (status != NERO_OK) {
        out->bytes = before;
    }
    return status;
}
