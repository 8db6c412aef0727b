/*
 * What the queue costs: submit, claim, claim + complete, renew per second with 50 and 1,000
 * connections, each beside its limit, a script that does the same redis.calls without any logic;
 * bytes per queued job; and the latency of claims at a steady load on 1,000 connections.
 * A private Redis, one thread a connection; each figure the median of several rounds. bench/queue
 * runs it, with the peers beside it.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "nero/clock.h"
#include "nero/mem.h"
#include "nero/options.h"
#include "nero/queue.h"
#include "nero/redis_child.h"
#include "queue_script.h"
#include "tests/support/temp_folder.h"

#define RUN "bench"

enum {
    EPOCH = 1,
    LEASE_MS = 3600000,
    ENVELOPE_BYTES = 1500,
    CONNECTIONS_MAX = 1000,
    SAMPLES_MAX = 400000, /* a connection */
    STACK_BYTES = 256 * 1024,
    LOAD_CLAIMS = 200, /* a second */
    LOAD_RENEWALS = 100,
    MEMORY_JOBS = 10000,
    ROUNDS_MAX = 15
};

/* What is aimed at. */
#define AIM_OF_LIMIT 0.5
#define AIM_OF_PEER 5.0
#define AIM_CLAIM_MS 10.0
#define AIM_JOB_BYTES 1024.0

enum work { SUBMIT, CLAIM, CLAIM_COMPLETE, RENEW, WORKS, LOAD = WORKS };

static const char *const names[] = {"submit", "claim", "claim+complete", "renew"};

/* The redis.calls of the scripts, in their order. */
static const char limit_submit[] =
    "local k,i=KEYS[1],ARGV[1] redis.call('HGET',k,'epoch') redis.call('TIME')"
    " redis.call('HMGET',k,'lease_ms','seen','epoch')"
    " redis.call('HSET',k,'seen','1') redis.call('EXISTS',k..i)"
    " redis.call('HSET',k..i,'st','delayed','env',ARGV[2],'score','1')"
    " redis.call('SADD',k..'jobs',i) redis.call('HINCRBY',k,'bytes',1)"
    " redis.call('HMGET',k..i,'lane','score') redis.call('HSET',k..i,'st','ready')"
    " redis.call('HDEL',k..i,'ctl') redis.call('ZADD',k..'ready',1,i)"
    " redis.call('LLEN',k..'wake')"
    " redis.call('XADD',k..'ev','MAXLEN','~',10000,'*','kind','submitted','job',i,'runner','',"
    "'text','') return {'ok','1'}";
static const char limit_claim[] =
    "local k,i=KEYS[1],ARGV[1] redis.call('HGET',k,'epoch') redis.call('TIME')"
    " redis.call('HMGET',k,'lease_ms','seen','epoch')"
    " redis.call('HSET',k,'seen','1')"
    " redis.call('ZRANGEBYSCORE',k..'lease','-inf','0','LIMIT',0,5)"
    " redis.call('ZRANGEBYSCORE',k..'delay','-inf','0','LIMIT',0,100)"
    " redis.call('HGET',k..'w','ctl') redis.call('HMGET',k,'paused','counter','limit')"
    " redis.call('ZRANGE',k..'ready',0,0,'WITHSCORES') redis.call('ZREM',k..'ready',i)"
    " redis.call('HGET',k..i,'st') redis.call('HSET',k,'counter','1')"
    " redis.call('HSET',k..i,'st','leased','tok','0000000100000001','nonce','0000000100000001',"
    "'runner','r') redis.call('HDEL',k..i,'past','ctl','units','note')"
    " redis.call('ZADD',k..'lease',1,i)"
    " redis.call('XADD',k..'ev','MAXLEN','~',10000,'*','kind','claimed','job',i,'runner','r',"
    "'text','') local j=redis.call('HMGET',k..i,'env','slot','nf','np','nl')"
    " return {'ok',i,j[1] or ARGV[2],'0000000100000001','0','3600000','1','0','0','0'}";
