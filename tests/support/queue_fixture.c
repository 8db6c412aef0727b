#include "queue_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct queue_fixture fixture;
const struct queue_beat no_progress = {.note = NULL};

static const char virtual_clock[] = "local function clock_ms()\n"
                                    "    return tonumber(redis.call('GET', 'n:clock'))\n"
                                    "end\n";

/* Q1: each job is in exactly the set that its state names, each entry of a set has its job, and
 * the bytes of all envelopes are counted. "" when it holds. */
static const char check_lua[] =
    "local b='n:{run-1}:'\n"
    "if redis.call('EXISTS',b..'meta')==0 then return '' end\n"
    "local sets={b..'lease',b..'delay',b..'dead',b..'parked',b..'ready'}\n"
    "local names={'leased','delayed','dead','parked','ready'}\n"
    "for _,l in ipairs(redis.call('SMEMBERS',b..'lanes')) do\n"
    "  sets[#sets+1]=b..'ready:'..l names[#names+1]='ready' end\n"
    "local entries,bytes=0,0\n"
    "local ids=redis.call('SMEMBERS',b..'jobs')\n"
    "for _,id in ipairs(ids) do\n"
    "  local j=redis.call('HMGET',b..'job:'..id,'st','lane')\n"
    "  if not j[1] then return id..' has no hash' end\n"
    "  bytes=bytes+redis.call('HSTRLEN',b..'job:'..id,'env')\n"
    "  local found=0\n"
    "  for i,s in ipairs(sets) do if redis.call('ZSCORE',s,id) then\n"
    "    found=found+1\n"
    "    if names[i]~=j[1] then return id..' is '..j[1]..' and in '..s end\n"
    "    if j[1]=='ready' and s~=b..'ready'..(j[2] and ':'..j[2] or '') then\n"
    "      return id..' waits in '..s end end end\n"
    "  if found~=1 then return id..' is '..j[1]..' and in '..found..' sets' end end\n"
    "for _,s in ipairs(sets) do entries=entries+redis.call('ZCARD',s) end\n"
    "if entries~=#ids then return entries..' entries of '..#ids..' jobs' end\n"
    "if bytes~=tonumber(redis.call('HGET',b..'meta','bytes')) then return 'bytes' end\n"
    "return ''\n";

void queue_fixture_expect(enum nero_status expected, enum nero_status got, const char *file,
                          int line)
{
    if (got != expected) {
        print_error("expected %s, got %s: %s\n", err_status_name(expected), err_status_name(got),
                    got == NERO_OK ? "" : fixture.err.message);
        _fail(file, line);
    }
}

long long raw(const char *line)
{
    char copy[512];
    const char *argv[8];
    char *rest = copy;
    redisReply *reply;
    long long value;
    int count = 0;

    (void)snprintf(copy, sizeof copy, "%s", line);
    while (rest != NULL && count < 8) {
        argv[count++] = strsep(&rest, " ");
    }
    OK(queue_plain(fixture.queue, count, argv, 0, &reply, &fixture.err));
    value = reply->type == REDIS_REPLY_INTEGER  ? reply->integer
            : reply->type == REDIS_REPLY_STRING ? strtoll(reply->str, NULL, 10)
            : reply->type == REDIS_REPLY_ARRAY  ? (long long)reply->elements
                                                : 0;
    freeReplyObject(reply);
    return value;
}

void clock_is(int64_t ms)
{
    char line[64];

    (void)snprintf(line, sizeof line, "SET n:clock %lld", (long long)ms);
    (void)raw(line);
}

int64_t clock_now(void)
{
    return raw("GET n:clock");
}

void clock_advance(int64_t ms)
{
    clock_is(clock_now() + ms);
}

struct queue *queue_fixture_open(void)
{
    struct queue *queue;

    OK(queue_open(redis_child_url(fixture.redis.child), &queue, &fixture.err));
    queue_use_clock(queue, virtual_clock);
    return queue;
}

