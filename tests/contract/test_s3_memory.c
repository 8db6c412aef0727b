/*
 * Goal: whatever the size of an object, s3:// needs less than 64 MiB beside the caller's buffer.
 * Method: objects of 256 MiB and of 1 GiB to a real gateway and back, each in a process of its own
 * whose largest memory the kernel tells; what comes back is what was put.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "nero/storage.h"
#include "tests/support/rgw.h"

enum { MIB = 1024 * 1024, BEYOND_BYTES_MAX = 64 * MIB };

static struct rgw gateway;

/* A word of the object, other ones in each part of it. */
static uint64_t word_at(size_t index)
{
    return (index + 1) * UINT64_C(0x9e3779b97f4a7c15);
}

static bool put_object(struct storage *store, size_t bytes, struct nero_err *err)
{
    uint64_t *words = malloc(bytes);
    bool good = words != NULL;

    for (size_t i = 0; good && i < bytes / sizeof *words; i++) {
        words[i] = word_at(i);
    }
    good = good && storage_put(store, "large", bytes_view_of(words, bytes), err) == NERO_OK;
    free(words);
    return good;
}

static bool get_object(struct storage *store, size_t bytes, struct nero_err *err)
{
    struct bytes out;
    bool good;

    bytes_init(&out, bytes);
    good = storage_get(store, "large", &out, NULL, err) == NERO_OK && out.bytes == bytes;
    for (size_t i = 0; good && i < bytes / sizeof(uint64_t); i++) {
        uint64_t word;

        memcpy(&word, out.data + i * sizeof word, sizeof word);
        good = word == word_at(i);
    }
    bytes_fini(&out);
    return good;
}

/* The largest memory of a process that moves the object. */
static size_t memory_of(bool (*move)(struct storage *, size_t, struct nero_err *), size_t bytes)
{
    struct rusage used;
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        struct nero_err err = {.message = "other bytes"};
        struct storage *store = NULL;
        bool good = storage_open("s3://memory/x", true, &store, &err) == NERO_OK &&
                    move(store, bytes, &err);

        if (!good) {
            print_error("%s\n", err.message);
        }
        storage_close(store);
        _exit(good ? 0 : 1);
    }
    assert_true(pid > 0);
    assert_int_equal(wait4(pid, &status, 0, &used), pid);
    assert_int_equal(status, 0);
    return (size_t)used.ru_maxrss * 1024;
}

static void test_s3__memory_does_not_grow_with_the_object(void **state)
{
    static const size_t sizes[] = {(size_t)256 * MIB, (size_t)1024 * MIB};

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t put_bytes = memory_of(put_object, sizes[i]);
        size_t get_bytes = memory_of(get_object, sizes[i]);

        print_message("%zu MiB: put %zu MiB, get %zu MiB\n", sizes[i] / MIB, put_bytes / MIB,
                      get_bytes / MIB);
        assert_in_range(put_bytes, sizes[i], sizes[i] + BEYOND_BYTES_MAX - 1);
        assert_in_range(get_bytes, sizes[i], sizes[i] + BEYOND_BYTES_MAX - 1);
    }
}

static int start(void **state)
{
    (void)state;
    rgw_start(&gateway);
    rgw_set_environment(&gateway);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    rgw_stop(&gateway);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_s3__memory_does_not_grow_with_the_object)};

    return cmocka_run_group_tests(tests, start, stop);
}
