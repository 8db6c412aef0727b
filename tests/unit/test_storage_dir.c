/*
 * Goal: whatever system call fails, a folder store answers the right status, never takes a failure
 * for absence, and leaves the old object or the new one.
 * Method: the linker sends the store's system calls through this file (-Wl,--wrap), which counts
 * them and makes the N-th fail, for N = 1, 2, ... until none fires, or one kind of them.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "nero/clock.h"
#include "nero/storage.h"
#include "nero/thread.h"
#include "tests/support/temp_folder.h"

static struct {
    long nth;         /* of the calls that count, from 1; 0: none fails */
    const char *only; /* the call that counts; NULL: all */
    int error;
    long calls;
    long fired;
} fault;

static int should_fail(const char *call)
{
    if (fault.nth == 0 || (fault.only != NULL && strcmp(fault.only, call) != 0)) {
        return 0;
    }
    fault.calls++;
    if (fault.calls != fault.nth) {
        return 0;
    }
    fault.fired++;
    errno = fault.error;
    return 1;
}

static void set_fault(const char *only, long nth, int error)
{
    fault.nth = nth;
    fault.only = only;
    fault.error = error;
    fault.calls = 0;
    fault.fired = 0;
}

#define WRAP(type, call, parameters, arguments)                         \
    type __real_##call parameters;                                      \
    type __wrap_##call parameters;                                      \
    type __wrap_##call parameters                                       \
    {                                                                   \
        return should_fail(#call) ? (type)-1 : __real_##call arguments; \
    }

WRAP(int, openat, (int fd, const char *path, int flags, mode_t mode), (fd, path, flags, mode))
WRAP(int, fstat, (int fd, struct stat *info), (fd, info))
WRAP(int, fstatat, (int fd, const char *path, struct stat *info, int flags),
     (fd, path, info, flags))
WRAP(int, fsync, (int fd), (fd))
WRAP(int, linkat, (int fd, const char *path, int to_fd, const char *to, int flags),
     (fd, path, to_fd, to, flags))
WRAP(int, unlinkat, (int fd, const char *path, int flags), (fd, path, flags))
WRAP(int, mkdirat, (int fd, const char *path, mode_t mode), (fd, path, mode))

/* Called once, before the next rename. */
static void (*before_rename)(void);

int __real_renameat(int fd, const char *path, int to_fd, const char *to);
int __wrap_renameat(int fd, const char *path, int to_fd, const char *to);
int __wrap_renameat(int fd, const char *path, int to_fd, const char *to)
{
    void (*hook)(void) = before_rename;

    before_rename = NULL;
    if (hook != NULL) {
        hook();
    }
    return should_fail("renameat") ? -1 : __real_renameat(fd, path, to_fd, to);
}

/* While `locked`, somebody else holds every lock, and time passes only in sleeps. */
static bool locked;
static int64_t virtual_ns;

int __real_flock(int fd, int operation);
int __wrap_flock(int fd, int operation);
int __wrap_flock(int fd, int operation)
{
    if (locked) {
        errno = EWOULDBLOCK;
        return -1;
    }
    return should_fail("flock") ? -1 : __real_flock(fd, operation);
}

int __real_nanosleep(const struct timespec *pause, struct timespec *left);
int __wrap_nanosleep(const struct timespec *pause, struct timespec *left);
int __wrap_nanosleep(const struct timespec *pause, struct timespec *left)
{
    if (!locked) {
        return __real_nanosleep(pause, left);
    }
    virtual_ns += pause->tv_sec * 1000000000 + pause->tv_nsec;
    return 0;
}

int __real_clock_gettime(clockid_t id, struct timespec *now);
int __wrap_clock_gettime(clockid_t id, struct timespec *now);
int __wrap_clock_gettime(clockid_t id, struct timespec *now)
{
    if (!locked) {
        return __real_clock_gettime(id, now);
    }
    *now = (struct timespec){.tv_sec = virtual_ns / 1000000000, .tv_nsec = virtual_ns % 1000000000};
    return 0;
}

/* close(2) has closed also when it fails. */
int __real_close(int fd);
int __wrap_close(int fd);
int __wrap_close(int fd)
{
    int fails = should_fail("close");
    int error = errno;
    int result = __real_close(fd);

    errno = fails ? error : errno;
    return fails ? -1 : result;
}

/* error 0: a read that ends early, a write that takes only a part. */
ssize_t __real_pread(int fd, void *data, size_t bytes, off_t offset);
ssize_t __wrap_pread(int fd, void *data, size_t bytes, off_t offset);
ssize_t __wrap_pread(int fd, void *data, size_t bytes, off_t offset)
{
    if (should_fail("pread")) {
        return fault.error == 0 ? 0 : -1;
    }
    return __real_pread(fd, data, bytes > 1 && fault.nth != 0 ? bytes / 2 : bytes, offset);
}

ssize_t __real_write(int fd, const void *data, size_t bytes);
ssize_t __wrap_write(int fd, const void *data, size_t bytes);
ssize_t __wrap_write(int fd, const void *data, size_t bytes)
{
    if (fault.nth == 0) {
        return __real_write(fd, data, bytes);
    }
    return should_fail("write") ? -1 : __real_write(fd, data, bytes > 1 ? bytes / 2 : bytes);
}

static char folder[TEMP_FOLDER_BYTES];
static char url[STORAGE_URL_BYTES_MAX];
static struct storage *store;
static struct nero_err err;

static int open_store(void **state)
{
    (void)state;
    set_fault(NULL, 0, 0);
    if (temp_folder_make(folder, NULL) != 0) {
        return -1;
    }
    (void)snprintf(url, sizeof url, "file://%s", folder);
    return storage_open(url, true, &store, &err) != NERO_OK;
}

static int close_store(void **state)
{
    (void)state;
    set_fault(NULL, 0, 0);
    storage_close(store);
    temp_folder_remove(folder);
    return 0;
}

/* 'o': "d/k" holds "old", 'n': "new", '-': it is absent. */
static char look(void)
{
    struct bytes out;
    char seen = '-';

    bytes_init(&out, 10);
    if (storage_get(store, "d/k", &out, NULL, &err) == NERO_OK) {
        assert_int_equal(out.bytes, 3);
        seen = (char)out.data[0];
    } else {
        assert_int_equal(err.status, NERO_NOT_FOUND);
    }
    bytes_fini(&out);
    return seen;
}

enum { OPERATIONS = 8 };

/* What each operation begins with and ends with when it succeeds. */
static const char begins[] = "-o-ooooo";
static const char ends[] = "nnnn-ooo";

static enum nero_status operate(int operation, const char *etag)
{
    struct bytes_view body = bytes_view_str("new");
    struct storage_list list = {0};
    struct storage_info info;
    enum nero_status status;
    struct bytes out;

    bytes_init(&out, 10);
    switch (operation) {
    case 0:
    case 1:
        status = storage_put(store, "d/k", body, &err);
        break;
    case 2:
        status = storage_put_if_absent(store, "d/k", body, &err);
        break;
    case 3:
        status = storage_put_if_match(store, "d/k", body, etag, &err);
        break;
    case 4:
        status = storage_remove(store, "d/k", &err);
        break;
    case 5:
        status = storage_get(store, "d/k", &out, &info, &err);
        assert_int_equal(out.bytes, status == NERO_OK ? 3 : 0);
        break;
    case 6:
        status = storage_list_page(store, "", NULL, 10, &list, &err);
        break;
    default:
        status = storage_head(store, "d/k", &info, &err);
        break;
    }
    storage_list_fini(&list);
    bytes_fini(&out);
    return status;
}

/* A store that is fresh in memory, too: without folders known to be durable. */
static void reset(int operation, char etag[STORAGE_ETAG_BYTES_MAX])
{
    struct storage_info info = {0};

    storage_close(store);
    temp_folder_remove(folder);
    assert_int_equal(storage_open(url, true, &store, &err), NERO_OK);
    if (begins[operation] == 'o') {
        assert_int_equal(storage_put(store, "d/k", bytes_view_str("old"), &err), NERO_OK);
        assert_int_equal(storage_head(store, "d/k", &info, &err), NERO_OK);
    }
    memcpy(etag, info.etag, sizeof info.etag);
}

static void test_storage_dir__any_failing_call_leaves_old_or_new(void **state)
{
    static const int errors[] = {EIO, ENOSPC, EACCES, ENFILE};
    char etag[STORAGE_ETAG_BYTES_MAX];

    (void)state;
    for (int operation = 0; operation < OPERATIONS; operation++) {
        long fired = 1;
        long nth = 0;

        while (fired > 0) {
            enum nero_status status;
            char seen;
            int error = errors[nth % 4];

            nth++;
            reset(operation, etag);
            set_fault(NULL, nth, error);
            status = operate(operation, etag);
            fired = fault.fired;
            set_fault(NULL, 0, 0);
            seen = look();
            if (status == NERO_OK) {
                assert_int_equal(seen, ends[operation]);
            } else if (status == NERO_UNKNOWN) {
                assert_true(seen == ends[operation] || seen == begins[operation]);
            } else {
                assert_true(fired > 0);
                assert_int_equal(seen, begins[operation]);
                assert_true(status == NERO_UNAVAILABLE || status == NERO_NO_SPACE ||
                            status == NERO_DENIED);
            }
        }
        assert_true(nth > 2);
    }
}

static void test_storage_dir__statuses(void **state)
{
    static const struct {
        int operation;
        const char *call;
        long nth;
        int error;
        enum nero_status status;
    } cases[] = {
        {0, "write", 1, ENOSPC, NERO_NO_SPACE},
        {0, "write", 2, EDQUOT, NERO_NO_SPACE},
        {2, "fsync", 1, EIO, NERO_UNAVAILABLE},
        {2, "fsync", 2, EIO, NERO_UNKNOWN}, /* of the folder: the object is there */
        {2, "fsync", 3, EIO, NERO_UNKNOWN}, /* of the folder above, which is new */
        {1, "close", 1, EDQUOT, NERO_NO_SPACE},
        {1, "flock", 1, ENOLCK, NERO_UNAVAILABLE},
        {2, "linkat", 1, EACCES, NERO_DENIED},
        {2, "linkat", 1, EIO, NERO_UNKNOWN},
        {1, "renameat", 1, EROFS, NERO_DENIED},
        {1, "renameat", 1, EIO, NERO_UNKNOWN},
        {4, "unlinkat", 1, EROFS, NERO_DENIED},
        {4, "unlinkat", 1, EIO, NERO_UNKNOWN},
        {0, "mkdirat", 1, ENOSPC, NERO_NO_SPACE},
        {5, "openat", 1, EIO, NERO_UNAVAILABLE},
        {5, "openat", 1, EACCES, NERO_DENIED},
        {5, "openat", 1, EMFILE, NERO_UNAVAILABLE},
        {5, "openat", 1, ENOENT, NERO_NOT_FOUND},
        {5, "pread", 1, EIO, NERO_UNAVAILABLE},
        {5, "pread", 2, EIO, NERO_UNAVAILABLE},
        {5, "pread", 1, 0, NERO_CORRUPT}, /* shorter than its size */
        {5, "pread", 2, 0, NERO_CORRUPT},
        {5, "pread", 1, EINTR, NERO_OK},
        {7, "pread", 1, 0, NERO_CORRUPT},
        {7, "fstat", 1, EIO, NERO_UNAVAILABLE},
        {6, "fstatat", 1, EIO, NERO_UNAVAILABLE},
        {6, "openat", 1, ENFILE, NERO_UNAVAILABLE},
        {6, "openat", 2, EACCES, NERO_DENIED},
        {3, "pread", 1, EIO, NERO_UNAVAILABLE},
        {3, "openat", 1, ENOENT, NERO_UNAVAILABLE}, /* of the temporary file */
        {3, "openat", 2, ENOENT, NERO_UNAVAILABLE}, /* of the lock */
        {3, "openat", 3, ENOENT, NERO_NOT_FOUND},   /* of the object */
    };
    char etag[STORAGE_ETAG_BYTES_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        enum nero_status status;

        reset(cases[i].operation, etag);
        set_fault(cases[i].call, cases[i].nth, cases[i].error);
        status = operate(cases[i].operation, etag);
        if (fault.fired != 1 || status != cases[i].status) {
            fail_msg("case %zu: %s fired %ld times, status %s", i, cases[i].call, fault.fired,
                     err_status_name(status));
        }
        set_fault(NULL, 0, 0);
    }
}

static void test_storage_dir__failed_writes_leave_no_temporary_file(void **state)
{
    char path[TEMP_FOLDER_BYTES + 64];
    char etag[STORAGE_ETAG_BYTES_MAX];
    static const char *const calls[] = {"write", "fsync", "close", "linkat"};

    (void)state;
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        reset(2, etag);
        set_fault(calls[i], 1, ENOSPC);
        assert_int_equal(operate(2, etag), NERO_NO_SPACE);
        set_fault(NULL, 0, 0);
        (void)snprintf(path, sizeof path, "%s/~nero/tmp", folder);
        assert_int_equal(rmdir(path), 0); /* it is empty */
    }
}

