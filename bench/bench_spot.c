/*
 * What preemption costs: lives of machines drawn from a trace, and the share of their time that
 * becomes committed training, with fixed checkpoint intervals and with the controller that runners
 * use. Beside it the least that any fixed interval would waste on the same lives, found by trying.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nero/interval.h"
#include "nero/mem.h"
#include "nero/options.h"
#include "nero/rng.h"

#include "tests/support/spot_trace.h"

enum { FLEETS_MAX = 8, LIVES_MIN = 4000, TRIED = 60 };

#define NEAR_POINTS 0.5

struct bench_options {
    const char *trace, *fleets;
    double stall, lag, restart, step;
    uint64_t seed, generate;
};

/* One life of one runner, in the fleet's time. */
struct life {
    uint32_t place;
    double start_s, seconds, notice_s;
};

/* What the runners of a place know together. */
struct tally {
    double ended, ended_s;      /* lives that ended, and their seconds */
    double running, starts_sum; /* lives that have not */
};

struct outcome {
    double paid_s, useful_s;
    double exit_paid_s; /* where the machine ends with the runner rather than with its notice */
};

/* ---- one life ---- */

static void live(const struct bench_options *options, const struct interval_policy *policy,
                 const struct interval_lives *seen, const struct life *life, bool heeds_notice,
                 struct outcome *out)
{
    struct interval interval;
    double commit_s = options->stall + options->lag;
    bool noticed = heeds_notice && life->notice_s >= commit_s + INTERVAL_RELEASE_S;
    double stop_s = fmin(life->notice_s, interval_stop_s(commit_s, options->step));
    double end_s = noticed ? fmax(0, life->seconds - stop_s) : life->seconds;
    double at_s = options->restart;
    double done_s = 0; /* work since the start, whether committed or not */
    double kept_s = 0;

    interval_init(&interval, policy);
    interval.lives = *seen;
    interval_stepped(&interval, options->step);
    for (;;) {
        double work_s = interval_seconds(&interval);

        if (at_s + work_s + (noticed ? 0 : commit_s) > end_s) {
            break;
        }
        at_s += work_s + options->stall;
        done_s += work_s;
        kept_s = done_s;
        interval_stalled(&interval, options->stall);
    }
    if (noticed) { /* one last snapshot, of all that was done */
        kept_s = done_s + fmax(0, end_s - at_s);
    }
    out->paid_s += life->seconds;
    out->exit_paid_s += noticed ? fmin(life->seconds, end_s + commit_s) : life->seconds;
    out->useful_s += kept_s;
}

/* ---- a fleet ---- */

static int by_start(const void *a, const void *b)
{
    const struct life *x = a;
    const struct life *y = b;

    return (x->start_s > y->start_s) - (x->start_s < y->start_s);
}

/* Machines follow on one another without a gap; a place's lives are drawn from the trace's. */
static struct life *draw(const struct spot_trace *trace, uint64_t seed, uint32_t runners,
                         uint32_t *count)
{
    uint32_t each = runners >= LIVES_MIN ? 1 : (LIVES_MIN + runners - 1) / runners;
    struct life *lives = mem_calloc((size_t)each * runners, sizeof *lives);

    *count = lives != NULL ? each * runners : 0;
    for (uint32_t r = 0; r < runners && lives != NULL; r++) {
        struct rng_stream stream = rng_stream(seed, RNG_TEST, r, 0, 1);
        double at_s = 0;

        for (uint32_t i = 0; i < each; i++) {
            struct life *life = &lives[(size_t)r * each + i];
            const struct spot_life *from;

            do {
                from = &trace->lives[rng_below(&stream, trace->life_count)];
            } while (from->place != r % trace->place_count);
            *life = (struct life){.place = from->place,
                                  .start_s = at_s,
                                  .seconds = from->end_s - from->start_s,
                                  .notice_s = from->notice_s};
            at_s += life->seconds;
        }
    }
    if (lives != NULL) {
        qsort(lives, *count, sizeof *lives, by_start);
    }
    return lives;
}

