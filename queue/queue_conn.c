#include "queue_conn.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include <sodium.h>

#ifdef NERO_QUEUE_TLS
#include "queue_tls.h"
#endif

/* ---- URL ---- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return -1;
}

/* Copy [from, to), with %xx decoded. False when it does not fit or an escape is broken. */
static bool decode(char *out, size_t out_bytes, const char *from, const char *to)
{
    size_t used = 0;

    while (from < to) {
        char c = *from++;

        if (c == '%') {
            if (to - from < 2 || hex_digit(from[0]) < 0 || hex_digit(from[1]) < 0) {
                return false;
            }
            c = (char)(hex_digit(from[0]) * 16 + hex_digit(from[1]));
            from += 2;
        }
        if (c == '\0' || used + 1 >= out_bytes) {
            return false;
        }
        out[used++] = c;
    }
    out[used] = '\0';
    return true;
}

static bool number(const char *from, const char *to, int most, int *out)
{
    int value = 0;

    if (from == to || to - from > 6) {
        return false;
    }
    for (; from < to; from++) {
        if (*from < '0' || *from > '9') {
            return false;
        }
        value = value * 10 + (*from - '0');
    }
    *out = value;
    return value <= most;
}

/* [user:password@] or [:password@]; moves *at behind it. */
static enum nero_status parse_login(const char **at, const char *end, struct queue_conn *out,
                                    struct nero_err *err)
{
    const char *sign = NULL;
    const char *colon;

    for (const char *p = *at; p < end; p++) {
        sign = *p == '@' ? p : sign;
    }
    if (sign == NULL) {
        return NERO_OK;
    }
    colon = memchr(*at, ':', (size_t)(sign - *at));
    if (colon == NULL) {
        return err_set(err, NERO_INVALID, 0,
                       "Redis URL: write a password as redis://:PASSWORD@host");
    }
    if (!decode(out->user, sizeof out->user, *at, colon) ||
        !decode(out->password, sizeof out->password, colon + 1, sign)) {
        return err_set(err, NERO_INVALID, 0,
                       "Redis URL: user or password is too long or has a broken %%xx escape");
    }
    *at = sign + 1;
    return NERO_OK;
}

/* host[:port], [v6][:port] */
static enum nero_status parse_host(const char *at, const char *end, struct queue_conn *out,
                                   struct nero_err *err)
{
    const char *host_end;
    const char *port = NULL;

    if (at < end && *at == '[') {
        at++;
        host_end = memchr(at, ']', (size_t)(end - at));
        if (host_end == NULL) {
            return err_set(err, NERO_INVALID, 0, "Redis URL: '[' without ']'");
        }
        port = host_end + 1 < end ? host_end + 1 : NULL;
    } else {
        host_end = memchr(at, ':', (size_t)(end - at));
        port = host_end;
        host_end = host_end != NULL ? host_end : end;
    }
    if (!decode(out->host, sizeof out->host, at, host_end) || out->host[0] == '\0') {
        return err_set(err, NERO_INVALID, 0, "Redis URL: no host, or it is too long");
    }
    out->port = 6379;
    if (port != NULL && (*port != ':' || !number(port + 1, end, 65535, &out->port))) {
        return err_set(err, NERO_INVALID, 0, "Redis URL: the port is not a number below 65536");
    }
    return NERO_OK;
}

static enum nero_status parse_tcp(const char *at, struct queue_conn *out, struct nero_err *err)
{
    const char *slash = strchr(at, '/');
    const char *end = slash != NULL ? slash : at + strlen(at);
    enum nero_status status = parse_login(&at, end, out, err);

    if (status != NERO_OK) {
        return status;
    }
    if (slash != NULL && slash[1] != '\0' &&
        !number(slash + 1, slash + strlen(slash), 99999, &out->db)) {
        return err_set(err, NERO_INVALID, 0, "Redis URL: the database '%s' is not a number",
                       slash + 1);
    }
    return parse_host(at, end, out, err);
}

