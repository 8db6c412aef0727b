/*
 * Goal: each cloud's notice of preemption makes a runner commit, give its job back and end with 75
 * in time, and the job goes on elsewhere to the outcome that it would have had; a service that is
 * away or talks nonsense harms nothing. Method: real runners that ask a real HTTP server in the
 * cloud's place.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "nero/clock.h"
#include "nero/interval.h"
#include "runner_watch.h"
#include "runner_world.h"
#include "tests/support/metadata_server.h"

#define BUDGET "epochs:8"
/* At work for twice as long as a test lets it train, on a fast machine that has nothing else to do:
 * some 6 s until the notice is answered. */
#define LONG_BUDGET "epochs:400"

static struct world world;
static struct metadata_server *server;
static char url[METADATA_URL_BYTES];
static struct bytes undisturbed;

static int open_world(void **state)
{
    (void)state;
    server = metadata_start();
    metadata_url(server, url);
    world_open(&world);
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    world_close(&world);
    metadata_stop(server);
    bytes_fini(&undisturbed);
    return 0;
}

static void start(const char *platform, const char *at)
{
    const char *const arguments[] = {
        "--once", "--checkpoint-interval", "seconds:900", "--notice", platform, "--notice-url", at,
        NULL};

    world_start(&world, 0, arguments);
}

static void outcome_of(struct bytes *out, struct result_provenance *provenance)
{
    bytes_init(out, RESULT_BYTES_MAX);
    world_outcome(&world, out, provenance);
    world_end_run(&world);
}

static const char *const at_ease[] = {
    "--once", "--checkpoint-interval", "seconds:900", "--notice", "none", NULL};

/* The runner has been told: within the time that is left it must end with its job given back, which
 * then ends as ever. */
static void check_handed_over(const char *why, int64_t left_ms)
{
    struct result_provenance provenance;
    struct queue_job_info info;
    struct bytes outcome;

    assert_int_equal(world_wait_end(&world, 0, left_ms), 75);
    assert_true(world_log_has(&world, 0, why));
    world_job_state(&world, &info);
    assert_string_equal(info.state, "ready"); /* at once, not after the lease */
    assert_int_equal(info.preemptions, 1);
    assert_int_equal(info.lost_leases, 0);
    world_start(&world, 0, at_ease);
    assert_int_equal(world_wait_end(&world, 0, 120000), 0);
    assert_true(world_log_has(&world, 0, "job.restored"));
    outcome_of(&outcome, &provenance);
    assert_int_equal(provenance.preemptions, 1);
    assert_true(bytes_view_equal(bytes_as_view(&outcome), bytes_as_view(&undisturbed)));
    bytes_fini(&outcome);
}

static void begin(const char *platform, const struct metadata_answers *answers)
{
    metadata_set(server, answers);
    world_begin_run(&world, LONG_BUDGET, NULL);
    start(platform, url);
    assert_true(world_wait_log(&world, 0, "epoch.ended"));
}

/* What all others compare with. */
static void test_runner_notice__undisturbed(void **state)
{
    struct result_provenance provenance;

    (void)state;
    world_begin_run(&world, LONG_BUDGET, NULL);
    world_start(&world, 0, at_ease);
    assert_int_equal(world_wait_end(&world, 0, 120000), 0);
    outcome_of(&undisturbed, &provenance);
}

/* A warning, a session that ends, then the end itself: training goes on until shortly before. */
static void test_runner_notice__aws_interruption(void **state)
{
    struct metadata_answers answers = {.rebalance = true};
    char time[CLOCK_TEXT_BYTES];
    int64_t start_ns;
    int64_t kill_ms;

    (void)state;
    begin("aws", &answers);
    assert_true(world_wait_log(&world, 0, "notice.rebalance"));
    answers.forgets = true;
    kill_ms = clock_wall_ms(clock_system()) + (int64_t)(INTERVAL_STOP_MIN_S * 1000) + 3500;
    clock_format_utc(time, kill_ms);
    (void)snprintf(answers.action, sizeof answers.action,
                   "{\"action\": \"terminate\", \"time\": \"%.19sZ\"}", time);
    start_ns = clock_mono_ns(clock_system());
    metadata_set(server, &answers);
    assert_true(world_wait_log(&world, 0, "notice.received"));
    assert_true(world_wait_slots(&world, 2)); /* at once, in case the kill comes early */
    check_handed_over("stopped: AWS spot interruption", kill_ms - clock_wall_ms(clock_system()));
    assert_true(clock_seconds_since(clock_system(), start_ns) > 2); /* it went on for a while */
}

