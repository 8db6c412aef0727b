#include "nero/mem.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum { PAST_BYTES_MIN = 1 << 20, LINE_BYTES = 64 };

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

#ifdef __SSE2__
/* `to` is aligned to LINE_BYTES, of which there are `lines`. */
static void copy_lines(uint8_t *to, const uint8_t *from, size_t lines)
{
    for (size_t i = 0; i < lines; i++, to += LINE_BYTES, from += LINE_BYTES) {
        __m128i parts[LINE_BYTES / sizeof(__m128i)];

        for (size_t k = 0; k < sizeof parts / sizeof *parts; k++) {
            parts[k] = _mm_loadu_si128((const __m128i *)(const void *)from + k);
        }
        for (size_t k = 0; k < sizeof parts / sizeof *parts; k++) {
            _mm_stream_si128((__m128i *)(void *)to + k, parts[k]);
        }
    }
    _mm_sfence(); /* such stores are ordered by nothing else */
}

void mem_copy_past(void *to, const void *from, size_t bytes)
{
    size_t head = (size_t)(-(uintptr_t)to % LINE_BYTES);
    size_t lines = bytes >= PAST_BYTES_MIN ? (bytes - head) / LINE_BYTES : 0;
    size_t done = lines > 0 ? head + lines * LINE_BYTES : 0;

    if (lines > 0) {
        memcpy(to, from, head);
        copy_lines((uint8_t *)to + head, (const uint8_t *)from + head, lines);
    }
    memcpy((uint8_t *)to + done, (const uint8_t *)from + done, bytes - done);
}
#else
void mem_copy_past(void *to, const void *from, size_t bytes)
{
    memcpy(to, from, bytes);
}
#endif
