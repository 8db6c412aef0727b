/*
 * What preemption costs: a trace of machines replayed in order by fleets of runners that share a
 * queue of jobs, and the share of the paid time that becomes committed training: with fixed
 * checkpoint intervals, with the controller that runners use, and with notices heeded. A runner
 * knows what a real one does: how long it has lived, and what became of the former attempts of the
 * jobs it claims. Beside it the theoretical optimum.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nero/interval.h"
#include "nero/mem.h"
#include "nero/options.h"

#include "tests/support/spot_trace.h"

enum { POLICIES = 4, FLEET_MAX = 10000 };

#define NEAR_POINTS 0.5
#define LEASE_S 30.0 /* until a job whose runner vanished is ready again */

struct bench_options {
    const char *trace, *fleets;
    double stall, lag, restart, step, job;
    uint64_t generate;
    bool json;
};

/* What is replayed: a policy, and whether an announced end is heeded. */
struct bench_policy {
    struct interval_policy interval;
    bool heeds_notice;
};

static const struct bench_policy policies[POLICIES] = {
    {.interval = {.kind = INTERVAL_SECONDS, .seconds = 600}},
    {.interval = {.kind = INTERVAL_SECONDS, .seconds = 1800}},
    {.interval = {.kind = INTERVAL_AUTO}},
    {.interval = {.kind = INTERVAL_AUTO}, .heeds_notice = true}};

/* A job that was given back, or whose lease ran out. */
struct waiting {
    double ready_s;
    double kept_s;                /* of its work, committed */
    struct interval_lives former; /* attempts, as its chain tells them */
};

/* A runner's machines follow on one another: a new machine is a new runner, which knows nothing. */
struct machine {
    const struct spot_life *life;
    uint32_t next, left; /* lives of the place */
    double end_s;
    double at_s; /* free to claim; no machine is left: infinite */
    struct interval_lives lives;
};

struct fleet {
    const struct bench_options *options;
    const struct bench_policy *policy;
    struct machine *machines;
    uint32_t machine_count;
    struct waiting *waiting; /* at most one a machine, and one */
    uint32_t waiting_count;
    double paid_s, useful_s;
};

/* ---- one attempt ---- */

static double commit_s(const struct bench_options *options)
{
    return options->stall + options->lag;
}

/* Whether the machine's end is known in time, and when training stops for it. */
static bool is_noticed(const struct fleet *fleet, const struct machine *machine, double *stop_s)
{
    const struct bench_options *options = fleet->options;
    double wanted_s = interval_stop_s(commit_s(options), options->step);

    if (!fleet->policy->heeds_notice ||
        machine->life->notice_s < commit_s(options) + INTERVAL_RELEASE_S) {
        *stop_s = machine->end_s;
        return false;
    }
    *stop_s = machine->end_s - fmin(machine->life->notice_s, wanted_s);
    return true;
}

/* The job goes on elsewhere; its chain says that the attempt lived until its newest slot. */
static void give_back(struct fleet *fleet, const struct waiting *job, double ready_s,
                      double lived_s)
{
    struct waiting *back = &fleet->waiting[fleet->waiting_count++];

    *back = *job;
    back->ready_s = ready_s;
    back->former.ended++;
    back->former.seconds += lived_s;
}

