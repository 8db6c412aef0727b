/*
 * Goal: a folder store keeps its promises between processes, and through their deaths.
 * Method: 8 processes race creates; a writing process is killed with SIGKILL at many random moments
 * and every object is looked at; leftovers, foreign files, a removed root and missing permission
 * are made on purpose.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "contract.h"
#include "nero/clock.h"
#include "nero/hash.h"
#include "nero/rng.h"

enum { PROCESSES = 8, RACE_KEYS = 25, KILLS = 60, KILL_KEYS = 6, BODY_BYTES_MAX = 200000 };

static void wait_until(int64_t mono_ns)
{
    while (clock_mono_ns(clock_system()) < mono_ns) {
    }
}

/* In the child: create every key at an agreed moment; bit i of `won` is key i. Never returns. */
static void race_child(int child, int64_t start_ns, int result_fd)
{
    uint32_t won = 0;
    struct storage *store;
    struct nero_err err;

    if (storage_open(storage_url(contract.store), false, &store, &err) != NERO_OK) {
        _exit(1);
    }
    for (int i = 0; i < RACE_KEYS; i++) {
        char key[64];
        char body[64];
        enum nero_status status;

        (void)snprintf(key, sizeof key, "race/%d/k", i);
        (void)snprintf(body, sizeof body, "child %d", child);
        wait_until(start_ns + (int64_t)i * 3000000);
        status = storage_put_if_absent(store, key, bytes_view_str(body), &err);
        if (status != NERO_OK && status != NERO_EXISTS) {
            _exit(2);
        }
        won |= status == NERO_OK ? UINT32_C(1) << i : 0;
    }
    storage_close(store);
    _exit(write(result_fd, &won, sizeof won) == (ssize_t)sizeof won ? 0 : 3);
}

static void test_storage__of_8_processes_one_creates(void **state)
{
    int64_t start_ns = clock_mono_ns(clock_system()) + 50000000;
    uint32_t won[PROCESSES] = {0};
    pid_t children[PROCESSES];
    int pipes[PROCESSES][2];

    (void)state;
    for (int i = 0; i < PROCESSES; i++) {
        assert_int_equal(pipe(pipes[i]), 0);
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] == 0) {
            race_child(i, start_ns, pipes[i][1]);
        }
    }
    for (int i = 0; i < PROCESSES; i++) {
        int status;

        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        assert_int_equal(read(pipes[i][0], &won[i], sizeof won[i]), sizeof won[i]);
        (void)close(pipes[i][0]);
        (void)close(pipes[i][1]);
    }
    for (int k = 0; k < RACE_KEYS; k++) {
        int winners = 0;

        for (int i = 0; i < PROCESSES; i++) {
            char key[64];
            char body[64];

            if ((won[i] >> k & 1) == 0) {
                continue;
            }
            winners++;
            (void)snprintf(key, sizeof key, "race/%d/k", k);
            (void)snprintf(body, sizeof body, "child %d", i);
            contract_assert_body(contract.store, key, body);
        }
        assert_int_equal(winners, 1);
    }
}

/* A body that shows whether it is whole: 32 bytes of hash, then what is hashed. */
static size_t make_body(uint8_t *body, struct rng_stream *stream)
{
    size_t bytes = HASH_BYTES + rng_below(stream, BODY_BYTES_MAX - HASH_BYTES);
    struct hash hash;

    memset(body, (int)rng_below(stream, 256), bytes);
    bytes_put_u64le(body + HASH_BYTES - 8, rng_u64(stream));
    hash = hash_of(bytes_view_of(body + HASH_BYTES, bytes - HASH_BYTES));
    memcpy(body, hash.data, HASH_BYTES);
    return bytes;
}

static bool is_whole(const struct bytes *body)
{
    struct hash hash;

    if (body->bytes < HASH_BYTES) {
        return false;
    }
    hash = hash_of(bytes_view_of(body->data + HASH_BYTES, body->bytes - HASH_BYTES));
    return memcmp(hash.data, body->data, HASH_BYTES) == 0;
}

