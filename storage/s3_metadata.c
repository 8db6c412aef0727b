#include "s3_metadata.h"

#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "nero/clock.h"

enum { DOCUMENT_BYTES_MAX = 64 * 1024, URL_BYTES = 1024, TOKEN_BYTES = 4096 };

static bool take(const json_t *document, const char *name, char *out, size_t out_bytes)
{
    const json_t *value = json_object_get(document, name);

    return json_is_string(value) &&
           s3_credentials_copy(out, out_bytes, json_string_value(value), json_string_length(value));
}

static enum nero_status read_document(const json_t *document, struct s3_credentials *out,
                                      struct nero_err *err)
{
    const char *code = json_string_value(json_object_get(document, "Code"));
    const char *expiration = json_string_value(json_object_get(document, "Expiration"));

    if (code != NULL && strcmp(code, "Success") != 0) {
        return err_set(err, NERO_DENIED, 0, "the credentials service says '%.60s'", code);
    }
    if (!take(document, "AccessKeyId", out->access_key, sizeof out->access_key) ||
        !take(document, "SecretAccessKey", out->secret_key, sizeof out->secret_key) ||
        !take(document, "Token", out->token, sizeof out->token) || out->access_key[0] == 0 ||
        out->secret_key[0] == 0) {
        return err_set(err, NERO_CORRUPT, 0, "the credentials service's document lacks a field");
    }
    if (expiration == NULL || !clock_parse_utc(expiration, &out->expires_ms)) {
        return err_set(err, NERO_CORRUPT, 0,
                       "the credentials service's document has no time of "
                       "expiry");
    }
    return NERO_OK;
}

enum nero_status s3_metadata_parse(struct bytes_view json, struct s3_credentials *out,
                                   struct nero_err *err)
{
    struct s3_credentials found = {0};
    enum nero_status status;
    json_t *document =
        json_loadb((const char *)json.data, json.bytes, JSON_REJECT_DUPLICATES, NULL);

    if (!json_is_object(document)) {
        json_decref(document);
        return err_set(err, NERO_CORRUPT, 0, "the credentials service's answer is no JSON object");
    }
    status = read_document(document, &found, err);
    json_decref(document);
    if (status == NERO_OK) {
        *out = found;
    }
    sodium_memzero(&found, sizeof found);
    return status;
}

/* One request whose 200 has a body; the caller frees the answer. */
static enum nero_status ask(struct s3_http *http, const char *method, const char *url,
                            const char *header, struct s3_http_answer *answer, struct nero_err *err)
{
    struct s3_http_request request = {.method = method,
                                      .url = url,
                                      .headers = &header,
                                      .header_count = header != NULL ? 1 : 0,
                                      .body_bytes_max = DOCUMENT_BYTES_MAX};
    enum nero_status status = s3_http_send(http, &request, answer, err);

    if (status == NERO_OK && answer->code != 200) {
        status = err_set(
            err, answer->code / 100 == 5 || answer->code == 429 ? NERO_UNAVAILABLE : NERO_DENIED,
            answer->code, "answers %d", answer->code);
    }
    if (status != NERO_OK) {
        return err_wrap(err, "credentials service at %.120s", url);
    }
    return bytes_terminate(&answer->body, err);
}

static enum nero_status fetch_document(struct s3_http *http, const char *url, const char *header,
                                       struct s3_credentials *out, struct nero_err *err)
{
    struct s3_http_answer answer = {0};
    enum nero_status status = ask(http, "GET", url, header, &answer, err);

    if (status == NERO_OK) {
        status = s3_metadata_parse(bytes_as_view(&answer.body), out, err);
    }
    if (answer.body.capacity > 0) {
        sodium_memzero(answer.body.data, answer.body.capacity);
    }
    s3_http_answer_fini(&answer);
    return status;
}

enum nero_status s3_metadata_container(struct s3_http *http, const char *url, const char *token,
                                       struct s3_credentials *out, struct nero_err *err)
{
    char header[TOKEN_BYTES + 32];

    if (token == NULL) {
        return fetch_document(http, url, NULL, out, err);
    }
    if (strlen(token) >= TOKEN_BYTES) {
        return err_set(err, NERO_INVALID, 0, "the container's authorization token is too long");
    }
    (void)snprintf(header, sizeof header, "Authorization: %s", token);
    return fetch_document(http, url, header, out, err);
}

/* A line of an answer that goes into the next request: one word of printable characters. */
static enum nero_status take_word(const struct s3_http_answer *answer, const char *what, char *out,
                                  size_t out_bytes, struct nero_err *err)
{
    const char *text = (const char *)answer->body.data;
    size_t bytes = strcspn(text, "\r\n");

    if (bytes == 0 || !s3_credentials_copy(out, out_bytes, text, bytes)) {
        return err_set(err, NERO_CORRUPT, 0, "the metadata service's %s is none", what);
    }
    return NERO_OK;
}

enum nero_status s3_metadata_instance(struct s3_http *http, const char *base,
                                      struct s3_credentials *out, struct nero_err *err)
{
    static const char path[] = "/latest/meta-data/iam/security-credentials/";
    struct s3_http_answer answer = {0};
    char token[TOKEN_BYTES];
    char header[TOKEN_BYTES + 32];
    char role[128];
    char url[URL_BYTES];
    enum nero_status status;

    (void)snprintf(url, sizeof url, "%.500s/latest/api/token", base);
    status = ask(http, "PUT", url, "X-aws-ec2-metadata-token-ttl-seconds: 21600", &answer, err);
    if (status == NERO_OK) {
        status = take_word(&answer, "session token", token, sizeof token, err);
    }
    s3_http_answer_fini(&answer);
    if (status != NERO_OK) {
        return status;
    }
    (void)snprintf(header, sizeof header, "X-aws-ec2-metadata-token: %s", token);
    (void)snprintf(url, sizeof url, "%.500s%s", base, path);
    status = ask(http, "GET", url, header, &answer, err);
    if (status == NERO_OK) {
        status = take_word(&answer, "role", role, sizeof role, err);
    }
    s3_http_answer_fini(&answer);
    if (status == NERO_OK) {
        (void)snprintf(url, sizeof url, "%.500s%s%s", base, path, role);
        status = fetch_document(http, url, header, out, err);
    }
    sodium_memzero(token, sizeof token);
    sodium_memzero(header, sizeof header);
    return status;
}

bool s3_metadata_uri_is_allowed(const char *uri)
{
    static const char *const hosts[] = {"localhost",     "127.0.0.1",      "[::1]",
                                        "169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"};

    if (strncmp(uri, "https://", 8) == 0) {
        return true;
    }
    if (strncmp(uri, "http://", 7) != 0) {
        return false;
    }
    uri += 7;
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        size_t bytes = strlen(hosts[i]);

        if (strncmp(uri, hosts[i], bytes) == 0) {
            const char *rest = uri + bytes;

            rest += *rest == ':' ? 1 + strspn(rest + 1, "0123456789") : 0;
            if (*rest == '/' || *rest == 0) {
                return true;
            }
        }
    }
    return false;
}