/* From the claim to the job's end or the machine's. */
static void attempt(struct fleet *fleet, struct machine *machine, struct waiting job)
{
    const struct bench_options *options = fleet->options;
    struct interval interval;
    double claimed_s = machine->at_s;
    double slot_s = claimed_s;
    double done_s = job.kept_s;
    double at_s = claimed_s;
    double stop_s;
    bool noticed = is_noticed(fleet, machine, &stop_s);

    machine->lives.ended += job.former.ended;
    machine->lives.seconds += job.former.seconds;
    interval_init(&interval, &fleet->policy->interval);
    interval.lives = machine->lives;
    interval_stepped(&interval, options->step);
    fleet->useful_s -= job.kept_s;
    for (;;) {
        double work_s = fmin(interval_seconds(&interval), options->job - done_s);

        if (at_s + work_s > stop_s) {
            break;
        }
        at_s += work_s;
        done_s += work_s;
        if (done_s >= options->job) { /* every job pays its last commit: no matter of preemption */
            fleet->useful_s += options->job;
            machine->at_s = at_s;
            machine->lives.seconds += at_s - claimed_s;
            return;
        }
        at_s += options->stall;
        interval_stalled(&interval, options->stall);
        if (at_s + options->lag <= machine->end_s) {
            job.kept_s = done_s;
            slot_s = at_s + options->lag;
        }
    }
    if (noticed) { /* one last snapshot, of all that was done */
        job.kept_s = done_s + fmax(0, stop_s - at_s);
        slot_s = fmax(at_s, stop_s) + commit_s(options);
    }
    fleet->useful_s += job.kept_s;
    give_back(fleet, &job, noticed ? slot_s : machine->end_s + LEASE_S, slot_s - claimed_s);
    machine->at_s = machine->end_s;
}

/* ---- a fleet ---- */

/* The job that has waited longest; a new one where none does. */
static struct waiting claim(struct fleet *fleet, double at_s)
{
    struct waiting *first = NULL;
    struct waiting job = {.ready_s = at_s};

    for (uint32_t i = 0; i < fleet->waiting_count; i++) {
        struct waiting *one = &fleet->waiting[i];

        if (one->ready_s <= at_s && (first == NULL || one->ready_s < first->ready_s)) {
            first = one;
        }
    }
    if (first != NULL) {
        job = *first;
        *first = fleet->waiting[--fleet->waiting_count];
    }
    return job;
}

/* The next machine of the place takes over; the lives of a place go round. */
static void begin_life(struct fleet *fleet, const struct spot_trace *trace, struct machine *machine)
{
    uint32_t place = machine->life->place;

    if (machine->left == 0) {
        machine->at_s = (double)INFINITY;
        return;
    }
    while (trace->lives[machine->next].place != place) {
        machine->next = (machine->next + 1) % trace->life_count;
    }
    machine->life = &trace->lives[machine->next];
    machine->next = (machine->next + 1) % trace->life_count;
    machine->left--;
    machine->lives = (struct interval_lives){0};
    fleet->paid_s += machine->life->end_s - machine->life->start_s;
    machine->end_s = machine->at_s + machine->life->end_s - machine->life->start_s;
    machine->at_s = fmin(machine->end_s, machine->at_s + fleet->options->restart);
}

static uint32_t lives_of(const struct spot_trace *trace, uint32_t place)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < trace->life_count; i++) {
        count += trace->lives[i].place == place;
    }
    return count;
}

/* Machine m replays the lives of its place once, from a beginning of its own. */
static void begin_fleet(struct fleet *fleet, const struct spot_trace *trace, uint32_t first_place)
{
    fleet->waiting_count = 0;
    for (uint32_t m = 0; m < fleet->machine_count; m++) {
        uint32_t place = (first_place + m) % trace->place_count;
        struct machine *machine = &fleet->machines[m];
        uint32_t at = (uint32_t)((uint64_t)m * trace->life_count / fleet->machine_count);

        while (trace->lives[at].place != place) {
            at = (at + 1) % trace->life_count;
        }
        *machine =
            (struct machine){.life = &trace->lives[at], .next = at, .left = lives_of(trace, place)};
        begin_life(fleet, trace, machine);
    }
}

static struct machine *first_free(const struct fleet *fleet)
{
    struct machine *first = &fleet->machines[0];

    for (uint32_t m = 1; m < fleet->machine_count; m++) {
        first = fleet->machines[m].at_s < first->at_s ? &fleet->machines[m] : first;
    }
    return first;
}