static void test_runner_notice__gce_preemption(void **state)
{
    (void)state;
    begin("gce", &(struct metadata_answers){.preempted = false});
    metadata_set(server, &(struct metadata_answers){.preempted = true});
    check_handed_over("stopped: GCE preemption", 30000);
}

/* Events of another kind, and of another machine of the scale set, are not ours. */
static void test_runner_notice__azure_preemption(void **state)
{
    struct metadata_answers answers = {.fails = false};
    uint64_t requests = metadata_requests(server) + 3; /* the name, and events twice */
    int64_t start_ns = clock_mono_ns(clock_system());
    time_t soon = (time_t)(clock_wall_ms(clock_system()) / 1000) + 40;
    struct tm parts;

    (void)state;
    begin("azure", &answers);
    while (metadata_requests(server) < requests) {
        world_pass(&world, 20);
        assert_true(clock_seconds_since(clock_system(), start_ns) < 30);
    }
    assert_false(world_log_has(&world, 0, "notice.received"));
    (void)gmtime_r(&soon, &parts);
    assert_true(strftime(answers.event_time, sizeof answers.event_time, "%a, %d %b %Y %H:%M:%S GMT",
                         &parts) > 0);
    metadata_set(server, &answers);
    check_handed_over("stopped: Azure preemption",
                      (int64_t)soon * 1000 - clock_wall_ms(clock_system()));
}

/* Nobody listens, or everything fails: the job is done as if there were no notices. */
static void test_runner_notice__absent_service_harms_nothing(void **state)
{
    static const char *const platforms[] = {"aws", "gce", "azure"};
    static const char nobody[] = "http://127.0.0.1:1";

    (void)state;
    metadata_set(server, &(struct metadata_answers){.fails = true});
    for (int i = 0; i < 6; i++) {
        struct result_provenance provenance;
        struct bytes outcome;

        world_begin_run(&world, BUDGET, NULL);
        start(platforms[i % 3], i < 3 ? nobody : url);
        assert_int_equal(world_wait_end(&world, 0, 90000), 0);
        assert_false(world_log_has(&world, 0, "notice."));
        outcome_of(&outcome, &provenance);
        assert_int_equal(provenance.preemptions, 0);
        bytes_fini(&outcome);
    }
}

static void test_runner_notice__options_are_checked(void **state)
{
    static const char *const cases[][5] = {{"--notice", "oracle", NULL},
                                           {"--notice-url", "http://127.0.0.1:1", NULL},
                                           {"--stop-grace", "nan", NULL}};

    (void)state;
    world_begin_run(&world, BUDGET, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        world_start(&world, 0, cases[i]);
        assert_int_equal(world_wait_end(&world, 0, 30000), 2);
        assert_true(world_log_has(&world, 0, cases[i][0]));
    }
    world_end_run(&world);
}

static void test_runner_notice__platform_is_told_by_the_firmware(void **state)
{
    enum runner_watch_platform platform;
    struct nero_err err;

    (void)state;
    assert_int_equal(runner_watch_platform_of("Amazon EC2", ""), RUNNER_WATCH_AWS);
    assert_int_equal(runner_watch_platform_of("Google", "x"), RUNNER_WATCH_GCE);
    assert_int_equal(
        runner_watch_platform_of("Microsoft Corporation", "7783-7084-3265-9085-8269-3286-77"),
        RUNNER_WATCH_AZURE);
    assert_int_equal(runner_watch_platform_of("Microsoft Corporation", ""), RUNNER_WATCH_NONE);
    assert_int_equal(runner_watch_platform_of("", ""), RUNNER_WATCH_NONE);
    assert_int_equal(runner_watch_parse("auto", &platform, &err), NERO_OK);
    assert_int_equal(runner_watch_parse("AWS", &platform, &err), NERO_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_runner_notice__undisturbed),
        cmocka_unit_test(test_runner_notice__aws_interruption),
        cmocka_unit_test(test_runner_notice__gce_preemption),
        cmocka_unit_test(test_runner_notice__azure_preemption),
        cmocka_unit_test(test_runner_notice__absent_service_harms_nothing),
        cmocka_unit_test(test_runner_notice__options_are_checked),
        cmocka_unit_test(test_runner_notice__platform_is_told_by_the_firmware),
    };

    return cmocka_run_group_tests(tests, open_world, close_world);
}
