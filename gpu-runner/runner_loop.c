#include "runner_loop.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nero/enrol.h"
#include "nero/layout.h"
#include "nero/log.h"
#include "nero/queue.h"
#include "nero/storage_retry.h"
#include "nero/trust.h"

#include "backend/backend.h"
#include "runner_job.h"
#include "train/trainer.h"

enum {
    LOOP_START_MS = 30000,       /* services may come up after us */
    LOOP_OUTAGE_ONCE_MS = 30000, /* with --once nobody wants to wait for ever */
    LOOP_WAIT_MS = 1000,         /* for a job; then runs are looked for again */
    LOOP_DISCOVER_MS = 5000,
    LOOP_REFUSED_MS = 15000,     /* before asking a run again that did not certify, */
    LOOP_USELESS_MS = 500,       /* and the same where no run did: there is nothing else to do */
    LOOP_TOKEN_WAIT_MS = 5000,   /* for a scheduler's answer; a stop request waits as long */
    LOOP_MARGIN_MS = 3600000,    /* a job must end before its certificate does */
    LOOP_STORE_BUDGET_MS = 1000, /* of one call; longer outages are the jobs' to wait out */
    LOOP_UNABLE_FIRST_MS = 1000, /* pause after a job that this runner cannot do; twice as long */
    LOOP_UNABLE_MAX_MS = 30000,  /* ... for each in a row */
    LOOP_PASS_MAX_MS = 1000000   /* such a job is passed over; from a second on, twice each time */
};

/* A job released as unable. */
struct unable {
    struct hash job;
    int64_t pass_ms;
    int64_t until_ns; /* monotonic: it is passed over */
};

struct member {
    char run[SLOT_RUN_BYTES];
    struct trust *trust;            /* NULL: not certified */
    int64_t asked_ns;               /* last try to enrol */
    int64_t not_before_ms, last_ms; /* no job is begun outside, wall clock */
    int64_t not_after_ms;           /* end of the certificate */
    int64_t announced_ns;           /* 0: never */
    bool seen;                      /* in the newest list of runs */
};

struct loop {
    const struct runner_loop_options *options;
    struct runner_notice *notice;
    const struct clock_source *clock;
    struct storage *store;
    struct queue *queue;
    struct backend *backend;
    struct runner_data *data;
    char numeric_class[JOB_CLASS_BYTES];
    struct key_pair key;
    char runner[KEY_ID_HEX_BYTES];
    char host[KEYS_TEXT_BYTES];
    struct member members[RUNNER_LOOP_RUNS_MAX];
    uint32_t member_count;
    uint32_t next;               /* member that is asked first of its priority: they take turns */
    struct interval_lives lives; /* of runners like this one */
    struct runner_backoff backoff;
    int64_t started_ns;
    int64_t outage_ns; /* start of the present outage; 0: none */
    int64_t discovered_ns;
    uint64_t jobs_done;
    struct unable unable[QUEUE_PASSED_MAX]; /* a ring */
    uint64_t unable_count;
    int64_t unable_ms; /* pause after the next one */
};

/* ---- start and end ---- */

static enum nero_status stopped(struct loop *loop, struct nero_err *err)
{
    return err_set(err, NERO_CANCELLED, 0, "stopped: %s",
                   loop->notice->asked ? loop->notice->why : "the machine is about to end");
}

/* After a failure at start: may it be tried again? Sleeps. */
static bool start_again(struct loop *loop, int64_t start_ns, const char *what, struct nero_err *err)
{
    if (!err_is_outage(err->status) ||
        clock_mono_ns(loop->clock) - start_ns > (int64_t)LOOP_START_MS * 1000000) {
        return false;
    }
    if (loop->backoff.tries == 0) {
        log_line(LOG_WARN, "runner.waiting", NULL, "for=\"%s\" reason=\"%s\"", what, err->message);
    }
    if (runner_notice_sleep(loop->notice, loop->clock, runner_backoff_next_ms(&loop->backoff))) {
        (void)stopped(loop, err);
        return false;
    }
    return true;
}