/* A fleet of fewer machines than there are places is replayed for each place in turn. */
static double useful_share(struct fleet *fleet, const struct spot_trace *trace)
{
    uint32_t turns = fleet->machine_count < trace->place_count ? trace->place_count : 1;

    fleet->paid_s = fleet->useful_s = 0;
    for (uint32_t turn = 0; turn < turns; turn++) {
        struct machine *machine;

        begin_fleet(fleet, trace, turn);
        while ((machine = first_free(fleet))->at_s < (double)INFINITY) {
            if (machine->at_s < machine->end_s) {
                attempt(fleet, machine, claim(fleet, machine->at_s));
            } else {
                begin_life(fleet, trace, machine);
            }
        }
    }
    return 100 * fleet->useful_s / fleet->paid_s;
}

/* First order: sqrt(2 c / M) + (lag + restart) / M, with M of each place, weighted by time. */
static double theory(const struct bench_options *options, const struct spot_trace *trace)
{
    double all_s = 0;
    double wasted_s = 0;

    for (uint32_t place = 0; place < trace->place_count; place++) {
        double seconds = 0;
        double mean_s;

        for (uint32_t i = 0; i < trace->life_count; i++) {
            const struct spot_life *life = &trace->lives[i];

            seconds += life->place == place ? life->end_s - life->start_s : 0;
        }
        mean_s = seconds / lives_of(trace, place);
        wasted_s += seconds * (sqrt(2 * options->stall / mean_s) +
                               (options->lag + options->restart) / mean_s);
        all_s += seconds;
    }
    return 100 * (1 - wasted_s / all_s);
}

/* ---- reporting ---- */

static void report(const struct bench_options *options, uint32_t runners,
                   const double share[POLICIES], double best)
{
    double points = best - share[2];
    bool near = points <= NEAR_POINTS;

    if (options->json) {
        (void)printf("{\"runners\": %u, \"useful_10min\": %.4f, \"useful_30min\": %.4f, "
                     "\"useful_auto\": %.4f, \"useful_notice\": %.4f, \"theory\": %.4f, "
                     "\"points_off\": %.4f, \"within\": %s}\n",
                     runners, share[0], share[1], share[2], share[3], best, points,
                     near ? "true" : "false");
    } else {
        (void)printf("%7u %9.2f %9.2f %9.2f %9.2f %9.2f %9.2f  %s\n", runners, share[0], share[1],
                     share[2], share[3], best, points, near ? "within 0.5 points" : "OVER");
    }
    (void)fflush(stdout);
}

static enum nero_status bench_fleet(const struct bench_options *options,
                                    const struct spot_trace *trace, uint32_t runners,
                                    struct nero_err *err)
{
    struct fleet fleet = {.options = options,
                          .machine_count = runners,
                          .machines = mem_calloc(runners, sizeof *fleet.machines),
                          .waiting = NULL};
    double share[POLICIES];
    enum nero_status status = NERO_OK;

    /* A vanished machine's job waits while its successor does another: two a machine at most, and
     * more only where lives are shorter than a lease. */
    fleet.waiting = mem_calloc((size_t)runners * (trace->life_count + 1), sizeof *fleet.waiting);
    if (fleet.machines == NULL || fleet.waiting == NULL) {
        status = err_set(err, NERO_NO_MEMORY, 0, "no memory for %u runners", runners);
    }
    for (int i = 0; i < POLICIES && status == NERO_OK; i++) {
        fleet.policy = &policies[i];
        share[i] = useful_share(&fleet, trace);
    }
    if (status == NERO_OK) {
        report(options, runners, share, theory(options, trace));
    }
    free(fleet.machines);
    free(fleet.waiting);
    return status;
}

static enum nero_status run(const struct bench_options *options, struct nero_err *err)
{
    const char *at = options->fleets;
    struct spot_trace trace;
    enum nero_status status = spot_trace_read(options->trace, &trace, err);

