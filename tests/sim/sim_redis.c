#include "sim_redis.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "fiber.h"
#include "queue_script.h"
#include "sim_fault.h"
#include "sim_net.h"
#include "sim_thread.h"
#include "sim_trace.h"

static struct sim_net_server server;
static struct redis_model *model;
static struct redis_model_data remembered;
static char claim_sha[QUEUE_SHA_BYTES];
static char complete_sha[QUEUE_SHA_BYTES];

/* hiredis's context first: that is what the production code sees. */
struct connection {
    redisContext base;
    uint64_t starts; /* of the server when it was made */
    int64_t timeout_ns;
};

struct redis_call {
    struct sim_net_request net;
    int count;
    char **argv;
    size_t *bytes;
    redisReply *reply;
};

/* ---- at the server ---- */

static int64_t clock_us(void *context)
{
    (void)context;
    return (SIM_THREAD_EPOCH_MS + sim_fault_redis_skew_ms()) * 1000 + fiber_now_ns() / 1000;
}

/* The word that a script's reply begins with, for the trace. */
static const char *word_of(const redisReply *reply)
{
    if (reply->type == REDIS_REPLY_ARRAY && reply->elements > 0) {
        reply = reply->element[0];
    }
    return reply->type == REDIS_REPLY_INTEGER || reply->type == REDIS_REPLY_NIL ||
                   reply->type == REDIS_REPLY_ARRAY
               ? "-"
               : reply->str;
}

/* Which script this is: SCRIPT LOAD tells by its text's end. */
static void note_script(const struct redis_call *call)
{
    static const struct {
        const char *lua;
        char *sha;
    } known[] = {{queue_lua_claim, claim_sha}, {queue_lua_complete, complete_sha}};

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        size_t bytes = strlen(known[i].lua);

        if (call->count == 3 && strcasecmp(call->argv[0], "SCRIPT") == 0 &&
            call->bytes[2] >= bytes &&
            memcmp(call->argv[2] + call->bytes[2] - bytes, known[i].lua, bytes) == 0) {
            (void)snprintf(known[i].sha, QUEUE_SHA_BYTES, "%s", call->reply->str);
        }
    }
}

static void run_command(struct redis_call *call)
{
    uint64_t pushes = redis_model_pushes(model);

    call->reply =
        redis_model_command(model, call->count, (const char *const *)call->argv, call->bytes);
    if (redis_model_pushes(model) != pushes) {
        fiber_wake(&model);
    }
}

static void apply(struct sim_net_request *request)
{
    struct redis_call *call = (struct redis_call *)request;

    run_command(call);
    if (strcasecmp(call->argv[0], "BLPOP") == 0) {
        int64_t end_ns = fiber_now_ns() + (int64_t)(strtod(call->argv[2], NULL) * 1e9);

        while (call->reply->type == REDIS_REPLY_NIL && fiber_now_ns() < end_ns) {
            (void)fiber_wait_ns(&model, end_ns - fiber_now_ns()); /* perhaps for ever */
            freeReplyObject(call->reply);
            run_command(call);
        }
    }
    note_script(call);
    sim_trace("redis %s %.12s: %.40s", call->argv[0], call->count > 1 ? call->argv[1] : "",
              word_of(call->reply));
}

static void destroy(struct sim_net_request *request)
{
    struct redis_call *call = (struct redis_call *)request;

    for (int i = 0; i < call->count; i++) {
        free(call->argv[i]);
    }
    free(call->argv);
    free(call->bytes);
    if (call->reply != NULL) {
        freeReplyObject(call->reply);
    }
    free(call);
}

/* ---- hiredis ---- */

static void set_error(redisContext *context, int error, const char *text)
{
    context->err = error;
    (void)snprintf(context->errstr, sizeof context->errstr, "%s", text);
}

redisContext *redisConnectWithTimeout(const char *ip, int port, const struct timeval tv)
{
    struct connection *connection = calloc(1, sizeof *connection);
    struct sim_fault_call fault = sim_fault_redis();

    (void)ip;
    (void)port;
    (void)tv;
    if (connection == NULL) {
        abort();
    }
    fiber_sleep_ns(fault.there_ns % 3000000000);
    connection->starts = server.starts;
    if (server.process == NULL || fault.refused) {
        errno = ECONNREFUSED;
        set_error(&connection->base, REDIS_ERR_IO, "Connection refused");
    }
    return &connection->base;
}

