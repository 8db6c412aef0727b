#include "nero/storage_retry.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#include "nero/mem.h"
#include "storage_impl.h"

struct storage_retry {
    struct storage *inner;
    struct storage_retry_options options;
    pthread_mutex_t jitter_lock; /* guards options.jitter */
};

/* One call through the wrapper. */
struct attempt {
    struct storage_retry *retry;
    int64_t start_ns;
    int64_t delay_ms;
    unsigned tries;
    bool was_unknown; /* one of the tries may have taken effect */
};

static struct attempt attempt_begin(struct storage_retry *retry)
{
    return (struct attempt){.retry = retry,
                            .start_ns = clock_mono_ns(retry->options.clock),
                            .delay_ms = retry->options.delay_first_ms};
}

/* From [delay / 2, delay): enough to part clients that failed together, and never no wait. */
static int64_t jittered(struct storage_retry *retry, int64_t delay_ms)
{
    double uniform;

    (void)pthread_mutex_lock(&retry->jitter_lock);
    uniform = rng_uniform(&retry->options.jitter);
    (void)pthread_mutex_unlock(&retry->jitter_lock);
    return delay_ms - (int64_t)((double)delay_ms * 0.5 * uniform);
}

/* Whether to try again after `status`; waits when so. */
static bool attempt_again(struct attempt *attempt, enum nero_status status)
{
    const struct storage_retry_options *options = &attempt->retry->options;
    int64_t spent_ms;
    int64_t delay_ms;

    attempt->tries++;
    attempt->was_unknown = attempt->was_unknown || status == NERO_UNKNOWN;
    if (!err_is_retryable(status)) {
        return false;
    }
    spent_ms = (clock_mono_ns(options->clock) - attempt->start_ns) / 1000000;
    delay_ms = jittered(attempt->retry, attempt->delay_ms);
    if (spent_ms + delay_ms > options->budget_ms) {
        return false;
    }
    clock_sleep_ms(options->clock, delay_ms);
    attempt->delay_ms = attempt->delay_ms > options->delay_max_ms / 2 ? options->delay_max_ms
                                                                      : 2 * attempt->delay_ms;
    return true;
}

/* The status to answer with after the last try. Only writes can have left something behind. */
static enum nero_status attempt_end(const struct attempt *attempt, bool is_write,
                                    enum nero_status status, struct nero_err *err)
{
    double seconds;

    if (status == NERO_OK || attempt->tries < 2) {
        return status;
    }
    seconds = clock_seconds_since(attempt->retry->options.clock, attempt->start_ns);
    if (is_write && attempt->was_unknown) {
        err->status = NERO_UNKNOWN;
    }
    return err_wrap(err, "gave up after %u tries in %.1f s%s", attempt->tries, seconds,
                    is_write && attempt->was_unknown && status != NERO_UNKNOWN
                        ? ", of which an earlier one may have taken effect"
                        : "");
}

/*
 * A precondition failed (`refusal`: exists or conflict) after a try with unknown outcome. ok: the
 * object is `body`; not_found: it is absent; retryable: it could not be read.
 */
static enum nero_status is_own_write(struct storage_retry *retry, const char *key,
                                     struct bytes_view body, enum nero_status refusal,
                                     struct nero_err *err)
{
    struct bytes present;
    enum nero_status status;

    bytes_init(&present, body.bytes);
    status =
        retry->inner->ops->get_range(retry->inner->self, key, 0, UINT64_MAX, &present, NULL, err);
    if (status == NERO_TOO_BIG ||
        (status == NERO_OK && !bytes_view_equal(bytes_as_view(&present), body))) {
        status = err_set(err, refusal, 0, "it has other bytes than a try with unknown outcome");
    }
    bytes_fini(&present);
    return status;
}

/* put_if_absent, and put_if_match where `etag` is not NULL. */
static enum nero_status conditional(struct storage_retry *retry, const char *key,
                                    struct bytes_view body, const char *etag, struct nero_err *err)
{
    const struct storage_ops *ops = retry->inner->ops;
    void *inner = retry->inner->self;
    enum nero_status refusal = etag != NULL ? NERO_CONFLICT : NERO_EXISTS;
    struct attempt attempt = attempt_begin(retry);
    enum nero_status status;

    do {
        status = etag != NULL ? ops->put_if_match(inner, key, body, etag, err)
                              : ops->put_if_absent(inner, key, body, err);
        if (status != refusal || !attempt.was_unknown) {
            continue; /* to the loop's condition */
        }
        status = is_own_write(retry, key, body, refusal, err);
        if (status == NERO_OK || status == refusal) {
            return status; /* the object itself has settled what the unknown try did */
        }
        if (status == NERO_NOT_FOUND) {
            status = err_set(err, NERO_UNKNOWN, 0, "it was there and is not there any more");
        }
    } while (attempt_again(&attempt, status));
    return attempt_end(&attempt, true, status, err);
}

static enum nero_status retry_put(void *self, const char *key, struct bytes_view body,
                                  struct nero_err *err)
{
    struct storage_retry *retry = self;
    struct attempt attempt = attempt_begin(retry);
    enum nero_status status;

    do {
        status = retry->inner->ops->put(retry->inner->self, key, body, err);
    } while (attempt_again(&attempt, status));
    return attempt_end(&attempt, true, status, err);
}