static enum nero_status open_store(struct loop *loop, int64_t start_ns, struct nero_err *err)
{
    struct storage_retry_options retry;
    struct storage *inner;
    uint64_t seed;

    while (storage_open(loop->options->store_url, false, &inner, err) != NERO_OK) {
        if (!start_again(loop, start_ns, "the store", err)) {
            return err->status;
        }
    }
    memcpy(&seed, loop->key.id.data, sizeof seed);
    retry = storage_retry_defaults(seed);
    retry.budget_ms = LOOP_STORE_BUDGET_MS;
    if (storage_retry_wrap(inner, &retry, &loop->store, err) != NERO_OK) {
        storage_close(inner);
        return err->status;
    }
    runner_backoff_reset(&loop->backoff);
    return NERO_OK;
}

static void name_host(struct loop *loop)
{
    char host[64] = "";

    (void)gethostname(host, sizeof host - 1);
    (void)snprintf(loop->host, sizeof loop->host, "%s:%ld", host[0] != 0 ? host : "?",
                   (long)getpid());
}

static enum nero_status loop_open(struct loop *loop, struct nero_err *err)
{
    int64_t start_ns = clock_mono_ns(loop->clock);
    uint64_t seed;

    if (hash_library_init(err) != NERO_OK) {
        return err->status;
    }
    key_pair_generate(&loop->key);
    key_id_to_hex(loop->runner, &loop->key.id);
    name_host(loop);
    memcpy(&seed, loop->key.id.data + sizeof seed, sizeof seed);
    runner_backoff_init(&loop->backoff, seed);
    loop->unable_ms = LOOP_UNABLE_FIRST_MS;
    if (backend_create(loop->options->backend, &loop->backend, err) != NERO_OK) {
        loop->backend = NULL;
        return err_wrap(err, "backend");
    }
    trainer_class_of(loop->backend, loop->options->shards, loop->numeric_class);
    if (open_store(loop, start_ns, err) != NERO_OK ||
        runner_data_create(loop->store, loop->options->cache, &loop->data, err) != NERO_OK) {
        return err->status;
    }
    while (queue_open(loop->options->redis_url, &loop->queue, err) != NERO_OK) {
        loop->queue = NULL;
        if (!start_again(loop, start_ns, "Redis", err)) {
            return err->status;
        }
    }
    runner_backoff_reset(&loop->backoff);
    log_line(LOG_INFO, "runner.started", NULL, "runner=%s host=%s class=\"%s\" store=%s",
             loop->runner, loop->host, loop->numeric_class, loop->options->store_url);
    return NERO_OK;
}

static void loop_close(struct loop *loop)
{
    for (uint32_t i = 0; i < loop->member_count; i++) {
        if (loop->members[i].trust != NULL) {
            trust_close(loop->members[i].trust);
        }
    }
    if (loop->queue != NULL) {
        queue_close(loop->queue);
    }
    runner_data_destroy(loop->data);
    storage_close(loop->store);
    backend_destroy(loop->backend);
    key_pair_fini(&loop->key);
}

/* ---- runs ---- */

static struct member *find_member(struct loop *loop, const char *run)
{
    for (uint32_t i = 0; i < loop->member_count; i++) {
        if (strcmp(loop->members[i].run, run) == 0) {
            return &loop->members[i];
        }
    }
    if (loop->member_count == RUNNER_LOOP_RUNS_MAX) {
        return NULL; /* enough to do */
    }
    struct member *member = &loop->members[loop->member_count++];

    *member = (struct member){0};
    (void)snprintf(member->run, sizeof member->run, "%s", run);
    return member;
}

static enum nero_status note_run(void *context, const char *run, struct nero_err *err)
{
    struct loop *loop = context;
    struct member *member;

    (void)err;
    if (loop->options->run == NULL || strcmp(loop->options->run, run) == 0) {
        member = find_member(loop, run);
        if (member != NULL) {
            member->seen = true;
        }
    }
    return NERO_OK;
}

