/* nero-sched genotype: show, check, draw or make one individual. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "nero/genotype.h"
#include "nero/graph.h"

#include "cli.h"
#include "genotype_draw.h"
#include "genotype_file.h"
#include "preset_run.h"
#include "report.h"

struct genotype_options {
    const char *preset; /* NULL: not given */
    struct options_list sets;
    const char *seed;
    const char *out; /* of 'draw' */
    bool dot;
    bool json;
};

static enum nero_status print_text(const struct genotype *genotype, struct nero_err *err)
{
    struct bytes text;
    enum nero_status status;

    bytes_init(&text, GENOTYPE_TEXT_BYTES_MAX);
    status = genotype_print_text(genotype, &text, err);
    if (status == NERO_OK) {
        (void)fwrite(text.data, 1, text.bytes, stdout);
    }
    bytes_fini(&text);
    return status;
}

/* Against the limits of the preset. `why` is empty for an admissible network. */
static void judge(const struct job_protocol *protocol, const struct phenotype *phenotype,
                  const struct graph *graph, char why[160])
{
    why[0] = 0;
    if (protocol->max_parameters > 0 && graph->trained_count > protocol->max_parameters) {
        (void)snprintf(why, 160, "%" PRIu64 " parameters, the preset allows %" PRIu64,
                       graph->trained_count, protocol->max_parameters);
    } else if (protocol->max_macs > 0 && graph->macs > protocol->max_macs) {
        (void)snprintf(why, 160, "%" PRIu64 " multiply-adds, the preset allows %" PRIu64,
                       graph->macs, protocol->max_macs);
    } else if (phenotype->learning.batch > protocol->train_count) {
        (void)snprintf(why, 160, "a batch of %" PRIu32 ", the preset trains on %" PRIu32 " images",
                       phenotype->learning.batch, protocol->train_count);
    }
}

static void print_network_json(const struct phenotype *phenotype, const struct graph *graph,
                               const char *why)
{
    json_t *out = json_pack(
        "{s:i, s:I, s:I, s:I, s:I, s:b, s:s}", "units", (int)phenotype->unit_count, "parameters",
        (json_int_t)graph->trained_count, "macs", (json_int_t)graph->macs, "plan_bytes_fixed",
        (json_int_t)graph->plan_bytes_fixed, "plan_bytes_per_image",
        (json_int_t)graph->plan_bytes_per_image, "admissible", (int)(why[0] == 0), "reason", why);

    (void)json_dumpf(out, stdout, JSON_COMPACT);
    (void)fputc('\n', stdout);
    json_decref(out);
}

/* What the genotype decodes to in the preset's grammar. *admissible: within its limits. */
static enum nero_status print_decoded(const struct preset_run *run, const struct genotype *genotype,
                                      bool json, bool *admissible, struct nero_err *err)
{
    struct phenotype phenotype;
    struct graph graph;
    char why[160];
    enum nero_status status = evolve_decode(&run->run, genotype, &phenotype, err);

    if (status != NERO_OK) {
        return status;
    }
    status = graph_build(&phenotype, &graph, err);
    if (status == NERO_OK) {
        judge(&run->preset.record.protocol, &phenotype, &graph, why);
        *admissible = why[0] == 0;
        if (json) {
            print_network_json(&phenotype, &graph, why);
        } else {
            status = report_print_network(&phenotype, stdout, err);
            (void)printf(why[0] == 0 ? "within the limits of the preset\n" : "over a limit: %s\n",
                         why);
        }
        graph_fini(&graph);
    }
    phenotype_fini(&phenotype);
    return status;
}

static enum nero_status show_or_check(const struct genotype_options *options, const char *path,
                                      bool check, bool *admissible, struct nero_err *err)
{
    struct genotype genotype;
    struct preset_run run;
    enum nero_status status = genotype_file_read(path, &genotype, err);

    if (status != NERO_OK) {
        return status;
    }
    if (!check && !options->json) {
        status = print_text(&genotype, err);
    }
    if (status == NERO_OK && options->preset != NULL) {
        status = preset_run_open(options->preset, &options->sets, &run, err);
        if (status == NERO_OK) {
            if (!check && !options->json) {
                (void)printf("\ndecoded by %s:\n", options->preset);
            }
            status = print_decoded(&run, &genotype, options->json, admissible, err);
            preset_run_close(&run);
        }
        if (status != NERO_OK) {
            (void)err_wrap(err, "%s", strcmp(path, "-") == 0 ? "standard input" : path);
        }
    } else if (status == NERO_OK && options->json) {
        (void)printf("{\"modules\":%" PRIu32 ",\"genes\":%" PRIu32 "}\n", genotype.module_count,
                     genotype.gene_count);
    }
    genotype_fini(&genotype);
    return status;
}

static enum nero_status draw(const struct genotype_options *options, const char *path,
                             struct nero_err *err)
{
    struct genotype genotype;
    struct phenotype phenotype;
    struct preset_run run;
    enum nero_status status = genotype_file_read(path, &genotype, err);

