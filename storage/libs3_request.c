#include "libs3_request.h"

#include <nettle/base64.h>
#include <nettle/md5.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>

#include "nero/mem.h"

enum {
    MD5_HEX_BYTES = 2 * MD5_DIGEST_SIZE + 1,
    MD5_BASE64_BYTES = BASE64_ENCODE_RAW_LENGTH(MD5_DIGEST_SIZE) + 1,
    WAIT_MS_MAX = 100,    /* between two looks at the deadline */
    NO_SOCKET_WAIT_MS = 5 /* libs3 has none to wait for, yet is not done */
};

struct libs3_client {
    struct s3_config config;
    struct s3_credentials_source *credentials;
    struct libs3_options options;
    const char *host; /* in `config`, without the bucket */
};

/* ---- the library's life, and what of it threads may not do at once ---- */

static pthread_mutex_t library_lock = PTHREAD_MUTEX_INITIALIZER;

static S3Status library_begin(void)
{
    S3Status status;

    (void)pthread_mutex_lock(&library_lock);
    status = S3_initialize("nero", S3_INIT_ALL, NULL);
    (void)pthread_mutex_unlock(&library_lock);
    return status;
}

static void library_end(void)
{
    (void)pthread_mutex_lock(&library_lock);
    S3_deinitialize();
    (void)pthread_mutex_unlock(&library_lock);
}

/* ---- opening ---- */

struct libs3_options libs3_defaults(void)
{
    return (struct libs3_options){.clock = clock_system(),
                                  .environment = s3_environment_system(),
                                  .request_ms = 30000,
                                  .bytes_per_second_min = UINT64_C(256) * 1024};
}

/* Copy what signs a request. What libs3 cannot send is refused here. */
static enum nero_status get_credentials(const struct libs3_client *client,
                                        struct s3_credentials *out, struct nero_err *err)
{
    enum nero_status status = s3_credentials_get(client->credentials, out, err);

    if (status == NERO_OK && out->token[0] != 0) {
        status = err_set(err, NERO_DENIED, 0,
                         "the credentials have a session token, which libs3 cannot send; use "
                         "s3:// or a key pair without one");
    }
    return status;
}

static enum nero_status check_config(struct libs3_client *client, const char *url,
                                     struct nero_err *err)
{
    const struct s3_config *config = &client->config;

    if (config->tls) {
        return err_set(err, NERO_INVALID, 0,
                       "store '%s': libs3 does not verify whom it talks to over https, so that is "
                       "refused; use s3://, or name an http:// endpoint behind a tunnel that "
                       "verifies (AWS_ENDPOINT_URL_S3)",
                       url);
    }
    client->host = config->host;
    if (!config->path_style) {
        client->host += strlen(config->bucket) + 1;
    }
    return NERO_OK;
}

enum nero_status libs3_client_open(const char *url, const char *place,
                                   const struct libs3_options *options, struct libs3_client **out,
                                   struct nero_err *err)
{
    struct s3_credentials_options source = {.environment = options->environment,
                                            .clock = options->clock};
    char region[S3_CONFIG_REGION_BYTES] = "";
    struct s3_credentials trial;
    struct libs3_client *client;
    enum nero_status status;

    if (library_begin() != S3StatusOK) {
        return err_set(err, NERO_UNAVAILABLE, 0, "libs3 does not start");
    }
    client = mem_calloc(1, sizeof *client);
    if (client == NULL) {
        library_end();
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for a client of S3");
    }
    client->options = *options;
    status = s3_config_parse(url, place, options->environment, &client->config, err);
    if (status == NERO_OK) {
        status = check_config(client, url, err);
    }
    if (status == NERO_OK) {
        status = s3_credentials_create(&source, region, &client->credentials, err);
    }
    if (status == NERO_OK) {
        status = get_credentials(client, &trial, err);
        explicit_bzero(&trial, sizeof trial);
    }
    if (status != NERO_OK) {
        libs3_client_close(client);
        return status;
    }
    *out = client;
    return NERO_OK;
}

