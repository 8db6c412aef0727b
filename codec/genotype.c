#include "nero/genotype.h"

#include <float.h>
#include <stdlib.h>
#include <string.h>

#include "nero/mem.h"
#include "nero/record.h"

/* ---- memory ---- */

void genotype_init(struct genotype *genotype)
{
    memset(genotype, 0, sizeof *genotype);
}

static void rule_fini(struct genotype_rule *rule)
{
    for (uint32_t i = 0; rule->codons != NULL && i < rule->codon_count; i++) {
        free(rule->codons[i].params);
    }
    free(rule->codons);
}

static void gene_fini(struct genotype_gene *gene)
{
    for (uint32_t i = 0; gene->rules != NULL && i < gene->rule_count; i++) {
        rule_fini(&gene->rules[i]);
    }
    free(gene->rules);
}

void genotype_fini(struct genotype *genotype)
{
    for (uint32_t i = 0; genotype->genes != NULL && i < genotype->gene_count; i++) {
        gene_fini(&genotype->genes[i]);
    }
    free(genotype->genes);
    for (uint32_t i = 0; genotype->modules != NULL && i < genotype->module_count; i++) {
        free(genotype->modules[i].units);
    }
    free(genotype->modules);
    genotype_init(genotype);
}

/* Copies go top down into zeroed arrays, so that a copy cut short by a failure can be ended. */

static bool codon_copy(const struct genotype_codon *from, struct genotype_codon *out)
{
    *out = *from;
    out->params = NULL;
    if (from->param_count > 0) {
        out->params = mem_dup(from->params, from->param_count * sizeof *from->params);
    }
    return from->param_count == 0 || out->params != NULL;
}

static bool rule_copy(const struct genotype_rule *from, struct genotype_rule *out)
{
    bool good;

    *out = *from;
    out->codons = mem_calloc(from->codon_count, sizeof *from->codons);
    good = out->codons != NULL;
    for (uint32_t i = 0; good && i < from->codon_count; i++) {
        good = codon_copy(&from->codons[i], &out->codons[i]);
    }
    return good;
}

static bool gene_copy(const struct genotype_gene *from, struct genotype_gene *out)
{
    bool good;

    *out = *from;
    out->rules = mem_calloc(from->rule_count, sizeof *from->rules);
    good = out->rules != NULL;
    for (uint32_t i = 0; good && i < from->rule_count; i++) {
        good = rule_copy(&from->rules[i], &out->rules[i]);
    }
    return good;
}

static bool module_copy(const struct genotype_module *from, struct genotype_module *out)
{
    *out = *from;
    out->units = NULL;
    if (from->unit_count > 0) {
        out->units = mem_dup(from->units, from->unit_count * sizeof *from->units);
    }
    return from->unit_count == 0 || out->units != NULL;
}

enum nero_status genotype_copy(const struct genotype *from, struct genotype *out,
                               struct nero_err *err)
{
    struct genotype made = *from;
    bool good;

    made.genes = mem_calloc(from->gene_count, sizeof *from->genes);
    made.modules = mem_calloc(from->module_count, sizeof *from->modules);
    good = made.genes != NULL && made.modules != NULL;
    for (uint32_t i = 0; good && i < from->gene_count; i++) {
        good = gene_copy(&from->genes[i], &made.genes[i]);
    }
    for (uint32_t i = 0; good && i < from->module_count; i++) {
        good = module_copy(&from->modules[i], &made.modules[i]);
    }
    if (!good) {
        genotype_fini(&made);
        return err_set(err, NERO_NO_MEMORY, 0, "no memory to copy a genotype");
    }
    *out = made;
    return NERO_OK;
}

/* ---- the pool rule ---- */

/* Give `gene` the next number where it has none yet. */
static bool pool_visit(uint32_t gene, uint32_t gene_count, uint32_t *numbers, uint32_t *next)
{
    if (gene >= gene_count) {
        return false;
    }
    if (numbers[gene] == UINT32_MAX) {
        numbers[gene] = (*next)++;
    }
    return true;
}

/* New numbers in order of first use; UINT32_MAX: unused. */
static bool pool_number(const struct genotype *genotype, uint32_t *numbers, uint32_t *used)
{
    *used = 0;
    for (uint32_t i = 0; i < genotype->gene_count; i++) {
        numbers[i] = UINT32_MAX;
    }
    for (uint32_t i = 0; i < genotype->module_count; i++) {
        const struct genotype_module *module = &genotype->modules[i];

        for (uint32_t j = 0; j < module->unit_count; j++) {
            if (!pool_visit(module->units[j].gene, genotype->gene_count, numbers, used)) {
                return false;
            }
        }
    }
    return pool_visit(genotype->learning_gene, genotype->gene_count, numbers, used);
}