static int by_end(const void *a, const void *b)
{
    const struct life *x = *(const struct life *const *)a;
    const struct life *y = *(const struct life *const *)b;
    double x_end = x->start_s + x->seconds;
    double y_end = y->start_s + y->seconds;

    return (x_end > y_end) - (x_end < y_end);
}

/* Each life begins with what the place's runners have told by then. */
static enum nero_status run_fleet(const struct bench_options *options,
                                  const struct interval_policy *policy, const struct life *lives,
                                  uint32_t count, bool heeds_notice, struct outcome *out,
                                  struct nero_err *err)
{
    struct tally tallies[SPOT_TRACE_PLACES_MAX] = {0};
    const struct life **ends = mem_calloc(count, sizeof *ends);
    uint32_t ended = 0;

    if (ends == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for %u lives", count);
    }
    for (uint32_t i = 0; i < count; i++) {
        ends[i] = &lives[i];
    }
    qsort(ends, count, sizeof *ends, by_end);
    *out = (struct outcome){0};
    for (uint32_t i = 0; i < count; i++) {
        const struct life *life = &lives[i];
        struct tally *tally = &tallies[life->place];
        struct interval_lives seen;

        for (; ended < count && ends[ended]->start_s + ends[ended]->seconds <= life->start_s;
             ended++) {
            struct tally *other = &tallies[ends[ended]->place];

            other->ended++;
            other->ended_s += ends[ended]->seconds;
            other->running--;
            other->starts_sum -= ends[ended]->start_s;
        }
        seen.ended = tally->ended;
        seen.seconds = tally->ended_s + tally->running * life->start_s - tally->starts_sum;
        tally->running++;
        tally->starts_sum += life->start_s;
        live(options, policy, &seen, life, heeds_notice, out);
    }
    free(ends);
    return NERO_OK;
}

static double waste_of(double useful_s, double paid_s)
{
    return 100 * (1 - useful_s / paid_s);
}

/* The least waste of one fixed interval a place, each the best for it. */
static enum nero_status best_fixed(const struct bench_options *options, const struct life *lives,
                                   uint32_t count, uint32_t places, double *waste,
                                   struct nero_err *err)
{
    double useful_s = 0;
    double paid_s = 0;

    (void)err;
    for (uint32_t place = 0; place < places; place++) {
        struct outcome best = {0};

        for (int i = 0; i < TRIED; i++) { /* 1 s to 2 h */
            struct interval_policy policy = {.kind = INTERVAL_SECONDS,
                                             .seconds = pow(7200, i / (TRIED - 1.0))};
            struct interval_lives none = {0};
            struct outcome sum = {0};

            for (uint32_t k = 0; k < count; k++) {
                if (lives[k].place == place) {
                    live(options, &policy, &none, &lives[k], false, &sum);
                }
            }
            best = sum.useful_s >= best.useful_s ? sum : best;
        }
        useful_s += best.useful_s;
        paid_s += best.paid_s;
    }
    *waste = waste_of(useful_s, paid_s);
    return NERO_OK;
}

/* First order: sqrt(2 c / M) + (lag + restart) / M, with M of each place, weighted by time. */
static double theory(const struct bench_options *options, const struct life *lives, uint32_t count,
                     uint32_t places)
{
    double all_s = 0;
    double wasted_s = 0;

    for (uint32_t place = 0; place < places; place++) {
        double seconds = 0;
        double number = 0;

        for (uint32_t k = 0; k < count; k++) {
            seconds += lives[k].place == place ? lives[k].seconds : 0;
            number += lives[k].place == place;
        }
        if (number > 0) {
            double mean_s = seconds / number;

            wasted_s += seconds * (sqrt(2 * options->stall / mean_s) +
                                   (options->lag + options->restart) / mean_s);
            all_s += seconds;
        }
    }
    return 100 * wasted_s / all_s;
}

