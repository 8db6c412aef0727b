/* nero-sched limit: how many jobs of a run may be under way at once. */
#include <inttypes.h>
#include <stdio.h>

#include "operate.h"

int cmd_limit(int argc, char **argv)
{
    const char *store = NULL;
    const char *redis = NULL;
    bool json = false;
    const struct options_spec specs[] = {CLI_OPTION_STORE(&store), CLI_OPTION_REDIS(&redis),
                                         CLI_OPTION_JSON(&json)};
    const struct options_command command = {
        .program = "nero-sched limit",
        .arguments = "RUN MAX-IN-FLIGHT",
        .about = "At most so many jobs of the run are under way at once; 0: any number. Jobs that\n"
                 "are under way already go on. Kept in Redis, and told to it again by the\n"
                 "scheduler after a loss; 'status' shows it.",
        .examples = "  nero-sched limit demo-3f9a12 8\n",
        .specs = specs,
        .spec_count = sizeof specs / sizeof specs[0],
        .arguments_min = 2,
        .arguments_max = 2};
    struct options_parsed parsed;
    struct operate operate = {.queue = NULL};
    struct nero_err err;
    char text[128];
    uint64_t most;
    bool done;
    enum nero_status status;
    int code = cli_parse(&command, argc, argv, &parsed, &done);

    if (done) {
        return code;
    }
    status = options_parse_u64("MAX-IN-FLIGHT", parsed.arguments[1], 0, UINT32_MAX, &most, &err);
    if (status == NERO_OK) {
        status = operate_open(store, redis, parsed.arguments[0], &operate, &err);
    }
    if (status == NERO_OK) {
        status =
            queue_limit(operate.queue, parsed.arguments[0], operate.epoch, (uint32_t)most, &err);
    }
    operate_close(&operate);
    if (status != NERO_OK) {
        return cli_fail(command.program, &err);
    }
    (void)snprintf(text, sizeof text, "run %.63s: at most %" PRIu64 " jobs under way%s",
                   parsed.arguments[0], most, most == 0 ? " (any number)" : "");
    operate_tell(json, parsed.arguments[0], "limited", (uint32_t)most, text);
    return ERR_EXIT_DONE;
}
