/*
 * Goal: the model of Redis answers as the real one. Method: every command that queue/ sends to a
 * real redis-server (here, in this program's own redisCommandArgv) goes to the model too, and the
 * replies must be equal; random calls of all operations of the queue, with damage, lost scripts and
 * a clock that jumps; all that both hold is compared again and again. Members of a set may come in
 * any order.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <cmocka.h>

#include "nero/rng.h"
#include "queue_fixture.h"
#include "redis_model.h"

enum { GROUP_MAX = 5, JOBS = 24, CLAIMS = 8, SEEDS = 24, OPERATIONS = 400, DUMP_EVERY = 40 };

static struct redis_model *model;
static uint64_t compared;

/* ---- comparing ---- */

static void describe(const redisReply *reply, char *out, size_t out_bytes)
{
    size_t used;

    switch (reply->type) {
    case REDIS_REPLY_INTEGER:
        (void)snprintf(out, out_bytes, "%lld", reply->integer);
        break;
    case REDIS_REPLY_NIL:
        (void)snprintf(out, out_bytes, "nil");
        break;
    case REDIS_REPLY_ARRAY:
        (void)snprintf(out, out_bytes, "[%zu:", reply->elements);
        for (size_t i = 0; i < reply->elements; i++) {
            used = strlen(out);
            if (used + 2 < out_bytes) {
                out[used] = ' ';
                describe(reply->element[i], out + used + 1, out_bytes - used - 1);
            }
        }
        break;
    default:
        (void)snprintf(out, out_bytes, "%d'%s'", reply->type, reply->str);
        break;
    }
}

static bool equal(const redisReply *a, const redisReply *b)
{
    if (a->type != b->type) {
        return false;
    }
    switch (a->type) {
    case REDIS_REPLY_INTEGER:
        return a->integer == b->integer;
    case REDIS_REPLY_NIL:
        return true;
    case REDIS_REPLY_ERROR: /* the first word is the kind */
        return strcspn(a->str, " ") == strcspn(b->str, " ") &&
               strncmp(a->str, b->str, strcspn(a->str, " ")) == 0;
    case REDIS_REPLY_ARRAY:
        for (size_t i = 0; i < a->elements && a->elements == b->elements; i++) {
            if (!equal(a->element[i], b->element[i])) {
                return false;
            }
        }
        return a->elements == b->elements;
    default:
        return a->len == b->len && memcmp(a->str, b->str, (size_t)a->len) == 0;
    }
}

/* Elements that belong together. */
struct group {
    redisReply *items[GROUP_MAX];
    size_t count;
};

static int order_of(const void *a, const void *b)
{
    const struct group *groups[2] = {a, b};
    char text[2][1024];

    for (int i = 0; i < 2; i++) {
        redisReply *items[GROUP_MAX];
        redisReply reply = {.type = REDIS_REPLY_ARRAY, .elements = groups[i]->count};

        memcpy(items, groups[i]->items, sizeof items);
        reply.element = items;
        describe(&reply, text[i], sizeof text[i]);
    }
    return strcmp(text[0], text[1]);
}

/* Put what has no order of its own into one: groups of `each` elements, from `first` on. */
static void sort_reply(redisReply *reply, size_t first, size_t each)
{
    size_t count = 0;
    struct group *groups;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements < first + each) {
        return;
    }
    groups = calloc(reply->elements, sizeof *groups);
    assert_non_null(groups);
    for (size_t i = first; i + each <= reply->elements; i += each) {
        memcpy(groups[count].items, &reply->element[i], each * sizeof reply->element[i]);
        groups[count++].count = each;
    }
    qsort(groups, count, sizeof *groups, order_of);
    for (size_t i = 0; i < count; i++) {
        memcpy(&reply->element[first + i * each], groups[i].items,
               each * sizeof groups[i].items[0]);
    }
    free(groups);
}

static bool is_command(const char *argv0, const char *name)
{
    return strcasecmp(argv0, name) == 0;
}

static bool is_script(const char *sha, enum queue_script script)
{
    return strcmp(fixture.queue->sha[script], sha) == 0;
}

