/*
 * How long a queue takes to come back from a store: a run of many jobs in a folder, a private Redis
 * that knows nothing of it, and `nero-sched rebuild`.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "nero/clock.h"
#include "nero/keys.h"
#include "nero/layout.h"
#include "nero/mem.h"
#include "nero/options.h"
#include "nero/queue.h"
#include "nero/redis_child.h"
#include "nero/run.h"
#include "nero/slot.h"
#include "nero/storage.h"

#include "cli.h"

#define RUN "bench"
#define WINDOW "--window-kib=1000000000" /* all of them in Redis */

enum { DONE_EVERY = 5, BEGUN_EVERY = 10 };

#define AIM_S 30.0
#define AIM_JOBS 100000.0

struct bench {
    char folder[64];
    char redis_folder[80];
    char url[96];
    struct key_pair key;    /* of the run, and its root */
    struct key_pair runner; /* who worked on some of its jobs */
    struct redis_child *redis;
    struct storage *store;
    bool json;
};

static void check(enum nero_status status, const struct nero_err *err, const char *what)
{
    if (status != NERO_OK) {
        (void)fprintf(stderr, "bench_rebuild: %s: %s\n", what, err->message);
        exit(1);
    }
}

#define CHECK(call)                        \
    do {                                   \
        struct nero_err check_err = {0};   \
        struct nero_err *err = &check_err; \
        check((call), err, #call);         \
    } while (0)

/* ---- the store, written as the file: driver lays it out, but without its fsyncs ---- */

static void put(const struct bench *bench, const char *key, struct bytes_view body)
{
    char path[512];
    FILE *file;

    (void)snprintf(path, sizeof path, "%s/store/%s", bench->folder, key);
    for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(path, 0700) != 0 && errno != EEXIST) {
            perror(path);
            exit(1);
        }
        *slash = '/';
    }
    file = fopen(path, "wb");
    if (file == NULL || fwrite(body.data, 1, body.bytes, file) != body.bytes || fclose(file) != 0) {
        perror(path);
        exit(1);
    }
}

static void put_sealed(const struct bench *bench, const char *key, enum envelope_type type,
                       struct bytes_view payload)
{
    struct bytes stored;

    bytes_init(&stored, ENVELOPE_BYTES_MAX);
    CHECK(envelope_seal(type, payload, &bench->key, &stored, err));
    put(bench, key, bytes_as_view(&stored));
    bytes_fini(&stored);
}

static struct hash job_of(uint64_t n)
{
    return hash_of(bytes_view_of(&n, sizeof n));
}

static void put_run(const struct bench *bench)
{
    struct run_record record = {.name = RUN, .run_key = bench->key.public_key};
    uint8_t dataset[HASH_BYTES] = {1};
    char key[LAYOUT_KEY_BYTES];
    struct bytes payload;

    record.strategy = RUN_SINGLE;
    record.store_mode = RUN_EXCLUSIVE;
    record.resume_policy = RUN_SAME_CLASS;
    memcpy(record.protocol.dataset.data, dataset, sizeof dataset);
    record.protocol.train_count = 40;
    record.protocol.control_count = 10;
    record.protocol.fitness_count = 10;
    record.protocol.part = JOB_PART_FITNESS;
    record.protocol.attack = (struct job_attack){.kind = JOB_ATTACK_FGSM, .epsilon = 0.03};
    record.protocol.eval_batch = 10;
    record.protocol.bn_momentum = 0.9;
    record.protocol.ill_fitted_share = 1.0;
    record.single_job = bytes_view_str("none");
    bytes_init(&payload, RUN_BYTES_MAX);
    CHECK(run_record_encode(&record, &payload, err));
    layout_run(key, RUN);
    put_sealed(bench, key, ENVELOPE_RUN, bytes_as_view(&payload));
    bytes_fini(&payload);
}

static void put_batch(const struct bench *bench, uint64_t number, uint64_t first, uint32_t count)
{
    static struct run_batch_job jobs[RUN_BATCH_JOBS_MAX];
    struct run_batch batch = {.run = RUN, .number = number, .count = count, .jobs = jobs};
    char key[LAYOUT_KEY_BYTES];
    struct bytes payload;

    for (uint32_t i = 0; i < count; i++) {
        jobs[i] = (struct run_batch_job){.job = job_of(first + i), .priority = i % 3};
    }
    bytes_init(&payload, ENVELOPE_BYTES_MAX);
    CHECK(run_batch_encode(&batch, &payload, err));
    layout_batch(key, RUN, number);
    put_sealed(bench, key, ENVELOPE_BATCH, bytes_as_view(&payload));
    bytes_fini(&payload);
}

