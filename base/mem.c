#include "nero/mem.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* fail_times == 0 means off, the only state in production: one relaxed load an allocation. */
static atomic_long fail_skip;
static atomic_long fail_times;
static atomic_int fail_fired;

static int mem_should_fail(void)
{
    if (atomic_load_explicit(&fail_times, memory_order_relaxed) == 0) {
        return 0;
    }
    if (atomic_fetch_sub(&fail_skip, 1) > 0) {
        return 0;
    }
    if (atomic_load(&fail_times) > 0 && atomic_fetch_sub(&fail_times, 1) <= 0) {
        return 0;
    }
    atomic_fetch_add(&fail_fired, 1);
    return 1;
}

int mem_fail_plan(long skip, long times)
{
    int fired = atomic_exchange(&fail_fired, 0);

    atomic_store(&fail_skip, skip);
    atomic_store(&fail_times, times);
    return fired;
}

void *mem_alloc(size_t bytes)
{
    return mem_should_fail() ? NULL : malloc(bytes > 0 ? bytes : 1);
}

void *mem_calloc(size_t count, size_t bytes_each)
{
    size_t bytes;

    /* calloc checks, too, but under a sanitizer it ends the program. */
    if (mem_should_fail() || __builtin_mul_overflow(count, bytes_each, &bytes)) {
        return NULL;
    }
    return count > 0 && bytes_each > 0 ? calloc(count, bytes_each) : calloc(1, 1);
}

void *mem_realloc(void *ptr, size_t bytes)
{
    return mem_should_fail() ? NULL : realloc(ptr, bytes > 0 ? bytes : 1);
}

void *mem_realloc_array(void *ptr, size_t count, size_t bytes_each)
{
    size_t bytes;

    if (__builtin_mul_overflow(count, bytes_each, &bytes)) {
        return NULL;
    }
    return mem_realloc(ptr, bytes);
}

void *mem_dup(const void *data, size_t bytes)
{
    void *copy = mem_alloc(bytes);

    if (copy != NULL && bytes > 0) {
        memcpy(copy, data, bytes);
    }
    return copy;
}

char *mem_strdup(const char *text)
{
    return mem_dup(text, strlen(text) + 1);
}

void *mem_alloc_tensor(size_t bytes)
{
    size_t rounded;
    void *ptr;

    if (mem_should_fail() || bytes > SIZE_MAX - MEM_TENSOR_ALIGN) {
        return NULL;
    }
    rounded = (bytes + MEM_TENSOR_ALIGN - 1) / MEM_TENSOR_ALIGN * MEM_TENSOR_ALIGN;
    rounded = rounded > 0 ? rounded : MEM_TENSOR_ALIGN;
    ptr = aligned_alloc(MEM_TENSOR_ALIGN, rounded);
    if (ptr != NULL) {
        memset(ptr, 0, rounded);
    }
    return ptr;
}
