#include "proxy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "nero/bytes.h"
#include "nero/mem.h"
#include "resign.h"

enum {
    MESSAGE_BYTES_MAX = 256 * 1024 * 1024,
    CHUNK_BYTES = 64 * 1024,
    CONNECTIONS_MAX = 1024, /* at once */
    DRIP_MS = 20,
    TRICKLE_BYTES = 100,
    SLOW_MS = 50,
    REMEMBERED_MAX = 256,
    LONG_HEADERS = 4000
};

struct connection {
    struct proxy *proxy;
    struct thread thread;
    int fd;
    _Atomic bool ended; /* its thread is about to */
};

/* The first answer to a request, for stores that go on giving it. */
struct remembered {
    char *request; /* its line, and the range it asks for */
    struct bytes answer;
};

struct proxy {
    bool is_relay;
    int listen_fd;
    int port;
    int upstream_port;
    struct thread thread;
    struct thread_stop stop;
    struct connection *connections; /* of the accepting thread alone */
    size_t connection_count;
    struct thread_monitor monitor; /* guards what follows */
    enum proxy_fault fault;
    int skip;
    int times;
    int fired;
    int creates; /* under way */
    struct proxy_counts counts;
    struct remembered remembered[REMEMBERED_MAX];
    size_t remembered_count;
};