static const char limit_complete[] =
    "local k,i=KEYS[1],ARGV[1] redis.call('HMGET',k..i,'st','tok','nonce','runner')"
    " redis.call('TIME') redis.call('HMGET',k,'lease_ms','seen','epoch')"
    " redis.call('HSET',k,'seen','1')"
    " redis.call('HSTRLEN',k..i,'env') redis.call('HMGET',k..i,'lane')"
    " redis.call('ZREM',k..'ready',i) redis.call('ZREM',k..'lease',i)"
    " redis.call('ZREM',k..'delay',i) redis.call('ZREM',k..'dead',i)"
    " redis.call('ZREM',k..'parked',i) redis.call('SREM',k..'jobs',i) redis.call('DEL',k..i..'x')"
    " redis.call('HINCRBY',k,'bytes',-1)"
    " redis.call('XADD',k..'ev','MAXLEN','~',10000,'*','kind','completed','job',i,'runner','r',"
    "'text',i) return {'ok'}";
static const char limit_renew[] =
    "local k,i=KEYS[1],ARGV[1]"
    " redis.call('HMGET',k..i,'st','tok','nonce','runner','ctl','slot','step','note')"
    " redis.call('TIME') redis.call('HMGET',k,'lease_ms','seen','epoch')"
    " redis.call('HSET',k,'seen','1')"
    " redis.call('ZADD',k..'lease',1,i) redis.call('HSET',k..i,'units','1')"
    " return {'ok','','3600000','1'}";

struct bench {
    struct redis_child *redis;
    char envelope[ENVELOPE_BYTES];
    enum work work;
    bool limit;
    double seconds;
    uint64_t rounds;
    bool json;
    pthread_barrier_t barrier;
    atomic_ulong failures; /* claims that found nothing though there were jobs */
};

struct connection {
    struct bench *bench;
    unsigned number;
    unsigned count;
    pthread_t thread;
    struct queue *queue;
    struct queue_claim claim; /* of RENEW and LOAD */
    bool holds;
    uint32_t *samples; /* microseconds */
    unsigned sample_count;
    uint32_t *renewals; /* of LOAD */
    unsigned renewal_count;
    uint64_t made; /* jobs named so far */
    int64_t begun_ns, ended_ns;
};

static void check(enum nero_status status, const struct nero_err *err, const char *what)
{
    if (status != NERO_OK) {
        (void)fprintf(stderr, "bench_queue: %s: %s\n", what, err->message);
        exit(1);
    }
}

