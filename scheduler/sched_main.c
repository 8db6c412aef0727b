/* nero-sched: the table of subcommands. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nero/hash.h"
#include "nero/log.h"

#include "cli.h"

static const struct cli_command commands[] = {
    {"run", "search on this machine: start, serve with local runners, report, audit", cmd_run},
    {"resume", "go on with a run that was stopped", cmd_resume},
    {"serve", "lead all runs of a store and take submissions", cmd_serve},
    {"submit", "hand a search or a single evaluation to `serve`", cmd_submit},
    {"status", "where a run stands", cmd_status},
    {"list", "the runs of a store", cmd_list},
    {"watch", "follow a run's events", cmd_watch},
    {"rebuild", "a run's queue in Redis from the store", cmd_rebuild},
    {"pause", "give no more jobs of a run to runners", cmd_pause},
    {"unpause", "give them again", cmd_unpause},
    {"limit", "how many jobs of a run may be under way at once", cmd_limit},
    {"drain", "a runner gives back what it works on and takes no more", cmd_drain},
    {"retry", "jobs that were given up, once more", cmd_retry},
    {"cancel", "end a run's unfinished jobs", cmd_cancel},
    {"plan", "what a preset will cost, before anything is spent", cmd_plan},
    {"doctor", "try a store's and a Redis's promises and their clocks", cmd_doctor},
    {"evaluate", "train a genotype with several seeds: mean, deviation, interval", cmd_evaluate},
    {"show", "any record of the store as text or JSON, or a run's report", cmd_show},
    {"explain", "the verified story of one job, from the store alone", cmd_explain},
    {"export", "a run's candidates as CSV, its champion as ONNX", cmd_export},
    {"audit", "verify a run from its artifacts and one public key", cmd_audit},
    {"gc", "remove blobs that nothing needs any longer", cmd_gc},
    {"keys", "make and show keys, make join tokens", cmd_keys},
    {"dataset", "put a data set into the store", cmd_dataset},
    {"genotype", "show, check, draw or make a genotype", cmd_genotype},
};

static void print_usage(FILE *out)
{
    (void)fputs("nero-sched " NERO_RELEASE
                ": evolves adversarially robust networks on machines that may vanish.\n\n"
                "usage: nero-sched COMMAND [ARGUMENTS] [options]\n\ncommands:\n",
                out);
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        (void)fprintf(out, "  %-9s %s\n", commands[i].name, commands[i].summary);
    }
    (void)fputs("\n'nero-sched COMMAND --help' tells more.\n"
                "\nenvironment: NERO_STORE and NERO_REDIS stand for --store and --redis; "
                "NERO_LOG is the\n"
                "log level (debug, info, warn, error), NERO_LOG_FORMAT text or json.\n"
                "\nexit codes: 0 done; 1 a finding (audit, check); 2 bad input; 3 store or Redis\n"
                "unavailable; 75 stopped and resumable.\n",
                out);
}

/* Logs go to standard error and, by default, only what a person must know. */
static enum nero_status setup_log(struct nero_err *err)
{
    const char *level_text = getenv("NERO_LOG");
    const char *format_text = getenv("NERO_LOG_FORMAT");
    enum log_level level = LOG_WARN;
    enum log_format format = LOG_TEXT;

    if (level_text != NULL && level_text[0] != 0 &&
        log_parse_level(level_text, &level, err) != NERO_OK) {
        return err_wrap(err, "NERO_LOG");
    }
    if (format_text != NULL && format_text[0] != 0 &&
        log_parse_format(format_text, &format, err) != NERO_OK) {
        return err_wrap(err, "NERO_LOG_FORMAT");
    }
    log_setup(stderr, level, format);
    return NERO_OK;
}

int main(int argc, char **argv)
{
    struct nero_err err;

    if (setup_log(&err) != NERO_OK || hash_library_init(&err) != NERO_OK) {
        return cli_fail("nero-sched", &err);
    }
    if (argc < 2) {
        print_usage(stderr);
        return ERR_EXIT_INPUT;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        print_usage(stdout);
        return ERR_EXIT_DONE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        (void)printf("nero-sched %s\n", NERO_RELEASE);
        return ERR_EXIT_DONE;
    }
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(argv[1], commands[i].name) == 0) {
            return commands[i].main(argc - 1, argv + 1);
        }
    }
    (void)fprintf(stderr, "nero-sched: there is no command '%s'; see 'nero-sched --help'\n",
                  argv[1]);
    return ERR_EXIT_INPUT;
}
