/*
 * Memory. All allocation of the project goes through here, so that a test can make the N-th one
 * fail. Everything is freed with free().
 */
#ifndef NERO_MEM_H
#define NERO_MEM_H

#include <stddef.h>

enum { MEM_TENSOR_ALIGN = 64 }; /* bytes: a cache line and an AVX-512 register */

/* NULL when there is no memory or count * size overflows. A size of 0 gives one byte. */
void *mem_alloc(size_t bytes);
void *mem_calloc(size_t count, size_t bytes_each);
void *mem_realloc(void *ptr, size_t bytes);
void *mem_realloc_array(void *ptr, size_t count, size_t bytes_each);
void *mem_dup(const void *data, size_t bytes);
char *mem_strdup(const char *text);

/* Zeroed, aligned to MEM_TENSOR_ALIGN, size rounded up to it. */
void *mem_alloc_tensor(size_t bytes);

/*
 * memcpy for what this thread does not read again: beyond a size the copy goes past the caches,
 * which is faster (nothing is fetched to be written over) and leaves them to the work at hand. The
 * ranges do not overlap.
 */
void mem_copy_past(void *to, const void *from, size_t bytes);

/*
 * Tests only: let `skip` allocations pass, then fail the next `times` (negative: all that follow).
 * Returns how many failures the former plan had fired. times = 0 switches failing off.
 */
int mem_fail_plan(long skip, long times);

#endif