/* What the scheduler found of the store: a runner cannot try it, for it must not delete. */
static enum nero_status read_verdict(const struct loop *loop, struct trust *trust,
                                     struct nero_err *err)
{
    struct log_context context = {.run = trust_run(trust)->name};
    struct run_verdict verdict;
    bool found;

    if (trust_verdict(trust, &verdict, &found, err) != NERO_OK) {
        return err->status;
    }
    if (found && !verdict.trusted) {
        log_line(LOG_WARN, "store.verdict", &context, "store=%s trusted=0 usable=%d why=\"%s\"",
                 loop->options->store_url, verdict.usable, verdict.why);
    } else {
        log_line(LOG_INFO, "store.verdict", &context, "store=%s %s", loop->options->store_url,
                 found ? "trusted=1" : "untried");
    }
    return NERO_OK;
}

static enum nero_status open_trust(struct loop *loop, struct member *member,
                                   const struct enrol_grant *grant, struct nero_err *err)
{
    const struct key_public *root = loop->options->has_root ? &loop->options->root : NULL;
    struct trust *trust;
    int64_t margin_ms;

    if (trust_open(loop->store, member->run, root, &trust, err) != NERO_OK) {
        return err->status;
    }
    if (memcmp(trust_run_key(trust), &grant->run_key, sizeof grant->run_key) != 0) {
        trust_close(trust);
        return err_set(err, NERO_DENIED, 0,
                       "the run record in the store names another run key than the scheduler");
    }
    if (read_verdict(loop, trust, err) != NERO_OK) {
        trust_close(trust);
        return err->status;
    }
    if (trust_run(trust)->store_mode == RUN_EXCLUSIVE &&
        (storage_capabilities(loop->store) & STORAGE_CAN_CREATE) == 0) {
        trust_close(trust);
        return err_set(err, NERO_INVALID, 0,
                       "%s: the store cannot create objects exclusively (or is read-only), and "
                       "without that nothing fences a second runner",
                       loop->options->store_url);
    }
    if (member->trust != NULL) {
        trust_close(member->trust);
    }
    member->trust = trust;
    margin_ms = (grant->certificate.not_after_ms - clock_wall_ms(loop->clock)) / 8;
    member->not_before_ms = grant->certificate.not_before_ms;
    member->not_after_ms = grant->certificate.not_after_ms;
    member->last_ms =
        grant->certificate.not_after_ms - (margin_ms < LOOP_MARGIN_MS ? margin_ms : LOOP_MARGIN_MS);
    log_line(LOG_INFO, "runner.enrolled", &(struct log_context){.run = member->run},
             "runner=%s valid_s=%" PRId64, loop->runner,
             (grant->certificate.not_after_ms - clock_wall_ms(loop->clock)) / 1000);
    return NERO_OK;
}

/* A local runner serves the one run that its parent tells. */
static enum nero_status enrol_local(struct loop *loop, struct nero_err *err)
{
    struct enrol_grant grant;
    struct member *member;

    if (enrol_over_fd(loop->options->enrol_fd, loop->host, &loop->key, &grant, err) != NERO_OK) {
        return err->status;
    }
    if (loop->options->run != NULL && strcmp(loop->options->run, grant.run) != 0) {
        return err_set(err, NERO_INVALID, 0, "enrolled in run '%s', but --run says '%s'", grant.run,
                       loop->options->run);
    }
    member = find_member(loop, grant.run);
    return open_trust(loop, member, &grant, err);
}

static enum nero_status enrol_remote(struct loop *loop, struct member *member, struct nero_err *err)
{
    struct enrol_grant grant;

    member->asked_ns = clock_mono_ns(loop->clock);
    if (enrol_by_token(loop->queue, loop->store, member->run, loop->options->token, loop->host,
                       &loop->key, LOOP_TOKEN_WAIT_MS, &grant, err) != NERO_OK) {
        return err->status;
    }
    return open_trust(loop, member, &grant, err);
}