static void test_storage_dir__no_links_no_store(void **state)
{
    struct storage *refused = NULL;

    (void)state;
    set_fault("linkat", 1, EPERM);
    assert_int_equal(storage_open(url, true, &refused, &err), NERO_INVALID);
    assert_non_null(strstr(err.message, "has no hard links (link: Operation not permitted)"));
    assert_non_null(strstr(err.message, url));
    set_fault("linkat", 1, EOPNOTSUPP);
    assert_int_equal(storage_open(url, false, &refused, &err), NERO_INVALID);
    set_fault("linkat", 2, EIO); /* the second must say EEXIST */
    assert_int_equal(storage_open(url, true, &refused, &err), NERO_INVALID);
    set_fault("linkat", 1, ENOSPC);
    assert_int_equal(storage_open(url, true, &refused, &err), NERO_NO_SPACE);
    assert_null(refused);
}

/*
 * The narrowest race: a put, then a remove, that begin when a conditional replace has compared and
 * not yet renamed. They must wait for it; a put that got in between would be lost.
 */
static struct thread other;
static atomic_bool other_done;
static enum nero_status other_status;
static bool other_removes;

static void run_other(void *context)
{
    struct nero_err other_err;

    (void)context;
    other_status = other_removes ? storage_remove(store, "d/k", &other_err)
                                 : storage_put(store, "d/k", bytes_view_str("put"), &other_err);
    atomic_store(&other_done, true);
}

