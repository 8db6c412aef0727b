/* nero-sched pause, unpause: whether runners are given jobs of a run. */
#include <stdio.h>

#include "operate.h"

static int set_paused(int argc, char **argv, bool paused)
{
    const char *store = NULL;
    const char *redis = NULL;
    bool json = false;
    const struct options_spec specs[] = {CLI_OPTION_STORE(&store), CLI_OPTION_REDIS(&redis),
                                         CLI_OPTION_JSON(&json)};
    const struct options_command command = {
        .program = paused ? "nero-sched pause" : "nero-sched unpause",
        .arguments = "RUN",
        .about = paused
                     ? "Give no more jobs of the run to runners. What is under way goes on, and\n"
                       "its leases are kept. 'unpause' ends it; `resume` is something else."
                     : "Give jobs of a paused run to runners again.",
        .examples =
            paused ? "  nero-sched pause demo-3f9a12\n" : "  nero-sched unpause demo-3f9a12\n",
        .specs = specs,
        .spec_count = sizeof specs / sizeof specs[0],
        .arguments_min = 1,
        .arguments_max = 1};
    struct options_parsed parsed;
    struct operate operate;
    struct nero_err err;
    char text[128];
    bool done;
    enum nero_status status;
    int code = cli_parse(&command, argc, argv, &parsed, &done);

    if (done) {
        return code;
    }
    status = operate_open(store, redis, parsed.arguments[0], &operate, &err);
    if (status == NERO_OK) {
        status = queue_pause(operate.queue, parsed.arguments[0], operate.epoch, paused, &err);
    }
    operate_close(&operate);
    if (status != NERO_OK) {
        return cli_fail(command.program, &err);
    }
    (void)snprintf(text, sizeof text, "%s run %.63s", paused ? "paused" : "unpaused",
                   parsed.arguments[0]);
    operate_tell(json, parsed.arguments[0], paused ? "paused" : "unpaused", 1, text);
    return ERR_EXIT_DONE;
}

int cmd_pause(int argc, char **argv)
{
    return set_paused(argc, argv, true);
}

int cmd_unpause(int argc, char **argv)
{
    return set_paused(argc, argv, false);
}
