/* nero-sched explain: the verified story of one job, from the bucket alone. */
#include <stdio.h>

#include "cli.h"
#include "explain.h"

static enum nero_status load_root(const char *path, struct key_public *out, struct nero_err *err)
{
    if (path != NULL) {
        return cli_root_given(path, out, err);
    }
    return cli_root_public(out, err) == NERO_OK
               ? NERO_OK
               : err_wrap(err, "no --root-key FILE is given, and there is none here");
}

static int tell(const char *program, struct storage *store, const char *run, const char *text,
                const struct key_public *root, bool skip_blobs, bool json)
{
    static struct explain explain; /* large */
    char found[SLOT_RUN_BYTES];
    struct hash job;
    struct nero_err err;
    int code;

    if (explain_find_job(store, run, text, root, found, &job, &err) != NERO_OK ||
        explain_job(store, found, &job, root, skip_blobs, &explain, &err) != NERO_OK) {
        return cli_fail(program, &err);
    }
    (json ? explain_print_json : explain_print_text)(&explain, stdout);
    code = explain_sound(&explain) ? ERR_EXIT_DONE : ERR_EXIT_FINDING;
    explain_fini(&explain);
    return code;
}

int cmd_explain(int argc, char **argv)
{
    const char *store_url = NULL;
    const char *run = NULL;
    const char *root_key = NULL;
    bool skip_blobs = false;
    bool json = false;
    const struct options_spec specs[] = {
        CLI_OPTION_STORE(&store_url),
        {"run", OPTIONS_STRING, "RUN", "the job's run (default: all of the store)", NULL, &run, 0},
        {"root-key", OPTIONS_STRING, "FILE", "public root key (default: that of your keys folder)",
         "NERO_ROOT_KEY", &root_key, 0},
        {"skip-blobs", OPTIONS_FLAG, NULL, "do not read checkpoints and weights", NULL, &skip_blobs,
         0},
        CLI_OPTION_JSON(&json)};
    const struct options_command command = {
        .program = "nero-sched explain",
        .arguments = "JOB",
        .about =
            "The story of one job, verified as 'audit' does: what was submitted and by which\n"
            "generation, every claim, checkpoint, preemption, failure and damaged slot in order,\n"
            "the outcome, and what was lost or done twice. Needs the store alone, no Redis.\n"
            "JOB is an id or the beginning of one, or [LINEAGE.]GENERATION.SLOT of a run.\n"
            "Ends with 0 when all of it holds, 1 with what is wrong.",
        .examples = "  nero-sched explain 3f9a12 --store s3://bucket/prefix\n"
                    "  nero-sched explain 2.1 --run demo-3f9a12\n"
                    "  nero-sched explain 3f9a12 --json --root-key root.key.pub\n",
        .specs = specs,
        .spec_count = sizeof specs / sizeof specs[0],
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
    if (load_root(root_key, &root, &err) != NERO_OK ||
        cli_store_url(store_url, false, url, &err) != NERO_OK ||
        cli_open_store(url, false, &store, &err) != NERO_OK) {
        return cli_fail(command.program, &err);
    }
    code = tell(command.program, store, run, parsed.arguments[0], &root, skip_blobs, json);
    storage_close(store);
    return code;
}