static void normalise(int count, const char **argv, redisReply *reply)
{
    if (is_command(argv[0], "SMEMBERS") || is_command(argv[0], "KEYS")) {
        sort_reply(reply, 0, 1);
    } else if (is_command(argv[0], "HGETALL")) {
        sort_reply(reply, 0, 2);
    } else if (is_command(argv[0], "XRANGE")) { /* ids are times; repairs go through a set */
        for (size_t i = 0; reply->type == REDIS_REPLY_ARRAY && i < reply->elements; i++) {
            reply->element[i]->element[0]->str[0] = '\0';
            reply->element[i]->element[0]->len = 0;
        }
        sort_reply(reply, 0, 1);
    } else if (count > 1 && is_command(argv[0], "EVALSHA")) { /* lanes come from a set */
        if (is_script(argv[1], QUEUE_SCRIPT_lanes)) {
            sort_reply(reply, 1, 2);
        } else if (is_script(argv[1], QUEUE_SCRIPT_list)) {
            sort_reply(reply, 1, 1);
        } else if (is_script(argv[1], QUEUE_SCRIPT_jobs)) {
            sort_reply(reply, 2, 5);
        }
    }
}

/* The reply of hiredis's parser, with the model's beside it. */
void *__real_redisCommandArgv(redisContext *context, int count, const char **argv,
                              const size_t *bytes);
void *__wrap_redisCommandArgv(redisContext *context, int count, const char **argv,
                              const size_t *bytes);

void *__wrap_redisCommandArgv(redisContext *context, int count, const char **argv,
                              const size_t *bytes)
{
    redisReply *real = __real_redisCommandArgv(context, count, argv, bytes);
    redisReply *ours;

    if (model == NULL || real == NULL || is_command(argv[0], "INFO") ||
        strncmp(argv[count > 1 ? 1 : 0], "n:check:", 8) == 0) {
        return real;
    }
    ours = redis_model_command(model, count, argv, bytes);
    if (is_command(argv[0], "EVALSHA") || is_command(argv[0], "SMEMBERS") ||
        is_command(argv[0], "KEYS") || is_command(argv[0], "HGETALL") ||
        is_command(argv[0], "XRANGE")) {
        normalise(count, argv, ours);
        normalise(count, argv, real);
    }
    compared++;
    if (!equal(real, ours)) {
        char text[2][2048];

        describe(real, text[0], sizeof text[0]);
        describe(ours, text[1], sizeof text[1]);
        print_error("%s %s:\n  Redis %s\n  model %s\n", argv[0], count > 1 ? argv[1] : "", text[0],
                    text[1]);
        fail();
    }
    freeReplyObject(ours);
    return real;
}

/* ---- all that both hold ---- */

static redisReply *ask(int count, const char **argv)
{
    redisReply *reply;

    OK(queue_plain(fixture.queue, count, argv, 0, &reply, &fixture.err));
    return reply;
}

static void compare_key(const char *key)
{
    static const struct {
        const char *type;
        int count;
        const char *command[5];
    } readers[] = {
        {"string", 2, {"GET", NULL}},
        {"hash", 2, {"HGETALL", NULL}},
        {"list", 4, {"LRANGE", NULL, "0", "-1"}},
        {"set", 2, {"SMEMBERS", NULL}},
        {"zset", 5, {"ZRANGE", NULL, "0", "-1", "WITHSCORES"}},
        {"stream", 4, {"XRANGE", NULL, "-", "+"}},
    };
    const char *type_of[] = {"TYPE", key};
    redisReply *type = ask(2, type_of);
    bool known = false;

    for (size_t i = 0; i < sizeof readers / sizeof readers[0]; i++) {
        if (strcmp(type->str, readers[i].type) == 0) {
            const char *argv[5];

            memcpy(argv, readers[i].command, sizeof argv);
            argv[1] = key;
            freeReplyObject(ask(readers[i].count, argv));
            known = true;
        }
    }
    assert_true(known);
    freeReplyObject(type);
}

static void compare_all(void)
{
    const char *all[] = {"KEYS", "*"};
    redisReply *keys = ask(2, all);

    for (size_t i = 0; i < keys->elements; i++) {
        compare_key(keys->element[i]->str);
    }
    freeReplyObject(keys);
}

/* ---- random work ---- */

/* Claims taken and not ended; a forgotten one is a zombie. */
static struct queue_claim claims[CLAIMS];
static bool claimed[CLAIMS];
static uint64_t epoch;
static struct rng_stream draw;

static uint32_t below(uint32_t bound)
{
    return (uint32_t)rng_below(&draw, bound);
}

static struct queue_claim *any_claim(void)
{
    uint32_t at = below(CLAIMS);

    for (uint32_t i = 0; i < CLAIMS; i++) {
        if (claimed[(at + i) % CLAIMS]) {
            return &claims[(at + i) % CLAIMS];
        }
    }
    return NULL;
}