/* In the child: all kinds of writes until killed. */
static void write_until_killed(uint64_t seed)
{
    struct rng_stream stream = rng_stream(seed, RNG_TEST, 0, 0, 0);
    uint8_t *body = malloc(BODY_BYTES_MAX);
    struct storage *store;
    struct nero_err err;

    if (body == NULL || storage_open(storage_url(contract.store), false, &store, &err) != NERO_OK) {
        _exit(1);
    }
    for (;;) {
        size_t bytes = make_body(body, &stream);
        struct bytes_view view = bytes_view_of(body, bytes);
        struct storage_info info;
        char key[64];

        (void)snprintf(key, sizeof key, "k%d/x/%d", (int)rng_below(&stream, 3),
                       (int)rng_below(&stream, KILL_KEYS));
        switch (rng_below(&stream, 5)) {
        case 0:
            (void)storage_put_if_absent(store, key, view, &err);
            break;
        case 1:
            if (storage_head(store, key, &info, &err) == NERO_OK) {
                (void)storage_put_if_match(store, key, view, info.etag, &err);
            }
            break;
        case 2:
            (void)storage_remove(store, key, &err);
            break;
        default:
            (void)storage_put(store, key, view, &err);
            break;
        }
    }
}

static enum nero_status check_whole(void *context, const char *key, uint64_t bytes,
                                    struct nero_err *err)
{
    enum nero_status status;
    struct bytes body;

    bytes_init(&body, BODY_BYTES_MAX);
    status = storage_get(contract.store, key, &body, NULL, err);
    if (status == NERO_OK && (!is_whole(&body) || body.bytes != bytes)) {
        status = err_set(err, NERO_CORRUPT, 0, "'%s' is not whole", key);
    }
    bytes_fini(&body);
    ++*(size_t *)context;
    return status;
}

static size_t count_files(const char *folder)
{
    char path[TEMP_FOLDER_BYTES + 64];
    const struct dirent *entry;
    size_t count = 0;
    DIR *dir;

    (void)snprintf(path, sizeof path, "%s/store/%s", contract.folder, folder);
    dir = opendir(path);
    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL) {
        count += entry->d_name[0] != '.' ? 1 : 0;
    }
    (void)closedir(dir);
    return count;
}

static void test_storage__killed_writers_leave_whole_objects(void **state)
{
    struct rng_stream stream = rng_stream(21, RNG_TEST, 0, 0, 0);
    size_t objects = 0;
    size_t left_over;

    (void)state;
    for (uint64_t kill_count = 0; kill_count < KILLS; kill_count++) {
        struct timespec pause = {.tv_nsec = (long)rng_below(&stream, 15000000)};
        pid_t child = fork();
        int status;

        assert_true(child >= 0);
        if (child == 0) {
            write_until_killed(kill_count);
        }
        (void)nanosleep(&pause, NULL);
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        if (storage_list_each(contract.store, "", check_whole, &objects, &contract.err) !=
            NERO_OK) {
            fail_msg("%s", contract.err.message);
        }
    }
    left_over = count_files("~nero/tmp");
    assert_true(objects > KILLS); /* the children did write */
    assert_true(left_over > 0);   /* and were killed within a write */
    /* No lock outlives its holder: every key can be written at once. */
    for (int i = 0; i < 3 * KILL_KEYS; i++) {
        char key[64];

        (void)snprintf(key, sizeof key, "k%d/x/%d", i % 3, i / 3);
        assert_int_equal(contract_put(key, "x"), NERO_OK);
    }
    assert_int_equal(count_files("~nero/tmp"), left_over);
}

static void test_storage__old_leftovers_are_swept_at_open(void **state)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {0}};
    char path[TEMP_FOLDER_BYTES + 64];
    struct storage *again;
    int64_t now_s = clock_wall_ms(clock_system()) / 1000;

    (void)state;
    for (int i = 0; i < 2; i++) {
        int fd;

        (void)snprintf(path, sizeof path, "%s/store/~nero/tmp/left-%d", contract.folder, i);
        fd = open(path, O_WRONLY | O_CREAT, 0600);
        assert_true(fd >= 0);
        (void)close(fd);
        times[1].tv_sec = now_s - (i == 0 ? 23 : 25) * 3600;
        assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    }
    assert_int_equal(storage_open(storage_url(contract.store), false, &again, &contract.err),
                     NERO_OK);
    assert_int_equal(count_files("~nero/tmp"), 1); /* the young one may belong to a live writer */
    storage_close(again);
}

