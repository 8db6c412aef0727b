/* nero-sched gc: remove blobs that nothing needs any longer. */
#include <inttypes.h>
#include <stdio.h>

#include "nero/clock.h"

#include "cli.h"
#include "gc.h"

static void print(const struct gc_report *report, const struct gc_options *options, bool json)
{
    if (json) {
        (void)printf("{\"jobs\": %" PRIu64 ", \"unfinished\": %" PRIu64 ", \"blobs\": %" PRIu64
                     ", \"blob_bytes\": %" PRIu64 ", \"unneeded\": %" PRIu64
                     ", \"unneeded_bytes\": %" PRIu64 ", \"named\": %" PRIu64
                     ", \"removed\": %" PRIu64 ", \"removed_bytes\": %" PRIu64
                     ", \"dry_run\": %s}\n",
                     report->jobs, report->unfinished, report->blobs, report->blob_bytes,
                     report->unneeded, report->unneeded_bytes, report->named, report->removed,
                     report->removed_bytes, options->dry_run ? "true" : "false");
        return;
    }
    (void)printf("%" PRIu64 " jobs (%" PRIu64 " unfinished), %" PRIu64 " blobs of %.1f MB\n"
                 "%" PRIu64 " blobs of %.1f MB are not needed, %" PRIu64 " of them %s\n"
                 "%" PRIu64 " blobs of %.1f MB %s\n",
                 report->jobs, report->unfinished, report->blobs, (double)report->blob_bytes * 1e-6,
                 report->unneeded, (double)report->unneeded_bytes * 1e-6, report->named,
                 options->dry_run ? "would be named in a record" : "are now named in a record",
                 report->removed, (double)report->removed_bytes * 1e-6,
                 options->dry_run ? "would be removed" : "were removed");
}

int cmd_gc(int argc, char **argv)
{
    const char *store_url = NULL;
    double grace_hours = 24;
    struct gc_options options = {.now_ms = clock_wall_ms(clock_system())};
    bool json = false;
    const struct options_spec specs[] = {
        CLI_OPTION_STORE(&store_url),
        {"dry-run", OPTIONS_FLAG, NULL, "tell, but write and remove nothing", NULL,
         &options.dry_run, 0},
        {"grace-hours", OPTIONS_DOUBLE, "H",
         "remove what was named at least H hours ago (default 24)", NULL, &grace_hours, 0},
        CLI_OPTION_JSON(&json)};
    const struct options_command command = {
        .program = "nero-sched gc",
        .arguments = "RUN",
        .about =
            "Remove blobs that nothing needs any longer: of checkpoints that three newer ones of "
            "a\n"
            "finished job follow, and those that no slot names, once no job is unfinished.\n"
            "What is not needed is first named in a record signed by the run key, which audits\n"
            "honour; a call after the grace removes it, if it is still not needed. Slots and\n"
            "other records always stay. May be called at any time, by cron for example.",
        .examples = "  nero-sched gc demo-3f9a12 --dry-run\n"
                    "  nero-sched gc demo-3f9a12 --grace-hours 0\n",
        .specs = specs,
        .spec_count = sizeof specs / sizeof specs[0],
        .arguments_min = 1,
        .arguments_max = 1};
    struct options_parsed parsed;
    struct storage *store = NULL;
    struct key_public root;
    struct key_pair run_key;
    struct gc_report report;
    struct nero_err err;
    char url[CLI_URL_BYTES];
    bool done;
    enum nero_status status;
    int code = cli_parse(&command, argc, argv, &parsed, &done);

    if (done) {
        return code;
    }
    if (!(grace_hours >= 0 && grace_hours <= 1e6)) {
        (void)err_set(&err, NERO_INVALID, 0, "--grace-hours: 0 to 1e6");
        return cli_fail(command.program, &err);
    }
    options.grace_ms = (int64_t)(grace_hours * 3600 * 1000);
    if (cli_store_url(store_url, false, url, &err) != NERO_OK ||
        cli_open_store(url, false, &store, &err) != NERO_OK ||
        cli_root_public(&root, &err) != NERO_OK ||
        cli_run_key(parsed.arguments[0], &run_key, &err) != NERO_OK) {
        storage_close(store);
        return cli_fail(command.program, &err);
    }
    status = gc_run(store, parsed.arguments[0], &root, &run_key, &options, &report, &err);
    key_pair_fini(&run_key);
    storage_close(store);
    if (status != NERO_OK) {
        return cli_fail(command.program, &err);
    }
    print(&report, &options, json);
    return ERR_EXIT_DONE;
}