#define CHECK(call)                        \
    do {                                   \
        struct nero_err check_err = {0};   \
        struct nero_err *err = &check_err; \
        check((call), err, #call);         \
    } while (0)

static struct hash next_job(struct connection *connection)
{
    uint64_t name[2] = {connection->number, connection->made++};

    return hash_of(bytes_view_of(name, sizeof name));
}

/* ---- one operation ---- */

static void submit_one(struct connection *connection)
{
    struct hash job = next_job(connection);
    struct queue_item item = {.job = job,
                              .envelope =
                                  bytes_view_of(connection->bench->envelope, ENVELOPE_BYTES),
                              .numeric_class = "",
                              .order = connection->made};

    CHECK(queue_submit(connection->queue, RUN, EPOCH, &item, 1, NULL, err));
}

static bool claim_one(struct connection *connection, struct queue_claim *claim)
{
    struct nero_err err;
    enum nero_status status;

    queue_claim_init(claim);
    status = queue_claim(connection->queue, RUN, "r", "cpu", claim, &err);
    bytes_fini(&claim->envelope);
    if (status != NERO_OK && status != NERO_NOT_FOUND) {
        check(status, &err, "claim");
    }
    return status == NERO_OK;
}

static void eval(struct connection *connection, const char *lua, const struct hash *job)
{
    static _Thread_local char sha[4][QUEUE_SHA_BYTES];
    static const char *const scripts[] = {limit_submit, limit_claim, limit_complete, limit_renew};
    char hex[HASH_HEX_BYTES];
    const char *argv[] = {"EVALSHA", NULL, "1", "limit:", hex, connection->bench->envelope};
    size_t bytes[] = {7, QUEUE_SHA_BYTES - 1, 1, 6, HASH_HEX_BYTES - 1, ENVELOPE_BYTES};
    redisReply *reply;
    unsigned n = 0;

    while (scripts[n] != lua) {
        n++;
    }
    if (sha[n][0] == '\0') {
        const char *load[] = {"SCRIPT", "LOAD", lua};

        CHECK(queue_plain(connection->queue, 3, load, 0, &reply, err));
        memcpy(sha[n], reply->str, QUEUE_SHA_BYTES);
        freeReplyObject(reply);
    }
    argv[1] = sha[n];
    hash_to_hex(hex, job);
    /* Only submit sends the envelope: the others have a word of its place. */
    bytes[5] = lua == limit_submit ? ENVELOPE_BYTES : 1;
    CHECK(queue_conn_command(&connection->queue->conn, 6, argv, bytes, 0, &reply, err));
    CHECK(queue_conn_refusal(reply, err));
    freeReplyObject(reply);
}

/* On one job of the connection's own, which it has made before; but each submission makes one. */
static bool do_limit(struct connection *connection)
{
    struct hash job;

    connection->made = connection->bench->work == SUBMIT ? connection->made : 0;
    job = next_job(connection);

    switch (connection->bench->work) {
    case SUBMIT:
        eval(connection, limit_submit, &job);
        break;
    case CLAIM:
        eval(connection, limit_claim, &job);
        break;
    case CLAIM_COMPLETE:
        eval(connection, limit_claim, &job);
        eval(connection, limit_complete, &job);
        break;
    default:
        eval(connection, limit_renew, &job);
    }
    return true;
}

static bool do_work(struct connection *connection)
{
    struct queue_beat beat = {.units = 1, .note = NULL};
    struct queue_claim claim;
    struct hash slot = {.data = {1}};

    switch (connection->bench->work) {
    case SUBMIT:
        submit_one(connection);
        return true;
    case CLAIM:
        return claim_one(connection, &claim);
    case CLAIM_COMPLETE:
        if (!claim_one(connection, &claim)) {
            return false;
        }
        CHECK(queue_complete(connection->queue, &claim, &slot, err));
        return true;
    default:
        CHECK(queue_renew(connection->queue, &connection->claim, &beat, NULL, err));
        return true;
    }
}

/* ---- closed loop ---- */

static void note_sample(uint32_t *samples, unsigned *count, int64_t from_ns)
{
    if (*count < SAMPLES_MAX) {
        samples[(*count)++] = (uint32_t)((clock_mono_ns(clock_system()) - from_ns) / 1000);
    }
}

static void loop_closed(struct connection *connection)
{
    const struct bench *bench = connection->bench;
    int64_t start_ns = clock_mono_ns(clock_system());

    while (clock_seconds_since(clock_system(), start_ns) < bench->seconds) {
        int64_t from_ns = clock_mono_ns(clock_system());

        if (!(bench->limit ? do_limit(connection) : do_work(connection))) {
            atomic_fetch_add(&connection->bench->failures, 1);
            break; /* no job is left */
        }
        note_sample(connection->samples, &connection->sample_count, from_ns);
    }
}

/* ---- open loop: each operation at its time, late or not; latency from that time on ---- */

static void loop_open(struct connection *connection)
{
    const struct bench *bench = connection->bench;
    int64_t start_ns = clock_mono_ns(clock_system());
    int64_t claim_ns = (int64_t)1000000000 * connection->count / LOAD_CLAIMS;
    int64_t renew_ns = (int64_t)1000000000 * connection->count / LOAD_RENEWALS;
    int64_t next_claim_ns = start_ns + claim_ns * connection->number / connection->count;
    int64_t next_renew_ns = start_ns + renew_ns * connection->number / connection->count;
    int64_t end_ns = start_ns + (int64_t)(bench->seconds * 1e9);
    struct queue_claim claim;

    for (;;) {
        bool is_claim = next_claim_ns <= next_renew_ns;
        int64_t due_ns = is_claim ? next_claim_ns : next_renew_ns;
        int64_t now_ns = clock_mono_ns(clock_system());

        if (due_ns >= end_ns) {
            return;
        }
        if (due_ns > now_ns) {
            (void)usleep((useconds_t)((due_ns - now_ns) / 1000));
        }
        if (is_claim) {
            if (claim_one(connection, &claim)) {
                note_sample(connection->samples, &connection->sample_count, due_ns);
            } else {
                atomic_fetch_add(&connection->bench->failures, 1);
            }
            next_claim_ns += claim_ns;
        } else {
            struct queue_beat beat = {.units = 1, .note = NULL};

            CHECK(queue_renew(connection->queue, &connection->claim, &beat, NULL, err));
            note_sample(connection->renewals, &connection->renewal_count, due_ns);
            next_renew_ns += renew_ns;
        }
    }
}

static void *run_connection(void *context)
{
    struct connection *connection = context;

    if (connection->bench->work == RENEW || connection->bench->work == LOAD) {
        connection->holds = claim_one(connection, &connection->claim);
    }
    if (connection->bench->limit) {
        struct hash job = next_job(connection);

        eval(connection, limit_submit, &job);
    }
    (void)pthread_barrier_wait(&connection->bench->barrier);
    connection->begun_ns = clock_mono_ns(clock_system());
    if (connection->bench->work == LOAD) {
        loop_open(connection);
    } else {
        loop_closed(connection);
    }
    connection->ended_ns = clock_mono_ns(clock_system());
    queue_close(connection->queue);
    return NULL;
}

/* ---- runs ---- */

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* All samples of one kind, sorted; free(). */
static uint32_t *gather(const struct connection *connections, unsigned count, bool renewals,
                        size_t *total)
{
    uint32_t *all;
    size_t used = 0;

    *total = 0;
    for (unsigned i = 0; i < count; i++) {
        *total += renewals ? connections[i].renewal_count : connections[i].sample_count;
    }
    all = mem_calloc(*total, sizeof *all);
    for (unsigned i = 0; i < count; i++) {
        unsigned n = renewals ? connections[i].renewal_count : connections[i].sample_count;

        memcpy(all + used, renewals ? connections[i].renewals : connections[i].samples,
               n * sizeof *all);
        used += n;
    }
    qsort(all, *total, sizeof *all, by_value);
    return all;
}

/* What one work costs. */
struct cost {
    double rate, p50_ms, p99_ms;
    double us; /* in the server, a call */
};

/* From the first connection's begin to the last one's end. */
static double elapsed(const struct connection *connections, unsigned count)
{
    int64_t begun_ns = INT64_MAX;
    int64_t ended_ns = 0;

    for (unsigned i = 0; i < count; i++) {
        begun_ns = connections[i].begun_ns < begun_ns ? connections[i].begun_ns : begun_ns;
        ended_ns = connections[i].ended_ns > ended_ns ? connections[i].ended_ns : ended_ns;
    }
    return (double)(ended_ns - begun_ns) * 1e-9;
}

static struct cost cost_of(const uint32_t *samples, size_t count, double seconds)
{
    size_t half = count / 2;
    size_t late = count * 99 / 100;

    return (struct cost){.rate = (double)count / seconds,
                         .p50_ms = count > 0 ? samples[half] / 1000.0 : 0,
                         .p99_ms = count > 0 ? samples[late] / 1000.0 : 0};
}

static int by_number(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *values, uint64_t count)
{
    qsort(values, count, sizeof *values, by_number);
    return (values[(count - 1) / 2] + values[count / 2]) / 2;
}

/* Each figure its own median. */
static struct cost median_cost(const struct cost *rounds, uint64_t count)
{
    double values[4][ROUNDS_MAX];

    for (uint64_t i = 0; i < count; i++) {
        values[0][i] = rounds[i].rate;
        values[1][i] = rounds[i].p50_ms;
        values[2][i] = rounds[i].p99_ms;
        values[3][i] = rounds[i].us;
    }
    return (struct cost){median(values[0], count), median(values[1], count),
                         median(values[2], count), median(values[3], count)};
}

static void print_cost(const struct bench *bench, const char *name, unsigned connections,
                       const struct cost *cost)
{
    if (bench->json) {
        (void)printf("{\"what\": \"%s\", \"connections\": %u, \"rate\": %.1f, \"p50_ms\": "
                     "%.3f, \"p99_ms\": %.3f, \"server_us\": %.2f}\n",
                     name, connections, cost->rate, cost->p50_ms, cost->p99_ms, cost->us);
    } else {
        (void)printf("%-28s %9.0f /s   p50 %7.2f ms   p99 %7.2f ms   in the server %.1f us\n", name,
                     cost->rate, cost->p50_ms, cost->p99_ms, cost->us);
    }
    (void)fflush(stdout);
}

/* `least`: the aim is at least that, else at most. */
static void judge(const struct bench *bench, const char *what, double value, double aim, bool least)
{
    bool kept = least ? value >= aim : value <= aim;

    if (bench->json) {
        (void)printf("{\"aim\": \"%s\", \"value\": %.3f, \"%s\": %.3f, \"kept\": %s}\n", what,
                     value, least ? "least" : "most", aim, kept ? "true" : "false");
    } else {
        (void)printf("%-52s %9.2f  (aim: at %s %g)  %s\n", what, value, least ? "least" : "most",
                     aim, kept ? "kept" : "MISSED");
    }
    (void)fflush(stdout);
}

static void plain(struct queue *queue, const char *a, const char *b)
{
    const char *argv[] = {a, b};
    redisReply *reply;

    CHECK(queue_plain(queue, 2, argv, 0, &reply, err));
    freeReplyObject(reply);
}

/* An empty run with `jobs` ready ones. */
static void prepare(const struct bench *bench, uint64_t jobs)
{
    struct connection filler = {.bench = (struct bench *)(uintptr_t)bench,
                                .number = CONNECTIONS_MAX};
    struct queue_item items[QUEUE_SUBMIT_MAX];

    CHECK(queue_open(redis_child_url(bench->redis), &filler.queue, err));
    plain(filler.queue, "FLUSHALL", "ASYNC");
    CHECK(queue_lead(filler.queue, RUN, EPOCH, LEASE_MS, err));
    for (uint64_t n = 0; n < jobs; n += QUEUE_SUBMIT_MAX) {
        for (unsigned i = 0; i < QUEUE_SUBMIT_MAX; i++) {
            items[i] =
                (struct queue_item){.job = next_job(&filler),
                                    .envelope = bytes_view_of(bench->envelope, ENVELOPE_BYTES),
                                    .numeric_class = "",
                                    .order = filler.made};
        }
        CHECK(queue_submit(filler.queue, RUN, EPOCH, items, QUEUE_SUBMIT_MAX, NULL, err));
    }
    queue_close(filler.queue);
}

static struct connection *run(struct bench *bench, unsigned count)
{
    struct connection *connections = mem_calloc(count, sizeof *connections);
    pthread_attr_t attributes;

    (void)pthread_attr_init(&attributes);
    (void)pthread_attr_setstacksize(&attributes, STACK_BYTES);
    (void)pthread_barrier_init(&bench->barrier, NULL, count);
    for (unsigned i = 0; i < count; i++) {
        struct connection *connection = &connections[i];

        *connection = (struct connection){.bench = bench, .number = i, .count = count};
        CHECK(queue_open(redis_child_url(bench->redis), &connection->queue, err));
        connection->samples = mem_calloc(SAMPLES_MAX / count * 50, sizeof(uint32_t));
        connection->renewals = mem_calloc(SAMPLES_MAX / count * 50, sizeof(uint32_t));
        if (pthread_create(&connection->thread, &attributes, run_connection, connection) != 0) {
            (void)fprintf(stderr, "bench_queue: no thread for connection %u\n", i);
            exit(1);
        }
    }
    for (unsigned i = 0; i < count; i++) {
        (void)pthread_join(connections[i].thread, NULL);
    }
    (void)pthread_barrier_destroy(&bench->barrier);
    (void)pthread_attr_destroy(&attributes);
    return connections;
}

static void free_connections(struct connection *connections, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        free(connections[i].samples);
        free(connections[i].renewals);
    }
    free(connections);
}