static void test_storage__objects_stay_after_close(void **state)
{
    struct storage *again;

    (void)state;
    assert_int_equal(contract_put("a/b", "kept"), NERO_OK);
    assert_int_equal(storage_open(storage_url(contract.store), false, &again, &contract.err),
                     NERO_OK);
    contract_assert_body(again, "a/b", "kept");
    storage_close(again);
}

static void test_storage__foreign_files_are_no_objects(void **state)
{
    char path[TEMP_FOLDER_BYTES + 64];
    struct storage_list list;
    struct bytes out;
    static const char *const names[] = {"a~", "with space", ".#lock"};

    (void)state;
    bytes_init(&out, 100);
    assert_int_equal(contract_put("a", "a"), NERO_OK);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        int fd;

        (void)snprintf(path, sizeof path, "%s/store/%s", contract.folder, names[i]);
        fd = open(path, O_WRONLY | O_CREAT, 0600);
        assert_true(fd >= 0);
        (void)close(fd);
    }
    (void)snprintf(path, sizeof path, "%s/store/pipe", contract.folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    (void)snprintf(path, sizeof path, "%s/store/symlink", contract.folder);
    assert_int_equal(symlink("a", path), 0);
    assert_int_equal(storage_list_page(contract.store, "", NULL, 10, &list, &contract.err),
                     NERO_OK);
    assert_int_equal(list.count, 1);
    assert_string_equal(list.entries[0].key, "a");
    storage_list_fini(&list);
    contract_assert_body(contract.store, "pipe", NULL); /* and does not hang */
    assert_int_equal(storage_get(contract.store, "symlink", &out, NULL, &contract.err),
                     NERO_CORRUPT);
    bytes_fini(&out);
}

/* A store that is gone is unavailable: nothing is said of any object. */
static void test_storage__a_removed_root_is_not_absence(void **state)
{
    char path[TEMP_FOLDER_BYTES + 8];
    struct storage_list list;
    struct bytes out;

    (void)state;
    bytes_init(&out, 100);
    assert_int_equal(contract_put("a", "a"), NERO_OK);
    (void)snprintf(path, sizeof path, "%s/store", contract.folder);
    temp_folder_remove(path);
    assert_int_equal(storage_get(contract.store, "a", &out, NULL, &contract.err), NERO_UNAVAILABLE);
    assert_int_equal(storage_head(contract.store, "a", NULL, &contract.err), NERO_UNAVAILABLE);
    assert_int_equal(storage_list_page(contract.store, "", NULL, 1, &list, &contract.err),
                     NERO_UNAVAILABLE);
    assert_int_equal(storage_remove(contract.store, "a", &contract.err), NERO_UNAVAILABLE);
    assert_int_equal(contract_put("a", "b"), NERO_UNAVAILABLE);
    assert_int_equal(contract_create("c/d", "b"), NERO_UNAVAILABLE);
    bytes_fini(&out);
}

