/* Prints the text form of a genotype (codec/FORMAT.md, "genotype text"). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nero/genotype.h"

/* The shortest of 15 to 17 digits that reads back as the same bits, never without . or e. */
static void real_print(double real, char out[40])
{
    for (int digits = 15; digits <= 17; digits++) {
        (void)snprintf(out, 32, "%.*g", digits, real);
        if (strtod(out, NULL) == real) {
            break;
        }
    }
    if (strpbrk(out, ".e") == NULL) {
        size_t length = strlen(out);

        memcpy(out + length, ".0", sizeof ".0");
    }
}

static enum nero_status param_print(const struct genotype_param *param, struct bytes *out,
                                    struct nero_err *err)
{
    enum nero_status status = bytes_printf(out, err, " %s=", param->name);

    for (uint32_t i = 0; i < param->value_count && status == NERO_OK; i++) {
        const struct genotype_value *value = &param->values[i];
        const char *comma = i > 0 ? "," : "";
        char real[40];

        switch (param->kind) {
        case GENOTYPE_INT:
            status = bytes_printf(out, err, "%s%" PRId64, comma, value->integer);
            break;
        case GENOTYPE_FLOAT:
            real_print(value->real, real);
            status = bytes_printf(out, err, "%s%s", comma, real);
            break;
        case GENOTYPE_POWER2:
            status = bytes_printf(out, err, "%s2^%" PRId64, comma, value->integer);
            break;
        case GENOTYPE_POWER10:
            status = bytes_printf(out, err, "%s10^%" PRId64, comma, value->integer);
            break;
        }
    }
    return status;
}

static enum nero_status codon_print(const char *symbol, const struct genotype_codon *codon,
                                    struct bytes *out, struct nero_err *err)
{
    enum nero_status status = bytes_printf(out, err, "  %s: %" PRIu32, symbol, codon->alternative);

    for (uint32_t i = 0; i < codon->param_count && status == NERO_OK; i++) {
        status = param_print(&codon->params[i], out, err);
    }
    return status == NERO_OK ? bytes_append(out, "\n", 1, err) : status;
}

static enum nero_status gene_print(const struct genotype *genotype, uint32_t number,
                                   struct bytes *out, struct nero_err *err)
{
    const struct genotype_gene *gene = &genotype->genes[number];
    enum nero_status status =
        bytes_printf(out, err, "\ngene g%" PRIu32 " %s\n", number, gene->start);

    for (uint32_t i = 0; i < gene->rule_count; i++) {
        const struct genotype_rule *rule = &gene->rules[i];

        for (uint32_t j = 0; j < rule->codon_count && status == NERO_OK; j++) {
            status = codon_print(rule->symbol, &rule->codons[j], out, err);
        }
    }
    return status;
}

static enum nero_status module_print(const struct genotype_module *module, struct bytes *out,
                                     struct nero_err *err)
{
    enum nero_status status = bytes_printf(out, err, "\nmodule %s\n", module->name);

    for (uint32_t i = 0; i < module->unit_count && status == NERO_OK; i++) {
        const struct genotype_unit *unit = &module->units[i];

        status = bytes_printf(out, err, "  unit g%" PRIu32 " from", unit->gene);
        for (uint32_t j = 0; j < unit->input_count && status == NERO_OK; j++) {
            status = bytes_printf(out, err, " %" PRId32, unit->inputs[j]);
        }
        if (status == NERO_OK) {
            status = bytes_append(out, "\n", 1, err);
        }
    }
    return status;
}

enum nero_status genotype_print_text(const struct genotype *genotype, struct bytes *out,
                                     struct nero_err *err)
{
    size_t start = out->bytes;
    enum nero_status status = genotype_check(genotype, err);

    if (status == NERO_OK) {
        status = bytes_printf(out, err, "nero-genotype 1\n");
    }
    for (uint32_t i = 0; i < genotype->module_count && status == NERO_OK; i++) {
        status = module_print(&genotype->modules[i], out, err);
    }
    if (status == NERO_OK) {
        status = bytes_printf(out, err, "\nlearning g%" PRIu32 "\n", genotype->learning_gene);
    }
    for (uint32_t i = 0; i < genotype->gene_count && status == NERO_OK; i++) {
        status = gene_print(genotype, i, out, err);
    }
    if (status != NERO_OK) {
        out->bytes = start;
    }
    return status;
}