static void put_certificate(const struct bench *bench)
{
    int64_t now_ms = clock_wall_ms(clock_system());
    struct keys_certificate certificate = {.run = RUN,
                                           .key = bench->runner.public_key,
                                           .uses = KEYS_USE_SLOTS,
                                           .epoch = 1,
                                           .not_before_ms = now_ms - 60000,
                                           .not_after_ms = now_ms + 3600000,
                                           .host = "bench"};
    struct key_id id = key_id_of(&bench->runner.public_key);
    char key[LAYOUT_KEY_BYTES];
    struct bytes payload;

    bytes_init(&payload, ENVELOPE_BYTES_MAX);
    CHECK(keys_certificate_encode(&certificate, &payload, err));
    layout_certificate(key, RUN, &id);
    put_sealed(bench, key, ENVELOPE_CERTIFICATE, bytes_as_view(&payload));
    bytes_fini(&payload);
}

/* A runner took the job and committed a checkpoint before everything was lost. */
static void put_chain(const struct bench *bench, const struct hash *job)
{
    struct slot slots[2] = {
        {.kind = SLOT_TAKEOVER},
        {.kind = SLOT_CHECKPOINT, .body = bytes_view_str("how far it had come")}};
    char key[LAYOUT_KEY_BYTES];
    struct bytes stored;
    struct bytes payload;
    struct hash prev;

    bytes_init(&stored, ENVELOPE_BYTES_MAX);
    layout_spec(key, RUN, job);
    CHECK(storage_get(bench->store, key, &stored, NULL, err));
    prev = hash_of(bytes_as_view(&stored));
    bytes_fini(&stored);
    for (uint64_t n = 0; n < 2; n++) {
        struct slot *slot = &slots[n];

        (void)snprintf(slot->run, sizeof slot->run, "%s", RUN);
        slot->job = *job;
        slot->number = n;
        slot->prev = prev;
        slot->token = (UINT64_C(1) << 32) + 1;
        slot->nonce = 1;
        slot->wall_ms = clock_wall_ms(clock_system());
        slot->reason = SLOT_INTERVAL;
        bytes_init(&payload, SLOT_BYTES_MAX);
        bytes_init(&stored, ENVELOPE_BYTES_MAX);
        CHECK(slot_encode(slot, &payload, err));
        CHECK(envelope_seal(ENVELOPE_SLOT, bytes_as_view(&payload), &bench->runner, &stored, err));
        layout_slot(key, RUN, job, n);
        put(bench, key, bytes_as_view(&stored));
        prev = hash_of(bytes_as_view(&stored));
        bytes_fini(&stored);
        bytes_fini(&payload);
    }
}

/* Every fifth job has a result, every tenth was being worked on. */
static void put_jobs(const struct bench *bench, uint64_t count, size_t bytes)
{
    uint8_t *spec = mem_calloc(1, bytes);
    char key[LAYOUT_KEY_BYTES];

    for (uint64_t n = 0; n < count; n++) {
        struct hash job = job_of(n);

        memcpy(spec, &n, sizeof n);
        layout_spec(key, RUN, &job);
        put_sealed(bench, key, ENVELOPE_JOB, bytes_view_of(spec, bytes));
        if (n % DONE_EVERY == 0) {
            layout_result(key, RUN, &job);
            put(bench, key, bytes_view_str("the final slot's copy"));
        } else if (n % BEGUN_EVERY == 1) {
            put_chain(bench, &job);
        }
    }
    for (uint64_t first = 0; first < count; first += RUN_BATCH_JOBS_MAX) {
        uint64_t left = count - first;

        put_batch(bench, first / RUN_BATCH_JOBS_MAX, first,
                  (uint32_t)(left < RUN_BATCH_JOBS_MAX ? left : RUN_BATCH_JOBS_MAX));
    }
    free(spec);
}

/* ---- the command ---- */

/* nero-sched rebuild with these options; its exit code, its output dropped. */
static int command(const struct bench *bench, const char *option)
{
    char store[128];
    char redis[160];
    int status = 0;
    pid_t child;

    (void)snprintf(store, sizeof store, "--store=%s", bench->url);
    (void)snprintf(redis, sizeof redis, "--redis=%s", redis_child_url(bench->redis));
    (void)fflush(stdout);
    child = fork();
    if (child == 0) {
        (void)dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDOUT_FILENO);
        (void)execl(NERO_SCHED, "nero-sched", "rebuild", RUN, store, redis, WINDOW, option,
                    (char *)NULL);
        _exit(127);
    }
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status)) {
        (void)fprintf(stderr, "bench_rebuild: %s did not run to its end\n", NERO_SCHED);
        exit(1);
    }
    return WEXITSTATUS(status);
}

static void step(const struct bench *bench, const char *what, int64_t from_ns)
{
    double seconds = clock_seconds_since(clock_system(), from_ns);

    (void)printf(bench->json ? "{\"step\": \"%s\", \"seconds\": %.3f}\n" : "%-40s %8.2f s\n", what,
                 seconds);
    (void)fflush(stdout);
}

