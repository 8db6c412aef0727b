/*
 * Goal: a private Redis starts, is restarted, is not shared, ends with its parent and outlives
 * Ctrl-C. Method: real servers; a forked process stands for a parent that is killed.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "nero/clock.h"
#include "queue_fixture.h"

static struct nero_err err;

#define CHECK(status) check_status((status), __FILE__, __LINE__)

static void check_status(enum nero_status status, const char *file, int line)
{
    if (status != NERO_OK) {
        print_error("%s: %s\n", err_status_name(status), err.message);
        _fail(file, line);
    }
}

static bool answers(const struct redis_child *child)
{
    struct queue_conn conn;
    bool yes;

    CHECK(queue_conn_parse(redis_child_url(child), &conn, &err));
    yes = queue_conn_ping(&conn, &err) == NERO_OK;
    queue_conn_close(&conn);
    return yes;
}

/* False when it is still there after 30 s. A zombie counts as gone. */
static bool goes_away(pid_t pid)
{
    for (int i = 0; i < 3000; i++) {
        char path[64];
        char text[256] = "";
        int fd;

        (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0) {
            return true;
        }
        (void)!read(fd, text, sizeof text - 1);
        (void)close(fd);
        if (strstr(text, ") Z ") != NULL) {
            return true;
        }
        clock_sleep_ms(clock_system(), 10);
    }
    return false;
}

/*
 * Redis's log of commands has this text; false when it still has not after 30 s. While a slow disk
 * syncs, Redis answers before it writes: up to two seconds of what it answered die with it.
 */
static bool is_written(const char *folder, const char *text)
{
    char path[TEMP_FOLDER_BYTES + 64];
    static char content[1 << 16];
    size_t length = strlen(text);

    (void)snprintf(path, sizeof path, "%s/appendonlydir/appendonly.aof.1.incr.aof", folder);
    for (int i = 0; i < 3000; i++) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t got = fd < 0 ? 0 : read(fd, content, sizeof content);

        if (fd >= 0) {
            (void)close(fd);
        }
        if (got > 0 && memmem(content, (size_t)got, text, length) != NULL) {
            return true;
        }
        clock_sleep_ms(clock_system(), 10);
    }
    return false;
}

static void test_redis_child__starts_and_stops(void **state)
{
    struct test_redis redis;
    char path[TEMP_FOLDER_BYTES + 16];
    struct stat info;
    pid_t pid;

    (void)state;
    test_redis_start(&redis);
    pid = redis_child_pid(redis.child);
    assert_true(answers(redis.child));
    assert_int_equal(getpgid(pid), pid); /* its own group: the terminal's Ctrl-C passes it by */
    (void)snprintf(path, sizeof path, "%s/redis.sock", redis.folder);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0700);
    (void)snprintf(path, sizeof path, "%s/redis.log", redis.folder);
    assert_int_equal(stat(path, &info), 0);
    assert_true(info.st_size > 0);
    redis_child_stop(redis.child);
    assert_int_equal(kill(pid, 0), -1);
    redis.child = NULL;
    test_redis_stop(&redis);
}

static void test_redis_child__restarts_with_its_data(void **state)
{
    struct test_redis redis;
    struct queue *queue;
    struct queue_counts counts;
    char before[QUEUE_SERVER_ID_BYTES];
    char after[QUEUE_SERVER_ID_BYTES];
    bool restarted = true;
    pid_t pid;

    (void)state;
    test_redis_start(&redis);
    CHECK(queue_open(redis_child_url(redis.child), &queue, &err));
    CHECK(queue_lead(queue, RUN, 3, 1000, &err));
    CHECK(queue_server_id(queue, before, &err));
    CHECK(redis_child_check(redis.child, &restarted, &err));
    assert_false(restarted);
    assert_true(is_written(redis.folder, RUN));
    pid = redis_child_pid(redis.child);
    assert_int_equal(kill(pid, SIGKILL), 0);
    /* Its first thread is gone at once, the process with the last one. */
    for (int i = 0; i < 3000 && !restarted; i++) {
        CHECK(redis_child_check(redis.child, &restarted, &err));
        clock_sleep_ms(clock_system(), 10);
    }
    assert_true(restarted);
    assert_int_not_equal(redis_child_pid(redis.child), pid);
    /* The first call may find the dead connection; not more than that one. */
    if (queue_counts(queue, RUN, &counts, &err) != NERO_OK) {
        assert_int_equal(err.status, NERO_UNAVAILABLE);
        CHECK(queue_counts(queue, RUN, &counts, &err));
    }
    assert_int_equal(counts.epoch, 3);
    CHECK(queue_server_id(queue, after, &err));
    assert_string_not_equal(before, after);
    queue_close(queue);
    test_redis_stop(&redis);
}

/* The server holds the lock too: a successor of a killed parent waits for it, not only for the
 * parent. */
static bool holds_folder(pid_t pid, const char *folder)
{
    bool holds = false;

    for (int fd = 3; fd < 64 && !holds; fd++) {
        char path[64];
        char target[TEMP_FOLDER_BYTES] = "";

        (void)snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)pid, fd);
        holds = readlink(path, target, sizeof target - 1) > 0 && strcmp(target, folder) == 0;
    }
    return holds;
}

