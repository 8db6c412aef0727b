/*
 * Goal: what a person sees of a search is what its runners and records say. Method: notes, pending
 * candidates and generation records made by hand, drawn into memory, as on a terminal and
 * elsewhere.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "live.h"

/* Drawn lines in memory. */
struct screen {
    char *text;
    size_t bytes;
    FILE *out;
    struct live live;
};

static void screen_init(struct screen *screen, bool terminal)
{
    memset(screen, 0, sizeof *screen);
    screen->out = open_memstream(&screen->text, &screen->bytes);
    assert_non_null(screen->out);
    live_init(&screen->live, screen->out, false);
    assert_false(screen->live.terminal); /* memory is none */
    screen->live.terminal = terminal;
}

static void screen_fini(struct screen *screen)
{
    (void)fclose(screen->out);
    free(screen->text);
}

/* All that was drawn since the last call is `text`. */
static void screen_is(struct screen *screen, const char *text)
{
    (void)fflush(screen->out);
    assert_string_equal(screen->bytes > 0 ? screen->text : "", text);
    (void)fclose(screen->out);
    free(screen->text);
    screen->out = open_memstream(&screen->text, &screen->bytes);
    assert_non_null(screen->out);
    screen->live.out = screen->out;
}

static struct search_pending pending_of(uint32_t member, enum generation_origin origin,
                                        const char *state, const char *note)
{
    struct search_pending pending = {.generation = 2, .member = member, .origin = origin};

    pending.job.data[0] = (uint8_t)(member + 1);
    (void)snprintf(pending.info.state, sizeof pending.info.state, "%s", state);
    (void)snprintf(pending.info.note, sizeof pending.info.note, "%s", note);
    return pending;
}

static void test_live__notes_are_understood(void **state)
{
    struct live_note note = {.accuracy = NAN, .seconds_left = -1};

    (void)state;
    live_parse_note("phase=train epoch=2/8 step=17/94 loss=1.5 acc=0.25 ips=812 left=61", &note);
    assert_int_equal(note.epoch, 2);
    assert_int_equal(note.epochs, 8);
    assert_int_equal(note.step, 17);
    assert_int_equal(note.steps, 94);
    assert_true(note.loss == 1.5 && note.accuracy == 0.25 && note.images_per_second == 812);
    assert_true(note.seconds_left == 61);
    assert_string_equal(note.phase, "train");
    /* What is absent stays; a name within another, and words without a value, are not taken. */
    live_parse_note("xepoch=7/9 steps=5 loss left= acc phase=an-overlong-phase-word", &note);
    assert_int_equal(note.epoch, 2);
    assert_int_equal(note.step, 17);
    assert_true(note.loss == 1.5 && note.accuracy == 0.25);
    assert_string_equal(note.phase, "an-overlong-pha");
    live_parse_note("", &note);
    assert_int_equal(note.epochs, 8);
}

static void test_live__a_line_a_candidate(void **state)
{
    struct screen screen;
    struct search_pending pending[] = {
        pending_of(0, GENERATION_PARENT, "leased",
                   "epoch=3/12 step=5/94 loss=1.532 acc=0.452 ips=812.4 left=81 phase=train"),
        pending_of(1, GENERATION_MUTANT, "leased", "phase=attack step=64/600 ips=99.6"),
        pending_of(2, GENERATION_MUTANT, "ready", ""),
        pending_of(3, GENERATION_EXTENSION, "leased", "epoch=1/4 step=1/94 loss=2.3 ips=10"),
        {.last = true},
    };

    (void)state;
    screen_init(&screen, true);
    live_show(&screen.live, pending, 5);
    screen_is(&screen,
              "  gen 2 parent 0  epoch  3/12 loss 1.53 control 45.2 %   812 img/s  1:21 left\n"
              "  gen 2 child  1  under attack: 64 of 600 images   100/s\n"
              "  gen 2 child  2  ready\n"
              "  gen 2 longer 3  epoch  1/4  loss 2.30 control   -       10 img/s\n"
              "  evaluation      submitted\n");
    live_show(&screen.live, &pending[2], 1); /* in the place of the five */
    screen_is(&screen, "\033[5A\033[J  gen 2 child  2  ready\n");
    live_clear(&screen.live);
    live_clear(&screen.live);
    screen_is(&screen, "\033[1A\033[J");
    screen_fini(&screen);
}