/* Cannot fail any more: move the genes and rewrite the references. */
static void pool_apply(struct genotype *genotype, const uint32_t *numbers, uint32_t used,
                       struct genotype_gene *genes)
{
    for (uint32_t i = 0; i < genotype->gene_count; i++) {
        if (numbers[i] == UINT32_MAX) {
            gene_fini(&genotype->genes[i]);
        } else {
            genes[numbers[i]] = genotype->genes[i];
        }
    }
    free(genotype->genes);
    genotype->genes = genes;
    genotype->gene_count = used;
    for (uint32_t i = 0; i < genotype->module_count; i++) {
        for (uint32_t j = 0; j < genotype->modules[i].unit_count; j++) {
            struct genotype_unit *unit = &genotype->modules[i].units[j];

            unit->gene = numbers[unit->gene];
        }
    }
    genotype->learning_gene = numbers[genotype->learning_gene];
}

enum nero_status genotype_normalise(struct genotype *genotype, struct nero_err *err)
{
    uint32_t *numbers = mem_calloc(genotype->gene_count, sizeof *numbers);
    struct genotype_gene *genes = mem_calloc(genotype->gene_count, sizeof *genes);
    enum nero_status status = NERO_OK;
    uint32_t used = 0;

    if (numbers == NULL || genes == NULL) {
        status = err_set(err, NERO_NO_MEMORY, 0, "no memory for the genes of a genotype");
    } else if (!pool_number(genotype, numbers, &used)) {
        status = err_set(err, NERO_INVALID, 0, "genotype: a unit refers to a gene beyond the pool");
    }
    if (status == NERO_OK) {
        pool_apply(genotype, numbers, used, genes);
    } else {
        free(genes);
    }
    free(numbers);
    return status;
}

/* ---- fields ---- */

static void value_field(struct record *r, enum genotype_value_kind kind,
                        struct genotype_value *value)
{
    switch (kind) {
    case GENOTYPE_INT:
        record_i64(r, NULL, &value->integer, INT64_MIN, INT64_MAX);
        break;
    case GENOTYPE_FLOAT:
        record_real(r, NULL, &value->real, -DBL_MAX, DBL_MAX);
        break;
    case GENOTYPE_POWER2:
        record_i64(r, NULL, &value->integer, -1023, 1023);
        break;
    case GENOTYPE_POWER10:
        record_i64(r, NULL, &value->integer, -308, 308);
        break;
    }
}

static void param_fields(struct record *r, struct genotype_param *param)
{
    record_group(r, "param", 3);
    record_name(r, "name", param->name, sizeof param->name);
    record_u32(r, "kind", &param->kind, GENOTYPE_INT, GENOTYPE_POWER10);
    record_list(r, "values", &param->value_count, 1, GENOTYPE_VALUES_MAX);
    for (uint32_t i = 0; record_ok(r) && i < param->value_count; i++) {
        record_item(r, i);
        value_field(r, param->kind, &param->values[i]);
    }
    record_leave(r);
    record_leave(r);
}

static void codon_fields(struct record *r, struct genotype_codon *codon)
{
    record_group(r, "codon", 2);
    record_u32(r, "alternative", &codon->alternative, 0, INT32_MAX);
    record_list(r, "params", &codon->param_count, 0, GENOTYPE_PARAMS_MAX);
    if (record_reading(r)) {
        codon->params = record_alloc(r, codon->param_count, sizeof *codon->params);
    }
    for (uint32_t i = 0; record_ok(r) && i < codon->param_count; i++) {
        record_item(r, i);
        param_fields(r, &codon->params[i]);
    }
    record_leave(r);
    record_leave(r);
}

static void rule_fields(struct record *r, struct genotype_rule *rule)
{
    record_group(r, "rule", 2);
    record_name(r, "symbol", rule->symbol, sizeof rule->symbol);
    record_list(r, "codons", &rule->codon_count, 1, GENOTYPE_CODONS_MAX);
    if (record_reading(r)) {
        rule->codons = record_alloc(r, rule->codon_count, sizeof *rule->codons);
    }
    for (uint32_t i = 0; record_ok(r) && i < rule->codon_count; i++) {
        record_item(r, i);
        codon_fields(r, &rule->codons[i]);
    }
    record_leave(r);
    record_leave(r);
}

static void gene_fields(struct record *r, struct genotype_gene *gene)
{
    record_group(r, "gene", 2);
    record_name(r, "start", gene->start, sizeof gene->start);
    record_list(r, "rules", &gene->rule_count, 0, GENOTYPE_RULES_MAX);
    if (record_reading(r)) {
        gene->rules = record_alloc(r, gene->rule_count, sizeof *gene->rules);
    }
    for (uint32_t i = 0; record_ok(r) && i < gene->rule_count; i++) {
        record_item(r, i);
        rule_fields(r, &gene->rules[i]);
        if (record_ok(r) && i > 0 &&
            strcmp(gene->rules[i - 1].symbol, gene->rules[i].symbol) >= 0) {
            record_fail(r, "symbol", "'%s' after '%s': rules ascend by symbol",
                        gene->rules[i].symbol, gene->rules[i - 1].symbol);
        }
    }
    record_leave(r);
    record_leave(r);
}

