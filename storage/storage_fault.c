#include "nero/storage_fault.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "nero/mem.h"
#include "storage_impl.h"

struct storage_fault {
    struct storage *inner;
    pthread_mutex_t lock; /* guards what follows */
    struct storage_fault_plan plan;
    uint64_t calls;
    uint64_t fired;
};

enum verdict { PASS, FAIL_BEFORE, FAIL_AFTER };

static enum verdict count_call(struct storage_fault *fault, enum storage_fault_operation operation,
                               const char *key)
{
    enum verdict verdict = PASS;
    const struct storage_fault_plan *plan = &fault->plan;

    (void)pthread_mutex_lock(&fault->lock);
    if ((plan->operations == 0 || (plan->operations & (unsigned)operation) != 0) &&
        (plan->key == NULL || strcmp(plan->key, key) == 0)) {
        fault->calls++;
        if (plan->nth != 0 &&
            (fault->calls == plan->nth || (plan->for_good && fault->calls > plan->nth))) {
            fault->fired++;
            verdict = plan->when == STORAGE_FAULT_BEFORE ? FAIL_BEFORE : FAIL_AFTER;
        }
    }
    (void)pthread_mutex_unlock(&fault->lock);
    return verdict;
}

static enum nero_status fire(struct storage_fault *fault, enum verdict verdict,
                             struct nero_err *err)
{
    enum nero_status status;

    (void)pthread_mutex_lock(&fault->lock);
    status = fault->plan.status;
    (void)pthread_mutex_unlock(&fault->lock);
    return err_set(err, status, 0, "fault planned by the test, %s it took effect",
                   verdict == FAIL_BEFORE ? "before" : "after");
}

static enum nero_status fault_put(void *self, const char *key, struct bytes_view body,
                                  struct nero_err *err)
{
    struct storage_fault *fault = self;
    enum verdict verdict = count_call(fault, STORAGE_FAULT_PUT, key);
    enum nero_status status = NERO_OK;

    if (verdict != FAIL_BEFORE) {
        status = fault->inner->ops->put(fault->inner->self, key, body, err);
    }
    return status == NERO_OK && verdict != PASS ? fire(fault, verdict, err) : status;
}

static enum nero_status fault_put_if_absent(void *self, const char *key, struct bytes_view body,
                                            struct nero_err *err)
{
    struct storage_fault *fault = self;
    enum verdict verdict = count_call(fault, STORAGE_FAULT_PUT_IF_ABSENT, key);
    enum nero_status status = NERO_OK;

    if (verdict != FAIL_BEFORE) {
        status = fault->inner->ops->put_if_absent(fault->inner->self, key, body, err);
    }
    return status == NERO_OK && verdict != PASS ? fire(fault, verdict, err) : status;
}

static enum nero_status fault_put_if_match(void *self, const char *key, struct bytes_view body,
                                           const char *etag, struct nero_err *err)
{
    struct storage_fault *fault = self;
    enum verdict verdict = count_call(fault, STORAGE_FAULT_PUT_IF_MATCH, key);
    enum nero_status status = NERO_OK;

    if (verdict != FAIL_BEFORE) {
        status = fault->inner->ops->put_if_match(fault->inner->self, key, body, etag, err);
    }
    return status == NERO_OK && verdict != PASS ? fire(fault, verdict, err) : status;
}

static enum nero_status fault_get_range(void *self, const char *key, uint64_t offset,
                                        uint64_t bytes, struct bytes *out,
                                        struct storage_info *info, struct nero_err *err)
{
    struct storage_fault *fault = self;
    enum verdict verdict = count_call(fault, STORAGE_FAULT_GET, key);
    size_t before = out->bytes;
    enum nero_status status;

    if (verdict == FAIL_BEFORE) {
        return fire(fault, verdict, err);
    }
    status = fault->inner->ops->get_range(fault->inner->self, key, offset, bytes, out,
                                          verdict == PASS ? info : NULL, err);
    if (status == NERO_OK && verdict == FAIL_AFTER) {
        out->bytes = before;
        status = fire(fault, verdict, err);
    }
    return status;
}

static enum nero_status fault_head(void *self, const char *key, struct storage_info *out,
                                   struct nero_err *err)
{
    struct storage_fault *fault = self;
    enum verdict verdict = count_call(fault, STORAGE_FAULT_HEAD, key);
    enum nero_status status = NERO_OK;

    if (verdict != FAIL_BEFORE) {
        status =
            fault->inner->ops->head(fault->inner->self, key, verdict == PASS ? out : NULL, err);
    }
    return status == NERO_OK && verdict != PASS ? fire(fault, verdict, err) : status;
}