void libs3_client_close(struct libs3_client *client)
{
    if (client != NULL) {
        s3_credentials_destroy(client->credentials);
        free(client);
        library_end();
    }
}

const struct s3_config *libs3_client_config(const struct libs3_client *client)
{
    return &client->config;
}

/* ---- one exchange ---- */

struct exchange {
    struct libs3_client *client;
    const struct libs3_call *call;
    struct libs3_answer *answer;
    bool answered; /* libs3 has shown the headers of a 2xx */
    bool complete; /* libs3 is done with it */
    bool expired;  /* our deadline has passed: what libs3 says from then on counts for nothing */
    S3Status status;
    char message[200];
    size_t sent;
    uint8_t *room; /* for the body of a get */
    uint64_t received;
    struct md5_ctx md5;
    int64_t deadline_ns;
    enum nero_status refused; /* by a callback of ours, which has set err */
    struct nero_err *err;
};

static bool is_write(const struct exchange *exchange)
{
    return exchange->call->verb == LIBS3_PUT || exchange->call->verb == LIBS3_DELETE ||
           exchange->call->verb == LIBS3_MAKE_BUCKET;
}

static void extend_deadline(struct exchange *exchange, uint64_t bytes)
{
    uint64_t seconds = bytes / exchange->client->options.bytes_per_second_min;

    exchange->deadline_ns += (int64_t)seconds * 1000000000;
}

static S3Status refuse(struct exchange *exchange, enum nero_status status)
{
    exchange->refused = status;
    return S3StatusAbortedByCallback;
}

/* Make room for the body of a get, whose length is known from here on. */
static S3Status make_room(struct exchange *exchange)
{
    const struct libs3_call *call = exchange->call;
    uint64_t bytes = exchange->answer->bytes;

    if (bytes > call->bytes_max || bytes > SIZE_MAX) {
        return refuse(exchange, err_set(exchange->err, NERO_TOO_BIG, 0, "it has %llu bytes",
                                        (unsigned long long)bytes));
    }
    if (bytes_extend(call->out, (size_t)bytes, &exchange->room, exchange->err) != NERO_OK) {
        return refuse(exchange, exchange->err->status);
    }
    extend_deadline(exchange, bytes);
    return S3StatusOK;
}

static S3Status on_headers(const S3ResponseProperties *properties, void *context)
{
    struct exchange *exchange = context;
    const char *etag = properties->eTag != NULL ? properties->eTag : "";
    size_t bytes;

    if (exchange->expired) {
        return S3StatusAbortedByCallback;
    }
    etag += etag[0] == '"' ? 1 : 0;
    bytes = strlen(etag);
    bytes -= bytes > 0 && etag[bytes - 1] == '"' ? 1 : 0;
    if (bytes < sizeof exchange->answer->etag) { /* else none, like s3:// */
        memcpy(exchange->answer->etag, etag, bytes);
        exchange->answer->etag[bytes] = 0;
    }
    exchange->answered = true;
    exchange->answer->bytes = properties->contentLength;
    return exchange->call->verb == LIBS3_GET ? make_room(exchange) : S3StatusOK;
}

static int on_send(int room, char *buffer, void *context)
{
    struct exchange *exchange = context;
    size_t left = exchange->call->body.bytes - exchange->sent;
    size_t bytes = left < (size_t)room ? left : (size_t)room;

    if (bytes > 0) {
        memcpy(buffer, exchange->call->body.data + exchange->sent, bytes);
    }
    exchange->sent += bytes;
    return (int)bytes;
}

static S3Status on_receive(int bytes, const char *data, void *context)
{
    struct exchange *exchange = context;

    if (exchange->expired) {
        return S3StatusAbortedByCallback;
    }
    if ((uint64_t)bytes > exchange->answer->bytes - exchange->received) {
        return refuse(exchange, err_set(exchange->err, NERO_UNAVAILABLE, 0,
                                        "more bytes come than the answer's %llu",
                                        (unsigned long long)exchange->answer->bytes));
    }
    memcpy(exchange->room + exchange->received, data, (size_t)bytes);
    md5_update(&exchange->md5, (size_t)bytes, (const uint8_t *)data);
    exchange->received += (uint64_t)bytes;
    return S3StatusOK;
}

