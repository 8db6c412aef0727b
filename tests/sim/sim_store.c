#include "sim_store.h"

#include <stdlib.h>
#include <string.h>

#include "fiber.h"
#include "nero/envelope.h"
#include "nero/mem.h"
#include "nero/slot.h"
#include "sim_fault.h"
#include "sim_net.h"
#include "sim_trace.h"
#include "storage_impl.h"

#define TIMEOUT_NS INT64_C(10000000000)

enum op { OP_PUT, OP_CREATE, OP_MATCH, OP_GET, OP_HEAD, OP_LIST, OP_REMOVE };

static const char *const op_names[] = {"put", "create", "match", "get", "head", "list", "remove"};

static struct storage *inner;
static struct sim_net_server server;
static bool create_replaces;

/* A request with copies of all that it says, and the answer. */
struct store_call {
    struct sim_net_request net;
    enum op op;
    char *key;
    char *after; /* list */
    struct bytes body;
    char etag[STORAGE_ETAG_BYTES_MAX];
    uint64_t offset;
    uint64_t bytes;
    size_t count_max;
    bool wants_info;

    enum nero_status status;
    struct nero_err err;
    struct bytes out;
    struct storage_info info;
    struct storage_list list;
};

/* ---- at the store ---- */

static void apply(struct sim_net_request *request)
{
    struct store_call *call = (struct store_call *)request;
    const struct storage_ops *ops = inner->ops;
    struct storage_info *info = call->wants_info ? &call->info : NULL;
    struct nero_err *err = &call->err;
    struct bytes_view body = bytes_as_view(&call->body);

    switch (call->op) {
    case OP_PUT:
        call->status = ops->put(inner->self, call->key, body, err);
        break;
    case OP_CREATE:
        call->status = create_replaces ? ops->put(inner->self, call->key, body, err)
                                       : ops->put_if_absent(inner->self, call->key, body, err);
        break;
    case OP_MATCH:
        call->status = ops->put_if_match(inner->self, call->key, body, call->etag, err);
        break;
    case OP_GET:
        call->status = ops->get_range(inner->self, call->key, call->offset, call->bytes, &call->out,
                                      info, err);
        break;
    case OP_HEAD:
        call->status = ops->head(inner->self, call->key, info, err);
        break;
    case OP_LIST:
        call->status =
            ops->list(inner->self, call->key, call->after, call->count_max, &call->list, err);
        break;
    case OP_REMOVE:
        call->status = ops->remove(inner->self, call->key, err);
        break;
    }
    sim_trace("store %s %s: %s", op_names[call->op], call->key, err_status_name(call->status));
}

static void destroy(struct sim_net_request *request)
{
    struct store_call *call = (struct store_call *)request;

    free(call->key);
    free(call->after);
    bytes_fini(&call->body);
    bytes_fini(&call->out);
    storage_list_fini(&call->list);
    free(call);
}

static struct store_call *call_make(enum op op, const char *key)
{
    struct store_call *call = mem_calloc(1, sizeof *call);

    call->net.apply = apply;
    call->net.destroy = destroy;
    call->op = op;
    call->key = mem_strdup(key);
    bytes_init(&call->body, SIZE_MAX);
    bytes_init(&call->out, SIZE_MAX);
    return call;
}

/* ---- labelled points ---- */

/* The kind of slot that is being written; 0: no slot. */
static int slot_kind(const struct store_call *call)
{
    struct envelope envelope;
    struct nero_err ignored;
    struct slot slot;

    if (call->op != OP_CREATE || strstr(call->key, "/job/") == NULL ||
        envelope_parse(bytes_as_view(&call->body), ENVELOPE_SLOT, &envelope, &ignored) != NERO_OK ||
        slot_decode(envelope.payload, &slot, &ignored) != NERO_OK) {
        return 0;
    }
    return (int)slot.kind;
}

static bool is_write(const struct store_call *call)
{
    return call->op != OP_GET && call->op != OP_HEAD && call->op != OP_LIST;
}

static bool is_blob(const struct store_call *call)
{
    return call->op == OP_PUT && strstr(call->key, "/blob/") != NULL;
}

static void before(const struct store_call *call, int kind)
{
    if (kind == SLOT_TAKEOVER) {
        sim_fault_at(SIM_POINT_CLAIMED);
    } else if (kind == SLOT_CHECKPOINT || kind == SLOT_FINAL) {
        sim_fault_at(SIM_POINT_SLEEP);
    } else if (is_blob(call)) {
        sim_fault_at(SIM_POINT_NOTICE);
    }
}

static void after(const struct store_call *call, int kind)
{
    if (kind == SLOT_TAKEOVER) {
        sim_fault_at(SIM_POINT_TAKEOVER);
    } else if (kind == SLOT_CHECKPOINT) {
        sim_fault_at(SIM_POINT_SLOT);
    } else if (kind == SLOT_FINAL) {
        sim_fault_at(SIM_POINT_FINAL);
    } else if (is_blob(call)) {
        sim_fault_at(SIM_POINT_BLOB);
    } else if (is_write(call) &&
               (strstr(call->key, "/spec/") != NULL || strstr(call->key, "/q/") != NULL)) {
        sim_fault_at(SIM_POINT_SPEC);
    }
}

/* ---- at the client ---- */

/* Send, wait, and lose what is to be lost. The call is gone unless the result is ok or definite. */
static enum nero_status run(struct store_call *call, bool *answered, struct nero_err *err)
{
    bool write = is_write(call);
    struct sim_fault_call fault = sim_fault_store(write && call->op != OP_REMOVE);
    int kind = slot_kind(call);
    bool heard;

