#include "evolve/mutate_gene.h"

#include <stdio.h>
#include <stdlib.h>

#include "evolve/draw.h"
#include "evolve/gene.h"

/* Of the two ways to change a codon, its parameters count twice (specs/evolution.md d). */
enum { WEIGHT_RULE = 1, WEIGHT_PARAMS = 2 };

/* Where in the gene: the chosen codon and what the grammar says of it. */
struct codon_place {
    const struct grammar_rule *rule;
    const struct genotype_rule *in; /* the codon's list */
    uint32_t number;
    struct genotype_codon *codon;
};

/* "name", with the codon's number where the symbol has several. */
static void write_what(const struct codon_place *place, const char *name,
                       char out[GENERATION_TEXT_BYTES])
{
    if (place->in->codon_count > 1) {
        (void)snprintf(out, GENERATION_TEXT_BYTES, "%s[%u]", name, (unsigned)place->number);
    } else {
        (void)snprintf(out, GENERATION_TEXT_BYTES, "%s", name);
    }
}

static void write_alternative(const struct grammar_rule *rule, uint32_t number,
                              char out[GENERATION_TEXT_BYTES])
{
    const struct grammar_alternative *alternative = &rule->alternatives[number];
    size_t used = (size_t)snprintf(out, GENERATION_TEXT_BYTES, "%u:", (unsigned)number);

    for (uint32_t i = 0; i < alternative->symbol_count && used < GENERATION_TEXT_BYTES; i++) {
        const struct grammar_symbol *symbol = &alternative->symbols[i];
        const char *form = symbol->kind == GRAMMAR_LITERAL       ? " %s:%s"
                           : symbol->kind == GRAMMAR_NONTERMINAL ? " <%s>%s"
                                                                 : " [%s]%s";
        char text[2 * GENOTYPE_NAME_BYTES + 4];
        int wrote;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* one of the three above */
        (void)snprintf(text, sizeof text, form, symbol->name, symbol->value);
#pragma GCC diagnostic pop
        wrote = snprintf(out + used, GENERATION_TEXT_BYTES - used, "%s", text);
        used += wrote > 0 ? (size_t)wrote : 0;
    }
}

/* The shortest decimal that reads back as the same double. */
static void write_double(double value, char out[GENERATION_TEXT_BYTES])
{
    for (int digits = 15; digits <= 17; digits++) {
        (void)snprintf(out, GENERATION_TEXT_BYTES, "%.*g", digits, value);
        if (strtod(out, NULL) == value) {
            return;
        }
    }
}

static void write_value(enum genotype_value_kind kind, const struct genotype_value *value,
                        char out[GENERATION_TEXT_BYTES])
{
    if (kind == GENOTYPE_FLOAT) {
        write_double(value->real, out);
    } else {
        (void)snprintf(out, GENERATION_TEXT_BYTES, "%s%lld",
                       kind == GENOTYPE_POWER2    ? "2^"
                       : kind == GENOTYPE_POWER10 ? "10^"
                                                  : "",
                       (long long)value->integer);
    }
}

static void change_rule(const struct codon_place *place, struct rng_stream *stream,
                        struct generation_event *event)
{
    uint32_t other = draw_index(stream, place->rule->alternative_count - 1);

    event->op = GENERATION_MUTATE_RULE;
    write_what(place, place->rule->name, event->what);
    write_alternative(place->rule, place->codon->alternative, event->before);
    place->codon->alternative = other < place->codon->alternative ? other : other + 1;
    write_alternative(place->rule, place->codon->alternative, event->after);
}

static void change_value(const struct grammar_symbol *block, double float_sigma,
                         struct genotype_value *value, struct rng_stream *stream)
{
    if (block->type == GENOTYPE_FLOAT) {
        double moved = value->real + float_sigma * rng_normal(stream);

        moved = moved > block->real_low ? moved : block->real_low;
        value->real = moved < block->real_high ? moved : block->real_high;
    } else {
        *value = gene_draw_value(block, stream);
    }
}

static enum nero_status change_param(const struct codon_place *place, double float_sigma,
                                     struct rng_stream *stream, struct generation_event *event,
                                     struct nero_err *err)
{
    uint32_t number = draw_index(stream, place->codon->param_count);
    struct genotype_param *param = &place->codon->params[number];
    const struct grammar_symbol *block =
        gene_block(&place->rule->alternatives[place->codon->alternative], number);
    struct genotype_value *value = &param->values[draw_index(stream, param->value_count)];

    if (block == NULL || block->type != param->kind) {
        return err_set(err, NERO_INVALID, 0, "<%s>: %s is not of this grammar", place->rule->name,
                       param->name);
    }
    event->op = param->kind == GENOTYPE_INT     ? GENERATION_MUTATE_INT
                : param->kind == GENOTYPE_FLOAT ? GENERATION_MUTATE_FLOAT
                                                : GENERATION_MUTATE_POWER;
    write_what(place, param->name, event->what);
    write_value(param->kind, value, event->before);
    change_value(block, float_sigma, value, stream);
    write_value(param->kind, value, event->after);
    return NERO_OK;
}

enum nero_status mutate_gene(const struct grammar *grammar, struct genotype_gene *gene,
                             double float_sigma, struct rng_stream *stream,
                             struct generation_event *event, bool *fired, struct nero_err *err)
{
    struct codon_place place;
    uint32_t rule_weight;
    uint32_t params_weight;

    *fired = false;
    place.in = &gene->rules[draw_index(stream, gene->rule_count)];
    place.number = draw_index(stream, place.in->codon_count);
    place.codon = &place.in->codons[place.number];
    place.rule = grammar_find(grammar, place.in->symbol);
    if (place.rule == NULL || place.codon->alternative >= place.rule->alternative_count) {
        return err_set(err, NERO_INVALID, 0, "<%s> is not of this grammar", place.in->symbol);
    }
    rule_weight = place.rule->alternative_count > 1 ? WEIGHT_RULE : 0;
    params_weight = place.codon->param_count > 0 ? WEIGHT_PARAMS : 0;
    if (rule_weight + params_weight == 0) {
        return NERO_OK;
    }
    *fired = true;
    if (params_weight == 0 ||
        (rule_weight > 0 && draw_index(stream, rule_weight + params_weight) < rule_weight)) {
        change_rule(&place, stream, event);
        return gene_complete(grammar, gene, stream, err);
    }
    return change_param(&place, float_sigma, stream, event, err);
}
