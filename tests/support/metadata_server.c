#include "tests/support/metadata_server.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nero/thread.h"

struct metadata_server {
    struct MHD_Daemon *daemon;
    int port;
    struct thread_monitor monitor; /* guards the rest */
    struct metadata_answers answers;
    uint64_t requests;
    uint64_t token; /* the number in the newest one given */
};

static void require(bool condition, const char *what)
{
    if (!condition) {
        (void)fprintf(stderr, "metadata server: %s\n", what);
        exit(1);
    }
}

static bool header_is(struct MHD_Connection *connection, const char *name, const char *value)
{
    const char *got = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);

    return got != NULL && strcmp(got, value) == 0;
}

static unsigned aws(struct metadata_server *server, struct MHD_Connection *connection,
                    const char *method, const char *path, char *body, size_t body_bytes)
{
    char token[32];

    if (strcmp(path, "/latest/api/token") == 0) {
        if (strcmp(method, "PUT") != 0 ||
            MHD_lookup_connection_value(connection, MHD_HEADER_KIND,
                                        "X-aws-ec2-metadata-token-ttl-seconds") == NULL) {
            return 400;
        }
        (void)snprintf(body, body_bytes, "token-%llu", (unsigned long long)++server->token);
        server->answers.forgets = false;
        return 200;
    }
    (void)snprintf(token, sizeof token, "token-%llu", (unsigned long long)server->token);
    if (server->answers.forgets || !header_is(connection, "X-aws-ec2-metadata-token", token)) {
        return 401;
    }
    if (strcmp(path, "/latest/meta-data/spot/instance-action") == 0 &&
        server->answers.action[0] != 0) {
        (void)snprintf(body, body_bytes, "%s", server->answers.action);
        return 200;
    }
    if (strcmp(path, "/latest/meta-data/events/recommendations/rebalance") == 0 &&
        server->answers.rebalance) {
        (void)snprintf(body, body_bytes, "{\"noticeTime\": \"2026-01-01T00:00:00Z\"}");
        return 200;
    }
    return 404;
}

static unsigned gce(struct metadata_server *server, struct MHD_Connection *connection, char *body,
                    size_t body_bytes)
{
    if (!header_is(connection, "Metadata-Flavor", "Google")) {
        return 403;
    }
    (void)snprintf(body, body_bytes, "%s", server->answers.preempted ? "TRUE" : "FALSE");
    return 200;
}

static unsigned azure(struct metadata_server *server, struct MHD_Connection *connection,
                      const char *path, char *body, size_t body_bytes)
{
    if (!header_is(connection, "Metadata", "true") ||
        MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "api-version") == NULL) {
        return 400;
    }
    if (strcmp(path, "/metadata/instance/compute/name") == 0) {
        (void)snprintf(body, body_bytes, "trainer_7");
        return 200;
    }
    if (strcmp(path, "/metadata/scheduledevents") != 0) {
        return 404;
    }
    (void)snprintf(body, body_bytes,
                   "{\"DocumentIncarnation\":2,\"Events\":["
                   "{\"EventId\":\"a\",\"EventType\":\"Preempt\",\"Resources\":[\"trainer_8\"]},"
                   "{\"EventId\":\"b\",\"EventType\":\"Freeze\",\"Resources\":[\"trainer_7\"]},"
                   "{\"EventId\":\"c\",\"EventType\":\"%s\",\"EventStatus\":\"Scheduled\","
                   "\"Resources\":[\"Trainer_9\",\"Trainer_7\"],\"NotBefore\":\"%s\"}]}",
                   server->answers.event_time[0] != 0 ? "Preempt" : "Redeploy",
                   server->answers.event_time);
    return 200;
}

static enum MHD_Result answer(void *context, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *upload,
                              size_t *upload_bytes, void **state)
{
    struct metadata_server *server = context;
    char body[1024] = "";
    struct MHD_Response *response;
    enum MHD_Result result;
    unsigned code;

    (void)version;
    (void)upload;
    (void)upload_bytes;
    (void)state;
    thread_monitor_enter(&server->monitor);
    server->requests++;
    if (server->answers.fails) {
        code = 500;
    } else if (strncmp(url, "/latest/", 8) == 0) {
        code = aws(server, connection, method, url, body, sizeof body);
    } else if (strcmp(url, "/computeMetadata/v1/instance/preempted") == 0) {
        code = gce(server, connection, body, sizeof body);
    } else {
        code = azure(server, connection, url, body, sizeof body);
    }
    thread_monitor_leave(&server->monitor);
    response = MHD_create_response_from_buffer(strlen(body), body, MHD_RESPMEM_MUST_COPY);
    require(response != NULL, "no memory");
    result = MHD_queue_response(connection, code, response);
    MHD_destroy_response(response);
    return result;
}

struct metadata_server *metadata_start(void)
{
    struct metadata_server *server = calloc(1, sizeof *server);
    struct sockaddr_in address = {.sin_family = AF_INET};
    const union MHD_DaemonInfo *info;
    struct nero_err err;

    require(server != NULL && thread_monitor_init(&server->monitor, &err) == NERO_OK, "no memory");
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    server->daemon = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL, NULL, answer,
                                      server, MHD_OPTION_SOCK_ADDR, &address, MHD_OPTION_END);
    require(server->daemon != NULL, "does not start");
    info = MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_BIND_PORT);
    require(info != NULL, "has no port");
    server->port = info->port;
    return server;
}

void metadata_stop(struct metadata_server *server)
{
    MHD_stop_daemon(server->daemon);
    thread_monitor_fini(&server->monitor);
    free(server);
}

void metadata_set(struct metadata_server *server, const struct metadata_answers *answers)
{
    thread_monitor_enter(&server->monitor);
    server->answers = *answers;
    thread_monitor_leave(&server->monitor);
}

void metadata_url(const struct metadata_server *server, char out[METADATA_URL_BYTES])
{
    (void)snprintf(out, METADATA_URL_BYTES, "http://127.0.0.1:%d", server->port);
}

uint64_t metadata_requests(struct metadata_server *server)
{
    uint64_t requests;

    thread_monitor_enter(&server->monitor);
    requests = server->requests;
    thread_monitor_leave(&server->monitor);
    return requests;
}