/* A line that took two rows, or scrolled off, would stay when its successor is drawn. */
static void test_live__a_line_is_one_row_of_the_terminal(void **state)
{
    struct screen screen;
    struct search_pending pending[LIVE_LINES_MAX];

    (void)state;
    for (uint32_t i = 0; i < LIVE_LINES_MAX; i++) {
        pending[i] =
            pending_of(99, GENERATION_EXTENSION, "leased",
                       "epoch=99/99 step=1343/1343 loss=9.99 acc=0.999 ips=99999 left=5999");
        pending[i].generation = 100;
    }
    screen_init(&screen, true);
    live_show(&screen.live, pending, 1); /* the widest, at the common width, whole */
    screen_is(&screen, "  gen 100 longer 99 epoch 99/99 loss 9.99 control 99.9 % 99999 img/s"
                       " 99:59 left\n");
    screen.live.columns = 120;
    live_show(&screen.live, pending, 1);
    screen_is(&screen, "\033[1A\033[J  gen 100 longer 99 epoch 99/99 step 1343/1343 loss 9.99"
                       " control 99.9 % 99999 img/s 99:59 left\n");
    screen.live.columns = 30;
    live_show(&screen.live, pending, 1);
    screen_is(&screen, "\033[1A\033[J  gen 100 longer 99 epoch 99/\n");
    screen.live.rows = 4;
    live_show(&screen.live, pending, LIVE_LINES_MAX);
    live_clear(&screen.live);
    assert_int_equal(fflush(screen.out), 0);
    assert_non_null(strstr(screen.text, "\033[3A\033[J"));
    screen_fini(&screen);
}

static void test_live__elsewhere_a_line_an_epoch(void **state)
{
    struct screen screen;
    struct search_pending pending =
        pending_of(1, GENERATION_MUTANT, "leased", "phase=train epoch=1/8 step=1/9 loss=2 ips=9");
    static const char first[] =
        "  gen 2 child  1  epoch  1/8  step   1/9   loss 2.00 control   -        9 img/s\n";

    (void)state;
    screen_init(&screen, false);
    live_show(&screen.live, &pending, 1);
    screen_is(&screen, first);
    live_show(&screen.live, &pending, 1);
    live_clear(&screen.live);
    screen_is(&screen, ""); /* no news */
    (void)snprintf(pending.info.note, sizeof pending.info.note, "phase=train epoch=2/8");
    live_show(&screen.live, &pending, 1);
    assert_int_equal(fflush(screen.out), 0);
    assert_non_null(strstr(screen.text, "epoch  2/8"));
    screen_fini(&screen);
}

static void test_live__lasting_lines(void **state)
{
    struct screen screen;
    struct search_listener listener;
    struct result_outcome outcome = {.epochs = 12, .count = 100, .correct = 50, .kept = 10};
    struct evolve_evaluation failed = {.failed = true};
    struct evolve_evaluation measured = {.outcome = &outcome};
    struct generation_member members[] = {
        {.origin = GENERATION_PARENT, .has_job = true, .verdict = GENERATION_PENDING},
        {.origin = GENERATION_EXTENSION, .has_job = true, .verdict = GENERATION_PENDING},
        {.origin = GENERATION_MUTANT, .fitness = 0.25}};
    struct generation generation = {.number = 2,
                                    .members = members,
                                    .member_count = 3,
                                    .selected = 2,
                                    .mean_fitness = 0.125,
                                    .next_robust = true};

    (void)state;
    screen_init(&screen, false);
    listener = live_listener(&screen.live);
    listener.proposed(listener.context, &generation);
    screen_is(&screen, "generation 2 of lineage 0: 3 candidates, 2 to evaluate\n");
    outcome.stop = RESULT_STOP_BUDGET;
    listener.measured(listener.context, &generation, 1, &measured);
    screen_is(&screen,
              "  generation 2 extension 1  done: 12 epochs, budget, C 50.00 %, A 20.00 %\n");
    (void)snprintf(failed.text, sizeof failed.text, "no weights");
    listener.measured(listener.context, &generation, 0, &failed);
    screen_is(&screen, "  generation 2 parent    0  failed: no weights\n");
    listener.closed(listener.context, &generation);
    screen_is(&screen, "generation 2 closed: best C 0.2500 (member 2), mean 0.1250; robust phase "
                       "from here on\n");
    generation.state = GENERATION_EXTENDING;
    listener.proposed(listener.context, &generation);
    screen_is(&screen, "generation 2 of lineage 0: 2 train(s) on, to be compared with the best at "
                       "equal budgets\n");
    screen.live.quiet = true;
    assert_null(live_listener(&screen.live).measured);
    screen_fini(&screen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_live__notes_are_understood),
        cmocka_unit_test(test_live__a_line_a_candidate),
        cmocka_unit_test(test_live__a_line_is_one_row_of_the_terminal),
        cmocka_unit_test(test_live__elsewhere_a_line_an_epoch),
        cmocka_unit_test(test_live__lasting_lines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