static S3Status on_names(int truncated, const char *next, int count,
                         const S3ListBucketContent *contents, int prefix_count,
                         const char **prefixes, void *context)
{
    struct exchange *exchange = context;
    struct storage_list *names = exchange->call->names;

    (void)next;
    (void)prefix_count;
    (void)prefixes;
    if (exchange->expired || exchange->refused != NERO_OK) {
        return S3StatusAbortedByCallback;
    }
    exchange->answer->truncated = truncated != 0;
    for (int i = 0; i < count; i++) {
        if (storage_list_add(names, exchange->call->count_max, contents[i].key, contents[i].size,
                             exchange->err) != NERO_OK) {
            return refuse(exchange, exchange->err->status);
        }
    }
    if (names->more) {
        return refuse(exchange, err_set(exchange->err, NERO_CORRUPT, 0,
                                        "more names are listed than were asked for"));
    }
    return S3StatusOK;
}

static void on_complete(S3Status status, const S3ErrorDetails *details, void *context)
{
    struct exchange *exchange = context;

    exchange->complete = true;
    exchange->status = status;
    if (details != NULL && details->message != NULL) {
        (void)snprintf(exchange->message, sizeof exchange->message, " (%s)", details->message);
    }
}

/* ---- sending ---- */

static void begin_put(struct exchange *exchange, const S3BucketContext *bucket,
                      S3RequestContext *context)
{
    static const S3PutObjectHandler handler = {{on_headers, on_complete}, on_send};
    const struct bytes_view *body = &exchange->call->body;
    char base64[MD5_BASE64_BYTES] = "";
    uint8_t digest[MD5_DIGEST_SIZE];
    S3PutProperties properties = {.md5 = base64, .expires = -1};
    struct md5_ctx md5 = exchange->md5;

    md5_digest(&md5, sizeof digest, digest);
    base64_encode_raw(base64, sizeof digest, digest);
    S3_put_object(bucket, exchange->call->name, body->bytes, &properties, context, &handler,
                  exchange);
}

static void begin_get(struct exchange *exchange, const S3BucketContext *bucket,
                      S3RequestContext *context)
{
    static const S3GetObjectHandler handler = {{on_headers, on_complete}, on_receive};
    const struct libs3_call *call = exchange->call;
    char etag[STORAGE_ETAG_BYTES_MAX + 2];
    S3GetConditions conditions = {
        .ifModifiedSince = -1, .ifNotModifiedSince = -1, .ifMatchETag = etag};

    (void)snprintf(etag, sizeof etag, "\"%s\"", call->etag != NULL ? call->etag : "");
    S3_get_object(bucket, call->name, call->etag != NULL ? &conditions : NULL, call->offset,
                  call->bytes, context, &handler, exchange);
}

static void begin(struct exchange *exchange, const S3BucketContext *bucket,
                  S3RequestContext *context)
{
    static const S3ResponseHandler plain = {on_headers, on_complete};
    static const S3ListBucketHandler list = {{on_headers, on_complete}, on_names};
    const struct libs3_call *call = exchange->call;

    switch (call->verb) {
    case LIBS3_PUT:
        begin_put(exchange, bucket, context);
        break;
    case LIBS3_GET:
        begin_get(exchange, bucket, context);
        break;
    case LIBS3_HEAD:
        S3_head_object(bucket, call->name, context, &plain, exchange);
        break;
    case LIBS3_DELETE:
        S3_delete_object(bucket, call->name, context, &plain, exchange);
        break;
    case LIBS3_LIST: /* NULL would be sent as the text "(null)" */
        S3_list_bucket(bucket, call->name, call->marker, NULL, (int)call->count_max, context, &list,
                       exchange);
        break;
    case LIBS3_MAKE_BUCKET:
        S3_create_bucket(bucket->protocol, bucket->accessKeyId, bucket->secretAccessKey,
                         bucket->hostName, bucket->bucketName, S3CannedAclPrivate, NULL, context,
                         &plain, exchange);
        break;
    }
}