/* What is in `out` after a failure, storage_list_page frees. */
static enum nero_status fault_list(void *self, const char *prefix, const char *start_after,
                                   size_t count_max, struct storage_list *out, struct nero_err *err)
{
    struct storage_fault *fault = self;
    enum verdict verdict = count_call(fault, STORAGE_FAULT_LIST, prefix);
    enum nero_status status = NERO_OK;

    if (verdict != FAIL_BEFORE) {
        status =
            fault->inner->ops->list(fault->inner->self, prefix, start_after, count_max, out, err);
    }
    return status == NERO_OK && verdict != PASS ? fire(fault, verdict, err) : status;
}

static enum nero_status fault_remove(void *self, const char *key, struct nero_err *err)
{
    struct storage_fault *fault = self;
    enum verdict verdict = count_call(fault, STORAGE_FAULT_REMOVE, key);
    enum nero_status status = NERO_OK;

    if (verdict != FAIL_BEFORE) {
        status = fault->inner->ops->remove(fault->inner->self, key, err);
    }
    return status == NERO_OK && verdict != PASS ? fire(fault, verdict, err) : status;
}

static enum nero_status fault_remove_many(void *self, const char *const *keys, size_t count,
                                          struct nero_err *err)
{
    struct storage_fault *fault = self;
    enum verdict verdict = count_call(fault, STORAGE_FAULT_REMOVE_MANY, count > 0 ? keys[0] : "");
    enum nero_status status = NERO_OK;

    if (verdict != FAIL_BEFORE) {
        status = storage_remove_batch(fault->inner, keys, count, err);
    }
    return status == NERO_OK && verdict != PASS ? fire(fault, verdict, err) : status;
}

static enum nero_status fault_traits(void *self, const char *folder, struct storage_traits *out,
                                     struct nero_err *err)
{
    struct storage_fault *fault = self;

    return storage_traits(fault->inner, folder, out, err);
}

static unsigned fault_capabilities(void *self)
{
    const struct storage_fault *fault = self;

    return storage_capabilities(fault->inner);
}

static bool fault_clock_ahead(void *self, int64_t *ahead_ms)
{
    const struct storage_fault *fault = self;

    return storage_clock_ahead(fault->inner, ahead_ms);
}

static void fault_close(void *self)
{
    struct storage_fault *fault = self;

    storage_close(fault->inner);
    (void)pthread_mutex_destroy(&fault->lock);
    free(fault);
}

enum nero_status storage_fault_wrap(struct storage *inner, struct storage **out,
                                    struct storage_fault **control, struct nero_err *err)
{
    static const struct storage_ops ops = {
        .name = "fault",
        .put = fault_put,
        .put_if_absent = fault_put_if_absent,
        .put_if_match = fault_put_if_match,
        .get_range = fault_get_range,
        .head = fault_head,
        .list = fault_list,
        .remove = fault_remove,
        .remove_many = fault_remove_many,
        .traits = fault_traits,
        .capabilities = fault_capabilities,
        .clock_ahead = fault_clock_ahead,
        .close = fault_close,
    };
    struct storage_fault *fault = mem_calloc(1, sizeof *fault);
    enum nero_status status;

    if (fault == NULL || pthread_mutex_init(&fault->lock, NULL) != 0) {
        free(fault);
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for a store of faults");
    }
    fault->inner = inner;
    status = storage_from_ops(&ops, fault, storage_url(inner), out, err);
    if (status != NERO_OK) {
        (void)pthread_mutex_destroy(&fault->lock);
        free(fault);
        return status;
    }
    *control = fault;
    return NERO_OK;
}

void storage_fault_set(struct storage_fault *control, struct storage_fault_plan plan)
{
    assert(plan.nth == 0 || plan.status != NERO_OK);
    (void)pthread_mutex_lock(&control->lock);
    control->plan = plan;
    control->calls = 0;
    control->fired = 0;
    (void)pthread_mutex_unlock(&control->lock);
}

uint64_t storage_fault_calls(struct storage_fault *control)
{
    uint64_t calls;

    (void)pthread_mutex_lock(&control->lock);
    calls = control->calls;
    (void)pthread_mutex_unlock(&control->lock);
    return calls;
}

uint64_t storage_fault_fired(struct storage_fault *control)
{
    uint64_t fired;

    (void)pthread_mutex_lock(&control->lock);
    fired = control->fired;
    (void)pthread_mutex_unlock(&control->lock);
    return fired;
}
