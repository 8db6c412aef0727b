/* The simulator's command: many seeds, each in a process of its own. See DESIGN.md. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "nero/log.h"
#include "nero/options.h"
#include "sim_check.h"
#include "sim_fault.h"
#include "sim_plant.h"
#include "sim_run.h"
#include "sim_thread.h"
#include "sim_trace.h"
#include "sim_trainer.h"
#include "sim_world.h"

enum {
    JOBS_MAX = 64,
    VERDICT_BYTES = 1024,
    STUCK_S = 120,
    FAILURES_SHOWN = 20,
    SEEDS_THAT_HIT_ALL = 200
};

/* What a simulation tells its parent: in shared memory, since it may die. */
struct outcome {
    bool ended;
    bool swept;
    char verdict[VERDICT_BYTES];
    uint64_t trace;
    uint32_t hits[SIM_POINT_ALL];
    double virtual_seconds;
    uint64_t units;
    uint64_t switches;
    struct hash decisions;
};

/* A simulation under way. */
struct child {
    pid_t pid;
    uint64_t number;
    struct outcome *outcome;
};

struct settings {
    uint64_t seeds;
    uint64_t first_seed;
    uint64_t jobs;
    uint64_t audit_every;
    const char *plant;
    bool trace;
    bool twice;
    bool until_found;
    bool json;
    bool knows; /* the decisions below */
    enum sim_sweep sweep;
    uint64_t first_call; /* of the sweep */
    uint64_t last_call;  /* 0: of the run */
    uint64_t step;
    uint64_t calls_min;                    /* that a sweep has to meet */
    struct hash decisions[SIM_WORLD_RUNS]; /* of the undisturbed runs */
};

struct tally {
    uint64_t done;
    uint64_t failed;
    uint64_t past; /* simulations of a sweep that have no such call any more */
    uint64_t hits[SIM_POINT_ALL];
    uint64_t seeds_hit[SIM_POINT_ALL]; /* seeds in which the point was hit */
    double virtual_seconds;
    uint64_t units;
    uint64_t switches;
};

/* ---- one simulation ---- */

/* Runners that live work on, and go on, whatever Redis forgets and however long the store is away.
 */
static bool loses_nothing(enum sim_sweep sweep)
{
    return sweep == SIM_SWEEP_EMPTY || sweep == SIM_SWEEP_AWAY || sweep == SIM_SWEEP_FULL;
}

/* `number` is the seed; of a sweep the number of the call, and the seed is that of the settings. */
static void simulate(const struct settings *settings, uint64_t number, struct outcome *outcome)
{
    uint32_t runners = !settings->knows ? 1 : settings->sweep != SIM_SWEEP_NONE ? 2 : 0;
    uint64_t seed = settings->sweep != SIM_SWEEP_NONE ? settings->first_seed : number;
    uint32_t run = (uint32_t)(seed % SIM_WORLD_RUNS);
    const char *name = sim_world_name(run);
    FILE *quiet = settings->trace ? NULL : fopen("/dev/null", "w");

    (void)alarm(STUCK_S);
    log_setup(settings->trace ? stdout : quiet, settings->trace ? LOG_DEBUG : LOG_ERROR, LOG_TEXT);
    sim_trace_print(settings->trace);
    sim_thread_seed(seed);
    fiber_world_begin(seed);
    if (settings->plant != NULL && !sim_plant(settings->plant)) {
        sim_trace_broken("no bug called %s", settings->plant);
    }
    if (settings->sweep != SIM_SWEEP_NONE) {
        sim_fault_sweep(settings->sweep, number);
    }
    if (sim_run(name, runners)) {
        sim_check(name,
                  &(struct sim_check_wanted){
                      .decisions = settings->knows ? &settings->decisions[run] : NULL,
                      .exact = !settings->knows || loses_nothing(settings->sweep),
                      .audit = settings->audit_every > 0 && seed % settings->audit_every == 0});
        outcome->decisions = sim_check_decisions(name);
    } else {
        sim_trace_broken("the run does not end");
    }
    for (int i = 1; i < SIM_POINT_ALL; i++) {
        outcome->hits[i] = sim_fault_hits((enum sim_point)i);
    }
    outcome->virtual_seconds = (double)fiber_now_ns() * 1e-9;
    outcome->units = sim_trainer_units();
    outcome->switches = fiber_switches();
    outcome->trace = sim_trace_hash();
    (void)snprintf(outcome->verdict, sizeof outcome->verdict, "%s", sim_trace_verdict());
    outcome->swept = sim_fault_swept();
    outcome->ended = true;
}

