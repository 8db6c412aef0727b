#include "s3_client.h"

#include <assert.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nero/mem.h"

enum {
    SKEW_MIN_MS = 60 * 1000, /* a difference below this is not why a signature is refused */
    TARGET_BYTES_MAX = 16 * 1024,
    ADVICE_BYTES = 160,
    OWN_HEADERS = 4 /* x-amz-date, x-amz-content-sha256, x-amz-security-token, authorization */
};

struct s3_client {
    struct s3_config config;
    struct s3_http *http;
    struct s3_credentials_source *credentials;
    const struct clock_source *clock;
    _Atomic int64_t skew_ms;
    _Atomic int64_t ahead_ms; /* by the last answer's Date; AHEAD_UNKNOWN before one came */
};

#define AHEAD_UNKNOWN INT64_MIN

enum nero_status s3_client_open(const char *url, const char *place,
                                const struct s3_client_options *options, struct s3_client **out,
                                struct nero_err *err)
{
    struct s3_credentials_options credentials = {.environment = options->environment,
                                                 .clock = options->clock};
    struct s3_http_options http = options->http;
    char region[S3_CONFIG_REGION_BYTES] = "";
    struct s3_client *client = mem_calloc(1, sizeof *client);
    enum nero_status status;

    if (client == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for a client of S3");
    }
    client->clock = options->clock;
    atomic_init(&client->ahead_ms, AHEAD_UNKNOWN);
    status = s3_config_parse(url, place, options->environment, &client->config, err);
    if (status == NERO_OK) {
        status = s3_credentials_create(&credentials, region, &client->credentials, err);
    }
    if (status == NERO_OK && client->config.region_is_default && region[0] != 0) {
        status = s3_config_set_region(&client->config, options->environment, region, err);
    }
    if (status == NERO_OK) {
        http.ca_bundle = client->config.ca_bundle[0] != 0 ? client->config.ca_bundle : NULL;
        status = s3_http_create(&http, &client->http, err);
    }
    if (status != NERO_OK) {
        s3_client_close(client);
        return status;
    }
    *out = client;
    return NERO_OK;
}

void s3_client_close(struct s3_client *client)
{
    if (client != NULL) {
        s3_http_destroy(client->http);
        s3_credentials_destroy(client->credentials);
        free(client);
    }
}

const struct s3_config *s3_client_config(const struct s3_client *client)
{
    return &client->config;
}

int64_t s3_client_skew_ms(const struct s3_client *client)
{
    return atomic_load(&client->skew_ms);
}

bool s3_client_clock_ahead(const struct s3_client *client, int64_t *ahead_ms)
{
    *ahead_ms = atomic_load(&client->ahead_ms);
    return *ahead_ms != AHEAD_UNKNOWN;
}

/* A Date is cut to the second: on average it is half a second behind. */
static void note_date(struct s3_client *client, const struct s3_http_answer *answer)
{
    if (answer->date_ms != 0) {
        atomic_store(&client->ahead_ms, answer->date_ms + 500 - clock_wall_ms(client->clock));
    }
}

/* What is sent: built for each try, because date and credentials are in it. */
struct message {
    struct bytes url;
    struct bytes lines[S3_CLIENT_PAIRS_MAX + OWN_HEADERS];
    const char *headers[S3_CLIENT_PAIRS_MAX + OWN_HEADERS];
    size_t header_count;
};

static void message_init(struct message *message)
{
    *message = (struct message){0};
    bytes_init(&message->url, TARGET_BYTES_MAX);
    for (size_t i = 0; i < sizeof message->lines / sizeof message->lines[0]; i++) {
        bytes_init(&message->lines[i], TARGET_BYTES_MAX);
    }
}

static void message_fini(struct message *message)
{
    bytes_fini(&message->url);
    for (size_t i = 0; i < sizeof message->lines / sizeof message->lines[0]; i++) {
        if (message->lines[i].capacity > 0) { /* the session token is in one of them */
            sodium_memzero(message->lines[i].data, message->lines[i].capacity);
        }
        bytes_fini(&message->lines[i]);
    }
}

static enum nero_status add_header(struct message *message, const char *name, const char *value,
                                   struct nero_err *err)
{
    struct bytes *line = &message->lines[message->header_count];
    enum nero_status status = bytes_printf(line, err, "%s: %s", name, value);

