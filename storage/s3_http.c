#include "s3_http.h"

#include <assert.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "nero/mem.h"
#include "nero/thread.h"
#include "s3_header.h"

enum {
    STALL_BYTES_PER_SECOND = 1024,
    BUFFER_BYTES = 256 * 1024,
    IDLE_MAX_S = 15, /* services close idle connections after 20 s or more */
    HEADER_BYTES_MAX = 64 * 1024,
    ANSWER_FIRST_BYTES = 4096 /* reserved before a request leaves, enough for most answers */
};

struct connection {
    CURL *easy;
    curl_socket_t socket; /* that libcurl opened last for it */
};

struct s3_http {
    struct s3_http_options options;
    char *ca_bundle;
    struct thread_monitor monitor; /* guards what follows */
    struct connection *idle[S3_HTTP_CONNECTIONS_MAX];
    size_t idle_count; /* used as a stack: the last used connection is the likeliest to live */
    size_t made;
};

/* One request under way. */
struct exchange {
    const struct s3_http_request *request;
    struct s3_http_answer *answer;
    struct connection *connection;
    size_t body_at;
    size_t header_bytes;
    bool headers_ended; /* by their empty line, and not because the connection was closed */
    unsigned begins;    /* how often libcurl began to send it */
    size_t into_before;
    uint8_t *room; /* where the next byte of a 2xx goes; NULL until its first */
    bool failed;   /* `failure` says why a callback ended the transfer */
    struct nero_err failure;
};

struct s3_http_options s3_http_defaults(void)
{
    return (struct s3_http_options){.connect_ms = 5000,
                                    .stall_ms = 20000,
                                    .request_ms = 30000,
                                    .bytes_per_second_min = 256 * 1024};
}

static pthread_once_t library_once = PTHREAD_ONCE_INIT;
static CURLcode library_code;

static void library_init(void)
{
    library_code = curl_global_init(CURL_GLOBAL_DEFAULT);
}

enum nero_status s3_http_create(const struct s3_http_options *options, struct s3_http **out,
                                struct nero_err *err)
{
    struct s3_http *http;
    enum nero_status status;

    (void)pthread_once(&library_once, library_init);
    if (library_code != CURLE_OK) {
        return err_set(err, NERO_UNAVAILABLE, (int)library_code, "libcurl: %s",
                       curl_easy_strerror(library_code));
    }
    http = mem_calloc(1, sizeof *http);
    if (http == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for connections");
    }
    http->options = *options;
    http->options.ca_bundle = NULL;
    if (options->ca_bundle != NULL) {
        http->ca_bundle = mem_strdup(options->ca_bundle);
        if (http->ca_bundle == NULL) {
            free(http);
            return err_set(err, NERO_NO_MEMORY, 0, "no memory for connections");
        }
    }
    status = thread_monitor_init(&http->monitor, err);
    if (status != NERO_OK) {
        free(http->ca_bundle);
        free(http);
        return status;
    }
    *out = http;
    return NERO_OK;
}

void s3_http_destroy(struct s3_http *http)
{
    if (http == NULL) {
        return;
    }
    assert(http->idle_count == http->made);
    for (size_t i = 0; i < http->idle_count; i++) {
        curl_easy_cleanup(http->idle[i]->easy);
        free(http->idle[i]);
    }
    thread_monitor_fini(&http->monitor);
    free(http->ca_bundle);
    free(http);
}

void s3_http_answer_fini(struct s3_http_answer *answer)
{
    bytes_fini(&answer->body);
}

static struct connection *make_connection(void)
{
    struct connection *connection = mem_calloc(1, sizeof *connection);

    if (connection != NULL) {
        connection->socket = CURL_SOCKET_BAD;
        connection->easy = curl_easy_init();
        if (connection->easy == NULL) {
            free(connection);
            connection = NULL;
        }
    }
    return connection;
}

static struct connection *take_connection(struct s3_http *http)
{
    struct connection *connection = NULL;

    thread_monitor_enter(&http->monitor);
    while (http->idle_count == 0 && http->made == S3_HTTP_CONNECTIONS_MAX) {
        thread_monitor_wait(&http->monitor);
    }
    if (http->idle_count > 0) {
        connection = http->idle[--http->idle_count];
    } else {
        connection = make_connection();
        http->made += connection != NULL ? 1 : 0;
    }
    thread_monitor_leave(&http->monitor);
    return connection;
}

static void give_connection(struct s3_http *http, struct connection *connection)
{
    curl_easy_reset(connection->easy); /* keeps the connection, forgets this request's pointers */
    thread_monitor_enter(&http->monitor);
    http->idle[http->idle_count++] = connection;
    thread_monitor_wake_all(&http->monitor);
    thread_monitor_leave(&http->monitor);
}

