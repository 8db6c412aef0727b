/*
 * Goal: a rebuild repairs every job that Redis has otherwise than the bucket, also where there are
 * more of them than a report has room for. Method: a fabricated run of many lineages, queued, and
 * each of its jobs moved to another place by hand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <hiredis.h>

#include "audit_world.h"
#include "nero/queue.h"
#include "rebuild.h"
#include "tests/support/test_redis.h"

#define OK(call)                         \
    do {                                 \
        if ((call) != NERO_OK) {         \
            fail_msg("%s", err.message); \
        }                                \
    } while (0)

enum { LINEAGES = REBUILD_TOLD_MAX / 2 + 5, JOBS = 2 * LINEAGES };

static const struct rebuild_options options = {.lease_ms = 1000,
                                               .window_bytes = BACKLOG_WINDOW_BYTES_DEFAULT};

static void ignore(void *context, const struct rebuild_report *report)
{
    (void)context;
    (void)report;
}

/* Another order than the bucket's for every job: its hash and its place in the lane. */
static void move_all(const char *socket)
{
    redisContext *redis = redisConnectUnix(socket);
    redisReply *reply =
        redisCommand(redis, "EVAL %s 1 n:{made-up}:ready",
                     "local jobs = redis.call('ZRANGE', KEYS[1], 0, -1)\n"
                     "for i, id in ipairs(jobs) do\n"
                     "    redis.call('HSET', 'n:{made-up}:job:' .. id, 'score', 5000 - i)\n"
                     "    redis.call('ZADD', KEYS[1], 5000 - i, id)\n"
                     "end\n"
                     "return #jobs");

    assert_non_null(reply);
    assert_int_equal(reply->type, REDIS_REPLY_INTEGER);
    assert_int_equal(reply->integer, JOBS);
    freeReplyObject(reply);
    redisFree(redis);
}

static void test_rebuild__repairs_more_than_it_tells(void **state)
{
    struct fabricate_options fabricated = fabricate_defaults();
    struct rebuild_report *report = calloc(1, sizeof *report);
    struct test_redis redis;
    struct queue *queue;
    struct nero_err err;

    (void)state;
    fabricated.lineages = LINEAGES;
    fabricated.close = 0; /* proposed, and nothing done */
    fabricated.score_test = false;
    assert_int_equal(temp_folder_make(world.folder, NULL), 0);
    fabricate_run(&world.run, world.folder, "made-up", &fabricated);
    test_redis_start(&redis);
    OK(queue_open(redis_child_url(redis.child), &queue, &err));
    OK(rebuild_restore(world.run.store, queue, "made-up", &options, ignore, NULL, report, &err));
    assert_int_equal(report->queued, JOBS);

    move_all(redis_child_url(redis.child) + strlen("unix://"));
    OK(rebuild_restore(world.run.store, queue, "made-up", &options, ignore, NULL, report, &err));
    assert_int_equal(report->result.differences, JOBS);
    assert_int_equal(report->told, REBUILD_TOLD_MAX);
    assert_int_equal(report->queued, JOBS);
    OK(rebuild_look(world.run.store, queue, "made-up", report, &err));
    assert_int_equal(report->result.known, JOBS);
    assert_int_equal(report->result.differences, 0);
    queue_close(queue);
    test_redis_stop(&redis);
    free(report);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rebuild__repairs_more_than_it_tells),
    };

    return cmocka_run_group_tests(tests, NULL, audit_world_teardown);
}