int queue_fixture_start(void **state)
{
    (void)state;
    test_redis_start(&fixture.redis);
    fixture.queue = queue_fixture_open();
    return 0;
}

int queue_fixture_stop(void **state)
{
    (void)state;
    queue_close(fixture.queue);
    test_redis_stop(&fixture.redis);
    return 0;
}

int queue_fixture_empty(void **state)
{
    (void)state;
    (void)raw("FLUSHALL");
    clock_is(1000000);
    OK(queue_lead(fixture.queue, RUN, EPOCH, LEASE_MS, &fixture.err));
    return 0;
}

int queue_fixture_check(void **state)
{
    const char *argv[] = {"EVAL", check_lua, "0"};
    redisReply *reply;

    (void)state;
    OK(queue_plain(fixture.queue, 3, argv, 0, &reply, &fixture.err));
    if (reply->type != REDIS_REPLY_STRING || reply->len != 0) {
        print_error("Q1: %s\n", reply->str);
        freeReplyObject(reply);
        return -1;
    }
    freeReplyObject(reply);
    return 0;
}

struct hash job_of(unsigned n)
{
    return hash_of(bytes_view_of(&n, sizeof n));
}

/* An envelope with every awkward byte: NUL, newline, high ones. */
struct queue_item item_of(const struct hash *job, const char *lane, uint32_t priority,
                          uint64_t order)
{
    static const char envelope[] = "\x00\r\n\xff envelope $5";

    return (struct queue_item){.job = *job,
                               .envelope = bytes_view_of(envelope, sizeof envelope - 1),
                               .numeric_class = lane,
                               .priority = priority,
                               .order = order};
}

void submit(unsigned n, const char *lane, uint32_t priority, uint64_t order)
{
    struct hash job = job_of(n);
    struct queue_item item = item_of(&job, lane, priority, order);
    uint32_t added;

    OK(queue_submit(fixture.queue, RUN, EPOCH, &item, 1, &added, &fixture.err));
    assert_int_equal(added, 1);
}

struct queue_claim claim_any(void)
{
    struct queue_claim claim;

    queue_claim_init(&claim);
    OK(queue_claim(fixture.queue, RUN, "runner-a", "cpu", &claim, &fixture.err));
    return claim;
}

void claim_is(struct queue_claim *claim, unsigned n)
{
    struct hash job = job_of(n);

    assert_true(hash_equal(&claim->job, &job));
    bytes_fini(&claim->envelope);
}

struct queue_job_info info_of(unsigned n)
{
    struct hash job = job_of(n);
    struct queue_job_info info;

    OK(queue_job_info(fixture.queue, RUN, &job, &info, &fixture.err));
    return info;
}

struct queue_counts counts_now(void)
{
    struct queue_counts counts;

    OK(queue_counts(fixture.queue, RUN, &counts, &fixture.err));
    return counts;
}

void nothing_to_claim(const char *numeric_class)
{
    struct queue_claim claim;

    queue_claim_init(&claim);
    REFUSED(NERO_NOT_FOUND,
            queue_claim(fixture.queue, RUN, "runner-b", numeric_class, &claim, &fixture.err));
    queue_claim_fini(&claim);
}

void reap(uint32_t expired, uint32_t parked, uint32_t promoted, uint32_t repaired)
{
    struct queue_reaped reaped;

    OK(queue_reap(fixture.queue, RUN, EPOCH, &reaped, &fixture.err));
    assert_int_equal(reaped.expired, expired);
    assert_int_equal(reaped.parked, parked);
    assert_int_equal(reaped.promoted, promoted);
    assert_int_equal(reaped.repaired, repaired);
}

void state_is(unsigned n, const char *expected)
{
    struct queue_job_info info = info_of(n);

    assert_string_equal(info.state, expected);
}

void is_gone(unsigned n)
{
    struct hash job = job_of(n);
    struct queue_job_info info;

    REFUSED(NERO_NOT_FOUND, queue_job_info(fixture.queue, RUN, &job, &info, &fixture.err));
}
