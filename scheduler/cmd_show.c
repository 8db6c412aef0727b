/* nero-sched show: a run's report, or any record of the store. */
#include <stdio.h>
#include <string.h>

#include "nero/keys.h"

#include "cli.h"
#include "report.h"
#include "show_record.h"

static int show(const char *program, struct storage *store, const char *what,
                const struct key_public *root, bool json)
{
    struct nero_err err;
    bool sound = true;
    enum nero_status status = strchr(what, '/') == NULL
                                  ? report_print(store, what, json, stdout, &err)
                                  : show_record(store, what, root, json, stdout, &sound, &err);

    if (status != NERO_OK) {
        return cli_fail(program, &err);
    }
    return sound ? ERR_EXIT_DONE : ERR_EXIT_FINDING;
}

int cmd_show(int argc, char **argv)
{
    const char *store_url = NULL;
    const char *root_key = NULL;
    bool json = false;
    const struct options_spec specs[] = {CLI_OPTION_STORE(&store_url),
                                         {"root-key", OPTIONS_STRING, "FILE",
                                          "public root key, to check the run record's signature",
                                          "NERO_ROOT_KEY", &root_key, 0},
                                         CLI_OPTION_JSON(&json)};
    const struct options_command command = {
        .program = "nero-sched show",
        .arguments = "RUN|KEY",
        .about = "RUN  the report of a run: generations, best individual, test score\n"
                 "KEY  one object of the store: who signed it, whether that holds, what it says.\n"
                 "     Ends with 1 when the signature or the hash does not hold.",
        .examples = "  nero-sched show demo-3f9a12\n"
                    "  nero-sched show runs/demo-3f9a12/gen/0/00000002/closed\n"
                    "  nero-sched show runs/demo-3f9a12/run --json --root-key root.key.pub\n",
        .specs = specs,
        .spec_count = 3,
        .arguments_min = 1,
        .arguments_max = 1};
    struct options_parsed parsed;
    struct storage *store = NULL;
    struct key_public root;
    struct nero_err err;
    char url[CLI_URL_BYTES];
    bool done;
    int code = cli_parse(&command, argc, argv, &parsed, &done);

    if (done) {
        return code;
    }
    if ((root_key != NULL && keys_load_public(root_key, &root, &err) != NERO_OK) ||
        cli_store_url(store_url, false, url, &err) != NERO_OK ||
        cli_open_store(url, false, &store, &err) != NERO_OK) {
        return cli_fail(command.program, &err);
    }
    code = show(command.program, store, parsed.arguments[0], root_key != NULL ? &root : NULL, json);
    storage_close(store);
    return code;
}