/* Callbacks. */

static size_t on_read(char *room, size_t size, size_t count, void *context)
{
    struct exchange *exchange = context;
    struct bytes_view body = exchange->request->body;
    size_t left = body.bytes - exchange->body_at;
    size_t bytes = size * count < left ? size * count : left;

    if (bytes > 0) {
        memcpy(room, body.data + exchange->body_at, bytes);
    }
    exchange->body_at += bytes;
    return bytes;
}

/*
 * A request is about to be sent. The second time libcurl has found its kept connection dead and
 * begins anew: a read may, for a write nobody knows what became of the first.
 */
static int on_begin(void *context, char *peer, char *own, int peer_port, int own_port)
{
    struct exchange *exchange = context;

    (void)peer;
    (void)own;
    (void)peer_port;
    (void)own_port;
    exchange->begins++;
    exchange->body_at = 0;
    return exchange->begins > 1 && exchange->request->is_write ? CURL_PREREQFUNC_ABORT
                                                               : CURL_PREREQFUNC_OK;
}

static int on_socket(void *context, curl_socket_t socket, curlsocktype purpose)
{
    struct exchange *exchange = context;

    (void)purpose;
    exchange->connection->socket = socket;
    return CURL_SOCKOPT_OK;
}

/*
 * A server that sends headers and body in two pieces holds the second back until we acknowledge the
 * first, and our kernel waits 40 ms for something to acknowledge it with (measured with Ceph's
 * gateway: a small get 44 ms, with this 1 ms).
 */
static void acknowledge_now(const struct connection *connection)
{
    int on = 1;

    if (connection->socket != CURL_SOCKET_BAD) { /* a socket that is closed by now does no harm */
        (void)setsockopt(connection->socket, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
    }
}

static void clear_answer(struct s3_http_answer *answer)
{
    struct bytes body = answer->body;

    bytes_clear(&body);
    *answer = (struct s3_http_answer){.content_bytes = -1, .body = body};
}

static size_t on_header(char *data, size_t size, size_t count, void *context)
{
    struct exchange *exchange = context;
    size_t bytes = size * count;

    exchange->header_bytes += bytes;
    if (exchange->header_bytes > HEADER_BYTES_MAX) {
        exchange->failed = true;
        (void)err_set(&exchange->failure, NERO_CORRUPT, 0,
                      "an answer with more than %d bytes of "
                      "headers",
                      HEADER_BYTES_MAX);
        return 0;
    }
    if (bytes >= 5 && memcmp(data, "HTTP/", 5) == 0) {
        acknowledge_now(exchange->connection);
        clear_answer(exchange->answer); /* after a 100, or when libcurl began anew */
    }
    exchange->headers_ended = bytes <= 2 && data[bytes - 1] == '\n';
    s3_header_take(exchange->answer, data, bytes);
    return bytes;
}

/* Of a body that is kept in the answer. Too long a one is cut, which the answer says. */
static bool keep_body(struct exchange *exchange, int code, const char *data, size_t bytes)
{
    struct s3_http_answer *answer = exchange->answer;
    size_t limit = answer->body.bytes_max;
    enum nero_status status;

    if (answer->body_cut || bytes > limit - answer->body.bytes) {
        answer->body_cut = true;
        return true;
    }
    status = bytes_append(&answer->body, data, bytes, &exchange->failure);
    if (status == NERO_OK || code / 100 != 2 || exchange->request->is_write) {
        answer->body_cut = status != NERO_OK; /* what a write has done does not depend on it */
        return true;
    }
    exchange->failed = true;
    return false;
}

/* The first byte of a 2xx: find it a place. */
static bool open_into(struct exchange *exchange)
{
    struct s3_http_into *into = exchange->request->into;
    int64_t length = exchange->answer->content_bytes;
    enum nero_status status = NERO_OK;

    if (into->room != NULL) {
        exchange->room = into->room;
        return true;
    }
    if (length < 0) {
        status = err_set(&exchange->failure, NERO_CORRUPT, 0, "an object without Content-Length");
    } else if ((uint64_t)length > into->bytes) {
        status = err_set(&exchange->failure, NERO_TOO_BIG, 0, "it has %lld bytes, allowed are %llu",
                         (long long)length, (unsigned long long)into->bytes);
    } else {
        status = bytes_extend(into->out, (size_t)length, &exchange->room, &exchange->failure);
    }
    exchange->failed = status != NERO_OK;
    return status == NERO_OK;
}

static bool write_into(struct exchange *exchange, const char *data, size_t bytes)
{
    struct s3_http_into *into = exchange->request->into;
    struct s3_http_answer *answer = exchange->answer;
    uint64_t wanted;

    if (exchange->room == NULL && !open_into(exchange)) {
        return false;
    }
    wanted = into->room != NULL ? into->bytes : (uint64_t)answer->content_bytes;
    if (bytes > wanted - answer->into_bytes) {
        exchange->failed = true;
        (void)err_set(&exchange->failure, NERO_CORRUPT, answer->code,
                      "more than the %llu bytes that were asked for", (unsigned long long)wanted);
        return false;
    }
    memcpy(exchange->room + answer->into_bytes, data, bytes);
    answer->into_bytes += bytes;
    return true;
}

static size_t on_body(char *data, size_t size, size_t count, void *context)
{
    struct exchange *exchange = context;
    size_t bytes = size * count;
    long code = 0;
    bool kept;

    (void)curl_easy_getinfo(exchange->connection->easy, CURLINFO_RESPONSE_CODE, &code);
    kept = code / 100 == 2 && exchange->request->into != NULL
               ? write_into(exchange, data, bytes)
               : keep_body(exchange, (int)code, data, bytes);
    return kept ? bytes : 0;
}

/* What came of the transfer, in our terms. */
static enum nero_status transfer_failed(struct exchange *exchange, CURLcode code,
                                        const char *detail, struct nero_err *err)
{
    bool sent = exchange->begins > 0;
    const char *text = detail[0] != 0 ? detail : curl_easy_strerror(code);

    if (sent && exchange->request->is_write) {
        return err_set(err, NERO_UNKNOWN, (int)code, "sent, and then: %s",
                       exchange->begins > 1 ? "the kept connection was closed" : text);
    }
    if (exchange->failed) {
        *err = exchange->failure;
        return err->status;
    }
    switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
        return err_set(err, NERO_TIMEOUT, (int)code, "%s", text);
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
        return err_set(err, NERO_DENIED, (int)code,
                       "the server's certificate is not verified: %s (AWS_CA_BUNDLE names a file "
                       "of roots)",
                       text);
    case CURLE_OUT_OF_MEMORY:
        return err_set(err, NERO_NO_MEMORY, (int)code, "%s", text);
    case CURLE_URL_MALFORMAT:
        return err_set(err, NERO_INVALID, (int)code, "%s", text);
    case CURLE_UNSUPPORTED_PROTOCOL: /* also an answer that is no HTTP */
        return err_set(err, sent ? NERO_UNAVAILABLE : NERO_INVALID, (int)code, "%s", text);
    default:
        return err_set(err, NERO_UNAVAILABLE, (int)code, "%s", text);
    }
}

