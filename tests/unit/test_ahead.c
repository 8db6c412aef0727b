/*
 * Goal: what is read ahead comes in order, whatever the threads do, and an early end waits for all
 * of them. Method: readers of random speed; counts around the switch from alone to threads.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "ahead.h"
#include "nero/rng.h"

struct reading {
    atomic_uint running;
    atomic_uint overlaps[AHEAD_THREADS];
    uint64_t refuse; /* the reader fails at this number */
    uint64_t stop;   /* the consumer stops at this number */
    uint64_t taken;
};

static enum nero_status read_number(void *context, unsigned worker, uint64_t index,
                                    struct ahead_item *item, struct nero_err *err)
{
    struct reading *reading = context;
    struct rng_stream stream = rng_stream(5, RNG_TEST, 0, (uint32_t)index, 0);

    assert_true(worker < AHEAD_THREADS);
    assert_int_equal(atomic_fetch_add(&reading->overlaps[worker], 1), 0);
    atomic_fetch_add(&reading->running, 1);
    (void)usleep((useconds_t)rng_below(&stream, 300));
    item->tag = (int64_t)index;
    if (bytes_append(&item->body, &index, sizeof index, err) != NERO_OK) {
        return err->status;
    }
    atomic_fetch_sub(&reading->running, 1);
    atomic_fetch_sub(&reading->overlaps[worker], 1);
    return index == reading->refuse ? err_set(err, NERO_DENIED, 0, "number %d", (int)index)
                                    : NERO_OK;
}

static enum nero_status take_number(void *context, uint64_t index, struct ahead_item *item,
                                    bool *stop, struct nero_err *err)
{
    struct reading *reading = context;

    if (item->status != NERO_OK) {
        *err = item->err;
        return err->status;
    }
    assert_int_equal(index, reading->taken);
    assert_int_equal(item->tag, index);
    assert_memory_equal(item->body.data, &index, sizeof index);
    reading->taken++;
    *stop = index == reading->stop;
    return NERO_OK;
}

static enum nero_status run(struct reading *reading, uint64_t count, struct nero_err *err)
{
    struct ahead ahead = {.context = reading,
                          .count = count,
                          .bytes_max = 16,
                          .read = read_number,
                          .take = take_number};
    enum nero_status status = ahead_run(&ahead, err);

    assert_int_equal(atomic_load(&reading->running), 0); /* nobody is left behind */
    return status;
}

static void test_ahead__everything_comes_in_order(void **state)
{
    static const uint64_t counts[] = {0, 1, AHEAD_ALONE_MAX, AHEAD_ALONE_MAX + 1, AHEAD_ROOM, 1000};

    (void)state;
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        struct reading reading = {.refuse = UINT64_MAX, .stop = UINT64_MAX};
        struct nero_err err;

        assert_int_equal(run(&reading, counts[i], &err), NERO_OK);
        assert_int_equal(reading.taken, counts[i]);
    }
}

static void test_ahead__a_failure_comes_at_its_number(void **state)
{
    (void)state;
    for (uint64_t count = AHEAD_ALONE_MAX; count <= 400; count += 384) {
        struct reading reading = {.refuse = count - 3, .stop = UINT64_MAX};
        struct nero_err err;

        assert_int_equal(run(&reading, count, &err), NERO_DENIED);
        assert_int_equal(reading.taken, count - 3);
    }
}

static void test_ahead__stopping_is_no_failure(void **state)
{
    (void)state;
    for (uint64_t count = AHEAD_ALONE_MAX; count <= 400; count += 384) {
        struct reading reading = {.refuse = count - 1, .stop = count / 2};
        struct nero_err err;

        assert_int_equal(run(&reading, count, &err), NERO_OK);
        assert_int_equal(reading.taken, count / 2 + 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ahead__everything_comes_in_order),
        cmocka_unit_test(test_ahead__a_failure_comes_at_its_number),
        cmocka_unit_test(test_ahead__stopping_is_no_failure),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