/* Runs as another user, for root may everything. 0: all as it should be. */
static int read_as_nobody(const char *url)
{
    struct storage *store;
    struct nero_err err;
    struct bytes out;
    int wrong = 0;

    bytes_init(&out, 100);
    if (setgid(65534) != 0 || setuid(65534) != 0) {
        return 1;
    }
    if (storage_open(url, true, &store, &err) != NERO_DENIED) {
        return 2;
    }
    if (storage_open(url, false, &store, &err) != NERO_OK) {
        return 3;
    }
    wrong += storage_capabilities(store) != 0;
    wrong += storage_get(store, "open", &out, NULL, &err) != NERO_OK;
    wrong += storage_get(store, "shut", &out, NULL, &err) != NERO_DENIED;
    wrong += storage_head(store, "closed/x", NULL, &err) != NERO_DENIED;
    wrong += storage_put(store, "new", bytes_view_str("x"), &err) != NERO_DENIED;
    wrong += storage_put_if_absent(store, "new", bytes_view_str("x"), &err) != NERO_DENIED;
    wrong += storage_put_if_match(store, "open", bytes_view_str("x"), "e", &err) != NERO_DENIED;
    wrong += storage_remove(store, "open", &err) != NERO_DENIED;
    wrong += storage_list_each(store, "", check_whole, &(size_t){0}, &err) != NERO_DENIED;
    storage_close(store);
    bytes_fini(&out);
    return wrong == 0 ? 0 : 10 + wrong;
}

static void assert_nobody_reads(void)
{
    pid_t child = fork();
    int status;

    assert_true(child >= 0);
    if (child == 0) {
        _exit(read_as_nobody(storage_url(contract.store)));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_storage__missing_permission_is_denied(void **state)
{
    char path[TEMP_FOLDER_BYTES + 64];

    (void)state;
    if (geteuid() != 0) {
        skip(); /* only root can become somebody else */
    }
    assert_int_equal(contract_put("open", "open"), NERO_OK);
    assert_int_equal(contract_put("shut", "shut"), NERO_OK);
    assert_int_equal(contract_put("closed/x", "x"), NERO_OK);
    assert_int_equal(chmod(contract.folder, 0755), 0);
    (void)snprintf(path, sizeof path, "%s/store/shut", contract.folder);
    assert_int_equal(chmod(path, 0600), 0);
    (void)snprintf(path, sizeof path, "%s/store/closed", contract.folder);
    assert_int_equal(chmod(path, 0700), 0);
    assert_nobody_reads(); /* another user's store: its own folder is there, and not to be written
                            */
    (void)snprintf(path, sizeof path, "%s/store/~nero", contract.folder);
    temp_folder_remove(path);
    assert_nobody_reads(); /* a copy of a bucket: it has none, and none can be made */
}

/* A mount that nobody may write to, as an auditor's of somebody else's disk. */
static int read_mounted(void)
{
    char path[TEMP_FOLDER_BYTES + 64];
    struct storage *store;
    struct bytes out;
    int wrong = 0;

    (void)snprintf(path, sizeof path, "%s/store", contract.folder);
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount(path, path, NULL, MS_BIND, NULL) != 0 ||
        mount("none", path, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL) != 0) {
        return 77;
    }
    bytes_init(&out, 100);
    if (storage_open(storage_url(contract.store), false, &store, &contract.err) != NERO_OK) {
        return 1;
    }
    wrong += storage_capabilities(store) != 0;
    wrong += storage_get(store, "a", &out, NULL, &contract.err) != NERO_OK;
    wrong += storage_put(store, "a", bytes_view_str("x"), &contract.err) != NERO_DENIED;
    storage_close(store);
    bytes_fini(&out);
    return wrong == 0 ? 0 : 10 + wrong;
}

static void test_storage__a_mount_for_reading_is_read(void **state)
{
    pid_t child;
    int status;

    (void)state;
    assert_int_equal(contract_put("a", "a"), NERO_OK);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        _exit(read_mounted());
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77) {
        skip(); /* mounting is refused */
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONTRACT_TEST(test_storage__of_8_processes_one_creates),
        CONTRACT_TEST(test_storage__killed_writers_leave_whole_objects),
        CONTRACT_TEST(test_storage__old_leftovers_are_swept_at_open),
        CONTRACT_TEST(test_storage__objects_stay_after_close),
        CONTRACT_TEST(test_storage__foreign_files_are_no_objects),
        CONTRACT_TEST(test_storage__a_removed_root_is_not_absence),
        CONTRACT_TEST(test_storage__missing_permission_is_denied),
        CONTRACT_TEST(test_storage__a_mount_for_reading_is_read),
    };

    contract_url = "file:///tmp";
    return cmocka_run_group_tests(tests, NULL, NULL);
}