enum nero_status queue_conn_parse(const char *url, struct queue_conn *out, struct nero_err *err)
{
    memset(out, 0, sizeof *out);
    out->command_ms = QUEUE_CONN_COMMAND_MS;
    if (strncmp(url, "unix://", 7) == 0) {
        const char *name = strrchr(url + 6, '/') + 1;

        if (strlen(url + 7) >= sizeof out->path || *name == '\0') {
            return err_set(err, NERO_INVALID, 0, "Redis URL %s: no socket, or too long a path",
                           url);
        }
        memcpy(out->path, url + 7, strlen(url + 7) + 1);
        return NERO_OK;
    }
    if (strncmp(url, "redis://", 8) == 0) {
        return parse_tcp(url + 8, out, err);
    }
    if (strncmp(url, "rediss://", 9) == 0) {
#ifdef NERO_QUEUE_TLS
        out->tls = true;
        return parse_tcp(url + 9, out, err);
#else
        return err_set(err, NERO_INVALID, 0,
                       "rediss:// needs hiredis with TLS (hiredis_ssl), which this build lacks: "
                       "use a TLS tunnel (stunnel, a sidecar) and redis://127.0.0.1:PORT");
#endif
    }
    return err_set(err, NERO_INVALID, 0,
                   "a Redis URL starts with redis:// or unix://, for example "
                   "redis://127.0.0.1:6379/0");
}

/* ---- connecting ---- */

static struct timeval timeval_of(uint32_t ms)
{
    return (struct timeval){.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000};
}

/*
 * A socket's address holds 107 bytes. A longer path is reached through its folder's descriptor, so
 * that runs in deep folders work; hiredis itself would cut the path silently.
 */
static enum nero_status connect_unix(struct queue_conn *conn, struct nero_err *err)
{
    char path[QUEUE_CONN_PATH_BYTES];
    struct timeval timeout = timeval_of(QUEUE_CONN_CONNECT_MS);
    size_t room = sizeof((struct sockaddr_un *)0)->sun_path;
    int folder = -1;

    memcpy(path, conn->path, sizeof path);
    if (strlen(path) >= room) {
        char *slash = strrchr(path, '/');
        const char *name = slash != NULL ? slash + 1 : path;
        char through[QUEUE_CONN_PATH_BYTES + 32];
        int written;

        if (slash == NULL) {
            return err_set(err, NERO_INVALID, ENAMETOOLONG,
                           "connect to %s: a socket's name has at most %zu bytes", path, room - 1);
        }
        *slash = '\0';
        folder = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (folder < 0) {
            return err_set(err, NERO_UNAVAILABLE, errno, "connect to Redis: open %s: %s", path,
                           strerror(errno));
        }
        written = snprintf(through, sizeof through, "/proc/self/fd/%d/%s", folder, name);
        if (written < 0 || (size_t)written >= room) {
            (void)close(folder);
            return err_set(err, NERO_INVALID, ENAMETOOLONG,
                           "connect to Redis: the socket's name %s is too long: shorten it", name);
        }
        memcpy(path, through, (size_t)written + 1);
    }
    conn->context = redisConnectUnixWithTimeout(path, timeout);
    if (folder >= 0) {
        (void)close(folder);
    }
    return NERO_OK;
}

static enum nero_status connect_transport(struct queue_conn *conn, struct nero_err *err)
{
    const char *where = conn->path[0] != '\0' ? conn->path : conn->host;
    enum nero_status status = NERO_OK;

    if (conn->path[0] != '\0') {
        status = connect_unix(conn, err);
    } else {
        conn->context =
            redisConnectWithTimeout(conn->host, conn->port, timeval_of(QUEUE_CONN_CONNECT_MS));
    }
    if (status != NERO_OK) {
        return status;
    }
    if (conn->context == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "connect to Redis: no memory");
    }
    if (conn->context->err != 0) {
        char port[16] = "";

        if (conn->path[0] == '\0') {
            (void)snprintf(port, sizeof port, ":%d", conn->port);
        }
        err_set(err, NERO_UNAVAILABLE, errno, "connect to Redis at %s%s: %s", where, port,
                conn->context->errstr);
        queue_conn_close(conn);
        return NERO_UNAVAILABLE;
    }