static void wait_for_sockets(S3RequestContext *context, int64_t left_ms)
{
    int64_t wait_ms = S3_get_request_context_timeout(context);
    fd_set reads;
    fd_set writes;
    fd_set exceptions;
    struct timeval wait;
    int highest = -1;

    FD_ZERO(&reads);
    FD_ZERO(&writes);
    FD_ZERO(&exceptions);
    if (S3_get_request_context_fdsets(context, &reads, &writes, &exceptions, &highest) !=
            S3StatusOK ||
        highest < 0) {
        highest = -1;
        wait_ms = NO_SOCKET_WAIT_MS;
    }
    wait_ms = wait_ms >= 0 && wait_ms < WAIT_MS_MAX ? wait_ms : WAIT_MS_MAX;
    wait_ms = wait_ms < left_ms ? wait_ms : left_ms;
    wait = (struct timeval){.tv_sec = 0, .tv_usec = (suseconds_t)wait_ms * 1000};
    (void)select(highest + 1, &reads, &writes, &exceptions, &wait);
}

/* libs3 has no deadline of its own against a server that drips: it is driven from here. */
static void drive(struct exchange *exchange, S3RequestContext *context)
{
    const struct clock_source *clock = exchange->client->options.clock;
    int running = 0;

    while (!exchange->complete) {
        int64_t left_ns;

        if (S3_runonce_request_context(context, &running) != S3StatusOK) {
            exchange->expired = true; /* nothing is known of what became of it */
            return;
        }
        left_ns = exchange->deadline_ns - clock_mono_ns(clock);
        if (!exchange->complete && left_ns <= 0) {
            exchange->expired = true;
            return;
        }
        if (!exchange->complete) {
            wait_for_sockets(context, left_ns / 1000000 + 1);
        }
    }
}

/* *used: what it was signed with, for the caller to wipe. */
static enum nero_status perform(struct exchange *exchange, struct s3_credentials *used,
                                struct nero_err *err)
{
    const struct libs3_client *client = exchange->client;
    S3BucketContext bucket = {.hostName = client->host,
                              .bucketName = client->config.bucket,
                              .protocol = S3ProtocolHTTP,
                              .uriStyle = client->config.path_style ? S3UriStylePath
                                                                    : S3UriStyleVirtualHost,
                              .accessKeyId = used->access_key,
                              .secretAccessKey = used->secret_key};
    S3RequestContext *context;

    if (get_credentials(client, used, err) != NERO_OK) {
        return err->status;
    }
    if (S3_create_request_context(&context) != S3StatusOK) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for a request");
    }
    /* libs3 dates a request by gmtime, whose answer all threads share; it sends nothing yet. */
    (void)pthread_mutex_lock(&library_lock);
    begin(exchange, &bucket, context);
    (void)pthread_mutex_unlock(&library_lock);
    drive(exchange, context);
    S3_destroy_request_context(context); /* calls back for what has not ended */
    return NERO_OK;
}

/* ---- what came back ---- */

enum nero_status libs3_status(S3Status status, bool is_write_request)
{
    enum nero_status lost = is_write_request ? NERO_UNKNOWN : NERO_UNAVAILABLE;