int redisSetTimeout(redisContext *context, const struct timeval tv)
{
    ((struct connection *)context)->timeout_ns =
        (int64_t)tv.tv_sec * 1000000000 + (int64_t)tv.tv_usec * 1000;
    return REDIS_OK;
}

int redisEnableKeepAlive(redisContext *context)
{
    (void)context;
    return REDIS_OK;
}

void redisFree(redisContext *context)
{
    free(context);
}

static struct redis_call *call_make(int count, const char **argv, const size_t *bytes)
{
    struct redis_call *call = calloc(1, sizeof *call);

    if (call == NULL) {
        abort();
    }
    call->net.apply = apply;
    call->net.destroy = destroy;
    call->count = count;
    call->argv = calloc((size_t)count, sizeof *call->argv);
    call->bytes = calloc((size_t)count, sizeof *call->bytes);
    for (int i = 0; i < count; i++) {
        call->argv[i] = calloc(1, bytes[i] + 1);
        if (bytes[i] > 0) {
            memcpy(call->argv[i], argv[i], bytes[i]);
        }
        call->bytes[i] = bytes[i];
    }
    return call;
}

static bool loses_answer(const struct redis_call *call)
{
    if (strcasecmp(call->argv[0], "EVALSHA") != 0 || strcmp(word_of(call->reply), "ok") != 0) {
        return false;
    }
    return (strcmp(call->argv[1], claim_sha) == 0 &&
            sim_fault_loses_answer(SIM_POINT_CLAIM_ANSWER)) ||
           (strcmp(call->argv[1], complete_sha) == 0 &&
            sim_fault_loses_answer(SIM_POINT_COMPLETE_ANSWER));
}

void *redisCommandArgv(redisContext *context, int count, const char **argv, const size_t *bytes)
{
    struct connection *connection = (struct connection *)context;
    struct sim_fault_call fault = sim_fault_redis();
    struct redis_call *call;
    redisReply *reply;
    bool heard;

    if (server.process == NULL || connection->starts != server.starts || fault.refused) {
        fiber_sleep_ns(fault.there_ns);
        errno = ECONNRESET;
        set_error(context, REDIS_ERR_EOF, "Server closed the connection");
        return NULL;
    }
    call = call_make(count, argv, bytes);
    call->net.there_ns = fault.there_ns;
    call->net.back_ns = fault.back_ns;
    heard = sim_net_call(&server, &call->net, connection->timeout_ns);
    if (fault.fatal) {
        fiber_process_kill(fiber_self());
    }
    if (!heard) {
        bool ended = connection->starts != server.starts || server.process == NULL;

        errno = ended ? ECONNRESET : EAGAIN;
        set_error(context, ended ? REDIS_ERR_EOF : REDIS_ERR_IO, "no answer");
        return NULL;
    }
    if (fault.unheard || loses_answer(call)) {
        sim_net_done(&call->net);
        errno = ECONNRESET;
        set_error(context, REDIS_ERR_EOF, "Server closed the connection");
        return NULL;
    }
    reply = call->reply;
    call->reply = NULL;
    sim_net_done(&call->net);
    return reply;
}

/* ---- life of the server ---- */

void sim_redis_begin(void)
{
    model = redis_model_create(clock_us, NULL);
    sim_net_server_start(&server, "redis");
}

struct redis_model *sim_redis_model(void)
{
    return model;
}

/* In a fiber of nobody's who is killed here. */
static void restart_after(int64_t down_ns)
{
    sim_net_server_kill(&server);
    fiber_sleep_ns(down_ns);
    redis_model_restart(model);
    sim_net_server_start(&server, "redis");
    sim_trace("Redis is back");
}

void sim_redis_kill(int64_t down_ns)
{
    if (server.process != NULL) {
        restart_after(down_ns);
    }
}

void sim_redis_empty(bool restarted)
{
    if (server.process == NULL) {
        return;
    }
    redis_model_data_fini(redis_model_contents(model));
    if (restarted) {
        restart_after(0);
    }
}

void sim_redis_remember(void)
{
    redis_model_data_fini(&remembered);
    redis_model_data_copy(&remembered, redis_model_contents(model));
}

void sim_redis_roll_back(int64_t down_ns)
{
    if (server.process == NULL) {
        return;
    }
    redis_model_data_fini(redis_model_contents(model));
    redis_model_data_copy(redis_model_contents(model), &remembered);
    restart_after(down_ns);
}