static void claim_something(void)
{
    static const char *const classes[] = {"", "cpu", "gpu"};
    uint32_t at = below(CLAIMS);
    struct queue_claim claim;
    char runner[16];

    (void)snprintf(runner, sizeof runner, "runner-%" PRIu32, below(3));
    queue_claim_init(&claim);
    if (queue_claim(fixture.queue, RUN, runner, classes[below(3)], &claim, &fixture.err) ==
        NERO_OK) {
        if (claimed[at]) {
            queue_claim_fini(&claims[at]);
        }
        claims[at] = claim;
        claimed[at] = true;
    } else {
        queue_claim_fini(&claim);
    }
}

static void submit_some(void)
{
    static const char *const lanes[] = {"", "", "cpu", "gpu"};
    struct queue_item items[4];
    struct hash jobs[4];
    uint32_t count = 1 + below(4);

    for (uint32_t i = 0; i < count; i++) {
        uint32_t n = below(JOBS);

        jobs[i] = job_of(n);
        items[i] = item_of(&jobs[i], lanes[below(4)], below(3), n);
        items[i].not_before_ms = below(3) == 0 ? clock_now() + below(3000) : 0;
    }
    (void)queue_submit(fixture.queue, RUN, epoch, items, count, NULL, &fixture.err);
}

static void work_on_claim(uint32_t what)
{
    struct queue_claim *claim = any_claim();
    struct hash slot = job_of(1000 + below(3));
    struct nero_err *err = &fixture.err;
    char note[16];
    struct queue_beat beat = {
        .units = below(100), .slot = below(9), .step = below(50), .note = note};
    enum queue_control control;
    bool dead;

    if (claim == NULL) {
        return;
    }
    (void)snprintf(note, sizeof note, "note %" PRIu32, below(4));
    switch (what) {
    case 0:
        (void)queue_complete(fixture.queue, claim, &slot, err);
        break;
    case 1:
        (void)queue_fail(fixture.queue, claim, below(3) == 0, "why not", &dead, err);
        break;
    case 2:
        (void)queue_release(fixture.queue, claim, true, "notice", err);
        break;
    case 3:
        (void)queue_pin(fixture.queue, claim, below(2) == 0 ? "cpu" : "gpu", err);
        break;
    default:
        (void)queue_renew(fixture.queue, claim, &beat, &control, err);
        break;
    }
}

static void lead_somehow(uint32_t what)
{
    struct hash job = job_of(below(JOBS));
    struct queue *queue = fixture.queue;
    struct nero_err *err = &fixture.err;
    struct queue_reaped reaped;
    struct queue_leader leader = {
        .name = "leader", .alive_ms = 500 + below(3000), .window_bytes = below(10000)};
    uint32_t count;
    bool leased;

    switch (what) {
    case 0:
        (void)queue_finish(queue, RUN, epoch, &job, err);
        break;
    case 1:
        (void)queue_cancel(queue, RUN, epoch, &job, &leased, err);
        break;
    case 2:
        (void)queue_retry(queue, RUN, epoch, below(2) == 0 ? &job : NULL, &count, err);
        break;
    case 3:
        (void)queue_pause(queue, RUN, epoch, below(3) == 0, err);
        break;
    case 4:
        (void)queue_tell(queue, RUN, epoch, below(2) == 0 ? &job : NULL,
                         below(2) == 0 ? QUEUE_DRAIN : QUEUE_CHECKPOINT_NOW, &count, err);
        break;
    case 5:
        epoch += below(3);
        (void)queue_lead(queue, RUN, epoch - below(2), LEASE_MS, err);
        break;
    case 6:
        (void)queue_drop(queue, RUN, epoch - (below(4) == 0), err);
        (void)queue_lead(queue, RUN, epoch, LEASE_MS, err);
        break;
    case 7:
        (void)queue_stay(queue, RUN, epoch - (below(4) == 0), &leader, err);
        break;
    case 8:
        (void)queue_resign(queue, RUN, epoch, err);
        break;
    case 10:
        (void)queue_drain(queue, RUN, epoch, below(2) == 0 ? "runner-1" : "runner-2", &count, err);
        break;
    case 9:
        (void)queue_limit(queue, RUN, epoch, below(4), err);
        break;
    default:
        (void)queue_reap(queue, RUN, epoch - (below(8) == 0), &reaped, err);
        break;
    }
}

static enum nero_status seen_job(void *context, const struct hash *job, struct nero_err *err)
{
    (void)context;
    (void)job;
    (void)err;
    return NERO_OK;
}