static struct curl_slist *make_headers(const struct s3_http_request *request)
{
    /* "Expect:" keeps libcurl from waiting for a 100 that many servers never send. */
    struct curl_slist *list = curl_slist_append(NULL, "Expect:");

    for (size_t i = 0; i < request->header_count && list != NULL; i++) {
        struct curl_slist *longer = curl_slist_append(list, request->headers[i]);

        if (longer == NULL) {
            curl_slist_free_all(list);
        }
        list = longer;
    }
    return list;
}

static int64_t deadline_ms(const struct s3_http *http, const struct s3_http_request *request)
{
    uint64_t bytes = request->body.bytes;

    if (request->into != NULL) {
        bytes += request->into->room != NULL ? request->into->bytes : request->into->timed_bytes;
    } else if (request->body_bytes_max > 0) {
        bytes += request->body_bytes_max;
    }
    bytes = bytes < UINT64_C(1) << 43 ? bytes : UINT64_C(1) << 43;
    return http->options.request_ms + request->extra_ms +
           (int64_t)(bytes * 1000 / http->options.bytes_per_second_min);
}

static CURLcode set_method(CURL *easy, const struct s3_http_request *request,
                           struct exchange *exchange)
{
    CURLcode code = CURLE_OK;

    if (strcmp(request->method, "HEAD") == 0) {
        return curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    }
    if (strcmp(request->method, "GET") == 0) {
        return curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
    }
    if (strcmp(request->method, "DELETE") != 0) {
        code = curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
        (void)curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)request->body.bytes);
        (void)curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_read);
        (void)curl_easy_setopt(easy, CURLOPT_READDATA, exchange);
    }
    return code == CURLE_OK ? curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method) : code;
}

