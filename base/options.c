#include "nero/options.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum nero_status options_parse_u64(const char *what, const char *text, uint64_t low, uint64_t high,
                                   uint64_t *out, struct nero_err *err)
{
    char *end;
    unsigned long long value;

    errno = 0;
    value = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != 0) {
        return err_set(err, NERO_INVALID, 0, "%s: '%.60s' is not a whole number", what, text);
    }
    if (errno != 0 || value < low || value > high) {
        return err_set(err, NERO_INVALID, 0, "%s: %.60s is not between %llu and %llu", what, text,
                       (unsigned long long)low, (unsigned long long)high);
    }
    *out = value;
    return NERO_OK;
}

static enum nero_status parse_double(const char *what, const char *text, double *out,
                                     struct nero_err *err)
{
    char *end;
    double value = strtod(text, &end);

    if (text[0] == 0 || *end != 0 || !isfinite(value)) {
        return err_set(err, NERO_INVALID, 0, "%s: '%.60s' is not a number", what, text);
    }
    *out = value;
    return NERO_OK;
}

static uint64_t least(enum options_kind kind)
{
    return kind == OPTIONS_MS ? OPTIONS_MS_MIN : kind == OPTIONS_COUNT ? 1 : 0;
}

static enum nero_status store_value(const struct options_spec *spec, const char *text,
                                    struct nero_err *err)
{
    char what[80];
    struct options_list *list;

    (void)snprintf(what, sizeof what, "--%s", spec->name);
    switch (spec->kind) {
    case OPTIONS_FLAG:
        *(bool *)spec->target = true;
        return NERO_OK;
    case OPTIONS_STRING:
        *(const char **)spec->target = text;
        return NERO_OK;
    case OPTIONS_U64:
    case OPTIONS_COUNT:
    case OPTIONS_MS:
        return options_parse_u64(what, text, least(spec->kind),
                                 spec->max > 0 ? spec->max : UINT64_MAX, (uint64_t *)spec->target,
                                 err);
    case OPTIONS_DOUBLE:
        return parse_double(what, text, (double *)spec->target, err);
    case OPTIONS_LIST:
        list = spec->target;
        if (list->count == OPTIONS_LIST_MAX) {
            return err_set(err, NERO_INVALID, 0, "%s is given more than %d times", what,
                           OPTIONS_LIST_MAX);
        }
        list->values[list->count++] = text;
        return NERO_OK;
    }
    return NERO_OK;
}

static const struct options_spec *find_spec(const struct options_command *command, const char *name,
                                            size_t length)
{
    for (uint32_t i = 0; i < command->spec_count; i++) {
        if (strlen(command->specs[i].name) == length &&
            strncmp(command->specs[i].name, name, length) == 0) {
            return &command->specs[i];
        }
    }
    return NULL;
}

static enum nero_status apply_environment(const struct options_command *command,
                                          struct nero_err *err)
{
    for (uint32_t i = 0; i < command->spec_count; i++) {
        const struct options_spec *spec = &command->specs[i];
        const char *text = spec->env != NULL ? getenv(spec->env) : NULL;

        if (text != NULL && text[0] != 0 &&
            (spec->kind != OPTIONS_FLAG || strcmp(text, "0") != 0) &&
            store_value(spec, text, err) != NERO_OK) {
            return err_wrap(err, "environment variable %s", spec->env);
        }
    }
    return NERO_OK;
}

/* argv[*index] is an option; advances *index over a value that stands apart. */
static enum nero_status parse_option(const struct options_command *command, int argc, char **argv,
                                     int *index, struct nero_err *err)
{
    const char *name = argv[*index] + 2;
    const char *equals = strchr(name, '=');
    size_t length = equals != NULL ? (size_t)(equals - name) : strlen(name);
    const struct options_spec *spec = find_spec(command, name, length);

    if (spec == NULL) {
        return err_set(err, NERO_INVALID, 0, "unknown option '%.60s'; see '%s --help'",
                       argv[*index], command->program);
    }
    if (spec->kind == OPTIONS_FLAG) {
        if (equals != NULL) {
            return err_set(err, NERO_INVALID, 0, "--%s takes no value", spec->name);
        }
        return store_value(spec, "1", err);
    }
    if (equals != NULL) {
        return store_value(spec, equals + 1, err);
    }
    if (*index + 1 >= argc) {
        return err_set(err, NERO_INVALID, 0, "--%s needs a value (%s); see '%s --help'", spec->name,
                       spec->value, command->program);
    }
    (*index)++;
    return store_value(spec, argv[*index], err);
}

enum nero_status options_parse(const struct options_command *command, int argc, char **argv,
                               struct options_parsed *out, struct nero_err *err)
{
    bool only_arguments = false;

    memset(out, 0, sizeof *out);
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            out->help = true;
            return NERO_OK;
        }
    }
    if (apply_environment(command, err) != NERO_OK) {
        return err->status;
    }
    for (int i = 1; i < argc; i++) {
        if (!only_arguments && strcmp(argv[i], "--") == 0) {
            only_arguments = true;
        } else if (!only_arguments && argv[i][0] == '-' && argv[i][1] != 0) {
            if (argv[i][1] != '-') {
                return err_set(err, NERO_INVALID, 0, "unknown option '%.60s'; see '%s --help'",
                               argv[i], command->program);
            }
            if (parse_option(command, argc, argv, &i, err) != NERO_OK) {
                return err->status;
            }
        } else if (out->argument_count == command->arguments_max ||
                   out->argument_count == OPTIONS_ARGUMENTS_MAX) {
            return err_set(err, NERO_INVALID, 0,
                           "'%.60s' is one argument too many; see '%s --help'", argv[i],
                           command->program);
        } else {
            out->arguments[out->argument_count++] = argv[i];
        }
    }
    if (out->argument_count < command->arguments_min) {
        return err_set(err, NERO_INVALID, 0, "usage: %s %s; see '%s --help'", command->program,
                       command->arguments, command->program);
    }
    return NERO_OK;
}

void options_print_help(const struct options_command *command, FILE *out)
{
    (void)fprintf(out, "usage: %s%s%s%s\n\n%s\n", command->program,
                  command->arguments[0] != 0 ? " " : "", command->arguments,
                  command->spec_count > 0 ? " [options]" : "", command->about);
    if (command->spec_count > 0) {
        (void)fputs("\noptions:\n", out);
    }
    for (uint32_t i = 0; i < command->spec_count; i++) {
        const struct options_spec *spec = &command->specs[i];
        char left[64];

        (void)snprintf(left, sizeof left, "--%s%s%s", spec->name, spec->value != NULL ? " " : "",
                       spec->value != NULL ? spec->value : "");
        (void)fprintf(out, "  %-26s %s", left, spec->help);
        if (spec->env != NULL) {
            (void)fprintf(out, " [%s]", spec->env);
        }
        (void)fputc('\n', out);
    }
    (void)fprintf(out, "  %-26s %s\n", "--help", "this text");
    if (command->examples != NULL) {
        (void)fprintf(out, "\nexamples:\n%s", command->examples);
    }
}