#ifdef NERO_QUEUE_TLS
    if (conn->tls) {
        /* A server that speaks no TLS may say nothing at all. */
        (void)redisSetTimeout(conn->context, timeval_of(QUEUE_CONN_CONNECT_MS));
        if (queue_tls_start(conn->context, conn->host, err) != NERO_OK) {
            queue_conn_close(conn);
            return err->status;
        }
    }
#endif
    if (conn->path[0] == '\0') {
        (void)redisEnableKeepAlive(conn->context); /* a half-open connection shows as a timeout */
    }
    return NERO_OK;
}

void queue_conn_close(struct queue_conn *conn)
{
    if (conn->context != NULL) {
        redisFree(conn->context);
        conn->context = NULL;
    }
}

static enum nero_status exchange(struct queue_conn *conn, int count, const char **argv,
                                 const size_t *bytes, uint32_t block_ms, redisReply **out,
                                 struct nero_err *err)
{
    redisReply *reply;

    errno = 0;
    if (redisSetTimeout(conn->context, timeval_of(conn->command_ms + block_ms)) != REDIS_OK) {
        err_set(err, NERO_UNAVAILABLE, errno, "Redis: set a timeout: %s", conn->context->errstr);
        queue_conn_close(conn);
        return NERO_UNAVAILABLE;
    }
    reply = redisCommandArgv(conn->context, count, argv, bytes);
    if (reply == NULL) {
        int code = errno;
        bool late = conn->context->err == REDIS_ERR_IO && (code == EAGAIN || code == EWOULDBLOCK);

        err_set(err, NERO_UNAVAILABLE, code, "Redis: %s: %s", argv[0],
                late ? "no answer in time" : conn->context->errstr);
        queue_conn_close(conn);
        return NERO_UNAVAILABLE;
    }
    *out = reply;
    return NERO_OK;
}

enum nero_status queue_conn_refusal(const redisReply *reply, struct nero_err *err)
{
    static const struct {
        const char *prefix;
        enum nero_status status;
    } table[] = {
        {"OOM", NERO_NO_SPACE},           {"MISCONF", NERO_NO_SPACE},
        {"NOAUTH", NERO_DENIED},          {"WRONGPASS", NERO_DENIED},
        {"NOPERM", NERO_DENIED},          {"ERR invalid password", NERO_DENIED},
        {"ERR AUTH", NERO_DENIED},        {"ERR Client sent AUTH", NERO_DENIED},
        {"LOADING", NERO_UNAVAILABLE},    {"BUSY", NERO_UNAVAILABLE},
        {"MASTERDOWN", NERO_UNAVAILABLE}, {"READONLY", NERO_UNAVAILABLE},
        {"NOREPLICAS", NERO_UNAVAILABLE}, {"UNBLOCKED", NERO_UNAVAILABLE},
        {"TRYAGAIN", NERO_UNAVAILABLE},
    };

    if (reply->type != REDIS_REPLY_ERROR) {
        return NERO_OK;
    }
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (strncmp(reply->str, table[i].prefix, strlen(table[i].prefix)) == 0) {
            return err_set(err, table[i].status, 0, "Redis answers: %s", reply->str);
        }
    }
    return err_set(err, NERO_INVALID, 0, "Redis answers: %s", reply->str);
}

/* One command of setting up; an error reply fails. `out` may be NULL. */
static enum nero_status setup_command(struct queue_conn *conn, int count, const char **argv,
                                      redisReply **out, struct nero_err *err)
{
    size_t bytes[6];
    redisReply *reply;
    enum nero_status status;

    for (int i = 0; i < count; i++) {
        bytes[i] = strlen(argv[i]);
    }
    status = exchange(conn, count, argv, bytes, 0, &reply, err);
    if (status != NERO_OK) {
        return status;
    }
    status = queue_conn_refusal(reply, err);
    if (status == NERO_OK && out != NULL) {
        *out = reply;
    } else {
        freeReplyObject(reply);
    }
    return status;
}

