#include "evolve/individual.h"

#include <stdlib.h>
#include <string.h>

#include "evolve/connect.h"
#include "evolve/draw.h"
#include "evolve/gene.h"
#include "evolve/layer.h"
#include "evolve/seed.h"
#include "nero/mem.h"

static enum nero_status check_module(const struct run_module *module, struct nero_err *err)
{
    if (module->units_min > module->units_max || module->units_max < 1 ||
        module->units_max > GENOTYPE_UNITS_MAX) {
        return err_set(err, NERO_INVALID, 0, "module %s: units %u to %u; allowed: 0 to %d",
                       module->symbol, (unsigned)module->units_min, (unsigned)module->units_max,
                       GENOTYPE_UNITS_MAX);
    }
    if (module->initial_min > module->initial_max || module->initial_min < module->units_min ||
        module->initial_max > module->units_max) {
        return err_set(err, NERO_INVALID, 0,
                       "module %s: initial units %u to %u are not inside units %u to %u",
                       module->symbol, (unsigned)module->initial_min, (unsigned)module->initial_max,
                       (unsigned)module->units_min, (unsigned)module->units_max);
    }
    if (module->levels_back < 1 || module->levels_back > GENOTYPE_INPUTS_MAX) {
        return err_set(err, NERO_INVALID, 0, "module %s: levels_back %u; allowed: 1 to %d",
                       module->symbol, (unsigned)module->levels_back, GENOTYPE_INPUTS_MAX);
    }
    return NERO_OK;
}

enum nero_status evolve_check(const struct evolve_run *run, struct nero_err *err)
{
    const struct run_search *search = &run->record->search;
    uint32_t units = 0;

    if (search->module_count < 1 || search->module_count > RUN_MODULES_MAX) {
        return err_set(err, NERO_INVALID, 0, "%u modules; allowed: 1 to %d",
                       (unsigned)search->module_count, RUN_MODULES_MAX);
    }
    if (search->lambda < 1 || search->lambda > RUN_LAMBDA_MAX) {
        return err_set(err, NERO_INVALID, 0, "search.lambda %u; allowed: 1 to %d",
                       (unsigned)search->lambda, RUN_LAMBDA_MAX);
    }
    for (uint32_t m = 0; m < search->module_count; m++) {
        if (check_module(&search->modules[m], err) != NERO_OK) {
            return err->status;
        }
        units += search->modules[m].units_max;
    }
    if (units > PHENOTYPE_UNITS_MAX) {
        return err_set(err, NERO_INVALID, 0, "the modules can have %u units in all; allowed: %d",
                       (unsigned)units, PHENOTYPE_UNITS_MAX);
    }
    if (search->modules[search->module_count - 1].units_min != 1 ||
        search->modules[search->module_count - 1].units_max != 1) {
        return err_set(err, NERO_INVALID, 0, "the last module, the classifier, has exactly 1 unit");
    }
    if (layer_check(run->grammar, search, run->classes, err) != NERO_OK) {
        return err->status;
    }
    return seed_given(run) ? seed_check(run, err) : NERO_OK;
}

enum nero_status individual_add_gene(struct genotype *genotype, struct genotype_gene *gene,
                                     uint32_t *number, struct nero_err *err)
{
    struct genotype_gene *genes =
        mem_realloc_array(genotype->genes, (size_t)genotype->gene_count + 1, sizeof *genes);

    if (genes == NULL) {
        gene_fini(gene);
        return err_set(err, NERO_NO_MEMORY, 0, "gene pool");
    }
    genotype->genes = genes;
    genes[genotype->gene_count] = *gene;
    *number = genotype->gene_count++;
    return NERO_OK;
}

static enum nero_status add_fresh_gene(const struct evolve_run *run, struct genotype *genotype,
                                       const char *symbol, struct rng_stream *stream,
                                       uint32_t *number, struct nero_err *err)
{
    struct genotype_gene gene;

    if (gene_draw(run->grammar, symbol, stream, &gene, err) != NERO_OK) {
        return err->status;
    }
    return individual_add_gene(genotype, &gene, number, err);
}

static enum nero_status random_module(const struct evolve_run *run, const struct run_module *rules,
                                      struct genotype *genotype, struct genotype_module *module,
                                      struct rng_stream *stream, struct nero_err *err)
{
    uint32_t size = (uint32_t)draw_between(stream, rules->initial_min, rules->initial_max);

