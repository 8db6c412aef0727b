/*
 * Requests of a process to a server: carried out in a fiber of the server's, so that one that is
 * under way takes effect even when its sender dies, and may do so long after the sender gave up.
 */
#ifndef NERO_TESTS_SIM_NET_H
#define NERO_TESTS_SIM_NET_H

#include <stdbool.h>
#include <stdint.h>

#include "fiber.h"

struct sim_net_server {
    const char *name;
    struct fiber_process *process; /* NULL: down */
    uint64_t starts;
};

/* First member of what is asked. On the heap; freed here. */
struct sim_net_request {
    void (*apply)(struct sim_net_request *request); /* at the server; may wait */
    void (*destroy)(struct sim_net_request *request);
    struct sim_net_server *server;
    int64_t there_ns; /* until it takes effect */
    int64_t back_ns;  /* until the answer is heard */
    bool done;
    bool broken;    /* the server died meanwhile */
    bool abandoned; /* nobody waits for the answer */
    struct sim_net_request *next;
};

void sim_net_server_start(struct sim_net_server *server, const char *name);
/* Requests under way are lost, or have taken effect and lose their answer. */
void sim_net_server_kill(struct sim_net_server *server);

/* Send and wait. False: no answer within timeout_ns, or the server died; the request is gone then
 * (it may still take effect). True: the caller frees it with sim_net_done. */
bool sim_net_call(struct sim_net_server *server, struct sim_net_request *request,
                  int64_t timeout_ns);
/* Send and do not wait. */
void sim_net_send(struct sim_net_server *server, struct sim_net_request *request);
void sim_net_done(struct sim_net_request *request);

#endif