    if (status == NERO_OK) { /* printf has put a NUL behind */
        message->headers[message->header_count++] = (const char *)line->data;
    }
    return status;
}

static size_t count_pairs(const struct s3_sign_pair pairs[S3_CLIENT_PAIRS_MAX])
{
    size_t count = 0;

    while (count < S3_CLIENT_PAIRS_MAX && pairs[count].name != NULL) {
        count++;
    }
    return count;
}

/* Sign, and build the URL and the header lines. `path` is not encoded. */
static enum nero_status build(struct message *message, const struct s3_client *client,
                              const struct s3_sign_input *input, struct nero_err *err)
{
    char date[S3_SIGN_DATE_BYTES];
    struct bytes authorization;
    enum nero_status status;

    s3_sign_date(date, input->wall_ms);
    bytes_init(&authorization, TARGET_BYTES_MAX);
    status = s3_sign_authorization(&authorization, input, err);
    if (status == NERO_OK) {
        status = bytes_terminate(&authorization, err);
    }
    if (status == NERO_OK) {
        status = add_header(message, "Authorization", (const char *)authorization.data, err);
    }
    if (status == NERO_OK) {
        status = add_header(message, "x-amz-date", date, err);
    }
    for (size_t i = 0; i < input->header_count && status == NERO_OK; i++) {
        status = add_header(message, input->headers[i].name, input->headers[i].value, err);
    }
    if (status == NERO_OK) {
        status = bytes_printf(&message->url, err, "%s://%s", client->config.tls ? "https" : "http",
                              client->config.host);
    }
    if (status == NERO_OK) {
        status = s3_sign_target(&message->url, input, err);
    }
    if (status == NERO_OK) {
        status = bytes_terminate(&message->url, err);
    }
    bytes_fini(&authorization);
    return status;
}

/* Sign with these credentials and send once. */
static enum nero_status send_once(struct s3_client *client, const struct s3_call *call,
                                  const char *path, const char *payload_hash,
                                  const struct s3_credentials *credentials,
                                  struct s3_http_answer *answer, struct nero_err *err)
{
    struct s3_sign_pair headers[S3_CLIENT_PAIRS_MAX + 2];
    size_t count = count_pairs(call->headers);
    struct s3_sign_input input = {.method = call->method,
                                  .host = client->config.host,
                                  .path = path,
                                  .query = call->query,
                                  .query_count = count_pairs(call->query),
                                  .headers = headers,
                                  .payload_hash = payload_hash,
                                  .region = client->config.region,
                                  .service = "s3",
                                  .access_key = credentials->access_key,
                                  .secret_key = credentials->secret_key,
                                  .wall_ms =
                                      clock_wall_ms(client->clock) + atomic_load(&client->skew_ms)};
    struct s3_http_request request = {.method = call->method,
                                      .body = call->body,
                                      .is_write = call->is_write,
                                      .into = call->into,
                                      .body_bytes_max = call->body_bytes_max,
                                      .extra_ms = call->extra_ms};
    struct message message;
    enum nero_status status;

    memcpy(headers, call->headers, count * sizeof headers[0]);
    headers[count++] = (struct s3_sign_pair){"x-amz-content-sha256", payload_hash};
    if (credentials->token[0] != 0) {
        headers[count++] = (struct s3_sign_pair){"x-amz-security-token", credentials->token};
    }
    input.header_count = count;
    message_init(&message);
    status = build(&message, client, &input, err);
    if (status == NERO_OK) {
        request.url = (const char *)message.url.data;
        request.headers = message.headers;
        request.header_count = message.header_count;
        status = s3_http_send(client->http, &request, answer, err);
    }
    message_fini(&message);
    return status;
}

