#include "sim_net.h"

#include <stddef.h>

static struct sim_net_request *under_way;

static void idle(void *context)
{
    (void)fiber_wait_ns(context, INT64_MAX); /* keeps the process alive */
}

void sim_net_server_start(struct sim_net_server *server, const char *name)
{
    server->name = name;
    server->process = fiber_process_start(name, idle, server);
    server->starts++;
}

static void unlink_request(struct sim_net_request *request)
{
    struct sim_net_request **at = &under_way;

    while (*at != request) {
        at = &(*at)->next;
    }
    *at = request->next;
}

void sim_net_server_kill(struct sim_net_server *server)
{
    struct sim_net_request *next;

    fiber_process_kill(server->process);
    server->process = NULL;
    for (struct sim_net_request *request = under_way; request != NULL; request = next) {
        next = request->next;
        if (request->server == server) {
            unlink_request(request);
            request->broken = true;
            fiber_wake(request);
            if (request->abandoned) {
                request->destroy(request);
            }
        }
    }
}

static void serve(void *context)
{
    struct sim_net_request *request = context;

    fiber_sleep_ns(request->there_ns);
    request->apply(request);
    fiber_sleep_ns(request->back_ns);
    unlink_request(request);
    request->done = true;
    if (request->abandoned) {
        request->destroy(request);
    } else {
        fiber_wake(request);
    }
}

void sim_net_send(struct sim_net_server *server, struct sim_net_request *request)
{
    request->server = server;
    request->abandoned = true;
    request->next = under_way;
    under_way = request;
    (void)fiber_spawn(server->process, serve, request);
}

bool sim_net_call(struct sim_net_server *server, struct sim_net_request *request,
                  int64_t timeout_ns)
{
    int64_t end_ns = fiber_now_ns() + timeout_ns;

    sim_net_send(server, request);
    request->abandoned = false;
    while (!request->done && !request->broken && fiber_now_ns() < end_ns) {
        (void)fiber_wait_ns(request, end_ns - fiber_now_ns());
    }
    if (request->done) {
        return true;
    }
    if (request->broken) {
        request->destroy(request);
    } else {
        request->abandoned = true;
    }
    return false;
}

void sim_net_done(struct sim_net_request *request)
{
    request->destroy(request);
}
