/*
 * Command lines: a table of long options, each with its help line and environment variable, so that
 * --help, NERO_* variables and errors are the same everywhere.
 *
 * "--name VALUE" and "--name=VALUE"; flags take no value; "--" ends options; a list option may be
 * repeated. The environment variable counts where the option is absent. What is neither option nor
 * value is a positional argument.
 */
#ifndef NERO_OPTIONS_H
#define NERO_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "nero/err.h"

enum { OPTIONS_ARGUMENTS_MAX = 16, OPTIONS_LIST_MAX = 32, OPTIONS_MS_MIN = 100 };

enum options_kind {
    OPTIONS_FLAG,
    OPTIONS_STRING,
    OPTIONS_U64,   /* from 0 */
    OPTIONS_COUNT, /* a U64 from 1: where 0 stands for "not given" */
    OPTIONS_MS,    /* a U64 from OPTIONS_MS_MIN: a time within which others must be heard */
    OPTIONS_DOUBLE,
    OPTIONS_LIST
};

struct options_list {
    const char *values[OPTIONS_LIST_MAX];
    uint32_t count;
};

/* target: bool, const char *, uint64_t, double or struct options_list, preset with the default. */
struct options_spec {
    const char *name; /* without "--" */
    enum options_kind kind;
    const char *value; /* what the help calls the value: "URL"; NULL for flags */
    const char *help;
    const char *env; /* NULL: none */
    void *target;
    uint64_t max; /* U64, COUNT, MS: largest allowed; 0: no limit */
};

struct options_command {
    const char *program;   /* "nero-sched run" */
    const char *arguments; /* "PRESET" as in the usage line; "" for none */
    const char *about;     /* what it does, some lines */
    const char *examples;  /* printed as they stand; may be NULL */
    const struct options_spec *specs;
    uint32_t spec_count;
    uint32_t arguments_min;
    uint32_t arguments_max;
};

struct options_parsed {
    const char *arguments[OPTIONS_ARGUMENTS_MAX]; /* positional; borrowed from argv */
    uint32_t argument_count;
    bool help; /* --help was given: nothing else was checked */
};

/* argv[0] is skipped. Errors: invalid, naming the option and pointing to --help. */
enum nero_status options_parse(const struct options_command *command, int argc, char **argv,
                               struct options_parsed *out, struct nero_err *err);

void options_print_help(const struct options_command *command, FILE *out);

/* Whole decimal number in [low, high]. Errors: invalid, naming `what`. */
enum nero_status options_parse_u64(const char *what, const char *text, uint64_t low, uint64_t high,
                                   uint64_t *out, struct nero_err *err);

#endif
