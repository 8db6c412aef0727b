/*
 * A store that tries again.
 *
 * An operation whose status is retryable (err_is_retryable) is repeated until it succeeds, fails
 * for good or the time budget of the call is spent; delays double and are jittered. The meaning of
 * each operation stays what storage.h says: after a create or a conditional replace whose outcome
 * was unknown, `exists` or `conflict` may be about the wrapper's own first try, so the object is
 * read, and equal bytes count as done. A call that gives up after an unknown try answers unknown.
 */
#ifndef NERO_STORAGE_RETRY_H
#define NERO_STORAGE_RETRY_H

#include "nero/clock.h"
#include "nero/rng.h"
#include "nero/storage.h"

struct storage_retry_options {
    int64_t budget_ms;                /* of one call, waiting and trying together; 0: one try */
    int64_t delay_first_ms;           /* before the second try; at least 1 */
    int64_t delay_max_ms;             /* where the doubling stops; at least delay_first_ms */
    const struct clock_source *clock; /* borrowed for the store's life */
    struct rng_stream jitter;         /* copied; purpose RNG_JITTER outside tests */
};

/* 30 s, 50 ms, 5 s, the machine's clock; jitter from `seed`. */
struct storage_retry_options storage_retry_defaults(uint64_t seed);

/* Wrap `inner`. Owns: takes `inner` on success (closed with *out). Errors: no_memory. */
enum nero_status storage_retry_wrap(struct storage *inner,
                                    const struct storage_retry_options *options,
                                    struct storage **out, struct nero_err *err);

#endif