static struct outcome *shared_outcome(void)
{
    struct outcome *outcome =
        mmap(NULL, sizeof *outcome, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (outcome == MAP_FAILED) {
        perror("shared memory");
        exit(1);
    }
    return outcome;
}

static void start_child(const struct settings *settings, struct child *child, uint64_t number)
{
    (void)fflush(NULL);
    memset(child->outcome, 0, sizeof *child->outcome);
    child->number = number;
    child->pid = fork();
    if (child->pid < 0) {
        perror("fork");
        exit(1);
    }
    if (child->pid == 0) {
        if (freopen("/dev/null", "w", stdout) == NULL) { /* what the commands print */
            perror("/dev/null");
        }
        simulate(settings, number, child->outcome);
        (void)fflush(NULL);
        _exit(0);
    }
}

static void judge(struct child *child, int status)
{
    struct outcome *outcome = child->outcome;

    if (!outcome->ended) {
        (void)snprintf(outcome->verdict, sizeof outcome->verdict, "the program died: %s %d",
                       WIFSIGNALED(status) ? "signal" : "exit",
                       WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    }
}

static void run_alone(const struct settings *settings, struct child *child, uint64_t number)
{
    int status;

    start_child(settings, child, number);
    if (waitpid(child->pid, &status, 0) != child->pid) {
        perror("wait");
        exit(1);
    }
    judge(child, status);
}

/* ---- many ---- */

static void count(const struct child *child, struct tally *tally)
{
    const struct outcome *outcome = child->outcome;

    tally->done++;
    tally->past += !outcome->swept;
    tally->virtual_seconds += outcome->virtual_seconds;
    tally->units += outcome->units;
    tally->switches += outcome->switches;
    for (int i = 1; i < SIM_POINT_ALL; i++) {
        tally->hits[i] += outcome->hits[i];
        tally->seeds_hit[i] += outcome->hits[i] > 0;
    }
    if (outcome->verdict[0] != '\0') {
        tally->failed++;
        if (tally->failed <= FAILURES_SHOWN) {
            (void)printf("%" PRIu64 ": %s\n", child->number, outcome->verdict);
        }
    }
}

/* Determinism: the same seed once more, event by event the same. */
static void repeat(const struct settings *settings, struct child *child)
{
    struct child again = {.outcome = shared_outcome()};

    run_alone(settings, &again, child->number);
    if (again.outcome->trace != child->outcome->trace && child->outcome->verdict[0] == '\0') {
        (void)snprintf(child->outcome->verdict, VERDICT_BYTES,
                       "a second run of the seed went another way");
    }
    (void)munmap(again.outcome, sizeof *again.outcome);
}

static uint64_t number_of(const struct settings *settings, uint64_t index)
{
    return settings->sweep != SIM_SWEEP_NONE ? settings->first_call + index * settings->step
                                             : settings->first_seed + index;
}

static bool is_enough(const struct settings *settings, const struct tally *tally, uint64_t started)
{
    if (settings->sweep != SIM_SWEEP_NONE) {
        return tally->past > 0 ||
               (settings->last_call > 0 && number_of(settings, started) > settings->last_call);
    }
    return started == settings->seeds || (settings->until_found && tally->failed > 0);
}

/* The one that has ended, judged; its place is free again when it has been counted. */
static struct child *await_child(const struct settings *settings, struct child *children)
{
    struct child *child = NULL;
    int status;
    pid_t pid = waitpid(-1, &status, 0);

    for (uint64_t i = 0; i < settings->jobs; i++) {
        child = children[i].pid == pid ? &children[i] : child;
    }
    if (child == NULL) {
        perror("wait");
        exit(1);
    }
    judge(child, status);
    return child;
}

static void run_many(const struct settings *settings, struct tally *tally)
{
    struct child children[JOBS_MAX];
    uint64_t started = 0;
    uint64_t running = 0;

    for (uint64_t i = 0; i < settings->jobs; i++) {
        children[i] = (struct child){.outcome = shared_outcome()};
    }
    do {
        for (uint64_t i = 0; i < settings->jobs; i++) {
            if (children[i].pid == 0 && !is_enough(settings, tally, started)) {
                start_child(settings, &children[i], number_of(settings, started++));
                running++;
            }
        }
        if (running > 0) {
            struct child *child = await_child(settings, children);

            if (settings->twice) {
                repeat(settings, child);
            }
            count(child, tally);
            child->pid = 0;
            running--;
        }
    } while (running > 0 || !is_enough(settings, tally, started));
}

static double cpu_seconds(void)
{
    struct rusage usage;

    (void)getrusage(RUSAGE_CHILDREN, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

static void print_json(const struct tally *tally)
{
    for (int i = 1; i < SIM_POINT_ALL; i++) {
        (void)printf("{\"point\": %d, \"name\": \"%s\", \"hits\": %" PRIu64 ", \"seeds\": %" PRIu64
                     "}\n",
                     i, sim_point_name((enum sim_point)i), tally->hits[i], tally->seeds_hit[i]);
    }
    (void)printf("{\"seeds\": %" PRIu64 ", \"failed\": %" PRIu64 ", \"cpu_s\": %.1f, "
                 "\"virtual_s\": %.0f, \"units\": %" PRIu64 ", \"switches\": %" PRIu64 "}\n",
                 tally->done, tally->failed, cpu_seconds(), tally->virtual_seconds, tally->units,
                 tally->switches);
}

static void print_tally(const struct tally *tally)
{
    double seconds = cpu_seconds();

    (void)printf("\n  point                                 hits   seeds\n");
    for (int i = 1; i < SIM_POINT_ALL; i++) {
        (void)printf("  %2d %-32s %7" PRIu64 " %7" PRIu64 "%s\n", i,
                     sim_point_name((enum sim_point)i), tally->hits[i], tally->seeds_hit[i],
                     i == SIM_POINT_COUNT - 1 ? "  (last of specs/batch.md 3.5)" : "");
    }
    (void)printf("%" PRIu64 " seeds, %" PRIu64 " failed; %.1f s of CPU, %.1f seeds/s of CPU; "
                 "%.0f virtual hours, %" PRIu64 " units, %" PRIu64 " switches\n",
                 tally->done, tally->failed, seconds, (double)tally->done / seconds,
                 tally->virtual_seconds / 3600, tally->units, tally->switches);
}

/* ---- command ---- */

static bool undisturbed(struct settings *settings)
{
    struct settings calm = {.audit_every = 1}; /* knows nothing */
    struct child child = {.outcome = shared_outcome()};

    for (uint64_t run = 0; run < SIM_WORLD_RUNS; run++) {
        run_alone(&calm, &child, run);
        if (child.outcome->verdict[0] != '\0') {
            (void)printf("run %s without faults: %s\n", sim_world_name((uint32_t)run),
                         child.outcome->verdict);
            return false;
        }
        settings->decisions[run] = child.outcome->decisions;
    }
    settings->knows = true;
    return true;
}

static int run_all(struct settings *settings)
{
    struct tally tally = {.done = 0};
    bool hit = true;

    if (!undisturbed(settings)) {
        return ERR_EXIT_FINDING;
    }
    if (settings->trace) {
        struct outcome outcome = {.ended = false};

        simulate(settings, number_of(settings, 0), &outcome);
        (void)printf("%" PRIu64 ": %s\n", number_of(settings, 0),
                     outcome.verdict[0] != '\0' ? outcome.verdict : "good");
        return outcome.verdict[0] != '\0' ? ERR_EXIT_FINDING : ERR_EXIT_DONE;
    }
    run_many(settings, &tally);
    (settings->json ? print_json : print_tally)(&tally);
    if (settings->sweep != SIM_SWEEP_NONE && tally.done - tally.past < settings->calls_min) {
        (void)printf("the sweep met %" PRIu64 " calls, fewer than %" PRIu64 "\n",
                     tally.done - tally.past, settings->calls_min);
        return ERR_EXIT_FINDING;
    }
    if (settings->until_found) {
        (void)printf("the planted bug was %sfound\n", tally.failed > 0 ? "" : "not ");
        return tally.failed > 0 ? ERR_EXIT_DONE : ERR_EXIT_FINDING;
    }
    /* A run of many seeds that misses one of the points tests less than it says. */
    for (int i = 1; i < SIM_POINT_ALL && settings->sweep == SIM_SWEEP_NONE &&
                    settings->seeds >= SEEDS_THAT_HIT_ALL;
         i++) {
        hit = hit && tally.hits[i] > 0;
    }
    if (!hit) {
        (void)printf("some point was never hit\n");
    }
    return tally.failed == 0 && hit ? ERR_EXIT_DONE : ERR_EXIT_FINDING;
}

int main(int argc, char **argv)
{
    struct settings settings = {.seeds = 100,
                                .first_seed = 1,
                                .jobs = 2,
                                .audit_every = 50,
                                .first_call = 1,
                                .step = 1,
                                .calls_min = 1};
    const char *sweep = NULL;
    const struct options_spec specs[] = {
        {"seeds", OPTIONS_U64, "N", "how many seeds", NULL, &settings.seeds, 0},
        {"first-seed", OPTIONS_U64, "K", "the first of them", NULL, &settings.first_seed, 0},
        {"jobs", OPTIONS_U64, "N", "simulations at a time", NULL, &settings.jobs, JOBS_MAX},
        {"audit-every", OPTIONS_U64, "N", "audit the store of every N-th seed; 0: of none", NULL,
         &settings.audit_every, 0},
        {"plant", OPTIONS_STRING, "BUG", "plant a bug: fencing, manifest", NULL, &settings.plant,
         0},
        {"until-found", OPTIONS_FLAG, NULL, "end well when a seed fails", NULL,
         &settings.until_found, 0},
        {"twice", OPTIONS_FLAG, NULL, "run each seed twice and compare the events", NULL,
         &settings.twice, 0},
        {"sweep", OPTIONS_STRING, "WHAT",
         "one fault at one call, for all calls of the first seed: runner, scheduler (it takes\n"
         "effect, its sender dies), answer (is lost), away (the store, from then on),\n"
         "empty (Redis, before a scheduler's call), full (the store, from a write on),\n"
         "unit (its job fails until it is given up, and is tried again)",
         NULL, &sweep, 0},
        {"first-call", OPTIONS_U64, "K", "of the sweep", NULL, &settings.first_call, 0},
        {"last-call", OPTIONS_U64, "K", "of the sweep; 0: of the run", NULL, &settings.last_call,
         0},
        {"step", OPTIONS_U64, "N", "of the sweep: every N-th call", NULL, &settings.step, 0},
        {"calls-min", OPTIONS_U64, "N", "of the sweep: fail unless it met so many calls", NULL,
         &settings.calls_min, 0},
        {"json", OPTIONS_FLAG, NULL, "a JSON object a line", NULL, &settings.json, 0},
        {"trace", OPTIONS_FLAG, NULL, "run the first one alone and print its events", NULL,
         &settings.trace, 0},
    };
    const struct options_command command = {
        .program = "sim",
        .arguments = "",
        .about = "Simulate searches under faults, a seed each: the production code of scheduler,\n"
                 "runner, queue and chain on a virtual clock.",
        .examples = "  sim --seeds 10000\n  sim --first-seed 17 --trace\n  sim --sweep runner\n",
        .specs = specs,
        .spec_count = sizeof specs / sizeof specs[0]};
    struct options_parsed parsed;
    struct nero_err err;
    int code;

    if (options_parse(&command, argc, argv, &parsed, &err) != NERO_OK) {
        (void)fprintf(stderr, "sim: %s\n", err.message);
        return ERR_EXIT_INPUT;
    }
    if (parsed.help) {
        options_print_help(&command, stdout);
        return ERR_EXIT_DONE;
    }
    if (sweep != NULL && !sim_sweep_parse(sweep, &settings.sweep)) {
        (void)fprintf(stderr, "sim: --sweep is runner, scheduler, answer, away, empty, full or "
                              "unit\n");
        return ERR_EXIT_INPUT;
    }
    sim_thread_seed(0);
    sim_world_make();
    code = run_all(&settings);
    sim_world_remove();
    return code;
}