static bool is_one_of(const char *code, const char *const *codes)
{
    for (; *codes != NULL; codes++) {
        if (strcmp(code, *codes) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_expired(const char *code)
{
    static const char *const codes[] = {"ExpiredToken", "InvalidToken", "TokenRefreshRequired",
                                        NULL};

    return is_one_of(code, codes);
}

/*
 * Whether it is the session that is refused: it has expired, or Ceph's gateway cannot read its
 * token, which it calls an argument.
 */
static bool is_session_refused(const struct s3_http_answer *answer,
                               const struct s3_xml_error *error,
                               const struct s3_credentials *credentials)
{
    return is_expired(error->code) || (answer->code == 400 && credentials->token[0] != 0 &&
                                       strcmp(error->code, "InvalidArgument") == 0);
}

/* Statuses that say of themselves that nothing took effect, and may work later. */
static bool is_try_again(int http_code, const char *code)
{
    static const char *const altered[] = {"RequestTimeout", "BadDigest", "IncompleteBody",
                                          "XAmzContentSHA256Mismatch", NULL};
    static const char *const busy[] = {"SlowDown", "ServiceUnavailable", "Throttling",
                                       "RequestLimitExceeded", NULL};

    return http_code == 408 || http_code == 409 || http_code == 429 || http_code == 307 ||
           http_code == 308 || (http_code == 400 && is_one_of(code, altered)) ||
           (http_code == 503 && is_one_of(code, busy));
}

enum nero_status s3_client_status(int http_code, const struct s3_xml_error *error, bool is_write)
{
    const char *code = error->code;

    if (is_try_again(http_code, code)) {
        return NERO_UNAVAILABLE;
    }
    if (http_code / 100 == 2) { /* an <Error> in a success: by its code, as if it had said so */
        return is_write ? NERO_UNKNOWN : NERO_UNAVAILABLE;
    }
    switch (http_code) {
    case 400:
        return is_expired(code)                      ? NERO_DENIED
               : strcmp(code, "EntityTooLarge") == 0 ? NERO_TOO_BIG
                                                     : NERO_INVALID;
    case 401:
    case 403:
        return strcmp(code, "QuotaExceeded") == 0 ? NERO_NO_SPACE : NERO_DENIED;
    case 404:
        return strcmp(code, "NoSuchKey") == 0 ? NERO_NOT_FOUND : NERO_UNAVAILABLE;
    case 412:
        return NERO_CONFLICT;
    case 413:
        return NERO_TOO_BIG;
    case 507:
        return NERO_NO_SPACE;
    case 500:
    case 502:
    case 503:
    case 504:
        return is_write ? NERO_UNKNOWN : NERO_UNAVAILABLE;
    default:
        return http_code / 100 == 5 && http_code != 501
                   ? (is_write ? NERO_UNKNOWN : NERO_UNAVAILABLE)
                   : NERO_INVALID;
    }
}

/* The <Error> of an answer; all empty where its body is something else. */
static struct s3_xml_error read_error(const struct s3_http_answer *answer)
{
    struct s3_xml_error error = {0};
    struct nero_err unread;

    if (answer->body.bytes > 0 && !answer->body_cut) {
        (void)s3_xml_error(bytes_as_view(&answer->body), &error, &unread);
    }
    if (error.region[0] == 0) {
        memcpy(error.region, answer->region, sizeof error.region);
    }
    return error;
}

/* The permission that a call needs, as policies name it. */
static const char *permission_of(const struct s3_call *call)
{
    bool reads = strcmp(call->method, "GET") == 0 || strcmp(call->method, "HEAD") == 0;
    bool is_part = call->query[0].name != NULL;

    if (call->key[0] == 0) {
        return strcmp(call->method, "POST") == 0 ? "s3:DeleteObject" /* of many keys */
               : reads                           ? "s3:ListBucket"
                                                 : "s3:CreateBucket";
    }
    if (strcmp(call->method, "DELETE") == 0) {
        return is_part ? "s3:AbortMultipartUpload" : "s3:DeleteObject";
    }
    return reads ? "s3:GetObject" : "s3:PutObject";
}

/* What to do about a refusal, after what the server says of it. */
static void advise(const struct s3_call *call, const struct s3_http_answer *answer,
                   const struct s3_xml_error *error, bool session, enum nero_status status,
                   char *out, size_t out_bytes)
{
    out[0] = 0;
    if (status == NERO_INVALID && error->region[0] != 0) {
        (void)snprintf(out, out_bytes, "; set AWS_REGION to %s", error->region);
    } else if (session) {
        (void)snprintf(out, out_bytes,
                       "; renew the session's credentials (a credentials file is read again "
                       "without a restart, variables are not)");
    } else if (status == NERO_DENIED && answer->code == 403 &&
               (error->code[0] == 0 || strcmp(error->code, "AccessDenied") == 0)) {
        (void)snprintf(out, out_bytes,
                       "; the credentials are wrong or lack %s here (infra/policies has what each "
                       "role needs)",
                       permission_of(call));
    }
}

static enum nero_status refused(const struct s3_call *call, const struct s3_http_answer *answer,
                                const struct s3_xml_error *error, bool session,
                                struct nero_err *err)
{
    bool denied = session && answer->code / 100 == 4; /* not inside of a success */
    enum nero_status status =
        denied ? NERO_DENIED : s3_client_status(answer->code, error, call->is_write);
    char advice[ADVICE_BYTES];

    advise(call, answer, error, denied, status, advice, sizeof advice);
    return err_set(err, status, answer->code, "the server answers %d %s%s%s%s", answer->code,
                   error->code[0] != 0 ? error->code : "without an S3 error",
                   error->message[0] != 0 ? ": " : "", error->message, advice);
}

/* After a refusal: whether the server's clock explains it. It is believed from then on. */
static bool correct_clock(struct s3_client *client, const struct s3_http_answer *answer)
{
    int64_t skew_ms = answer->date_ms - clock_wall_ms(client->clock);
    int64_t off_ms = skew_ms - atomic_load(&client->skew_ms);

    if (answer->code != 403 || answer->date_ms == 0 ||
        (off_ms < SKEW_MIN_MS && off_ms > -SKEW_MIN_MS)) {
        return false;
    }
    atomic_store(&client->skew_ms, skew_ms);
    return true;
}

/*
 * Whether an answer that is a success by its number is an <Error>: behind the blanks that a server
 * sends to keep a connection alive, and an XML declaration.
 */
static bool has_error_inside(const struct s3_http_answer *answer)
{
    static const char mark[] = "<Error";
    const char *text = (const char *)answer->body.data;
    const char *end = text + answer->body.bytes;

    for (; text < end && (*text != '<' || (text + 1 < end && text[1] == '?')); text++) {
    }
    return (size_t)(end - text) >= sizeof mark - 1 && memcmp(text, mark, sizeof mark - 1) == 0;
}

static enum nero_status send_tries(struct s3_client *client, const struct s3_call *call,
                                   const char *path, const char *payload_hash,
                                   struct s3_credentials *credentials,
                                   struct s3_http_answer *answer, struct s3_xml_error *error,
                                   struct nero_err *err)
{
    bool clock_was_corrected = false;
    bool was_refreshed = false;

    for (;;) {
        enum nero_status status = s3_credentials_get(client->credentials, credentials, err);
        bool session;

        if (status == NERO_OK) {
            status = send_once(client, call, path, payload_hash, credentials, answer, err);
        }
        if (status != NERO_OK) {
            return status;
        }
        note_date(client, answer);
        if (answer->code / 100 == 2 && !answer->body_cut && !has_error_inside(answer)) {
            return NERO_OK;
        }
        *error = read_error(answer);
        session = is_session_refused(answer, error, credentials);
        if (!clock_was_corrected && correct_clock(client, answer)) {
            clock_was_corrected = true;
        } else if (!was_refreshed && (session || answer->code == 403) &&
                   s3_credentials_refused(client->credentials, credentials, session)) {
            was_refreshed = true;
        } else {
            return refused(call, answer, error, session, err);
        }
        s3_http_answer_fini(answer);
    }
}

enum nero_status s3_client_send(struct s3_client *client, const struct s3_call *call,
                                struct s3_http_answer *answer, struct s3_xml_error *error,
                                struct nero_err *err)
{
    const char *bucket = client->config.path_style ? client->config.bucket : "";
    struct s3_credentials *credentials = mem_calloc(1, sizeof *credentials);
    char hash[S3_SIGN_HASH_BYTES] = S3_SIGN_UNSIGNED;
    struct s3_xml_error said = {0};
    enum nero_status status;
    struct bytes path;

    *answer = (struct s3_http_answer){0};
    if (credentials == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for credentials");
    }
    bytes_init(&path, TARGET_BYTES_MAX);
    status = bytes_printf(&path, err, "/%s%s%s", bucket,
                          bucket[0] != 0 && call->key[0] != 0 ? "/" : "", call->key);
    if (status == NERO_OK) {
        if (!client->config.unsigned_payload || call->body.bytes == 0) {
            s3_sign_hash(hash, call->body);
        }
        status = send_tries(client, call, (const char *)path.data, hash, credentials, answer, &said,
                            err);
    }
    if (error != NULL) {
        *error = said;
    }
    bytes_fini(&path);
    sodium_memzero(credentials, sizeof *credentials);
    free(credentials);
    return status;
}
