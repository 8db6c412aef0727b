/*
 * Goal: every way to allocate obeys the plan of failures, checks overflow and aligns tensors.
 * Method: a plan for each function; sizes around the limits.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nero/mem.h"

enum { KINDS = 7 };

static void *allocate(int kind)
{
    switch (kind) {
    case 0:
        return mem_alloc(8);
    case 1:
        return mem_calloc(2, 8);
    case 2:
        return mem_realloc(NULL, 8);
    case 3:
        return mem_realloc_array(NULL, 2, 8);
    case 4:
        return mem_dup("abc", 3);
    case 5:
        return mem_strdup("abc");
    default:
        return mem_alloc_tensor(8);
    }
}

static void test_mem__every_allocation_can_be_made_to_fail(void **state)
{
    (void)state;
    for (int kind = 0; kind < KINDS; kind++) {
        void *first;
        void *third;

        (void)mem_fail_plan(1, 1);
        first = allocate(kind);
        assert_null(allocate(kind));
        third = allocate(kind);
        assert_non_null(first);
        assert_non_null(third);
        assert_int_equal(mem_fail_plan(0, 0), 1);
        free(first);
        free(third);
    }
}

static void test_mem__failing_for_good_and_off(void **state)
{
    void *ptr;

    (void)state;
    (void)mem_fail_plan(0, -1);
    for (int i = 0; i < 5; i++) {
        assert_null(mem_alloc(1));
    }
    assert_int_equal(mem_fail_plan(0, 0), 5);
    ptr = mem_alloc(1);
    assert_non_null(ptr);
    assert_int_equal(mem_fail_plan(0, 0), 0);
    free(ptr);
}

static void test_mem__failed_realloc_keeps_the_memory(void **state)
{
    char *ptr = mem_strdup("keep");

    (void)state;
    (void)mem_fail_plan(0, 1);
    assert_null(mem_realloc(ptr, 1000));
    (void)mem_fail_plan(0, 0);
    assert_string_equal(ptr, "keep");
    free(ptr);
}

static void test_mem__sizes(void **state)
{
    volatile size_t large = SIZE_MAX; /* so that the compiler does not warn of it */
    unsigned char *zeros = mem_calloc(100, 3);
    void *none = mem_alloc(0);
    void *none_each = mem_calloc(0, 8);

    (void)state;
    assert_non_null(none);
    assert_non_null(none_each);
    for (int i = 0; i < 300; i++) {
        assert_int_equal(zeros[i], 0);
    }
    assert_null(mem_realloc_array(NULL, large / 2, 3));
    assert_null(mem_calloc(large / 2, 3));
    assert_null(mem_alloc_tensor(large));
    free(zeros);
    free(none);
    free(none_each);
}

static void test_mem__tensors_are_aligned_and_zero(void **state)
{
    static const size_t sizes[] = {0, 1, 63, 64, 65, 1000};

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        unsigned char *tensor = mem_alloc_tensor(sizes[i]);
        size_t rounded = (sizes[i] + 63) / 64 * 64;

        assert_non_null(tensor);
        assert_int_equal((uintptr_t)tensor % MEM_TENSOR_ALIGN, 0);
        for (size_t k = 0; k < rounded; k++) { /* the padding may be read by vector loads */
            assert_int_equal(tensor[k], 0);
        }
        free(tensor);
    }
}

/* At every alignment, below and above the size from which it goes past the caches, and with the
 * bytes around it left alone. */
static void test_mem__copies_past_the_caches(void **state)
{
    enum { ROOM = (1 << 20) + 1024, GUARD = 0xa5 };

    uint8_t *from = mem_alloc(ROOM);
    uint8_t *to = mem_alloc(ROOM);

    (void)state;
    assert_true(from != NULL && to != NULL);
    for (size_t i = 0; i < ROOM; i++) {
        from[i] = (uint8_t)(i * 2654435761u >> 13);
    }
    for (size_t k = 0; k < 130; k++) {
        size_t bytes = k % 13 == 0 ? k : (1u << 20) - 1 + k;
        size_t at = 1 + k % 67;
        size_t source = 1 + k * 7 % 71;

        memset(to, GUARD, ROOM);
        mem_copy_past(to + at, from + source, bytes);
        assert_int_equal(to[at - 1], GUARD);
        assert_memory_equal(to + at, from + source, bytes);
        assert_int_equal(to[at + bytes], GUARD);
    }
    free(from);
    free(to);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mem__every_allocation_can_be_made_to_fail),
        cmocka_unit_test(test_mem__failing_for_good_and_off),
        cmocka_unit_test(test_mem__failed_realloc_keeps_the_memory),
        cmocka_unit_test(test_mem__sizes),
        cmocka_unit_test(test_mem__tensors_are_aligned_and_zero),
        cmocka_unit_test(test_mem__copies_past_the_caches),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