/* Within the certificate's time; a clock that steps back leaves it, too. */
static bool is_certified(const struct loop *loop, const struct member *member)
{
    int64_t now_ms = clock_wall_ms(loop->clock);

    return member->trust != NULL && member->not_before_ms <= now_ms && now_ms < member->last_ms;
}

static bool has_work(const struct loop *loop)
{
    for (uint32_t i = 0; i < loop->member_count; i++) {
        if (is_certified(loop, &loop->members[i])) {
            return true;
        }
    }
    return false;
}

/* Look for runs and ask each new one for a certificate. */
static enum nero_status discover(struct loop *loop, struct nero_err *err)
{
    int64_t now_ns = clock_mono_ns(loop->clock);
    bool useful = has_work(loop);
    int64_t discover_ns = (int64_t)(useful ? LOOP_DISCOVER_MS : LOOP_USELESS_MS) * 1000000;
    int64_t refused_ns = (int64_t)(useful ? LOOP_REFUSED_MS : LOOP_USELESS_MS) * 1000000;

    if (loop->options->enrol_fd >= 0 ||
        (loop->discovered_ns != 0 && now_ns - loop->discovered_ns < discover_ns)) {
        return NERO_OK;
    }
    for (uint32_t i = 0; i < loop->member_count; i++) {
        loop->members[i].seen = false;
    }
    if (queue_runs(loop->queue, note_run, loop, err) != NERO_OK) {
        return err->status;
    }
    for (uint32_t i = 0; i < loop->member_count; i++) {
        struct member *member = &loop->members[i];

        if (!member->seen || is_certified(loop, member) ||
            (member->asked_ns != 0 && now_ns - member->asked_ns < refused_ns)) {
            continue;
        }
        if (enrol_remote(loop, member, err) != NERO_OK) {
            log_line(LOG_WARN, "runner.not_enrolled", &(struct log_context){.run = member->run},
                     "reason=\"%s\"", err->message);
        }
        if (runner_notice_stopping(loop->notice)) {
            break;
        }
    }
    loop->discovered_ns = clock_mono_ns(loop->clock);
    return NERO_OK;
}

/* ---- jobs ---- */

/* NULL: it was not. */
static struct unable *find_unable(struct loop *loop, const struct hash *job)
{
    for (uint32_t i = 0; i < QUEUE_PASSED_MAX && i < loop->unable_count; i++) {
        if (hash_equal(&loop->unable[i].job, job)) {
            return &loop->unable[i];
        }
    }
    return NULL;
}

/* The job is back at the head of the queue: give others the time to take it, and pass it over for a
 * while, so that those behind it are done. */
static void after_unable(struct loop *loop, const struct hash *job)
{
    struct unable *unable = find_unable(loop, job);

    if (unable == NULL) {
        unable = &loop->unable[loop->unable_count++ % QUEUE_PASSED_MAX];
        *unable = (struct unable){.job = *job, .pass_ms = LOOP_UNABLE_FIRST_MS / 2};
    }
    unable->pass_ms =
        2 * unable->pass_ms < LOOP_PASS_MAX_MS ? 2 * unable->pass_ms : LOOP_PASS_MAX_MS;
    (void)runner_notice_sleep(loop->notice, loop->clock, loop->unable_ms);
    loop->unable_ms *= 2;
    if (loop->unable_ms > LOOP_UNABLE_MAX_MS) {
        loop->unable_ms = LOOP_UNABLE_MAX_MS;
    }
    unable->until_ns = clock_mono_ns(loop->clock) + unable->pass_ms * 1000000;
}

static uint32_t passed_over(const struct loop *loop, struct hash out[QUEUE_PASSED_MAX])
{
    int64_t now_ns = clock_mono_ns(loop->clock);
    uint32_t count = 0;

    for (uint32_t i = 0; i < QUEUE_PASSED_MAX && i < loop->unable_count; i++) {
        if (loop->unable[i].until_ns > now_ns) {
            out[count++] = loop->unable[i].job;
        }
    }
    return count;
}

