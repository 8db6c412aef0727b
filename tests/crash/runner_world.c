#include "runner_world.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "nero/chain.h"
#include "nero/clock.h"
#include "nero/enrol.h"
#include "nero/layout.h"
#include "nero/trust.h"

enum { WAIT_MS = 20000, ARGUMENTS_MAX = 40 };

#define CHECK(call)                        \
    do {                                   \
        struct nero_err check_err = {0};   \
        struct nero_err *err = &check_err; \
        tiny_check((call), err, #call);    \
    } while (0)

#define REQUIRE(condition)                                                                \
    do {                                                                                  \
        if (!(condition)) {                                                               \
            (void)fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
            exit(1);                                                                      \
        }                                                                                 \
    } while (0)

static int64_t now_ms(void)
{
    return clock_mono_ns(clock_system()) / 1000000;
}

void world_open(struct world *world)
{
    const char *seed_text = getenv("NERO_TEST_SEED");
    uint64_t seed = (uint64_t)(seed_text != NULL ? strtoll(seed_text, NULL, 10) : getpid());
    const char *backend = getenv("NERO_TEST_BACKEND");
    static const char memory[] = "/dev/shm";
    char path[TEMP_FOLDER_BYTES + 16];

    *world = (struct world){.backend = backend != NULL ? backend : "auto"};
    for (int i = 0; i < WORLD_RUNNERS_MAX; i++) {
        world->runners[i].fd = -1;
    }
    (void)printf("seed %" PRIu64 " (NERO_TEST_SEED), backend %s\n", seed, world->backend);
    world->random = rng_stream(seed, RNG_TEST, 0, 0, 0);
    /* In memory where there is such a place: kills do not need a disk that is slow to sync. */
    REQUIRE(temp_folder_make(world->folder, access(memory, W_OK) == 0 ? memory : NULL) == 0);
    (void)snprintf(path, sizeof path, "%s/redis", world->folder);
    CHECK(redis_child_start(path, &world->redis, err));
    CHECK(queue_open(redis_child_url(world->redis), &world->queue, err));
    (void)snprintf(path, sizeof path, "file://%s/store", world->folder);
    CHECK(storage_open(path, true, &world->store, err));
}

void world_close(struct world *world)
{
    for (int i = 0; i < WORLD_RUNNERS_MAX; i++) {
        if (world->runners[i].pid != 0) {
            (void)kill(world->runners[i].pid, SIGKILL);
            (void)waitpid(world->runners[i].pid, NULL, 0);
        }
    }
    queue_close(world->queue);
    redis_child_stop(world->redis);
    storage_close(world->store);
    temp_folder_remove(world->folder);
}

/* ---- runs ---- */

void world_submit(struct world *world)
{
    struct queue_item item = {
        .job = world->job.id, .envelope = bytes_as_view(&world->job.envelope), .numeric_class = ""};

    world->epoch++;
    CHECK(queue_lead(world->queue, world->run.name, world->epoch, WORLD_LEASE_MS, err));
    CHECK(queue_submit(world->queue, world->run.name, world->epoch, &item, 1, NULL, err));
}

void world_begin_run(struct world *world, const char *budget, tiny_change_fn *change)
{
    char name[32];

    (void)snprintf(name, sizeof name, "crash-%u", world->runs++);
    tiny_run_create_small_cifar(&world->run, world->store, name);
    tiny_job_create(&world->job, &world->run, 42, budget, change);
    world_submit(world);
}

void world_end_run(struct world *world)
{
    tiny_job_fini(&world->job);
    CHECK(queue_drop(world->queue, world->run.name, world->epoch, err));
}

/* ---- processes ---- */

/* fd -1: it joins by the token file. */
static void exec_runner(const struct world *world, const char *log, int fd,
                        const char *const *arguments)
{
    const char *argv[ARGUMENTS_MAX] = {NERO_RUNNER, "--redis",      redis_child_url(world->redis),
                                       "--backend", world->backend, "--store"};
    char store[TEMP_FOLDER_BYTES + 16];
    char cache[TEMP_FOLDER_BYTES + 16];
    char token[TEMP_FOLDER_BYTES + 16];
    char number[16];
    int count = 6;
    int out = open(log, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)snprintf(store, sizeof store, "file://%s/store", world->folder);
    (void)snprintf(cache, sizeof cache, "%s/cache", world->folder);
    (void)snprintf(number, sizeof number, "%d", fd);
    argv[count++] = store;
    argv[count++] = "--cache";
    argv[count++] = cache;
    (void)snprintf(token, sizeof token, "%s/token", world->folder);
    argv[count++] = fd >= 0 ? "--enrol-fd" : "--join-token";
    argv[count++] = fd >= 0 ? number : token;
    while (*arguments != NULL && count < ARGUMENTS_MAX - 1) {
        argv[count++] = *arguments++;
    }
    (void)dup2(out, STDERR_FILENO);
    (void)dup2(out, STDOUT_FILENO);
    (void)execv(NERO_RUNNER, (char *const *)(uintptr_t)argv);
    _exit(127);
}

static void start(struct world *world, int index, int fd, const char *const *arguments)
{
    struct world_runner *runner = &world->runners[index];
    char folder[sizeof world->folder];

    memcpy(folder, world->folder, sizeof folder);
    REQUIRE(runner->pid == 0);
    if (runner->fd >= 0) {
        (void)close(runner->fd);
        runner->fd = -1;
    }
    (void)snprintf(runner->log, sizeof runner->log, "%s/runner-%d.log", folder, index);
    (void)unlink(runner->log); /* or we would read the former one's */
    (void)fflush(stdout);
    runner->pid = fork();
    REQUIRE(runner->pid >= 0);
    if (runner->pid == 0) {
        if (fd >= 0) {
            (void)fcntl(fd, F_SETFD, 0);
        }
        exec_runner(world, runner->log, fd, arguments);
    }
}

void world_start(struct world *world, int index, const char *const *arguments)
{
    struct world_runner *runner = &world->runners[index];
    int pair[2];

    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    start(world, index, pair[1], arguments);
    (void)close(pair[1]);
    runner->fd = pair[0];
}

void world_start_by_token(struct world *world, int index, bool as_text,
                          const char *const *arguments)
{
    char path[TEMP_FOLDER_BYTES + 16];
    char hex[2 * KEYS_TOKEN_BYTES + 1];
    FILE *file;

    for (int i = 0; i < KEYS_TOKEN_BYTES; i++) {
        world->token[i] = (uint8_t)rng_below(&world->random, 256);
    }
    world->has_token = true;
    bytes_to_hex(hex, world->token, KEYS_TOKEN_BYTES);
    (void)snprintf(path, sizeof path, "%s/token", world->folder);
    file = fopen(path, "w");
    REQUIRE(file != NULL);
    /* As `nero-sched keys token` makes it, or as text. */
    REQUIRE((as_text ? fprintf(file, "%s\n", hex) > 0
                     : fwrite(world->token, KEYS_TOKEN_BYTES, 1, file) == 1) &&
            fclose(file) == 0);
    REQUIRE(chmod(path, 0600) == 0);
    start(world, index, -1, arguments);
}

void world_signal(struct world *world, int index, int number)
{
    REQUIRE(world->runners[index].pid != 0);
    REQUIRE(kill(world->runners[index].pid, number) == 0);
}

void world_cut_off(struct world *world, int index, bool cut)
{
    struct rlimit limit;

    REQUIRE(world->runners[index].pid != 0);
    REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    if (cut) {
        limit.rlim_cur = 3;
    }
    REQUIRE(prlimit(world->runners[index].pid, RLIMIT_NOFILE, &limit, NULL) == 0);
}

void world_hang_up(struct world *world, int index)
{
    (void)close(world->runners[index].fd);
    world->runners[index].fd = -1;
}

/* Collect those that have ended. */
static void look_at_children(struct world *world)
{
    for (int i = 0; i < WORLD_RUNNERS_MAX; i++) {
        struct world_runner *runner = &world->runners[i];
        int status;

        if (runner->pid != 0 && waitpid(runner->pid, &status, WNOHANG) == runner->pid) {
            runner->pid = 0;
            runner->code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
        }
    }
}

static struct enrol_issuer make_issuer(const struct world *world)
{
    return (struct enrol_issuer){.store = world->store,
                                 .run = world->run.name,
                                 .run_key = &world->run.key,
                                 .epoch = world->epoch,
                                 .lifetime_ms = ENROL_LIFETIME_MS_DEFAULT};
}

static void answer_enrolments(struct world *world)
{
    const struct enrol_issuer issuer = make_issuer(world);

    for (int i = 0; i < WORLD_RUNNERS_MAX; i++) {
        struct world_runner *runner = &world->runners[i];
        struct pollfd look = {.fd = runner->fd, .events = POLLIN};
        struct nero_err ignored;

        if (runner->fd >= 0 && poll(&look, 1, 0) == 1 &&
            enrol_answer_fd(&issuer, runner->fd, &ignored) != NERO_OK) {
            (void)close(runner->fd); /* it died */
            runner->fd = -1;
        }
    }
}

static void answer_tokens(struct world *world)
{
    struct enrol_issuer issuer = make_issuer(world);
    uint8_t token[1][KEYS_TOKEN_BYTES];
    struct nero_err ignored;
    int32_t used;

    memcpy(token[0], world->token, KEYS_TOKEN_BYTES);
    if (enrol_answer_queue(&issuer, world->queue, (const uint8_t(*)[KEYS_TOKEN_BYTES])token, NULL,
                           world->has_token, &used, NULL, &ignored) == NERO_OK) {
        world->has_token = false;
    }
}

/* What a scheduler does all the time. Redis may be away. */
static void pump(struct world *world)
{
    struct queue_reaped reaped;
    struct nero_err ignored;

    answer_enrolments(world);
    answer_tokens(world);
    look_at_children(world);
    (void)queue_reap(world->queue, world->run.name, world->epoch, &reaped, &ignored);
    (void)usleep(5000);
}

void world_pass(struct world *world, int64_t ms)
{
    int64_t end = now_ms() + ms;

    do {
        pump(world);
    } while (now_ms() < end);
}

int world_wait_end(struct world *world, int index, int64_t ms)
{
    int64_t end = now_ms() + ms;

    while (world->runners[index].pid != 0) {
        pump(world);
        if (now_ms() > end) {
            world_print_log(world, index);
        }
        REQUIRE(now_ms() <= end);
    }
    return world->runners[index].code;
}

uint64_t world_slot_count(struct world *world)
{
    char object[LAYOUT_KEY_BYTES];
    struct nero_err err;
    uint64_t count = 0;

    for (;;) {
        layout_slot(object, world->run.name, &world->job.id, count);
        if (storage_head(world->store, object, NULL, &err) != NERO_OK) {
            return count;
        }
        count++;
    }
}

bool world_wait_slots(struct world *world, uint64_t count)
{
    int64_t end = now_ms() + WAIT_MS;

    while (world_slot_count(world) < count) {
        if (now_ms() > end) {
            return false;
        }
        pump(world);
    }
    return true;
}

bool world_log_has(struct world *world, int index, const char *text)
{
    FILE *file = fopen(world->runners[index].log, "r");
    char line[4096];
    bool found = false;

    while (file != NULL && !found && fgets(line, sizeof line, file) != NULL) {
        found = strstr(line, text) != NULL;
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return found;
}

bool world_wait_log(struct world *world, int index, const char *text)
{
    int64_t end = now_ms() + WAIT_MS;

    while (!world_log_has(world, index, text)) {
        if (now_ms() > end) {
            world_print_log(world, index);
            return false;
        }
        pump(world);
    }
    return true;
}

void world_print_log(struct world *world, int index)
{
    FILE *file = fopen(world->runners[index].log, "r");
    char line[4096];

    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        (void)fprintf(stderr, "runner %d: %s", index, line);
    }
    if (file != NULL) {
        (void)fclose(file);
    }
}

/* ---- findings ---- */

void world_job_state(struct world *world, struct queue_job_info *out)
{
    struct nero_err err;
    enum nero_status status;

    *out = (struct queue_job_info){0};
    status = queue_job_info(world->queue, world->run.name, &world->job.id, out, &err);
    if (status == NERO_NOT_FOUND) {
        (void)snprintf(out->state, sizeof out->state, "gone");
    } else {
        tiny_check(status, &err, "job info");
    }
}

struct tally {
    int events;
    int completed;
};

static enum nero_status count_completed(void *context, const struct queue_event *event,
                                        struct nero_err *err)
{
    struct tally *tally = context;

    (void)err;
    tally->events++;
    tally->completed += strcmp(event->kind, "completed") == 0;
    return NERO_OK;
}

static void check_redis(struct world *world)
{
    struct queue_job_info info;
    char last_id[40] = "0";
    struct tally tally = {0};
    int before;

    world_job_state(world, &info);
    REQUIRE(strcmp(info.state, "gone") == 0);
    do { /* they come in pages */
        before = tally.events;
        CHECK(
            queue_events(world->queue, world->run.name, last_id, 0, count_completed, &tally, err));
    } while (tally.events > before);
    REQUIRE(tally.completed == 1);
}

static void check_copy(struct world *world, const struct chain_entry *final)
{
    char object[LAYOUT_KEY_BYTES];
    struct bytes copy;

    bytes_init(&copy, SLOT_BYTES_MAX);
    layout_result(object, world->run.name, &world->job.id);
    CHECK(storage_get(world->store, object, &copy, NULL, err));
    REQUIRE(bytes_view_equal(bytes_as_view(&copy), final->stored));
    bytes_fini(&copy);
}

void world_outcome(struct world *world, struct bytes *out, struct result_provenance *provenance)
{
    const struct chain_entry *final;
    struct bytes_view outcome;
    struct result result;
    struct chain *chain;
    struct trust *trust;
    uint32_t finals = 0;

    CHECK(trust_open(world->store, world->run.name, &world->run.root.public_key, &trust, err));
    CHECK(chain_open(world->store, trust, &world->job.id, bytes_as_view(&world->job.envelope),
                     &chain, err));
    for (uint64_t i = 0; i < chain_count(chain); i++) {
        finals += chain_at(chain, i)->valid && chain_at(chain, i)->slot.kind == SLOT_FINAL;
    }
    REQUIRE(finals == 1);
    final = chain_terminal(chain);
    REQUIRE(final != NULL && final->slot.kind == SLOT_FINAL);
    result_init(&result);
    CHECK(result_decode(final->slot.body, &result, &outcome, err));
    CHECK(bytes_append(out, outcome.data, outcome.bytes, err));
    *provenance = result.provenance;
    result_fini(&result);
    check_copy(world, final);
    check_redis(world);
    chain_close(chain);
    trust_close(trust);
}