static enum nero_status seen_entry(void *context, const struct queue_job *job, struct nero_err *err)
{
    (void)context;
    (void)job;
    (void)err;
    return NERO_OK;
}

static enum nero_status seen_runner(void *context, const struct queue_runner *runner,
                                    struct nero_err *err)
{
    (void)context;
    (void)runner;
    (void)err;
    return NERO_OK;
}

static enum nero_status seen_lane(void *context, const char *lane, uint64_t ready,
                                  struct nero_err *err)
{
    (void)context;
    (void)lane;
    (void)ready;
    (void)err;
    return NERO_OK;
}

static void look_at(uint32_t what)
{
    static const char *const states[] = {"ready", "delayed", "leased", "dead", "parked"};
    struct hash job = job_of(below(JOBS));
    struct nero_err *err = &fixture.err;
    struct queue *queue = fixture.queue;
    struct queue_job_info info;
    struct queue_counts counts;
    struct bytes taken;
    bool drained;

    switch (what) {
    case 0:
        (void)queue_list(queue, RUN, states[below(5)], JOBS, seen_job, NULL, err);
        break;
    case 1:
        (void)queue_lanes(queue, RUN, seen_lane, NULL, err);
        break;
    case 2:
        (void)queue_announce(queue, RUN, below(2) == 0 ? "runner-1" : "runner-2", "host", "cpu",
                             &drained, err);
        (void)queue_runners(queue, RUN, seen_runner, NULL, err);
        break;
    case 3:
        (void)queue_enrol_push(queue, RUN, bytes_view_str("please"), err);
        bytes_init(&taken, 100);
        if (below(2) == 0) {
            (void)queue_enrol_take(queue, RUN, &taken, err);
        }
        bytes_fini(&taken);
        break;
    case 4:
        (void)queue_counts(queue, RUN, &counts, err);
        (void)queue_wait(queue, RUN, 1, err);
        break;
    case 5:
        (void)queue_jobs(queue, RUN, below(2) == 0, seen_entry, NULL, err);
        break;
    default:
        (void)queue_job_info(queue, RUN, &job, &info, err);
        break;
    }
}

/* What a hand, a failover or a restart may do to the keys. */
static void damage(void)
{
    static const char *const keys[] = {"lease", "delay", "ready", "parked", "dead", "ready:cpu"};
    char line[256];
    char hex[HASH_HEX_BYTES];
    struct hash job = job_of(below(JOBS));

    hash_to_hex(hex, &job);
    switch (below(5)) {
    case 0:
        (void)snprintf(line, sizeof line, "ZREM n:{" RUN "}:%s %s", keys[below(6)], hex);
        break;
    case 1:
        (void)snprintf(line, sizeof line, "ZADD n:{" RUN "}:%s 17 %s", keys[below(6)], hex);
        break;
    case 2:
        (void)snprintf(line, sizeof line, "DEL n:{" RUN "}:%s", keys[below(6)]);
        break;
    case 3:
        (void)snprintf(line, sizeof line, "DEL n:{" RUN "}:job:%s", hex);
        break;
    default:
        (void)snprintf(line, sizeof line, "SCRIPT FLUSH");
        break;
    }
    {
        char *rest = line;
        const char *argv[4];
        int count = 0;

        while (rest != NULL) {
            argv[count++] = strsep(&rest, " ");
        }
        freeReplyObject(ask(count, argv));
    }
}

static void step(void)
{
    uint32_t what = below(100);

    if (what < 12) {
        submit_some();
    } else if (what < 32) {
        claim_something();
    } else if (what < 60) {
        work_on_claim(below(12));
    } else if (what < 72) {
        lead_somehow(below(18));
    } else if (what < 80) {
        look_at(below(7));
    } else if (what < 83) {
        damage();
    } else if (what < 85) {
        clock_advance(below(2) == 0 ? 5 * LEASE_MS : -3 * LEASE_MS);
    } else {
        clock_advance(below(LEASE_MS / 2));
    }
}

static int64_t no_clock(void *context)
{
    (void)context;
    return 1000000000; /* only ids of the stream and the check of a write read it */
}