    memcpy(module->name, rules->symbol, sizeof module->name);
    for (uint32_t u = 0; u < size; u++) {
        uint32_t gene = 0;

        if (u > 0 && draw_chance(stream, run->record->search.rates.replicate_unit)) {
            gene = module->units[draw_index(stream, u)].gene;
        } else if (add_fresh_gene(run, genotype, rules->symbol, stream, &gene, err) != NERO_OK) {
            return err->status;
        }
        if (connect_insert(rules, module, u, gene, stream, err) != NERO_OK) {
            return err->status;
        }
    }
    return NERO_OK;
}

static enum nero_status random_parts(const struct evolve_run *run, struct genotype *genotype,
                                     struct rng_stream *stream, struct nero_err *err)
{
    const struct run_search *search = &run->record->search;

    genotype->modules = mem_calloc(search->module_count, sizeof *genotype->modules);
    if (genotype->modules == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "modules");
    }
    genotype->module_count = search->module_count;
    for (uint32_t m = 0; m < search->module_count; m++) {
        if (random_module(run, &search->modules[m], genotype, &genotype->modules[m], stream, err) !=
            NERO_OK) {
            return err->status;
        }
    }
    if (add_fresh_gene(run, genotype, search->learning_symbol, stream, &genotype->learning_gene,
                       err) != NERO_OK) {
        return err->status;
    }
    for (uint32_t m = 0; m < search->module_count; m++) {
        struct genotype_module *module = &genotype->modules[m];

        for (uint32_t u = 0; search->modules[m].allow_skip && u < module->unit_count; u++) {
            struct genotype_unit before;

            if (connect_is_dead_end(module, u)) {
                (void)connect_repair(&search->modules[m], module, u, stream, &before);
            }
        }
    }
    return genotype_normalise(genotype, err);
}

enum nero_status evolve_random(const struct evolve_run *run, uint32_t lineage, uint32_t generation,
                               uint32_t slot, struct genotype *out, struct nero_err *err)
{
    struct rng_stream stream =
        rng_stream(run->record->seed, RNG_INITIAL, lineage, generation, slot);
    struct genotype genotype;

    genotype_init(&genotype);
    if (random_parts(run, &genotype, &stream, err) != NERO_OK) {
        genotype_fini(&genotype);
        return err_wrap(err, "random individual");
    }
    *out = genotype;
    return NERO_OK;
}

enum nero_status evolve_complete(const struct evolve_run *run, struct genotype *genotype,
                                 struct rng_stream *stream, struct nero_err *err)
{
    for (uint32_t g = 0; g < genotype->gene_count; g++) {
        if (gene_complete(run->grammar, &genotype->genes[g], stream, err) != NERO_OK) {
            return err_wrap(err, "gene %u", (unsigned)g);
        }
    }
    return genotype_normalise(genotype, err);
}

static enum nero_status check_units(const struct run_module *rules,
                                    const struct genotype_module *module, struct nero_err *err)
{
    if (strcmp(rules->symbol, module->name) != 0) {
        return err_set(err, NERO_INVALID, 0, "module %s stands where the structure has %s",
                       module->name, rules->symbol);
    }
    if (module->unit_count < rules->units_min || module->unit_count > rules->units_max) {
        return err_set(err, NERO_INVALID, 0, "module %s: %u units; allowed: %u to %u", module->name,
                       (unsigned)module->unit_count, (unsigned)rules->units_min,
                       (unsigned)rules->units_max);
    }
    for (uint32_t u = 0; u < module->unit_count; u++) {
        if (!connect_is_valid(rules, &module->units[u], u)) {
            return err_set(err, NERO_INVALID, 0,
                           "module %s, unit %u: an input is out of reach or one is missing",
                           module->name, (unsigned)u);
        }
    }
    return NERO_OK;
}

enum nero_status individual_check(const struct evolve_run *run, const struct genotype *genotype,
                                  struct nero_err *err)
{
    const struct run_search *search = &run->record->search;

    if (genotype_check(genotype, err) != NERO_OK) {
        return err->status;
    }
    if (genotype->module_count != search->module_count) {
        return err_set(err, NERO_INVALID, 0, "%u modules; the structure has %u",
                       (unsigned)genotype->module_count, (unsigned)search->module_count);
    }
    for (uint32_t m = 0; m < search->module_count; m++) {
        const struct genotype_module *module = &genotype->modules[m];

        if (check_units(&search->modules[m], module, err) != NERO_OK) {
            return err->status;
        }
        for (uint32_t u = 0; u < module->unit_count; u++) {
            if (strcmp(genotype->genes[module->units[u].gene].start, module->name) != 0) {
                return err_set(err, NERO_INVALID, 0, "module %s, unit %u: its gene is of <%s>",
                               module->name, (unsigned)u,
                               genotype->genes[module->units[u].gene].start);
            }
        }
    }
    if (strcmp(genotype->genes[genotype->learning_gene].start, search->learning_symbol) != 0) {
        return err_set(err, NERO_INVALID, 0, "the learning gene is of <%s>",
                       genotype->genes[genotype->learning_gene].start);
    }
    return NERO_OK;
}