/* Microseconds of the server's time that the scripts took, a call, since the last reset. */
static double script_us(struct queue *queue)
{
    const char *argv[] = {"INFO", "commandstats"};
    redisReply *reply;
    const char *at;
    double us = 0;

    CHECK(queue_plain(queue, 2, argv, 0, &reply, err));
    at = strstr(reply->str, "cmdstat_evalsha:");
    at = at != NULL ? strstr(at, "usec_per_call=") : NULL;
    if (at != NULL) {
        us = strtod(at + strlen("usec_per_call="), NULL);
    }
    freeReplyObject(reply);
    return us;
}

static struct cost measure(struct bench *bench, enum work work, unsigned count, bool limit)
{
    struct connection *connections;
    struct queue *queue;
    struct cost cost;
    uint32_t *samples;
    size_t total;
    double us;

    bench->work = work;
    bench->limit = limit;
    prepare(bench, work == SUBMIT || limit ? 0
                   : work == RENEW         ? count
                                           : (uint64_t)(30000 * bench->seconds));
    CHECK(queue_open(redis_child_url(bench->redis), &queue, err));
    plain(queue, "CONFIG", "RESETSTAT");
    connections = run(bench, count);
    us = script_us(queue);
    queue_close(queue);
    samples = gather(connections, count, false, &total);
    cost = cost_of(samples, total, elapsed(connections, count));
    cost.us = us;
    free(samples);
    free_connections(connections, count);
    return cost;
}

