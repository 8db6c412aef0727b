/*
 * Goal: the queue survives whatever happens to its server: scripts forgotten, killed, stopped,
 * full, evicting, read-only, behind a password. Method: a real redis-server is treated so.
 */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "nero/clock.h"
#include "queue_fixture.h"

#define Q fixture.queue
#define E (&fixture.err)

/* On the server's own clock. */
static int real_clock(void **state)
{
    (void)state;
    queue_close(Q);
    OK(queue_open(redis_child_url(fixture.redis.child), &Q, E));
    (void)raw("FLUSHALL");
    OK(queue_lead(Q, RUN, EPOCH, LEASE_MS, E));
    return 0;
}

static void test_queue_faults__scripts_are_loaded_again(void **state)
{
    struct queue_claim claim;

    (void)state;
    submit(1, "", 0, 0);
    (void)raw("SCRIPT FLUSH");
    claim = claim_any();
    OK(queue_renew(Q, &claim, &no_progress, NULL, E));
    (void)raw("SCRIPT FLUSH");
    OK(queue_renew(Q, &claim, &no_progress, NULL, E));
    claim_is(&claim, 1);
}

static void test_queue_faults__real_clock_runs(void **state)
{
    struct queue_claim claim;
    struct timespec now;

    (void)state;
    submit(1, "", 0, 0);
    claim = claim_any();
    assert_int_equal(clock_gettime(CLOCK_REALTIME, &now), 0);
    assert_true(llabs((long long)now.tv_sec * 1000 - claim.redis_ms) < 5000);
    clock_sleep_ms(clock_system(), 20);
    assert_in_range(info_of(1).lease_left_ms, 1, LEASE_MS - 20);
    claim_is(&claim, 1);
}

/* Writing to a closed connection raises SIGPIPE, which by default would end this program here. */
static void test_queue_faults__killed_server_is_unavailable_then_back(void **state)
{
    struct queue_claim claim;
    struct queue_counts counts;
    char before[QUEUE_SERVER_ID_BYTES];
    char after[QUEUE_SERVER_ID_BYTES];
    bool restarted;

    (void)state;
    submit(1, "", 0, 0);
    submit(2, "", 0, 1);
    claim = claim_any();
    OK(queue_server_id(Q, before, E));
    assert_int_equal(kill(redis_child_pid(fixture.redis.child), SIGKILL), 0);
    clock_sleep_ms(clock_system(), 50);
    for (int i = 0; i < 3; i++) {
        REFUSED(NERO_UNAVAILABLE, queue_renew(Q, &claim, &no_progress, NULL, E));
    }
    OK(redis_child_check(fixture.redis.child, &restarted, E));
    assert_true(restarted);
    OK(queue_renew(Q, &claim, &no_progress, NULL, E));
    OK(queue_counts(Q, RUN, &counts, E));
    assert_int_equal(counts.ready, 1);
    assert_int_equal(counts.leased, 1);
    OK(queue_server_id(Q, after, E));
    assert_string_not_equal(before, after);
    claim_is(&claim, 1);
}

static void test_queue_faults__sigpipe_is_ignored(void **state)
{
    struct sigaction action;

    (void)state;
    assert_int_equal(sigaction(SIGPIPE, NULL, &action), 0);
    assert_true(action.sa_handler == SIG_IGN);
}

/*
 * After a timeout the late reply must not be taken for the next command's. The second command of a
 * round, and the first of the second round, go over a connection that was made again, where hiredis
 * forgets its timeouts.
 */
static void test_queue_faults__stopped_server_times_out_in_step(void **state)
{
    struct queue_job_info info;
    struct hash job = job_of(2);
    struct queue_counts counts;
    pid_t pid = redis_child_pid(fixture.redis.child);

    (void)state;
    submit(1, "", 0, 0);
    submit(2, "gpu", 0, 0);
    for (int round = 0; round < 2; round++) {
        int64_t start_ns = clock_mono_ns(clock_system());

        Q->conn.command_ms = 100;
        assert_int_equal(kill(pid, SIGSTOP), 0);
        for (int i = 0; i < 2; i++) {
            REFUSED(NERO_UNAVAILABLE, queue_counts(Q, RUN, &counts, E));
            assert_non_null(strstr(fixture.err.message, "in time"));
        }
        assert_true(clock_seconds_since(clock_system(), start_ns) <
                    QUEUE_CONN_COMMAND_MS * 1e-3); /* of a command that may take its time */
        assert_int_equal(kill(pid, SIGCONT), 0);
        Q->conn.command_ms = QUEUE_CONN_COMMAND_MS;
        OK(queue_job_info(Q, RUN, &job, &info, E));
        assert_string_equal(info.numeric_class, "gpu");
        OK(queue_counts(Q, RUN, &counts, E));
        assert_int_equal(counts.ready, 2);
    }
}

/* ---- waiting ---- */

static void *submit_soon(void *context)
{
    struct queue *queue = context;
    struct hash job = job_of(50);
    struct queue_item item = item_of(&job, "", 0, 0);
    struct nero_err err;

    clock_sleep_ms(clock_system(), 100);
    (void)queue_submit(queue, RUN, EPOCH, &item, 1, NULL, &err);
    return NULL;
}