/* The aim is for AIM_JOBS: fewer have as much less time. */
static void judge(const struct bench *bench, double seconds, uint64_t queued, uint64_t done)
{
    double aim_s = AIM_S * (double)(queued + done) / AIM_JOBS;
    bool kept = seconds <= aim_s;

    if (bench->json) {
        (void)printf("{\"rebuilt_s\": %.3f, \"queued\": %" PRIu64 ", \"done\": %" PRIu64
                     ", \"aim_s\": %.3f, \"kept\": %s}\n",
                     seconds, queued, done, aim_s, kept ? "true" : "false");
    } else {
        (void)printf("%-40s %8.2f s  (%" PRIu64 " jobs queued, %" PRIu64
                     " have results; aim: %g s)  %s\n",
                     "nero-sched rebuild", seconds, queued, done, aim_s, kept ? "kept" : "MISSED");
    }
}

/* From the command's start to its end: it compares, takes the lead, meets Redis and queues. */
static void rebuild(const struct bench *bench, uint64_t jobs)
{
    struct queue_counts counts;
    struct queue *queue;
    int64_t from_ns = clock_mono_ns(clock_system());
    int code = command(bench, "--json");
    double seconds = clock_seconds_since(clock_system(), from_ns);
    uint64_t known;

    if (code != ERR_EXIT_DONE) {
        (void)fprintf(stderr, "bench_rebuild: nero-sched rebuild ended with %d\n", code);
        exit(1);
    }
    CHECK(queue_open(redis_child_url(bench->redis), &queue, err));
    CHECK(queue_counts(queue, RUN, &counts, err));
    queue_close(queue);
    known = counts.ready + counts.delayed + counts.leased; /* those of live runners are held */
    if (known != jobs - (jobs + DONE_EVERY - 1) / DONE_EVERY) {
        (void)fprintf(stderr, "bench_rebuild: %" PRIu64 " of %" PRIu64 " jobs are queued\n", known,
                      jobs);
        exit(1);
    }
    judge(bench, seconds, known, jobs - known);
    from_ns = clock_mono_ns(clock_system());
    code = command(bench, "--dry-run");
    step(bench, "nero-sched rebuild --dry-run", from_ns);
    if (code != ERR_EXIT_DONE) {
        (void)fprintf(stderr, "bench_rebuild: the queue differs from the store (%d)\n", code);
        exit(1);
    }
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *at)
{
    (void)info;
    (void)kind;
    (void)at;
    return remove(path);
}

int main(int argc, char **argv)
{
    struct bench bench = {.folder = "/tmp/bench_rebuild.XXXXXX"};
    uint64_t jobs = 100000;
    uint64_t bytes = 1500;
    const struct options_spec specs[] = {
        {"jobs", OPTIONS_U64, "N", "of the run (100000)", NULL, &jobs, 10000000},
        {"bytes", OPTIONS_U64, "N", "of a job's envelope (1500)", NULL, &bytes, 1 << 16},
        {"json", OPTIONS_FLAG, NULL, "a JSON object a line", NULL, &bench.json, 0}};
    const struct options_command command = {.program = "bench_rebuild",
                                            .arguments = "",
                                            .about =
                                                "How long `nero-sched rebuild` takes to bring a "
                                                "queue back from a store after Redis lost\n"
                                                "it. Every fifth job has a result, every tenth a "
                                                "chain of two slots. The aim is 30 s for\n"
                                                "100,000 jobs.",
                                            .specs = specs,
                                            .spec_count = sizeof specs / sizeof specs[0]};
    struct options_parsed parsed;
    struct nero_err fault;
    int64_t from_ns = clock_mono_ns(clock_system());

    if (options_parse(&command, argc, argv, &parsed, &fault) != NERO_OK) {
        (void)fprintf(stderr, "bench_rebuild: %s\n", fault.message);
        return ERR_EXIT_INPUT;
    }
    if (parsed.help) {
        options_print_help(&command, stdout);
        return ERR_EXIT_DONE;
    }
    if (bytes < sizeof jobs || jobs == 0 || mkdtemp(bench.folder) == NULL) {
        (void)fprintf(stderr, "bench_rebuild: no folder, no jobs, or envelopes too small\n");
        return ERR_EXIT_INPUT;
    }
    CHECK(hash_library_init(err));
    (void)setenv("XDG_DATA_HOME", bench.folder, 1); /* the command's keys */
    CHECK(cli_run_key_create(RUN, &bench.key, err));
    key_pair_generate(&bench.runner);
    put_run(&bench);
    (void)snprintf(bench.url, sizeof bench.url, "file://%s/store", bench.folder);
    CHECK(storage_open(bench.url, false, &bench.store, err));
    put_certificate(&bench);
    put_jobs(&bench, jobs, (size_t)bytes);
    step(&bench, "(write the store)", from_ns);
    (void)snprintf(bench.redis_folder, sizeof bench.redis_folder, "%s/redis", bench.folder);
    (void)mkdir(bench.redis_folder, 0700);
    CHECK(redis_child_start(bench.redis_folder, &bench.redis, err));
    rebuild(&bench, jobs);
    storage_close(bench.store);
    redis_child_stop(bench.redis);
    (void)nftw(bench.folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return 0;
}