/* Ours and its limit in turns. */
static double compare(struct bench *bench, enum work work, unsigned count, double *rate)
{
    struct cost ours[ROUNDS_MAX];
    struct cost limit[ROUNDS_MAX];
    struct cost our;
    struct cost most;
    char name[64];

    for (uint64_t i = 0; i < bench->rounds; i++) {
        ours[i] = measure(bench, work, count, false);
        limit[i] = measure(bench, work, count, true);
    }
    our = median_cost(ours, bench->rounds);
    most = median_cost(limit, bench->rounds);
    print_cost(bench, names[work], count, &our);
    (void)snprintf(name, sizeof name, "%s, limit", names[work]);
    print_cost(bench, name, count, &most);
    *rate = our.rate;
    return our.rate / most.rate;
}

static void measure_load(struct bench *bench, unsigned count, double seconds)
{
    struct connection *connections;
    uint32_t *samples;
    struct cost claim;
    struct cost renew;
    size_t total;
    double before = bench->seconds;

    bench->work = LOAD;
    bench->limit = false;
    bench->seconds = seconds;
    atomic_store(&bench->failures, 0);
    prepare(bench, count + (uint64_t)(LOAD_CLAIMS * seconds));
    connections = run(bench, count);
    samples = gather(connections, count, false, &total);
    claim = cost_of(samples, total, seconds);
    free(samples);
    samples = gather(connections, count, true, &total);
    renew = cost_of(samples, total, seconds);
    free(samples);
    free_connections(connections, count);
    bench->seconds = before;
    print_cost(bench, "claim at a steady load", count, &claim);
    print_cost(bench, "renew at a steady load", count, &renew);
    judge(bench, "claims at the steady load that found nothing", (double)bench->failures, 0, false);
    judge(bench, "claim p99 at the steady load, ms", claim.p99_ms, AIM_CLAIM_MS, false);
}

