/* nero-sched list: the runs of a store. */
#include <inttypes.h>
#include <stdio.h>

#include "nero/clock.h"

#include "cli.h"
#include "run_list.h"
#include "run_view.h"

static enum nero_status list_one(struct storage *store, const char *name, bool json, bool first,
                                 struct nero_err *err)
{
    struct run_view view;
    char created[CLOCK_TEXT_BYTES];
    uint32_t closed;
    uint32_t wanted;
    const char *state;

    if (run_view_open(store, name, NULL, &view, err) != NERO_OK) {
        return err->status;
    }
    state = run_view_standing(&view, &closed, &wanted);
    clock_format_utc(created, view.run.record->created_ms);
    if (json) {
        (void)printf("%s{\"run\":\"%s\",\"created\":\"%s\",\"state\":\"%s\",\"closed\":%" PRIu32
                     ",\"generations\":%" PRIu32 "}",
                     first ? "" : ",", name, created, state, closed, wanted);
    } else {
        (void)printf("%-40s  %.16s  %-8s  %" PRIu32 "/%" PRIu32 " generations\n", name, created,
                     state, closed, wanted);
    }
    run_view_close(&view);
    return NERO_OK;
}

int cmd_list(int argc, char **argv)
{
    const char *store_url = NULL;
    bool json = false;
    const struct options_spec specs[] = {CLI_OPTION_STORE(&store_url), CLI_OPTION_JSON(&json)};
    const struct options_command command = {
        .program = "nero-sched list",
        .arguments = "",
        .about = "The runs of a store and how far they are.",
        .examples = "  nero-sched list\n  nero-sched list --store s3://bucket/nero --json\n",
        .specs = specs,
        .spec_count = 2};
    struct options_parsed parsed;
    struct storage *store = NULL;
    struct run_list list = {.count = 0};
    struct nero_err err;
    char url[CLI_URL_BYTES];
    bool done;
    int code = cli_parse(&command, argc, argv, &parsed, &done);

    if (done) {
        return code;
    }
    if (cli_store_url(store_url, false, url, &err) != NERO_OK ||
        cli_open_store(url, false, &store, &err) != NERO_OK ||
        run_list_read(store, &list, &err) != NERO_OK) {
        storage_close(store);
        return cli_fail(command.program, &err);
    }
    (void)printf(json ? "[" : "");
    for (uint32_t i = 0; i < list.count; i++) {
        if (list_one(store, list.names[i], json, i == 0, &err) != NERO_OK) {
            code = cli_fail(command.program, &err); /* the others are listed all the same */
        }
    }
    (void)printf(json ? "]\n" : "");
    run_list_fini(&list);
    storage_close(store);
    return code;
}