    if (status != NERO_OK) {
        return status;
    }
    status = preset_run_open(options->preset, &options->sets, &run, err);
    if (status == NERO_OK) {
        status = evolve_decode(&run.run, &genotype, &phenotype, err);
        if (status == NERO_OK) {
            status = genotype_draw(&genotype, &phenotype, path, options->out, options->dot, err);
            phenotype_fini(&phenotype);
        }
        preset_run_close(&run);
    }
    genotype_fini(&genotype);
    return status;
}

static enum nero_status make_new(const struct genotype_options *options, struct nero_err *err)
{
    struct preset_run run;
    struct genotype genotype;
    uint64_t seed;
    enum nero_status status;

    if (options_parse_u64("--seed", options->seed, 0, UINT64_MAX, &seed, err) != NERO_OK ||
        preset_run_open(options->preset, &options->sets, &run, err) != NERO_OK) {
        return err->status;
    }
    run.preset.record.seed = seed;
    status = evolve_random(&run.run, 0, 0, 0, &genotype, err);
    if (status == NERO_OK) {
        status = print_text(&genotype, err);
        genotype_fini(&genotype);
    }
    preset_run_close(&run);
    return status;
}

static int run_verb(const struct options_command *command, const struct options_parsed *parsed,
                    const struct genotype_options *options)
{
    const char *verb = parsed->arguments[0];
    bool check = strcmp(verb, "check") == 0;
    bool admissible = true;
    struct nero_err err;
    enum nero_status status;

    if ((check || strcmp(verb, "show") == 0) && parsed->argument_count == 2) {
        status = check && options->preset == NULL
                     ? err_set(&err, NERO_INVALID, 0,
                               "'check' needs --preset FILE: the grammar and "
                               "the limits to check against")
                     : show_or_check(options, parsed->arguments[1], check, &admissible, &err);
    } else if (strcmp(verb, "draw") == 0 && parsed->argument_count == 2) {
        status = options->preset == NULL
                     ? err_set(&err, NERO_INVALID, 0, "'draw' needs --preset FILE: the grammar")
                     : draw(options, parsed->arguments[1], &err);
    } else if (strcmp(verb, "new") == 0 && parsed->argument_count == 1) {
        status = options->preset == NULL || options->seed == NULL
                     ? err_set(&err, NERO_INVALID, 0, "'new' needs --preset FILE and --seed N")
                     : make_new(options, &err);
    } else {
        status = err_set(&err, NERO_INVALID, 0,
                         "say 'genotype show FILE', 'genotype check FILE --preset PRESET', "
                         "'genotype draw FILE --preset PRESET' or "
                         "'genotype new --preset PRESET --seed N'");
    }
    if (status != NERO_OK) {
        return cli_fail(command->program, &err);
    }
    return admissible || !check ? ERR_EXIT_DONE : ERR_EXIT_FINDING;
}

int cmd_genotype(int argc, char **argv)
{
    struct genotype_options options = {.preset = NULL};
    const struct options_spec specs[] = {
        {"preset", OPTIONS_STRING, "FILE", "the preset whose grammar and limits apply", NULL,
         &options.preset, 0},
        {"set", OPTIONS_LIST, "KEY=VALUE", "override a preset key", NULL, &options.sets, 0},
        {"seed", OPTIONS_STRING, "N", "of 'new': the same seed, the same individual", NULL,
         &options.seed, 0},
        {"out", OPTIONS_STRING, "FILE.svg", "of 'draw': the file (default: standard output)", NULL,
         &options.out, 0},
        {"dot", OPTIONS_FLAG, NULL, "of 'draw': print the graph as DOT text; needs no Graphviz",
         NULL, &options.dot, 0},
        CLI_OPTION_JSON(&options.json)};
    const struct options_command command = {
        .program = "nero-sched genotype",
        .arguments = "show FILE | check FILE --preset PRESET | draw FILE --preset PRESET | "
                     "new --preset PRESET --seed N",
        .about =
            "show   print a genotype (FILE - is standard input); with --preset what it decodes to\n"
            "check  does it belong to the preset's grammar and keep its limits? 1 when over one\n"
            "draw   the network as SVG, laid out by Graphviz\n"
            "new    a random individual of the preset's grammar, to edit and to submit",
        .examples =
            "  nero-sched genotype new --preset presets/demo.yaml --seed 1 > mine.txt\n"
            "  nero-sched genotype check mine.txt --preset presets/demo.yaml\n"
            "  nero-sched genotype draw mine.txt --preset presets/demo.yaml --out mine.svg\n"
            "  nero-sched submit presets/demo.yaml --genotype mine.txt --budget epochs:8\n",
        .specs = specs,
        .spec_count = sizeof specs / sizeof specs[0],
        .arguments_min = 1,
        .arguments_max = 2};
    struct options_parsed parsed;
    bool done;
    int code = cli_parse(&command, argc, argv, &parsed, &done);

    return done ? code : run_verb(&command, &parsed, &options);
}