/* ---- peers: a command that prints a line for each, its name and what it takes a second ---- */

static void measure_peers(const struct bench *bench, const char *command, double ours)
{
    FILE *peers = popen(command, "r"); /* a command line of the person's own */
    char line[256];
    double fastest = 0;

    if (peers == NULL) {
        perror(command);
        exit(1);
    }
    while (fgets(line, sizeof line, peers) != NULL) {
        const char *rate = strstr(line, "\"rate\": ");

        if (rate != NULL && strtod(rate + 8, NULL) > fastest) {
            fastest = strtod(rate + 8, NULL);
        }
        (void)fputs(line, stdout);
    }
    if (pclose(peers) != 0) {
        (void)fprintf(stderr, "bench_queue: the peers failed: %s\n", command);
        exit(1);
    }
    if (fastest > 0) {
        judge(bench, "claim+complete, times the faster peer", ours / fastest, AIM_OF_PEER, true);
    }
}

static long long used_memory(struct queue *queue)
{
    const char *argv[] = {"INFO", "memory"};
    redisReply *reply;
    long long used;

    CHECK(queue_plain(queue, 2, argv, 0, &reply, err));
    used = strtoll(strstr(reply->str, "used_memory:") + 12, NULL, 10);
    freeReplyObject(reply);
    return used;
}