static enum nero_status retry_put_if_absent(void *self, const char *key, struct bytes_view body,
                                            struct nero_err *err)
{
    return conditional(self, key, body, NULL, err);
}

static enum nero_status retry_put_if_match(void *self, const char *key, struct bytes_view body,
                                           const char *etag, struct nero_err *err)
{
    return conditional(self, key, body, etag, err);
}

static enum nero_status retry_get_range(void *self, const char *key, uint64_t offset,
                                        uint64_t bytes, struct bytes *out,
                                        struct storage_info *info, struct nero_err *err)
{
    struct storage_retry *retry = self;
    struct attempt attempt = attempt_begin(retry);
    enum nero_status status;

    do {
        status =
            retry->inner->ops->get_range(retry->inner->self, key, offset, bytes, out, info, err);
    } while (attempt_again(&attempt, status));
    return attempt_end(&attempt, false, status, err);
}

static enum nero_status retry_head(void *self, const char *key, struct storage_info *out,
                                   struct nero_err *err)
{
    struct storage_retry *retry = self;
    struct attempt attempt = attempt_begin(retry);
    enum nero_status status;

    do {
        status = retry->inner->ops->head(retry->inner->self, key, out, err);
    } while (attempt_again(&attempt, status));
    return attempt_end(&attempt, false, status, err);
}

static enum nero_status retry_list(void *self, const char *prefix, const char *start_after,
                                   size_t count_max, struct storage_list *out, struct nero_err *err)
{
    struct storage_retry *retry = self;
    struct attempt attempt = attempt_begin(retry);
    enum nero_status status;

    do {
        storage_list_fini(out); /* of what a failed try had collected */
        status =
            retry->inner->ops->list(retry->inner->self, prefix, start_after, count_max, out, err);
    } while (attempt_again(&attempt, status));
    return attempt_end(&attempt, false, status, err);
}

static enum nero_status retry_remove(void *self, const char *key, struct nero_err *err)
{
    struct storage_retry *retry = self;
    struct attempt attempt = attempt_begin(retry);
    enum nero_status status;

    do {
        status = retry->inner->ops->remove(retry->inner->self, key, err);
    } while (attempt_again(&attempt, status));
    return attempt_end(&attempt, true, status, err);
}

static enum nero_status retry_remove_many(void *self, const char *const *keys, size_t count,
                                          struct nero_err *err)
{
    struct storage_retry *retry = self;
    struct attempt attempt = attempt_begin(retry);
    enum nero_status status;

    do {
        status = storage_remove_batch(retry->inner, keys, count, err);
    } while (attempt_again(&attempt, status));
    return attempt_end(&attempt, true, status, err);
}

static enum nero_status retry_traits(void *self, const char *folder, struct storage_traits *out,
                                     struct nero_err *err)
{
    struct storage_retry *retry = self;
    struct attempt attempt = attempt_begin(retry);
    enum nero_status status;

    do {
        status = storage_traits(retry->inner, folder, out, err);
    } while (attempt_again(&attempt, status));
    return attempt_end(&attempt, false, status, err);
}

static unsigned retry_capabilities(void *self)
{
    const struct storage_retry *retry = self;

    return storage_capabilities(retry->inner);
}

static bool retry_clock_ahead(void *self, int64_t *ahead_ms)
{
    const struct storage_retry *retry = self;

    return storage_clock_ahead(retry->inner, ahead_ms);
}

static void retry_close(void *self)
{
    struct storage_retry *retry = self;

    storage_close(retry->inner);
    (void)pthread_mutex_destroy(&retry->jitter_lock);
    free(retry);
}

struct storage_retry_options storage_retry_defaults(uint64_t seed)
{
    return (struct storage_retry_options){.budget_ms = 30000,
                                          .delay_first_ms = 50,
                                          .delay_max_ms = 5000,
                                          .clock = clock_system(),
                                          .jitter = rng_stream(seed, RNG_JITTER, 0, 0, 0)};
}

enum nero_status storage_retry_wrap(struct storage *inner,
                                    const struct storage_retry_options *options,
                                    struct storage **out, struct nero_err *err)
{
    static const struct storage_ops ops = {
        .name = "retry",
        .put = retry_put,
        .put_if_absent = retry_put_if_absent,
        .put_if_match = retry_put_if_match,
        .get_range = retry_get_range,
        .head = retry_head,
        .list = retry_list,
        .remove = retry_remove,
        .remove_many = retry_remove_many,
        .traits = retry_traits,
        .capabilities = retry_capabilities,
        .clock_ahead = retry_clock_ahead,
        .close = retry_close,
    };
    struct storage_retry *retry = mem_calloc(1, sizeof *retry);
    enum nero_status status;

    assert(options->budget_ms >= 0 && options->delay_first_ms >= 1 &&
           options->delay_max_ms >= options->delay_first_ms && options->clock != NULL);
    if (retry == NULL || pthread_mutex_init(&retry->jitter_lock, NULL) != 0) {
        free(retry);
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for a store that retries");
    }
    retry->inner = inner;
    retry->options = *options;
    status = storage_from_ops(&ops, retry, storage_url(inner), out, err);
    if (status != NERO_OK) {
        (void)pthread_mutex_destroy(&retry->jitter_lock);
        free(retry);
    }
    return status;
}