    switch (status) {
    case S3StatusOutOfMemory:
        return NERO_NO_MEMORY;
    case S3StatusNameLookupError:
    case S3StatusFailedToConnect:
    case S3StatusErrorNoSuchBucket: /* of a bucket that was there at the start */
    case S3StatusHttpErrorNotFound: /* without a code: not S3's word */
    case S3StatusHttpErrorConflict:
    case S3StatusErrorBadDigest:
    case S3StatusErrorIncompleteBody:
    case S3StatusErrorRequestTimeout:
    case S3StatusErrorOperationAborted:
    case S3StatusErrorTemporaryRedirect:
    case S3StatusHttpErrorMovedTemporarily:
        return NERO_UNAVAILABLE;
    case S3StatusInternalError: /* libs3's name for a reset, a close and garbage */
    case S3StatusConnectionFailed:
    case S3StatusInterrupted:
    case S3StatusFailedToInitializeRequest:
    case S3StatusXmlParseFailure:
    case S3StatusErrorInternalError:
    case S3StatusErrorSlowDown: /* also a 503 of anybody on the way */
    case S3StatusErrorUnknown:  /* codes newer than libs3 */
    case S3StatusHttpErrorUnknown:
        return lost;
    case S3StatusErrorNoSuchKey:
        return NERO_NOT_FOUND;
    case S3StatusErrorPreconditionFailed:
        return NERO_CONFLICT;
    case S3StatusErrorEntityTooLarge:
    case S3StatusErrorMaxMessageLengthExceeded:
        return NERO_TOO_BIG;
    case S3StatusServerFailedVerification:
    case S3StatusErrorAccessDenied:
    case S3StatusErrorAccountProblem:
    case S3StatusErrorExpiredToken:
    case S3StatusErrorInvalidAccessKeyId:
    case S3StatusErrorInvalidPayer:
    case S3StatusErrorInvalidSecurity:
    case S3StatusErrorInvalidToken:
    case S3StatusErrorNotSignedUp:
    case S3StatusErrorRequestTimeTooSkewed:
    case S3StatusErrorSignatureDoesNotMatch:
    case S3StatusErrorTokenRefreshRequired:
    case S3StatusHttpErrorForbidden:
        return NERO_DENIED;
    default: /* it was never sent, or the service will not have it */
        return NERO_INVALID;
    }
}

static void md5_hex(struct md5_ctx md5, char out[MD5_HEX_BYTES])
{
    uint8_t digest[MD5_DIGEST_SIZE];

    md5_digest(&md5, sizeof digest, digest);
    bytes_to_hex(out, digest, sizeof digest);
}

/* An ETag of another form (of an object of several parts) says nothing of the bytes. */
static bool is_md5(const char *etag)
{
    return strlen(etag) == MD5_HEX_BYTES - 1 &&
           strspn(etag, "0123456789abcdefABCDEF") == MD5_HEX_BYTES - 1;
}

/*
 * Where the server says "100 Continue" libs3 shows nothing of its last word, and reports success
 * for any: only the object can tell.
 */
static enum nero_status check_put(const struct exchange *exchange, struct nero_err *err)
{
    const struct libs3_call look = {.verb = LIBS3_HEAD, .name = exchange->call->name};
    struct libs3_answer answer = *exchange->answer;
    char own[MD5_HEX_BYTES];

    md5_hex(exchange->md5, own);
    if (!exchange->answered) {
        if (libs3_send(exchange->client, &look, &answer, err) != NERO_OK) {
            err->status = NERO_UNKNOWN;
            return err_wrap(err, "look what became of it");
        }
        if (answer.bytes != exchange->call->body.bytes) {
            return err_set(err, NERO_UNKNOWN, 0, "other bytes are there than were sent");
        }
    }
    return strcasecmp(own, answer.etag) == 0
               ? NERO_OK
               : err_set(err, NERO_UNKNOWN, 0,
                         "its ETag '%.40s' is not the MD5 of what was sent, %s", answer.etag, own);
}

/*
 * Of an answer that breaks off in its headers libs3 shows what has come. Then the ETag is missing,
 * or the length is and counts as 0, which only an empty object has.
 */
static enum nero_status check_headers(const struct libs3_answer *answer, struct nero_err *err)
{
    static const char md5_of_nothing[] = "d41d8cd98f00b204e9800998ecf8427e";
    bool whole = answer->etag[0] != 0 &&
                 (answer->bytes > 0 || strcasecmp(answer->etag, md5_of_nothing) == 0);