    if (status != NERO_OK) {
        return status;
    }
    if (!options->json) {
        (void)printf("%s: %u lives in %u places; stall %g s, lag %g s, restart %g s, jobs of %g "
                     "s\n\nUseful share of the paid time, %%:\n"
                     "runners    10 min    30 min      auto   +notice    theory    points\n",
                     options->trace, trace.life_count, trace.place_count, options->stall,
                     options->lag, options->restart, options->job);
    }
    while (*at != 0 && status == NERO_OK) {
        char *end;
        unsigned long runners = strtoul(at, &end, 10);

        if (end == at || runners < 1 || runners > FLEET_MAX || (*end != 0 && *end != ',')) {
            status = err_set(err, NERO_INVALID, 0, "--runners: '%s': expected numbers, 1 to %d", at,
                             FLEET_MAX);
            break;
        }
        status = bench_fleet(options, &trace, (uint32_t)runners, err);
        at = *end == ',' ? end + 1 : end;
    }
    spot_trace_fini(&trace);
    return status;
}

static bool is_time(double seconds)
{
    return seconds >= 0 && seconds <= 3600; /* false for NaN */
}

int main(int argc, char **argv)
{
    struct bench_options options = {.trace = NERO_SOURCE_DIR "/bench/spot.trace",
                                    .fleets = "1,100,1000",
                                    .stall = 0.05,
                                    .lag = 1.5,
                                    .restart = 10,
                                    .step = 0.1,
                                    .job = 1200,
                                    .generate = UINT64_MAX};
    const struct options_spec specs[] = {
        {"trace", OPTIONS_STRING, "FILE", "lives of machines (bench/spot.trace)", NULL,
         &options.trace, 0},
        {"runners", OPTIONS_STRING, "N,...", "sizes of the fleet (1,100,1000)", NULL,
         &options.fleets, 0},
        {"stall", OPTIONS_DOUBLE, "S", "of training, for a snapshot (0.05)", NULL, &options.stall,
         0},
        {"lag", OPTIONS_DOUBLE, "S", "from snapshot to commit (1.5)", NULL, &options.lag, 0},
        {"restart", OPTIONS_DOUBLE, "S", "from a machine's start to the first step (10)", NULL,
         &options.restart, 0},
        {"step", OPTIONS_DOUBLE, "S", "a training step (0.1)", NULL, &options.step, 0},
        {"job", OPTIONS_DOUBLE, "S", "work of a job (1200)", NULL, &options.job, 0},
        {"generate", OPTIONS_U64, "SEED", "print a trace instead", NULL, &options.generate, 0},
        {"json", OPTIONS_FLAG, NULL, "a JSON object a line", NULL, &options.json, 0}};
    const struct options_command command = {
        .program = "bench_spot",
        .arguments = "",
        .about =
            "How much of the time of preemptible machines becomes committed training. Each\n"
            "runner replays the lives of one place in order; they share a queue of jobs.\n\n"
            "auto: the runners' own controller, which knows what a real one does, the chains of\n"
            "its own jobs and how long it has lived. +notice: and a last checkpoint when the end\n"
            "is announced. theory: of first order, Young and Daly, which knows each place's mean\n"
            "life. points: auto below theory; the aim is 0.5.",
        .specs = specs,
        .spec_count = sizeof(specs) / sizeof(*specs)};
    struct options_parsed parsed;
    struct nero_err err;

    if (options_parse(&command, argc, argv, &parsed, &err) != NERO_OK) {
        goto fail;
    }
    if (parsed.help) {
        options_print_help(&command, stdout);
        return ERR_EXIT_DONE;
    }
    if (options.generate != UINT64_MAX) {
        spot_trace_generate(options.generate, stdout);
        return ERR_EXIT_DONE;
    }
    if (!is_time(options.stall) || !is_time(options.lag) || !is_time(options.restart) ||
        !is_time(options.step) || !(options.job >= 1 && options.job <= 1e6)) {
        (void)err_set(&err, NERO_INVALID, 0,
                      "--stall, --lag, --restart, --step: 0 to 3600; --job: 1 to 1e6");
        goto fail;
    }
    if (run(&options, &err) == NERO_OK) {
        return ERR_EXIT_DONE;
    }
fail:
    (void)fprintf(stderr, "bench_spot: %s\n", err.message);
    return (int)err_exit_code(err.status);
}