static void test_redis_model__answers_as_redis_does(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        draw = rng_stream(seed, RNG_TEST, 0, 0, 0);
        model = redis_model_create(no_clock, NULL);
        memset(fixture.queue->sha, 0, sizeof fixture.queue->sha);
        (void)raw("FLUSHALL");
        clock_is(1000000);
        epoch = 7;
        OK(queue_lead(fixture.queue, RUN, epoch, LEASE_MS, &fixture.err));
        for (uint32_t i = 0; i < OPERATIONS; i++) {
            step();
            if (i % DUMP_EVERY == 0) {
                compare_all();
            }
        }
        compare_all();
        for (uint32_t i = 0; i < CLAIMS; i++) {
            if (claimed[i]) {
                queue_claim_fini(&claims[i]);
                claimed[i] = false;
            }
        }
        redis_model_destroy(model);
        model = NULL;
    }
    print_message("%" PRIu64 " commands compared\n", compared);
    assert_true(compared > SEEDS * OPERATIONS);
}

/* Commands as lines, split at blanks. */
static const char *const edges[] = {
    "HSET h a 1 b 2",
    "HINCRBY h a -1",
    "HINCRBY h a -0",
    "HINCRBY h a 01",
    "HINCRBY h c 5",
    "HSET h text x",
    "HINCRBY h text 1",
    "HDEL h a b",
    "HGET h a",
    "HMGET h a c none",
    "HLEN h",
    "HSTRLEN h text",
    "HSTRLEN h none",
    "HSTRLEN none a",
    "HEXISTS h c",
    "HEXISTS h none",
    "GET h",
    "LLEN h",
    "ZADD h 1 x",
    "ZADD z 3 c 1 a 2 b",
    "ZADD z 2 a",
    "ZADD z x a",
    "ZADD z inf top -inf bottom",
    "ZRANGE z 0 -1 WITHSCORES",
    "ZRANGE z -2 -1",
    "ZRANGE z 5 9",
    "ZRANGE z -100 0",
    "ZRANGEBYSCORE z -inf +inf",
    "ZRANGEBYSCORE z 2 3 LIMIT 1 1",
    "ZRANGEBYSCORE z 3 2",
    "ZRANGEBYSCORE z 2 3 LIMIT 0 0",
    "ZCOUNT z 2 inf",
    "ZSCORE z a",
    "ZSCORE z none",
    "ZADD z 9007199254740991 big",
    "ZSCORE z big",
    "ZADD z 0.1 tenth",
    "ZSCORE z tenth",
    "ZREM z a b c top bottom",
    "ZREM z big tenth",
    "EXISTS z",
    "ZCARD z",
    "RPUSH l a b",
    "LPOP l",
    "LPOP l",
    "LPOP l",
    "EXISTS l",
    "SADD s b a b",
    "SCARD s",
    "SISMEMBER s a",
    "SREM s a x",
    "SSCAN s 0 COUNT 10",
    "SREM s b",
    "EXISTS s",
    "SET t v",
    "SET t w PX 100000",
    "GET t",
    "HSET h a",
    "HGET h",
    "DEL t none h",
    "TYPE t",
    "XLEN e",
};

/* Single commands at their edges: what Redis makes of empty, negative and broken arguments. */
static void test_redis_model__agrees_at_the_edges(void **state)
{
    const char *eval[] = {"EVAL",
                          "return {1.9,-1.9,'x',true,false,{2,{}},redis.call('GET','none'),"
                          "redis.call('SET','k',0.1),redis.call('GET','k')}",
                          "0"};
    const char *bad[] = {"EVAL", "x = 1", "0"};
    const char *wrong[] = {"EVAL", "return redis.call('HGET','k','a')", "0"};
    redisReply *reply;

    (void)state;
    model = redis_model_create(no_clock, NULL);
    for (size_t i = 0; i < sizeof edges / sizeof edges[0]; i++) {
        char line[128];
        char *rest = line;
        const char *argv[12];
        int count = 0;

        (void)snprintf(line, sizeof line, "%s", edges[i]);
        while (rest != NULL) {
            argv[count++] = strsep(&rest, " ");
        }
        if (queue_plain(fixture.queue, count, argv, 0, &reply, &fixture.err) == NERO_OK) {
            freeReplyObject(reply);
        }
    }
    if (queue_plain(fixture.queue, 3, eval, 0, &reply, &fixture.err) == NERO_OK) {
        freeReplyObject(reply);
    }
    assert_int_not_equal(queue_plain(fixture.queue, 3, bad, 0, &reply, &fixture.err), NERO_OK);
    assert_int_not_equal(queue_plain(fixture.queue, 3, wrong, 0, &reply, &fixture.err), NERO_OK);
    redis_model_destroy(model);
    model = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_redis_model__answers_as_redis_does),
        cmocka_unit_test_setup(test_redis_model__agrees_at_the_edges, queue_fixture_empty),
    };

    return cmocka_run_group_tests(tests, queue_fixture_start, queue_fixture_stop);
}