static CURLcode set_options(struct s3_http *http, struct exchange *exchange)
{
    CURL *easy = exchange->connection->easy;
    const struct s3_http_options *options = &http->options;
    const struct s3_http_request *request = exchange->request;
    long stall_s = (long)((options->stall_ms + 999) / 1000);

    (void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    (void)curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    (void)curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)BUFFER_BYTES);
    (void)curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, (long)BUFFER_BYTES);
    (void)curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, (long)IDLE_MAX_S);
    (void)curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)options->connect_ms);
    (void)curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)deadline_ms(http, request));
    if (request->extra_ms == 0) {
        (void)curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, (long)STALL_BYTES_PER_SECOND);
        (void)curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, stall_s);
    }
    (void)curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, on_socket);
    (void)curl_easy_setopt(easy, CURLOPT_SOCKOPTDATA, exchange);
    (void)curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_begin);
    (void)curl_easy_setopt(easy, CURLOPT_PREREQDATA, exchange);
    (void)curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    (void)curl_easy_setopt(easy, CURLOPT_HEADERDATA, exchange);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, exchange);
    if (options->no_proxy && curl_easy_setopt(easy, CURLOPT_PROXY, "") != CURLE_OK) {
        return CURLE_OUT_OF_MEMORY;
    }
    if (http->ca_bundle != NULL &&
        curl_easy_setopt(easy, CURLOPT_CAINFO, http->ca_bundle) != CURLE_OK) {
        return CURLE_OUT_OF_MEMORY;
    }
    if (curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_USERAGENT, "nero/" NERO_RELEASE) != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_URL, request->url) != CURLE_OK) {
        return CURLE_OUT_OF_MEMORY;
    }
    return set_method(easy, request, exchange);
}

/* The part of s3_http_send that has a connection. */
static enum nero_status send_on(struct s3_http *http, struct exchange *exchange,
                                struct nero_err *err)
{
    const struct s3_http_request *request = exchange->request;
    CURL *easy = exchange->connection->easy;
    struct curl_slist *headers = make_headers(request);
    char detail[CURL_ERROR_SIZE] = "";
    CURLcode code;
    long http_code = 0;

    if (headers == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for headers");
    }
    code = set_options(http, exchange);
    if (code == CURLE_OK) {
        (void)curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, detail);
        code = curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    }
    if (code == CURLE_OK) {
        code = curl_easy_perform(easy);
        (void)curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &http_code);
    }
    curl_slist_free_all(headers);
    if (code == CURLE_OK && !exchange->headers_ended) {
        code = CURLE_GOT_NOTHING;
    }
    if (code != CURLE_OK) {
        return transfer_failed(exchange, code, detail, err);
    }
    exchange->answer->code = (int)http_code;
    return NERO_OK;
}

/* A 2xx into `room` is all of it, also where not a byte came. */
static enum nero_status check_into(const struct exchange *exchange, struct nero_err *err)
{
    const struct s3_http_into *into = exchange->request->into;
    const struct s3_http_answer *answer = exchange->answer;

    if (into != NULL && into->room != NULL && answer->code / 100 == 2 &&
        answer->into_bytes != into->bytes) {
        return err_set(err, NERO_CORRUPT, answer->code, "%llu bytes instead of %llu",
                       (unsigned long long)answer->into_bytes, (unsigned long long)into->bytes);
    }
    return NERO_OK;
}

enum nero_status s3_http_send(struct s3_http *http, const struct s3_http_request *request,
                              struct s3_http_answer *answer, struct nero_err *err)
{
    size_t limit = request->body_bytes_max > S3_HTTP_ERROR_BODY_MAX ? request->body_bytes_max
                                                                    : S3_HTTP_ERROR_BODY_MAX;
    struct exchange exchange = {.request = request, .answer = answer};
    enum nero_status status;
    uint8_t *reserved;

    *answer = (struct s3_http_answer){.content_bytes = -1};
    bytes_init(&answer->body, limit);
    status = bytes_extend(&answer->body, ANSWER_FIRST_BYTES, &reserved, err);
    bytes_clear(&answer->body);
    if (status != NERO_OK) {
        return status;
    }
    exchange.connection = take_connection(http);
    if (exchange.connection == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for a connection");
    }
    if (request->into != NULL && request->into->out != NULL) {
        exchange.into_before = request->into->out->bytes;
    }
    status = send_on(http, &exchange, err);
    if (status == NERO_OK) {
        status = check_into(&exchange, err);
    }
    if (status != NERO_OK && request->into != NULL && request->into->out != NULL) {
        request->into->out->bytes = exchange.into_before;
    }
    give_connection(http, exchange.connection);
    return status;
}