static enum nero_status bench_fleet(const struct bench_options *options,
                                    const struct spot_trace *trace, uint32_t runners,
                                    struct nero_err *err)
{
    static const struct interval_policy ten = {.kind = INTERVAL_SECONDS, .seconds = 600};
    static const struct interval_policy thirty = {.kind = INTERVAL_SECONDS, .seconds = 1800};
    static const struct interval_policy automatic = {.kind = INTERVAL_AUTO};
    struct outcome outcomes[4];
    uint32_t places = runners < trace->place_count ? runners : trace->place_count;
    uint32_t count;
    struct life *lives = draw(trace, options->seed, runners, &count);
    double best = 0;
    enum nero_status status;

    if (lives == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for %u runners", runners);
    }
    status = run_fleet(options, &ten, lives, count, false, &outcomes[0], err);
    if (status == NERO_OK) {
        status = run_fleet(options, &thirty, lives, count, false, &outcomes[1], err);
    }
    if (status == NERO_OK) {
        status = run_fleet(options, &automatic, lives, count, false, &outcomes[2], err);
    }
    if (status == NERO_OK) {
        status = run_fleet(options, &automatic, lives, count, true, &outcomes[3], err);
    }
    if (status == NERO_OK) {
        status = best_fixed(options, lives, count, places, &best, err);
    }
    if (status == NERO_OK) {
        double ours = waste_of(outcomes[2].useful_s, outcomes[2].paid_s);

        (void)printf("%7u %7u %8.2f %8.2f %8.2f %8.2f %8.2f %8.2f %8.2f  %s\n", runners, count,
                     waste_of(outcomes[0].useful_s, outcomes[0].paid_s),
                     waste_of(outcomes[1].useful_s, outcomes[1].paid_s), ours,
                     waste_of(outcomes[3].useful_s, outcomes[3].paid_s),
                     waste_of(outcomes[3].useful_s, outcomes[3].exit_paid_s), best,
                     theory(options, lives, count, places),
                     ours <= best + NEAR_POINTS ? "within 0.5" : "OVER");
    }
    free(lives);
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
    (void)printf("%s: %u lives in %u places; stall %g s, lag %g s, restart %g s\n\n",
                 options->trace, trace.life_count, trace.place_count, options->stall, options->lag,
                 options->restart);
    (void)printf(
        "Share of the paid time that is wasted, %%:\n"
        "runners   lives   10 min   30 min     auto  +notice   +ended     best   theory\n");
    while (*at != 0 && status == NERO_OK) {
        char *end;
        unsigned long runners = strtoul(at, &end, 10);

        if (end == at || runners < 1 || runners > 100000 || (*end != 0 && *end != ',')) {
            status =
                err_set(err, NERO_INVALID, 0, "--runners: '%s': expected numbers, 1 to 100000", at);
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
                                    .seed = 1,
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
        {"seed", OPTIONS_U64, "N", "of the lives drawn (1)", NULL, &options.seed, 0},
        {"generate", OPTIONS_U64, "SEED", "print a trace instead", NULL, &options.generate, 0}};
    const struct options_command command = {
        .program = "bench_spot",
        .arguments = "",
        .about =
            "How much of the time of preemptible machines becomes committed training.\n\n"
            "auto: the runners' own controller, which learns the mean life from the lives\n"
            "that ended. +notice: and a last checkpoint when the end is announced. +ended: and\n"
            "the machine is given back then, not paid for until its end. best: one fixed\n"
            "interval a place, the best for these lives. theory: of first order, Young and Daly.",
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
        !is_time(options.step)) {
        (void)err_set(&err, NERO_INVALID, 0, "--stall, --lag, --restart, --step: 0 to 3600");
        goto fail;
    }
    if (run(&options, &err) == NERO_OK) {
        return ERR_EXIT_DONE;
    }
fail:
    (void)fprintf(stderr, "bench_spot: %s\n", err.message);
    return (int)err_exit_code(err.status);
}