/* A reference, in the order of first use: `next` is the least gene not referred to so far. */
static void reference_field(struct record *r, const struct genotype *genotype, const char *field,
                            uint32_t *gene, uint32_t *next)
{
    record_u32(r, field, gene, 0, genotype->gene_count - 1);
    if (record_ok(r) && *gene > *next) {
        record_fail(r, field, "gene %u is used before gene %u: genes stand in order of first use",
                    *gene, *next);
    } else if (*gene == *next) {
        (*next)++;
    }
}

static void unit_fields(struct record *r, const struct genotype *genotype,
                        const struct genotype_module *module, uint32_t number, uint32_t *next)
{
    struct genotype_unit *unit = &module->units[number];

    record_group(r, "unit", 2);
    reference_field(r, genotype, "gene", &unit->gene, next);
    if (record_ok(r) && strcmp(genotype->genes[unit->gene].start, module->name) != 0) {
        record_fail(r, "gene", "gene %u starts at '%s', the module at '%s'", unit->gene,
                    genotype->genes[unit->gene].start, module->name);
    }
    record_list(r, "inputs", &unit->input_count, 1, GENOTYPE_INPUTS_MAX);
    for (uint32_t i = 0; record_ok(r) && i < unit->input_count; i++) {
        record_item(r, i);
        record_i32(r, NULL, &unit->inputs[i], i == 0 ? -1 : unit->inputs[i - 1] + 1,
                   (int32_t)number - 1);
    }
    record_leave(r);
    record_leave(r);
}

static void module_fields(struct record *r, const struct genotype *genotype, uint32_t number,
                          uint32_t *next)
{
    struct genotype_module *module = &genotype->modules[number];

    record_group(r, "module", 2);
    record_name(r, "name", module->name, sizeof module->name);
    for (uint32_t i = 0; record_ok(r) && i < number; i++) {
        if (strcmp(genotype->modules[i].name, module->name) == 0) {
            record_fail(r, "name", "'%s' twice", module->name);
        }
    }
    record_list(r, "units", &module->unit_count, 0, GENOTYPE_UNITS_MAX);
    if (record_reading(r)) {
        module->units = record_alloc(r, module->unit_count, sizeof *module->units);
    }
    for (uint32_t i = 0; record_ok(r) && i < module->unit_count; i++) {
        record_item(r, i);
        unit_fields(r, genotype, module, i, next);
    }
    record_leave(r);
    record_leave(r);
}

static void genotype_record(struct record *r, struct genotype *genotype)
{
    uint32_t next = 0;

    record_open(r, 1, 4);
    record_list(r, "genes", &genotype->gene_count, 1, GENOTYPE_GENES_MAX);
    if (record_reading(r)) {
        genotype->genes = record_alloc(r, genotype->gene_count, sizeof *genotype->genes);
    }
    for (uint32_t i = 0; record_ok(r) && i < genotype->gene_count; i++) {
        record_item(r, i);
        gene_fields(r, &genotype->genes[i]);
    }
    record_leave(r);
    record_list(r, "modules", &genotype->module_count, 1, GENOTYPE_MODULES_MAX);
    if (record_reading(r)) {
        genotype->modules = record_alloc(r, genotype->module_count, sizeof *genotype->modules);
    }
    for (uint32_t i = 0; record_ok(r) && i < genotype->module_count; i++) {
        record_item(r, i);
        module_fields(r, genotype, i, &next);
    }
    record_leave(r);
    reference_field(r, genotype, "learning", &genotype->learning_gene, &next);
    if (record_ok(r) && next != genotype->gene_count) {
        record_fail(r, "genes", "gene %u is never used", next);
    }
    record_close(r);
}

enum nero_status genotype_check(const struct genotype *genotype, struct nero_err *err)
{
    struct genotype copy = *genotype;
    struct record r;

    record_check_begin(&r, "genotype", err);
    genotype_record(&r, &copy);
    return record_end(&r);
}

enum nero_status genotype_encode(const struct genotype *genotype, struct bytes *out,
                                 struct nero_err *err)
{
    struct genotype copy = *genotype;
    struct record r;

    record_write_begin(&r, "genotype", out, GENOTYPE_BYTES_MAX, err);
    genotype_record(&r, &copy);
    return record_end(&r);
}

enum nero_status genotype_decode(struct bytes_view bytes, struct genotype *out,
                                 struct nero_err *err)
{
    struct genotype made;
    struct record r;

    genotype_init(&made);
    record_read_begin(&r, "genotype", bytes, GENOTYPE_BYTES_MAX, err);
    genotype_record(&r, &made);
    if (record_end(&r) != NERO_OK) {
        genotype_fini(&made);
        return r.status;
    }
    *out = made;
    return NERO_OK;
}