static void start_other(void)
{
    assert_int_equal(thread_start(&other, "other", run_other, NULL, &err), NERO_OK);
    for (int i = 0; i < 50 && !atomic_load(&other_done); i++) {
        clock_sleep_ms(clock_system(), 1);
    }
}

static void test_storage_dir__nothing_comes_between_compare_and_replace(void **state)
{
    char etag[STORAGE_ETAG_BYTES_MAX];

    (void)state;
    for (int removes = 0; removes < 2; removes++) {
        reset(3, etag);
        other_removes = removes == 1;
        atomic_store(&other_done, false);
        before_rename = start_other;
        assert_int_equal(operate(3, etag), NERO_OK);
        thread_join(&other);
        assert_int_equal(other_status, NERO_OK);
        assert_int_equal(look(), removes == 1 ? '-' : 'p');
    }
}

/* A holder that is stopped must not stop everybody for good. */
static void test_storage_dir__a_held_lock_is_a_timeout(void **state)
{
    char etag[STORAGE_ETAG_BYTES_MAX];
    static const int locking[] = {1, 3, 4};

    (void)state;
    for (size_t i = 0; i < sizeof locking / sizeof locking[0]; i++) {
        enum nero_status status;

        reset(locking[i], etag);
        virtual_ns = 0;
        locked = true;
        status = operate(locking[i], etag);
        locked = false;
        assert_int_equal(status, NERO_TIMEOUT);
        assert_true(virtual_ns >= INT64_C(10000000000) && virtual_ns < INT64_C(11000000000));
        assert_int_equal(look(), 'o');
    }
}

int main(void)
{
#define DIR_TEST(name) cmocka_unit_test_setup_teardown(name, open_store, close_store)
    const struct CMUnitTest tests[] = {
        DIR_TEST(test_storage_dir__any_failing_call_leaves_old_or_new),
        DIR_TEST(test_storage_dir__statuses),
        DIR_TEST(test_storage_dir__failed_writes_leave_no_temporary_file),
        DIR_TEST(test_storage_dir__no_links_no_store),
        DIR_TEST(test_storage_dir__nothing_comes_between_compare_and_replace),
        DIR_TEST(test_storage_dir__a_held_lock_is_a_timeout),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