static void run_claimed(struct loop *loop, struct member *member, struct queue_claim *claim)
{
    const struct runner_loop_options *options = loop->options;
    struct runner_env env = {.store = loop->store,
                             .queue = loop->queue,
                             .redis_url = options->redis_url,
                             .trust = member->trust,
                             .key = &loop->key,
                             .not_before_ms = member->not_before_ms,
                             .not_after_ms = member->not_after_ms,
                             .runner = loop->runner,
                             .host = loop->host,
                             .backend = loop->backend,
                             .shards = options->shards,
                             .threads = options->threads,
                             .numeric_class = loop->numeric_class,
                             .data = loop->data,
                             .notice = loop->notice,
                             .clock = loop->clock,
                             .started_ns = loop->started_ns,
                             .interval = options->interval,
                             .lives = &loop->lives,
                             .beat_ms = options->beat_ms,
                             .stall_ms = options->stall_ms};
    enum runner_job_end end = runner_job_run(&env, claim);

    member->announced_ns = clock_mono_ns(loop->clock); /* the heartbeat did */
    if (end == RUNNER_JOB_UNABLE) {
        after_unable(loop, &claim->job);
        return;
    }
    loop->unable_ms = LOOP_UNABLE_FIRST_MS;
    if (end == RUNNER_JOB_DONE || end == RUNNER_JOB_FAILED) {
        loop->jobs_done++;
    }
}

static void announce(struct loop *loop, struct member *member)
{
    int64_t now_ns = clock_mono_ns(loop->clock);
    struct nero_err ignored;
    bool drained = false;

    if (member->announced_ns == 0 ||
        now_ns - member->announced_ns >= (int64_t)LOOP_WAIT_MS * 1000000) {
        (void)queue_announce(loop->queue, member->run, loop->runner, loop->host,
                             loop->numeric_class, &drained, &ignored);
        member->announced_ns = now_ns;
        if (drained) {
            runner_notice_drain(loop->notice);
        }
    }
}

/* Of the runs that have not been asked that of the highest priority; of several the next in turn.
 * NULL: all have been asked. */
static struct member *next_of(struct loop *loop, const bool asked[RUNNER_LOOP_RUNS_MAX])
{
    struct member *best = NULL;

    for (uint32_t i = 0; i < loop->member_count; i++) {
        uint32_t at = (loop->next + i) % loop->member_count;
        struct member *member = &loop->members[at];

        if (!asked[at] && is_certified(loop, member) &&
            (best == NULL ||
             trust_run(member->trust)->priority > trust_run(best->trust)->priority)) {
            best = member;
        }
    }
    return best;
}

/* Ask each run, in order. *worked: a job was run; a job that we just released does not count. */
static enum nero_status claim_one(struct loop *loop, bool *worked, struct nero_err *err)
{
    bool asked[RUNNER_LOOP_RUNS_MAX] = {false};
    struct hash passed[QUEUE_PASSED_MAX];
    uint32_t passed_count = passed_over(loop, passed);
    struct member *member;

    *worked = false;
    while ((member = next_of(loop, asked)) != NULL) {
        uint32_t at = (uint32_t)(member - loop->members);
        struct queue_claim claim;
        enum nero_status status;

        asked[at] = true;
        announce(loop, member);
        queue_claim_init(&claim);
        status = queue_claim_other(loop->queue, member->run, loop->runner, loop->numeric_class,
                                   passed, passed_count, &claim, err);
        if (status == NERO_OK) {
            *worked = find_unable(loop, &claim.job) == NULL;
            loop->next = (at + 1) % loop->member_count;
            run_claimed(loop, member, &claim);
        }
        queue_claim_fini(&claim);
        if (status != NERO_NOT_FOUND) {
            return status;
        }
    }
    return NERO_OK;
}

/* Nothing is ready: sleep until something may be. */
static enum nero_status idle(struct loop *loop, struct nero_err *err)
{
    const struct member *only = NULL;
    uint32_t certified = 0;