static enum nero_status take_key(void *context, const struct grammar_symbol *symbol,
                                 const struct genotype_param *param, struct nero_err *err)
{
    return layer_take(context, symbol, param, err);
}

static enum nero_status read_values(const struct evolve_run *run, const struct genotype_gene *gene,
                                    struct layer_values *values, struct nero_err *err)
{
    struct gene_visitor visitor = {.context = values, .key = take_key};

    memset(values, 0, sizeof *values);
    return gene_read(run->grammar, gene, &visitor, err);
}

enum nero_status individual_check_genes(const struct evolve_run *run,
                                        const struct genotype *genotype, struct nero_err *err)
{
    for (uint32_t g = 0; g < genotype->gene_count; g++) {
        struct phenotype_learning learning;
        struct phenotype_unit unit = {.kind = PHENOTYPE_CONV};
        struct layer_values values;
        enum nero_status status = read_values(run, &genotype->genes[g], &values, err);

        if (status == NERO_OK) {
            status = g == genotype->learning_gene
                         ? layer_to_learning(&values, run->record->search.clip, &learning, err)
                         : layer_to_unit(&values, &unit, err);
        }
        if (status != NERO_OK) {
            return err_wrap(err, "gene %u, of <%s>", (unsigned)g, genotype->genes[g].start);
        }
    }
    return NERO_OK;
}

/* Input j of a module that begins at unit `first` is unit first + j: -1 is what stands before it.
 */
static enum nero_status decode_module(const struct evolve_run *run, const struct genotype *genotype,
                                      const struct genotype_module *module, struct phenotype *out,
                                      struct nero_err *err)
{
    uint32_t first = out->unit_count;

    for (uint32_t u = 0; u < module->unit_count; u++) {
        const struct genotype_unit *unit = &module->units[u];
        struct phenotype_unit *to = &out->units[out->unit_count];
        struct layer_values values;

        if (read_values(run, &genotype->genes[unit->gene], &values, err) != NERO_OK ||
            layer_to_unit(&values, to, err) != NERO_OK) {
            return err_wrap(err, "module %s, unit %u", module->name, (unsigned)u);
        }
        to->input_count = unit->input_count;
        for (uint32_t i = 0; i < unit->input_count; i++) {
            to->inputs[i] = (int32_t)first + unit->inputs[i];
        }
        out->unit_count++;
    }
    return NERO_OK;
}

static enum nero_status decode_parts(const struct evolve_run *run, const struct genotype *genotype,
                                     struct phenotype *out, struct nero_err *err)
{
    struct layer_values values;
    uint32_t units = 0;

    for (uint32_t m = 0; m < genotype->module_count; m++) {
        units += genotype->modules[m].unit_count;
    }
    out->units = mem_calloc(units, sizeof *out->units);
    if (out->units == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "units of the phenotype");
    }
    for (uint32_t m = 0; m < genotype->module_count; m++) {
        if (decode_module(run, genotype, &genotype->modules[m], out, err) != NERO_OK) {
            return err->status;
        }
    }
    if (read_values(run, &genotype->genes[genotype->learning_gene], &values, err) != NERO_OK ||
        layer_to_learning(&values, run->record->search.clip, &out->learning, err) != NERO_OK) {
        return err_wrap(err, "learning unit");
    }
    return phenotype_check(out, err);
}

enum nero_status evolve_decode(const struct evolve_run *run, const struct genotype *genotype,
                               struct phenotype *out, struct nero_err *err)
{
    struct phenotype phenotype;

    phenotype_init(&phenotype);
    phenotype.channels = run->channels;
    phenotype.height = run->height;
    phenotype.width = run->width;
    phenotype.classes = run->classes;
    if (individual_check(run, genotype, err) != NERO_OK ||
        decode_parts(run, genotype, &phenotype, err) != NERO_OK) {
        phenotype_fini(&phenotype);
        return err_wrap(err, "decode");
    }
    *out = phenotype;
    return NERO_OK;
}