    *answered = false;
    before(call, kind);
    if (fault.refused) {
        fiber_sleep_ns(fault.there_ns);
        destroy(&call->net);
        return err_set(err, NERO_UNAVAILABLE, 0, "the store is away");
    }
    if (fault.full) {
        fiber_sleep_ns(fault.there_ns + fault.back_ns);
        destroy(&call->net);
        return err_set(err, NERO_NO_SPACE, 0, "the store is full");
    }
    call->net.there_ns = fault.there_ns;
    call->net.back_ns = fault.back_ns;
    heard = sim_net_call(&server, &call->net, TIMEOUT_NS);
    if (fault.fatal) {
        fiber_process_kill(fiber_self());
    }
    if (heard && ((kind == SLOT_CHECKPOINT || kind == SLOT_FINAL) && call->status == NERO_OK &&
                  sim_fault_loses_answer(SIM_POINT_SLOT_ANSWER))) {
        fault.unheard = true;
    }
    if (!heard || fault.unheard) {
        if (heard) {
            sim_net_done(&call->net);
        }
        return write ? err_set(err, NERO_UNKNOWN, 0, "no answer from the store")
                     : err_set(err, NERO_TIMEOUT, 0, "no answer from the store");
    }
    *answered = true;
    if (call->status == NERO_OK) {
        after(call, kind);
    } else {
        *err = call->err;
    }
    return call->status;
}

static enum nero_status run_write(struct store_call *call, struct bytes_view body,
                                  struct nero_err *err)
{
    enum nero_status status = bytes_append(&call->body, body.data, body.bytes, err);
    bool answered = true;

    if (status == NERO_OK) {
        status = run(call, &answered, err);
    }
    if (answered) {
        destroy(&call->net);
    }
    return status;
}

static enum nero_status store_put(void *self, const char *key, struct bytes_view body,
                                  struct nero_err *err)
{
    (void)self;
    return run_write(call_make(OP_PUT, key), body, err);
}

static enum nero_status store_create(void *self, const char *key, struct bytes_view body,
                                     struct nero_err *err)
{
    (void)self;
    return run_write(call_make(OP_CREATE, key), body, err);
}

static enum nero_status store_match(void *self, const char *key, struct bytes_view body,
                                    const char *etag, struct nero_err *err)
{
    struct store_call *call = call_make(OP_MATCH, key);

    (void)self;
    memcpy(call->etag, etag, strlen(etag) + 1);
    return run_write(call, body, err);
}

static enum nero_status store_get(void *self, const char *key, uint64_t offset, uint64_t bytes,
                                  struct bytes *out, struct storage_info *info,
                                  struct nero_err *err)
{
    struct store_call *call = call_make(OP_GET, key);
    enum nero_status status;
    bool answered;

    (void)self;
    call->offset = offset;
    call->bytes = bytes;
    call->out.bytes_max = out->bytes_max - out->bytes;
    call->wants_info = info != NULL;
    status = run(call, &answered, err);
    if (status == NERO_OK) {
        status = bytes_append(out, call->out.data, call->out.bytes, err);
    }
    if (status == NERO_OK && info != NULL) {
        *info = call->info;
    }
    if (answered) {
        destroy(&call->net);
    }
    return status;
}

static enum nero_status store_head(void *self, const char *key, struct storage_info *out,
                                   struct nero_err *err)
{
    struct store_call *call = call_make(OP_HEAD, key);
    enum nero_status status;
    bool answered;

    (void)self;
    call->wants_info = out != NULL;
    status = run(call, &answered, err);
    if (status == NERO_OK && out != NULL) {
        *out = call->info;
    }
    if (answered) {
        destroy(&call->net);
    }
    return status;
}

static enum nero_status store_list(void *self, const char *prefix, const char *start_after,
                                   size_t count_max, struct storage_list *out, struct nero_err *err)
{
    struct store_call *call = call_make(OP_LIST, prefix);
    enum nero_status status;
    bool answered;

    (void)self;
    call->after = start_after != NULL ? mem_strdup(start_after) : NULL;
    call->count_max = count_max;
    status = run(call, &answered, err);
    if (status == NERO_OK) {
        *out = call->list;
        call->list = (struct storage_list){0};
    }
    if (answered) {
        destroy(&call->net);
    }
    return status;
}

static enum nero_status store_remove(void *self, const char *key, struct nero_err *err)
{
    (void)self;
    return run_write(call_make(OP_REMOVE, key), bytes_view_of("", 0), err);
}

static unsigned store_capabilities(void *self)
{
    (void)self;
    return inner->ops->capabilities(inner->self);
}

static void store_close(void *self)
{
    (void)self;
}

enum nero_status __wrap_storage_open(const char *url, bool create, struct storage **out,
                                     struct nero_err *err);
enum nero_status __wrap_storage_open(const char *url, bool create, struct storage **out,
                                     struct nero_err *err)
{
    static const struct storage_ops ops = {.name = "sim",
                                           .put = store_put,
                                           .put_if_absent = store_create,
                                           .put_if_match = store_match,
                                           .get_range = store_get,
                                           .head = store_head,
                                           .list = store_list,
                                           .remove = store_remove,
                                           .capabilities = store_capabilities,
                                           .close = store_close};

    (void)create;
    return storage_from_ops(&ops, &server, url, out, err);
}

enum nero_status __real_storage_open(const char *url, bool create, struct storage **out,
                                     struct nero_err *err);

void sim_store_begin(void)
{
    sim_net_server_start(&server, "store");
}

struct storage *sim_store_inner(void)
{
    struct nero_err err;

    if (inner == NULL && __real_storage_open(SIM_STORE_URL, true, &inner, &err) != NERO_OK) {
        abort();
    }
    return inner;
}

void sim_store_break_create(void)
{
    create_replaces = true;
}