static void measure_memory(struct bench *bench)
{
    struct queue *queue;
    long long before;

    prepare(bench, 0);
    CHECK(queue_open(redis_child_url(bench->redis), &queue, err));
    before = used_memory(queue);
    prepare(bench, MEMORY_JOBS);
    judge(bench, "bytes a queued job beside its envelope",
          (double)(used_memory(queue) - before) / MEMORY_JOBS - ENVELOPE_BYTES, AIM_JOB_BYTES,
          false);
    queue_close(queue);
}

static void run_all(struct bench *bench, unsigned most, const char *peers)
{
    const unsigned counts[] = {50, most};
    double rate = 0;

    measure_memory(bench); /* first: nothing is being freed yet */
    for (unsigned i = 0; i < 2; i++) {
        if (!bench->json) {
            (void)printf("%u connections:\n", counts[i]);
        }
        for (enum work work = SUBMIT; work < WORKS; work++) {
            double ours;
            double share = compare(bench, work, counts[i], &ours);

            if (work == CLAIM_COMPLETE) {
                judge(bench, "claim+complete, of the limit", share, AIM_OF_LIMIT, true);
                rate = i == 0 ? ours : rate;
            }
        }
    }
    measure_load(bench, most, 3 * bench->seconds);
    if (peers != NULL) {
        measure_peers(bench, peers, rate);
    }
}

int main(int argc, char **argv)
{
    static struct bench bench = {.seconds = 3, .rounds = 3};
    const char *peers = NULL;
    uint64_t most = CONNECTIONS_MAX;
    const struct options_spec specs[] = {
        {"seconds", OPTIONS_DOUBLE, "S", "of each measurement (3)", NULL, &bench.seconds, 0},
        {"rounds", OPTIONS_U64, "N", "of which the medians are printed (3)", NULL, &bench.rounds,
         ROUNDS_MAX},
        {"connections", OPTIONS_U64, "N", "at most (1000)", NULL, &most, CONNECTIONS_MAX},
        {"peers", OPTIONS_STRING, "COMMAND", "prints a JSON object with a rate for each peer", NULL,
         &peers, 0},
        {"json", OPTIONS_FLAG, NULL, "a JSON object a line", NULL, &bench.json, 0}};
    const struct options_command command = {
        .program = "bench_queue",
        .arguments = "",
        .about = "Submit, claim, claim+complete and renew a second, beside a script of the same\n"
                 "redis.calls without logic; claims at a steady load; bytes a queued job. Ends\n"
                 "with 0 whether or not the aims are kept: each line says so.",
        .specs = specs,
        .spec_count = sizeof specs / sizeof specs[0]};
    struct options_parsed parsed;
    struct rlimit files = {.rlim_cur = 4096, .rlim_max = 4096};
    char folder[TEMP_FOLDER_BYTES];
    struct nero_err fault;

    if (options_parse(&command, argc, argv, &parsed, &fault) != NERO_OK) {
        (void)fprintf(stderr, "bench_queue: %s\n", fault.message);
        return ERR_EXIT_INPUT;
    }
    if (parsed.help) {
        options_print_help(&command, stdout);
        return ERR_EXIT_DONE;
    }
    if (!(bench.seconds > 0 && bench.seconds <= 600) || bench.rounds == 0 || most == 0) {
        (void)fprintf(stderr, "bench_queue: --seconds: above 0, at most 600; --rounds and "
                              "--connections: at least 1\n");
        return ERR_EXIT_INPUT;
    }
    (void)setrlimit(RLIMIT_NOFILE, &files);
    if (temp_folder_make(folder, NULL) != 0) {
        perror("bench_queue: make a folder");
        return ERR_EXIT_INPUT;
    }
    CHECK(hash_library_init(err));
    memset(bench.envelope, 'e', sizeof bench.envelope);
    CHECK(redis_child_start(folder, &bench.redis, err));
    run_all(&bench, (unsigned)most, peers);
    redis_child_stop(bench.redis);
    temp_folder_remove(folder);
    return ERR_EXIT_DONE;
}