static void test_redis_child__one_folder_one_server(void **state)
{
    struct test_redis redis;
    struct redis_child *second = NULL;

    (void)state;
    test_redis_start(&redis);
    assert_int_equal(redis_child_start(redis.folder, &second, &err), NERO_CONFLICT);
    assert_null(second);
    assert_true(answers(redis.child)); /* and the first is unharmed */
    assert_true(holds_folder(redis_child_pid(redis.child), redis.folder));
    redis_child_stop(redis.child);
    CHECK(redis_child_start(redis.folder, &redis.child, &err)); /* free again */
    test_redis_stop(&redis);
}

/* A parent that starts a server, tells its pid and is killed. */
static pid_t start_in_a_process(const char *folder, pid_t *server)
{
    int pipe_fds[2];
    pid_t parent;

    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
    parent = fork();
    assert_true(parent >= 0);
    if (parent == 0) {
        struct redis_child *child;

        *server = redis_child_start(folder, &child, &err) == NERO_OK ? redis_child_pid(child) : 0;
        (void)!write(pipe_fds[1], server, sizeof *server);
        for (;;) {
            (void)pause();
        }
    }
    (void)close(pipe_fds[1]);
    assert_int_equal(read(pipe_fds[0], server, sizeof *server), sizeof *server);
    (void)close(pipe_fds[0]);
    assert_true(*server > 0);
    return parent;
}

static void test_redis_child__dies_with_its_parent(void **state)
{
    char folder[TEMP_FOLDER_BYTES];
    struct redis_child *next;
    pid_t server = 0;
    pid_t parent;

    (void)state;
    assert_int_equal(temp_folder_make(folder, NULL), 0);
    parent = start_in_a_process(folder, &server);
    assert_int_equal(kill(server, 0), 0);
    assert_int_equal(kill(parent, SIGKILL), 0);
    /* The successor may start at once: it waits for the lock, which the dying server still holds.
     */
    CHECK(redis_child_start(folder, &next, &err));
    assert_true(goes_away(server));
    assert_int_equal(waitpid(parent, NULL, 0), parent);
    redis_child_stop(next);
    temp_folder_remove(folder);
}

static void *start_in_a_thread(void *context)
{
    test_redis_start(context);
    return NULL;
}

/* The death signal is sent when the forking thread ends: here the caller's does. */
static void test_redis_child__outlives_the_thread_that_started_it(void **state)
{
    struct test_redis redis;
    pthread_t thread;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, start_in_a_thread, &redis), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    clock_sleep_ms(clock_system(), 100);
    assert_true(answers(redis.child));
    test_redis_stop(&redis);
}

/* A Unix socket's address holds 107 bytes: the folder is deeper. */
static void test_redis_child__works_in_a_deep_folder(void **state)
{
    char folder[TEMP_FOLDER_BYTES];
    char deep[TEMP_FOLDER_BYTES + 256];
    struct redis_child *child;
    struct queue *queue;
    size_t used;

    (void)state;
    assert_int_equal(temp_folder_make(folder, NULL), 0);
    used = (size_t)snprintf(deep, sizeof deep, "%s", folder);
    for (int i = 0; i < 5; i++) {
        used += (size_t)snprintf(deep + used, sizeof deep - used, "/%s",
                                 "a-folder-with-quite-a-long-name");
        assert_int_equal(mkdir(deep, 0700), 0);
    }
    CHECK(redis_child_start(deep, &child, &err));
    CHECK(queue_open(redis_child_url(child), &queue, &err));
    CHECK(queue_lead(queue, RUN, 1, 1000, &err));
    queue_close(queue);
    redis_child_stop(child);
    temp_folder_remove(folder);
}

static void test_redis_child__says_what_is_wrong(void **state)
{
    char folder[TEMP_FOLDER_BYTES];
    char path[TEMP_FOLDER_BYTES + 64];
    char *search = strdup(getenv("PATH"));
    struct redis_child *child = NULL;

    (void)state;
    assert_int_equal(temp_folder_make(folder, NULL), 0);
    assert_int_equal(setenv("PATH", folder, 1), 0);
    assert_int_equal(redis_child_start(folder, &child, &err), NERO_UNAVAILABLE);
    assert_non_null(strstr(err.message, "install the package redis-server"));
    assert_int_equal(setenv("PATH", search, 1), 0);
    (void)snprintf(path, sizeof path, "%s/absent/deeper", folder);
    assert_int_equal(redis_child_start(path, &child, &err), NERO_NOT_FOUND);
    /* A server that cannot start: its append-only folder is a file. */
    (void)snprintf(path, sizeof path, "%s/appendonlydir", folder);
    {
        int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        (void)close(fd);
    }
    assert_int_equal(redis_child_start(folder, &child, &err), NERO_UNAVAILABLE);
    assert_non_null(strstr(err.message, "redis.log"));
    assert_null(child);
    redis_child_stop(NULL);
    free(search);
    temp_folder_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_redis_child__starts_and_stops),
        cmocka_unit_test(test_redis_child__restarts_with_its_data),
        cmocka_unit_test(test_redis_child__one_folder_one_server),
        cmocka_unit_test(test_redis_child__dies_with_its_parent),
        cmocka_unit_test(test_redis_child__outlives_the_thread_that_started_it),
        cmocka_unit_test(test_redis_child__works_in_a_deep_folder),
        cmocka_unit_test(test_redis_child__says_what_is_wrong),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