/* CONFIG is often forbidden on hosted servers; INFO says the same. */
static enum nero_status check_eviction(struct queue_conn *conn, struct nero_err *err)
{
    const char *info[] = {"INFO", "memory"};
    redisReply *reply;
    const char *policy;
    enum nero_status status = setup_command(conn, 2, info, &reply, err);

    if (status != NERO_OK) {
        return err_wrap(err, "read the eviction policy");
    }
    policy = reply->type == REDIS_REPLY_STRING ? strstr(reply->str, "maxmemory_policy:") : NULL;
    if (policy == NULL) {
        status = err_set(err, NERO_INVALID, 0, "Redis does not tell its maxmemory-policy");
    } else if (strncmp(policy + 17, "noeviction", 10) != 0) {
        int length = (int)strcspn(policy + 17, "\r\n");

        status = err_set(err, NERO_INVALID, 0,
                         "Redis may evict jobs (maxmemory-policy is %.*s): set it with "
                         "redis-cli CONFIG SET maxmemory-policy noeviction",
                         length, policy + 17);
    }
    freeReplyObject(reply);
    return status;
}

/* A full or read-only server answers PING all day. */
static enum nero_status check_write(struct queue_conn *conn, struct nero_err *err)
{
    char key[48];
    const char *set[] = {"SET", key, "1", "PX", "1000"};

    (void)snprintf(key, sizeof key, "n:check:%08x%08x", randombytes_random(), randombytes_random());
    if (setup_command(conn, 5, set, NULL, err) != NERO_OK) {
        return err_wrap(err, "Redis refuses a write");
    }
    return NERO_OK;
}

static enum nero_status log_in(struct queue_conn *conn, struct nero_err *err)
{
    char db[16];
    const char *select_db[] = {"SELECT", db};

    if (conn->password[0] != '\0') {
        const char *auth[] = {"AUTH", conn->password, NULL};
        int count = 2;

        if (conn->user[0] != '\0') {
            auth[1] = conn->user;
            auth[2] = conn->password;
            count = 3;
        }
        if (setup_command(conn, count, auth, NULL, err) != NERO_OK) {
            return err_wrap(err, "log in to Redis");
        }
    }
    (void)snprintf(db, sizeof db, "%d", conn->db);
    if (conn->db != 0 && setup_command(conn, 2, select_db, NULL, err) != NERO_OK) {
        return err_wrap(err, "select Redis database %d", conn->db);
    }
    return NERO_OK;
}

enum nero_status queue_conn_connect(struct queue_conn *conn, struct nero_err *err)
{
    enum nero_status status;

    if (conn->context != NULL) {
        return NERO_OK;
    }
    status = connect_transport(conn, err);
    if (status == NERO_OK) {
        status = log_in(conn, err);
    }
    if (status == NERO_OK) {
        status = check_eviction(conn, err);
    }
    if (status == NERO_OK) {
        status = check_write(conn, err);
    }
    if (status != NERO_OK) {
        queue_conn_close(conn);
    }
    return status;
}

enum nero_status queue_conn_ping(struct queue_conn *conn, struct nero_err *err)
{
    const char *ping[] = {"PING"};
    enum nero_status status = NERO_OK;

    if (conn->context == NULL) {
        status = connect_transport(conn, err);
    }
    if (status == NERO_OK) {
        status = setup_command(conn, 1, ping, NULL, err);
    }
    if (status != NERO_OK) {
        queue_conn_close(conn);
    }
    return status;
}

enum nero_status queue_conn_command(struct queue_conn *conn, int count, const char **argv,
                                    const size_t *bytes, uint32_t block_ms, redisReply **out,
                                    struct nero_err *err)
{
    enum nero_status status = queue_conn_connect(conn, err);

    if (status != NERO_OK) {
        return status;
    }
    return exchange(conn, count, argv, bytes, block_ms, out, err);
}