    return whole ? NERO_OK
                 : err_set(err, NERO_UNAVAILABLE, 0, "an answer without an ETag or a length");
}

static enum nero_status check_get(const struct exchange *exchange, struct nero_err *err)
{
    const struct libs3_answer *answer = exchange->answer;
    char own[MD5_HEX_BYTES];

    if (check_headers(answer, err) != NERO_OK) {
        return err->status;
    }
    if (exchange->received != answer->bytes) {
        return err_set(err, NERO_UNAVAILABLE, 0, "cut after %llu of %llu bytes",
                       (unsigned long long)exchange->received, (unsigned long long)answer->bytes);
    }
    md5_hex(exchange->md5, own);
    if (exchange->call->bytes == 0 && is_md5(answer->etag) && strcasecmp(own, answer->etag) != 0) {
        return err_set(err, NERO_CORRUPT, 0, "its MD5 is %s, its ETag %s", own, answer->etag);
    }
    return NERO_OK;
}

static enum nero_status judge(const struct exchange *exchange, struct nero_err *err)
{
    bool write = is_write(exchange);

    if (exchange->expired) {
        return err_set(err, write ? NERO_UNKNOWN : NERO_TIMEOUT, 0, "no whole answer in time");
    }
    if (exchange->refused != NERO_OK) {
        return exchange->refused;
    }
    exchange->answer->status = exchange->status;
    if (exchange->status != S3StatusOK) {
        return err_set(err, libs3_status(exchange->status, write), 0, "libs3: %s%s",
                       S3_get_status_name(exchange->status), exchange->message);
    }
    if (exchange->call->verb == LIBS3_PUT) {
        return check_put(exchange, err);
    }
    if (!exchange->answered) { /* libs3 takes some refusals of a proxy for success */
        return err_set(err, write ? NERO_UNKNOWN : NERO_UNAVAILABLE, 0,
                       "libs3 reports success without an answer of the store");
    }
    switch (exchange->call->verb) {
    case LIBS3_GET:
        return check_get(exchange, err);
    case LIBS3_HEAD:
        return check_headers(exchange->answer, err);
    default:
        return NERO_OK;
    }
}

static enum nero_status send_once(struct libs3_client *client, const struct libs3_call *call,
                                  struct s3_credentials *used, struct libs3_answer *answer,
                                  struct nero_err *err)
{
    size_t before = call->out != NULL ? call->out->bytes : 0;
    struct exchange exchange = {.client = client, .call = call, .answer = answer, .err = err};
    enum nero_status status;

    *answer = (struct libs3_answer){0};
    md5_init(&exchange.md5);
    md5_update(&exchange.md5, call->body.bytes, call->body.data);
    exchange.deadline_ns =
        clock_mono_ns(client->options.clock) + client->options.request_ms * 1000000;
    extend_deadline(&exchange, call->body.bytes);
    status = perform(&exchange, used, err);
    if (status == NERO_OK) {
        status = judge(&exchange, err);
    }
    if (status != NERO_OK && call->out != NULL) {
        call->out->bytes = before;
    }
    return status;
}

static bool is_expired(S3Status status)
{
    return status == S3StatusErrorExpiredToken || status == S3StatusErrorInvalidToken ||
           status == S3StatusErrorTokenRefreshRequired;
}

enum nero_status libs3_send(struct libs3_client *client, const struct libs3_call *call,
                            struct libs3_answer *answer, struct nero_err *err)
{
    struct s3_credentials used = {0};
    enum nero_status status = send_once(client, call, &used, answer, err);

    /* Refused by the store: the keys may have been rotated since they were read. */
    if (status == NERO_DENIED && answer->status != S3StatusOK &&
        s3_credentials_refused(client->credentials, &used, is_expired(answer->status))) {
        status = send_once(client, call, &used, answer, err);
    }
    explicit_bzero(&used, sizeof used);
    return status;
}