    for (uint32_t i = 0; i < loop->member_count; i++) {
        if (is_certified(loop, &loop->members[i])) {
            only = &loop->members[i];
            certified++;
        }
    }
    if (certified != 1) { /* no single doorbell to listen to */
        (void)runner_notice_sleep(loop->notice, loop->clock, LOOP_WAIT_MS / 2);
        return NERO_OK;
    }
    return queue_wait(loop->queue, only->run, LOOP_WAIT_MS, err);
}

/* True: go on. Redis that is away is waited for, with --once only so long. */
static bool survive(struct loop *loop, struct nero_err *err)
{
    int64_t now_ns = clock_mono_ns(loop->clock);

    if (!err_is_outage(err->status)) {
        return false;
    }
    if (loop->outage_ns == 0) {
        loop->outage_ns = now_ns;
        log_line(LOG_WARN, "runner.outage", NULL, "reason=\"%s\"", err->message);
    }
    if (loop->options->once && now_ns - loop->outage_ns > (int64_t)LOOP_OUTAGE_ONCE_MS * 1000000) {
        return false;
    }
    (void)runner_notice_sleep(loop->notice, loop->clock, runner_backoff_next_ms(&loop->backoff));
    return true;
}

/* A local runner asks its parent again; a remote one's token is spent: a new runner must start. */
static enum nero_status renew_certificate(struct loop *loop, struct nero_err *err)
{
    const struct member *member = &loop->members[0];
    bool any = false;

    for (uint32_t i = 0; i < loop->member_count; i++) {
        any = any || loop->members[i].trust == NULL || is_certified(loop, &loop->members[i]);
    }
    if (loop->member_count == 0 || any) {
        return NERO_OK;
    }
    if (loop->options->enrol_fd < 0) {
        return err_set(err, NERO_CANCELLED, 0,
                       "the certificate in run %s is about to end, or this clock is wrong: start a "
                       "new runner with a new token",
                       member->run);
    }
    key_pair_fini(&loop->key);
    key_pair_generate(&loop->key);
    key_id_to_hex(loop->runner, &loop->key.id);
    return enrol_local(loop, err);
}

static bool has_enough(const struct loop *loop)
{
    return loop->options->jobs_max != 0 && loop->jobs_done >= loop->options->jobs_max;
}

static bool is_member(const struct loop *loop)
{
    for (uint32_t i = 0; i < loop->member_count; i++) {
        if (loop->members[i].trust != NULL) {
            return true;
        }
    }
    return false;
}

static enum nero_status serve(struct loop *loop, struct nero_err *err)
{
    while (!has_enough(loop)) {
        bool worked = false;
        enum nero_status status;

        if (runner_notice_stopping(loop->notice) || loop->notice->announced) {
            return stopped(loop, err);
        }
        if (renew_certificate(loop, err) != NERO_OK) {
            return err->status;
        }
        status = discover(loop, err);
        if (status == NERO_OK) {
            status = claim_one(loop, &worked, err);
        }
        if (status == NERO_OK && !worked) {
            if (loop->options->once && !runner_notice_stopping(loop->notice)) {
                return is_member(loop) || loop->member_count == 0
                           ? NERO_OK
                           : err_set(err, NERO_DENIED, 0, "no run certified this runner");
            }
            status = idle(loop, err);
        }
        if (status != NERO_OK && !survive(loop, err)) {
            return err->status;
        }
        if (status == NERO_OK) {
            loop->outage_ns = 0;
            runner_backoff_reset(&loop->backoff);
        }
    }
    return NERO_OK;
}

enum nero_status runner_loop_run(const struct runner_loop_options *options,
                                 struct runner_notice *notice, struct nero_err *err)
{
    struct loop loop = {.options = options, .notice = notice, .clock = clock_system()};
    enum nero_status status;

    loop.started_ns = clock_mono_ns(loop.clock);
    status = loop_open(&loop, err);

    if (status == NERO_OK && options->enrol_fd >= 0) {
        status = enrol_local(&loop, err);
    }
    if (status == NERO_OK) {
        status = serve(&loop, err);
    }
    loop_close(&loop);
    return status;
}