static void test_queue_faults__wait_ends_with_the_doorbell(void **state)
{
    const struct clock_source *clock = clock_system();
    struct queue *other = queue_fixture_open();
    pthread_t thread;
    int64_t start = clock_mono_ns(clock);

    (void)state;
    queue_use_clock(other, queue_lua_clock);
    Q->conn.command_ms = 300; /* shorter than the wait: the deadline must allow for it */
    OK(queue_wait(Q, RUN, 400, E));
    assert_true(clock_seconds_since(clock, start) >= 0.4);
    OK(queue_wait(Q, RUN, 0, E)); /* not for ever */
    start = clock_mono_ns(clock);
    assert_int_equal(pthread_create(&thread, NULL, submit_soon, other), 0);
    OK(queue_wait(Q, RUN, 20000, E));
    assert_true(clock_seconds_since(clock, start) < 10.0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    Q->conn.command_ms = QUEUE_CONN_COMMAND_MS;
    queue_close(other);
    {
        struct queue_claim claim = claim_any();

        claim_is(&claim, 50);
    }
}

/* ---- settings that are refused ---- */

static void test_queue_faults__eviction_is_refused(void **state)
{
    struct queue *other = NULL;
    struct queue_counts counts;

    (void)state;
    (void)raw("CONFIG SET maxmemory-policy allkeys-lru");
    REFUSED(NERO_INVALID, queue_open(redis_child_url(fixture.redis.child), &other, E));
    assert_null(other);
    assert_non_null(strstr(fixture.err.message, "allkeys-lru"));
    assert_non_null(strstr(fixture.err.message, "CONFIG SET maxmemory-policy noeviction"));
    /* Also when a server that comes back is configured otherwise. */
    queue_conn_close(&Q->conn);
    REFUSED(NERO_INVALID, queue_counts(Q, RUN, &counts, E));
    assert_int_equal(queue_conn_ping(&Q->conn, E), NERO_OK);
    (void)raw("CONFIG SET maxmemory-policy noeviction");
    queue_conn_close(&Q->conn);
    OK(queue_counts(Q, RUN, &counts, E));
}

static void test_queue_faults__full_server_is_no_space(void **state)
{
    struct queue *other = NULL;
    struct hash job = job_of(1);
    struct queue_item item = item_of(&job, "", 0, 0);

    (void)state;
    (void)raw("CONFIG SET maxmemory 1");
    REFUSED(NERO_NO_SPACE, queue_submit(Q, RUN, EPOCH, &item, 1, NULL, E));
    REFUSED(NERO_NO_SPACE, queue_open(redis_child_url(fixture.redis.child), &other, E));
    (void)raw("CONFIG SET maxmemory 0");
    OK(queue_submit(Q, RUN, EPOCH, &item, 1, NULL, E));
}

static void test_queue_faults__read_only_server_is_refused(void **state)
{
    struct queue *other = NULL;

    (void)state;
    (void)raw("REPLICAOF 127.0.0.1 1");
    REFUSED(NERO_UNAVAILABLE, queue_open(redis_child_url(fixture.redis.child), &other, E));
    assert_non_null(strstr(fixture.err.message, "refuses a write"));
    (void)raw("REPLICAOF NO ONE");
}

/* The server listens on TCP of its own accord; a port that is taken is passed over. */
static int open_port(void)
{
    for (int port = 20000 + (int)(getpid() % 20000), tries = 0; tries < 50; port++, tries++) {
        char line[64];
        const char *argv[] = {"CONFIG", "SET", "port", line};
        redisReply *reply;

        (void)snprintf(line, sizeof line, "%d", port);
        if (queue_plain(Q, 4, argv, 0, &reply, E) == NERO_OK) {
            freeReplyObject(reply);
            return port;
        }
    }
    return 0;
}

static void test_queue_faults__password_database_and_tcp(void **state)
{
    int port = open_port();
    struct queue *other = NULL;
    struct queue_counts counts;
    char url[128];

    (void)state;
    assert_true(port > 0);
    (void)raw("CONFIG SET requirepass pass@word");
    (void)snprintf(url, sizeof url, "redis://127.0.0.1:%d/3", port);
    REFUSED(NERO_DENIED, queue_open(url, &other, E));
    (void)snprintf(url, sizeof url, "redis://:wrong@127.0.0.1:%d/3", port);
    REFUSED(NERO_DENIED, queue_open(url, &other, E));
    assert_null(strstr(fixture.err.message, "wrong@"));
    (void)snprintf(url, sizeof url, "redis://default:pass%%40word@127.0.0.1:%d/3", port);
    OK(queue_open(url, &other, E));
    REFUSED(NERO_NOT_FOUND, queue_counts(other, RUN, &counts, E)); /* another database */
    OK(queue_lead(other, RUN, 1, 1000, E));
    /* After a lost connection password and database are given again. */
    (void)raw("CLIENT KILL TYPE normal SKIPME yes");
    REFUSED(NERO_UNAVAILABLE, queue_counts(other, RUN, &counts, E));
    OK(queue_counts(other, RUN, &counts, E));
    assert_int_equal(counts.epoch, 1);
    queue_close(other);
    (void)snprintf(url, sizeof url, "redis://:pass%%40word@127.0.0.1:%d/99", port);
    REFUSED(NERO_INVALID, queue_open(url, &other, E)); /* no such database */
    (void)raw("CONFIG SET port 0");
    assert_int_equal(raw("CONFIG SET requirepass "), 0);
}

#define TEST(name) \
    cmocka_unit_test_setup_teardown(test_queue_faults__##name, real_clock, queue_fixture_check)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(scripts_are_loaded_again),
        TEST(real_clock_runs),
        TEST(killed_server_is_unavailable_then_back),
        TEST(sigpipe_is_ignored),
        TEST(stopped_server_times_out_in_step),
        TEST(wait_ends_with_the_doorbell),
        TEST(eviction_is_refused),
        TEST(full_server_is_no_space),
        TEST(read_only_server_is_refused),
        TEST(password_database_and_tcp),
    };

    return cmocka_run_group_tests(tests, queue_fixture_start, queue_fixture_stop);
}