const char *proxy_fault_name(enum proxy_fault fault)
{
    static const char *const names[] = {
        "none",        "reset on accept", "close early", "stall",        "503 empty",
        "503 html",    "503 xml",         "200 error",   "404 html",     "301",
        "garbage",     "long headers",    "key denied",  "keys unnamed", "drop reply",
        "stall reply", "reset headers",   "reset body",  "truncate",     "drip",
        "cut xml",     "wrong etag",      "lie",         "duplicate",    "slow",
        "stale reads", "stale lists",     "other store", "refuse parts", "lie in races",
        "fold keys",   "wrong date"};

    return names[fault];
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static struct sockaddr_in loopback(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static bool send_all(int fd, const uint8_t *data, size_t bytes)
{
    while (bytes > 0) {
        ssize_t sent = send(fd, data, bytes, MSG_NOSIGNAL);

        if (sent <= 0) {
            return false;
        }
        data += sent;
        bytes -= (size_t)sent;
    }
    return true;
}

/* What is there, or the end (0), or a failure or the proxy's end (-1). */
static ssize_t receive(const struct proxy *proxy, int fd, uint8_t *room, size_t bytes)
{
    struct pollfd waits[2] = {{.fd = fd, .events = POLLIN},
                              {.fd = proxy->stop.event_fd, .events = POLLIN}};

    if (poll(waits, 2, -1) < 0 || waits[1].revents != 0) {
        return -1;
    }
    return recv(fd, room, bytes, 0);
}

/* Where the body begins, or 0 while the headers are not whole. */
static size_t body_start(const struct bytes *message)
{
    const uint8_t *end =
        message->bytes > 0 ? memmem(message->data, message->bytes, "\r\n\r\n", 4) : NULL;

    return end != NULL ? (size_t)(end - message->data) + 4 : 0;
}

/* The value of a header inside the first `head` bytes; NULL without. */
static char *find_header(const struct bytes *message, size_t head, const char *name)
{
    char *line = (char *)message->data;
    char *end = line + head;

    while (line < end) {
        char *next = memchr(line, '\n', (size_t)(end - line));

        if ((size_t)(end - line) > strlen(name) && strncasecmp(line, name, strlen(name)) == 0 &&
            line[strlen(name)] == ':') {
            return line + strlen(name) + 1;
        }
        line = next != NULL ? next + 1 : end;
    }
    return NULL;
}

static bool append(struct bytes *message, const void *data, size_t bytes)
{
    struct nero_err err;

    return bytes_append(message, data, bytes, &err) == NERO_OK;
}

/* What a client waits for that asks first. Gone then: the gateway is sent all at once. */
static bool tell_to_go_on(int fd, const struct bytes *request, size_t head)
{
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    char *expect = find_header(request, head, "Expect");

    if (expect == NULL) {
        return true;
    }
    memcpy(expect - strlen("Expect:"), "X-Done:", strlen("Expect:"));
    return send_all(fd, (const uint8_t *)go_on, sizeof go_on - 1);
}

/* A whole request. */
static bool read_request(const struct proxy *proxy, int fd, struct bytes *request)
{
    uint8_t *chunk = malloc(CHUNK_BYTES);
    size_t wanted = SIZE_MAX;

    while (request->bytes < wanted) {
        ssize_t got = receive(proxy, fd, chunk, CHUNK_BYTES);
        size_t head;

        if (got <= 0 || !append(request, chunk, (size_t)got)) {
            break;
        }
        head = body_start(request);
        if (wanted == SIZE_MAX && head > 0) {
            const char *length = find_header(request, head, "Content-Length");

            wanted = head + (length != NULL ? (size_t)strtoull(length, NULL, 10) : 0);
            if (!tell_to_go_on(fd, request, head)) {
                break;
            }
        }
    }
    free(chunk);
    return request->bytes >= wanted;
}

/* Give the request to the gateway and take its whole answer. */
static bool forward(const struct proxy *proxy, const struct bytes *request, struct bytes *answer)
{
    static const char close_line[] = "Connection: close\r\n\r\n";
    struct sockaddr_in address = loopback(proxy->upstream_port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    size_t head = body_start(request);
    uint8_t *chunk = malloc(CHUNK_BYTES);
    ssize_t got = -1;

    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0 &&
        send_all(fd, request->data, head - 2) &&
        send_all(fd, (const uint8_t *)close_line, sizeof close_line - 1) &&
        send_all(fd, request->data + head, request->bytes - head)) {
        while ((got = receive(proxy, fd, chunk, CHUNK_BYTES)) > 0 &&
               append(answer, chunk, (size_t)got)) {
        }
    }
    free(chunk);
    (void)close(fd);
    return got == 0 && body_start(answer) > 0;
}

static void reset_connection(int fd)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};

    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

/* Until the client gives up or the proxy ends. */
static void wait_for_end(const struct proxy *proxy, int fd)
{
    uint8_t byte;

    while (receive(proxy, fd, &byte, 1) > 0) {
    }
}

static void answer_text(int fd, bool is_head, const char *status_line, const char *type,
                        const char *body)
{
    char text[1024];
    int bytes = snprintf(text, sizeof text,
                         "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
                         "Connection: close\r\n\r\n%s",
                         status_line, type, strlen(body), is_head ? "" : body);

    (void)send_all(fd, (const uint8_t *)text, (size_t)bytes);
}

static void long_headers(int fd)
{
    static const char line[] = "X-Filler: 0123456789012345678901234567890123456789\r\n";
    bool sent = send_all(fd, (const uint8_t *)"HTTP/1.1 200 OK\r\n", 17);

    for (int i = 0; i < LONG_HEADERS && sent; i++) {
        sent = send_all(fd, (const uint8_t *)line, sizeof line - 1);
    }
}

static bool has_line(const struct bytes *request, const char *method, const char *mark)
{
    const uint8_t *end = memchr(request->data, '\r', request->bytes);

    return strncmp((const char *)request->data, method, strlen(method)) == 0 &&
           memmem(request->data, (size_t)(end - request->data), mark, strlen(mark)) != NULL;
}

/* A delete of many that leaves everything and says so of its first key. */
static void deny_key(int fd, const struct bytes *request)
{
    const char *key = memmem(request->data, request->bytes, "<Key>", 5);
    char text[800];

    (void)snprintf(text, sizeof text,
                   "<DeleteResult><Error>%.*s</Key><Code>AccessDenied</Code></Error>"
                   "</DeleteResult>",
                   (int)strcspn(key + 1, "<") + 1, key);
    answer_text(fd, false, "200 OK", "application/xml", text);
}

/* As another kind of store than the gateway; a replace is only said to be done. */
static void answer_otherwise(int fd, const struct bytes *request)
{
    const char *match = find_header(request, body_start(request), "If-Match");

    if (match != NULL && strncmp(match, " \"", 2) == 0 && strncmp(match, " \"0000", 6) != 0) {
        answer_text(fd, false, "200 OK\r\nETag: \"d41d8cd98f00b204e9800998ecf8427e\"", "text/plain",
                    "");
    } else {
        answer_text(fd, false, "412 Precondition Failed", "application/xml",
                    "<Error><Code>PreconditionFailed</Code></Error>");
    }
}

/* The faults whose request never reaches the gateway. */
static void answer_alone(const struct proxy *proxy, enum proxy_fault fault, int fd,
                         const struct bytes *request)
{
    static const char slow[] = "<Error><Code>SlowDown</Code></Error>";
    static const char inside[] = "<?xml version=\"1.0\"?><Error><Code>InternalError</Code></Error>";
    static const char page[] = "<html><body><h1>sorry</h1></body></html>";
    bool is_head = memcmp(request->data, "HEAD", 4) == 0;

    switch (fault) {
    case PROXY_STALL:
        wait_for_end(proxy, fd);
        break;
    case PROXY_503_EMPTY:
        answer_text(fd, is_head, "503 Service Unavailable", "text/plain", "");
        break;
    case PROXY_503_HTML:
        answer_text(fd, is_head, "503 Service Unavailable", "text/html", page);
        break;
    case PROXY_503_XML:
    case PROXY_REFUSE_PARTS:
        answer_text(fd, is_head, "503 Slow Down", "application/xml", slow);
        break;
    case PROXY_200_ERROR:
        answer_text(fd, is_head, "200 OK", "application/xml", inside);
        break;
    case PROXY_404_HTML:
        answer_text(fd, is_head, "404 Not Found", "text/html", page);
        break;
    case PROXY_301:
        answer_text(fd, is_head, "301 Moved\r\nLocation: http://127.0.0.1:1/elsewhere", "text/html",
                    page);
        break;
    case PROXY_GARBAGE:
        (void)send_all(fd, (const uint8_t *)"\x16\x03\x01garbage, not HTTP\r\n\r\n", 24);
        break;
    case PROXY_LONG_HEADERS:
        long_headers(fd);
        break;
    case PROXY_KEY_DENIED:
        deny_key(fd, request);
        break;
    case PROXY_KEYS_UNNAMED:
        answer_text(fd, false, "200 OK", "application/xml", "<DeleteResult></DeleteResult>");
        break;
    case PROXY_OTHER_STORE:
        answer_otherwise(fd, request);
        break;
    default: /* PROXY_CLOSE_EARLY */
        break;
    }
}

static void drip(const struct proxy *proxy, int fd, const struct bytes *answer, size_t drop)
{
    for (size_t i = 0; i < answer->bytes; i += drop) {
        size_t bytes = answer->bytes - i < drop ? answer->bytes - i : drop;

        if (!send_all(fd, answer->data + i, bytes) || thread_stop_wait_ms(&proxy->stop, DRIP_MS)) {
            return;
        }
    }
}

/* Half of an XML body (which may come in one chunk), with headers of our own that fit it. */
static void cut_xml(int fd, const struct bytes *answer, size_t head)
{
    const uint8_t *end = answer->data + answer->bytes;
    const uint8_t *xml = memmem(answer->data + head, answer->bytes - head, "<?xml", 5);
    size_t bytes = xml != NULL ? (size_t)(end - xml) / 2 : 0;
    char text[128];
    int length;

    if (xml == NULL || memcmp(answer->data, "HTTP/1.1 200", 12) != 0) {
        (void)send_all(fd, answer->data, answer->bytes);
        return;
    }
    length = snprintf(text, sizeof text,
                      "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n", bytes);
    (void)send_all(fd, (const uint8_t *)text, (size_t)length);
    (void)send_all(fd, xml, bytes);
}

static void wrong_etag(int fd, struct bytes *answer, size_t head)
{
    char *etag = find_header(answer, head, "ETag");

    if (etag != NULL) {
        etag += strcspn(etag, "0123456789abcdef");
        etag[0] = etag[0] == '0' ? '1' : '0';
        etag[1] = etag[1] == '0' ? '1' : '0';
    }
    (void)send_all(fd, answer->data, answer->bytes);
}

/* "Date: Tue, 01 Dec 2026 05:26:40 GMT" becomes that of later. */
static void shift_date(struct bytes *answer, size_t head)
{
    static const char form[] = "%a, %d %b %Y %H:%M:%S";
    char *date = find_header(answer, head, "Date");
    struct tm utc = {0};
    const char *end = date != NULL ? strptime(date + 1, form, &utc) : NULL;
    char text[64];
    time_t seconds;

    if (end != NULL) {
        seconds = timegm(&utc) + PROXY_DATE_AHEAD_MS / 1000;
        (void)strftime(text, sizeof text, form, gmtime_r(&seconds, &utc));
        memcpy(date + 1, text, (size_t)(end - date - 1)); /* which is as long */
    }
}

/* The faults of an answer. */
static void answer_badly(const struct proxy *proxy, enum proxy_fault fault, int fd,
                         struct bytes *answer)
{
    size_t head = body_start(answer);
    size_t body = answer->bytes - head;
    size_t part = answer->bytes - (body > 1 ? body / 2 : 3);

    switch (fault) {
    case PROXY_STALL_REPLY:
        wait_for_end(proxy, fd);
        break;
    case PROXY_RESET_HEADERS:
        (void)send_all(fd, answer->data, 20);
        reset_connection(fd);
        break;
    case PROXY_RESET_BODY:
    case PROXY_TRUNCATE:
        (void)send_all(fd, answer->data, part);
        if (fault == PROXY_RESET_BODY) {
            reset_connection(fd);
        }
        break;
    case PROXY_DRIP:
    case PROXY_TRICKLE:
        drip(proxy, fd, answer, fault == PROXY_DRIP ? 1 : TRICKLE_BYTES);
        break;
    case PROXY_CUT_XML:
        cut_xml(fd, answer, head);
        break;
    case PROXY_WRONG_ETAG:
        wrong_etag(fd, answer, head);
        break;
    case PROXY_WRONG_DATE:
        shift_date(answer, head);
        (void)send_all(fd, answer->data, answer->bytes);
        break;
    case PROXY_DROP_REPLY:
        break;
    case PROXY_SLOW:
        (void)thread_stop_wait_ms(&proxy->stop, SLOW_MS);
        (void)send_all(fd, answer->data, answer->bytes);
        break;
    default: /* PROXY_NONE, PROXY_DUPLICATE, the stale ones, those of the request */
        (void)send_all(fd, answer->data, answer->bytes);
        break;
    }
}

static enum proxy_fault next_fault(struct proxy *proxy)
{
    enum proxy_fault fault = PROXY_NONE;

    thread_monitor_enter(&proxy->monitor);
    if (proxy->skip > 0) {
        proxy->skip--;
    } else if (proxy->times != 0 && proxy->fault != PROXY_NONE) {
        proxy->times -= proxy->times > 0 ? 1 : 0;
        proxy->fired++;
        fault = proxy->fault;
    }
    thread_monitor_leave(&proxy->monitor);
    return fault;
}

static bool has_header(const struct bytes *request, const char *name)
{
    return find_header(request, body_start(request), name) != NULL;
}

/* Whether what the fault is about is in the request. */
static bool applies(enum proxy_fault fault, const struct bytes *request)
{
    switch (fault) {
    case PROXY_KEY_DENIED:
    case PROXY_KEYS_UNNAMED:
        return has_line(request, "POST ", "?delete=");
    case PROXY_OTHER_STORE:
        return (has_line(request, "PUT ", "") && has_header(request, "If-Match")) ||
               (has_line(request, "POST ", "?uploadId=") && has_header(request, "If-None-Match"));
    case PROXY_LIE:
        return (has_line(request, "PUT ", "") || has_line(request, "POST ", "")) &&
               (has_header(request, "If-Match") || has_header(request, "If-None-Match"));
    case PROXY_LIE_IN_RACES:
        return has_line(request, "PUT ", "") && has_header(request, "If-None-Match");
    case PROXY_FOLD_KEYS:
        return has_line(request, "PUT ", "") && !has_line(request, "", "?");
    case PROXY_REFUSE_PARTS:
        return has_line(request, "PUT ", "partNumber=");
    case PROXY_STALE_LISTS:
        return has_line(request, "GET ", "list-type=");
    case PROXY_STALE_READS:
        return !has_line(request, "", "?") &&
               (has_line(request, "GET ", "") || has_line(request, "HEAD ", ""));
    default:
        return true;
    }
}

/* Put the first answer to such a request in the place of `answer`. */
static void grow_stale(struct proxy *proxy, const struct bytes *request, struct bytes *answer)
{
    const char *range = find_header(request, body_start(request), "Range");
    struct remembered *found = NULL;
    char text[2048];

    (void)snprintf(text, sizeof text, "%.*s %.*s", (int)strcspn((const char *)request->data, "\r"),
                   (const char *)request->data, range != NULL ? (int)strcspn(range, "\r") : 0,
                   range != NULL ? range : "");
    thread_monitor_enter(&proxy->monitor);
    for (size_t i = 0; i < proxy->remembered_count && found == NULL; i++) {
        found = strcmp(proxy->remembered[i].request, text) == 0 ? &proxy->remembered[i] : NULL;
    }
    if (found != NULL) {
        bytes_clear(answer);
        (void)append(answer, found->answer.data, found->answer.bytes);
    } else if (proxy->remembered_count < REMEMBERED_MAX) {
        found = &proxy->remembered[proxy->remembered_count++];
        found->request = strdup(text);
        bytes_init(&found->answer, MESSAGE_BYTES_MAX);
        (void)append(&found->answer, answer->data, answer->bytes);
    }
    thread_monitor_leave(&proxy->monitor);
}

/* How many creates are under way, this one coming or going. */
static int count_creates(struct proxy *proxy, int change)
{
    int creates;

    thread_monitor_enter(&proxy->monitor);
    proxy->creates += change;
    creates = proxy->creates;
    thread_monitor_leave(&proxy->monitor);
    return creates;
}

/* The faults of a request that is passed on all the same. */
static bool forward_otherwise(struct proxy *proxy, enum proxy_fault fault, struct bytes *request,
                              struct bytes *answer)
{
    bool done = true;

    if (fault == PROXY_LIE_IN_RACES) { /* they meet here for certain */
        bool races = count_creates(proxy, 1) > 1;

        (void)thread_stop_wait_ms(&proxy->stop, SLOW_MS);
        done = (!races || resign(request, RESIGN_UNCONDITIONAL)) && forward(proxy, request, answer);
        (void)count_creates(proxy, -1);
        return done;
    }
    if (fault == PROXY_LIE) {
        done = resign(request, RESIGN_UNCONDITIONAL);
    } else if (fault == PROXY_FOLD_KEYS) {
        done = resign(request, RESIGN_LOWER_CASE);
    }
    return done && forward(proxy, request, answer);
}

static void count_request(struct proxy *proxy, const struct bytes *request)
{
    thread_monitor_enter(&proxy->monitor);
    proxy->counts.requests++;
    proxy->counts.parts += has_line(request, "PUT ", "partNumber=") ? 1 : 0;
    proxy->counts.bytes += request->bytes - body_start(request);
    thread_monitor_leave(&proxy->monitor);
}

/* Serve a request that has been read. */
static void serve_request(struct proxy *proxy, enum proxy_fault fault, int fd,
                          struct bytes *request)
{
    struct bytes answer;
    bool whole;

    if (!applies(fault, request)) {
        fault = PROXY_NONE;
    }
    if (fault == PROXY_OTHER_STORE || fault == PROXY_REFUSE_PARTS ||
        (fault != PROXY_NONE && fault < PROXY_DROP_REPLY)) {
        answer_alone(proxy, fault, fd, request);
        return;
    }
    bytes_init(&answer, MESSAGE_BYTES_MAX);
    whole = forward_otherwise(proxy, fault, request, &answer);
    if (whole && fault == PROXY_DUPLICATE) {
        bytes_clear(&answer);
        whole = forward(proxy, request, &answer);
    }
    if (whole) {
        count_request(proxy, request);
        if (fault == PROXY_STALE_READS || fault == PROXY_STALE_LISTS) {
            grow_stale(proxy, request, &answer);
        }
        answer_badly(proxy, fault, fd, &answer);
    }
    bytes_fini(&answer);
}

/* Pass bytes on in both directions until either side closes. */
static void relay(const struct proxy *proxy, int client_fd)
{
    struct sockaddr_in address = loopback(proxy->upstream_port);
    int upstream_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    uint8_t *chunk = malloc(CHUNK_BYTES);
    bool open = connect(upstream_fd, (struct sockaddr *)&address, sizeof address) == 0;

    while (open) {
        struct pollfd waits[3] = {{.fd = client_fd, .events = POLLIN},
                                  {.fd = upstream_fd, .events = POLLIN},
                                  {.fd = proxy->stop.event_fd, .events = POLLIN}};

        open = poll(waits, 3, -1) > 0 && waits[2].revents == 0;
        for (int i = 0; i < 2 && open; i++) {
            ssize_t got = waits[i].revents != 0 ? recv(waits[i].fd, chunk, CHUNK_BYTES, 0) : 1;

            open =
                got > 0 && (waits[i].revents == 0 || send_all(waits[1 - i].fd, chunk, (size_t)got));
        }
    }
    free(chunk);
    (void)close(upstream_fd);
}

static void serve(void *context)
{
    struct connection *connection = context;
    struct proxy *proxy = connection->proxy;
    struct bytes request;

    bytes_init(&request, MESSAGE_BYTES_MAX);
    if (proxy->is_relay) {
        relay(proxy, connection->fd);
    } else {
        enum proxy_fault fault = next_fault(proxy);

        if (fault == PROXY_RESET_ON_ACCEPT) {
            reset_connection(connection->fd);
        } else if (read_request(proxy, connection->fd, &request)) {
            serve_request(proxy, fault, connection->fd, &request);
        }
    }
    bytes_fini(&request);
    (void)close(connection->fd);
    atomic_store(&connection->ended, true);
}

/* The place of one that has ended, or a new one. */
static struct connection *find_place(struct proxy *proxy)
{
    for (size_t i = 0; i < proxy->connection_count; i++) {
        if (atomic_load(&proxy->connections[i].ended)) {
            thread_join(&proxy->connections[i].thread);
            return &proxy->connections[i];
        }
    }
    if (proxy->connection_count == CONNECTIONS_MAX) {
        die("proxy: too many connections");
    }
    return &proxy->connections[proxy->connection_count++];
}

static void accept_all(void *context)
{
    struct proxy *proxy = context;
    struct pollfd waits[2] = {{.fd = proxy->listen_fd, .events = POLLIN},
                              {.fd = proxy->stop.event_fd, .events = POLLIN}};
    struct nero_err err;

    while (poll(waits, 2, -1) >= 0 && waits[1].revents == 0) {
        int fd = accept4(proxy->listen_fd, NULL, NULL, SOCK_CLOEXEC);
        struct connection *connection;

        if (fd < 0) {
            continue;
        }
        connection = find_place(proxy);
        *connection = (struct connection){.proxy = proxy, .fd = fd};
        thread_monitor_enter(&proxy->monitor);
        proxy->counts.connections++;
        thread_monitor_leave(&proxy->monitor);
        if (thread_start(&connection->thread, "proxy", serve, connection, &err) != NERO_OK) {
            die("proxy: no thread");
        }
    }
}

static struct proxy *start(int upstream_port, bool is_relay)
{
    struct proxy *proxy = calloc(1, sizeof *proxy);
    struct sockaddr_in address = loopback(0);
    socklen_t bytes = sizeof address;
    struct nero_err err;

    proxy->connections = calloc(CONNECTIONS_MAX, sizeof *proxy->connections);
    proxy->upstream_port = upstream_port;
    proxy->is_relay = is_relay;
    proxy->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (proxy->connections == NULL ||
        bind(proxy->listen_fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(proxy->listen_fd, 64) != 0 ||
        getsockname(proxy->listen_fd, (struct sockaddr *)&address, &bytes) != 0 ||
        thread_stop_init(&proxy->stop, &err) != NERO_OK ||
        thread_monitor_init(&proxy->monitor, &err) != NERO_OK) {
        die("proxy");
    }
    proxy->port = ntohs(address.sin_port);
    if (thread_start(&proxy->thread, "proxy", accept_all, proxy, &err) != NERO_OK) {
        die("proxy");
    }
    return proxy;
}

struct proxy *proxy_start(int upstream_port)
{
    return start(upstream_port, false);
}

struct proxy *proxy_start_relay(int upstream_port)
{
    return start(upstream_port, true);
}

void proxy_stop(struct proxy *proxy)
{
    thread_stop_raise(&proxy->stop);
    thread_join(&proxy->thread);
    for (size_t i = 0; i < proxy->connection_count; i++) {
        thread_join(&proxy->connections[i].thread);
    }
    thread_stop_fini(&proxy->stop);
    thread_monitor_fini(&proxy->monitor);
    (void)close(proxy->listen_fd);
    for (size_t i = 0; i < proxy->remembered_count; i++) {
        free(proxy->remembered[i].request);
        bytes_fini(&proxy->remembered[i].answer);
    }
    free(proxy->connections);
    free(proxy);
}

int proxy_port(const struct proxy *proxy)
{
    return proxy->port;
}

void proxy_set(struct proxy *proxy, enum proxy_fault fault, int skip, int times)
{
    thread_monitor_enter(&proxy->monitor);
    proxy->fault = fault;
    proxy->skip = skip;
    proxy->times = times;
    proxy->fired = 0;
    thread_monitor_leave(&proxy->monitor);
}

int proxy_fired(struct proxy *proxy)
{
    int fired;

    thread_monitor_enter(&proxy->monitor);
    fired = proxy->fired;
    thread_monitor_leave(&proxy->monitor);
    return fired;
}

struct proxy_counts proxy_counts(struct proxy *proxy)
{
    struct proxy_counts counts;

    thread_monitor_enter(&proxy->monitor);
    counts = proxy->counts;
    thread_monitor_leave(&proxy->monitor);
    return counts;
}
