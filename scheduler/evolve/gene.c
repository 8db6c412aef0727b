#include "evolve/gene.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "evolve/draw.h"
#include "nero/mem.h"

void gene_fini(struct genotype_gene *gene)
{
    for (uint32_t r = 0; r < gene->rule_count; r++) {
        for (uint32_t c = 0; c < gene->rules[r].codon_count; c++) {
            free(gene->rules[r].codons[c].params);
        }
        free(gene->rules[r].codons);
    }
    free(gene->rules);
    gene->rules = NULL;
    gene->rule_count = 0;
}

double gene_number(enum genotype_value_kind kind, const struct genotype_value *value)
{
    static const double tens[] = {
        1e-30, 1e-29, 1e-28, 1e-27, 1e-26, 1e-25, 1e-24, 1e-23, 1e-22, 1e-21, 1e-20, 1e-19, 1e-18,
        1e-17, 1e-16, 1e-15, 1e-14, 1e-13, 1e-12, 1e-11, 1e-10, 1e-9,  1e-8,  1e-7,  1e-6,  1e-5,
        1e-4,  1e-3,  1e-2,  1e-1,  1e0,   1e1,   1e2,   1e3,   1e4,   1e5,   1e6,   1e7,   1e8,
        1e9,   1e10,  1e11,  1e12,  1e13,  1e14,  1e15,  1e16,  1e17,  1e18};

    switch (kind) {
    case GENOTYPE_FLOAT:
        return value->real;
    case GENOTYPE_POWER2:
        assert(value->integer >= GENE_POWER2_LOW && value->integer <= GENE_POWER2_HIGH);
        return (double)(UINT64_C(1) << value->integer);
    case GENOTYPE_POWER10:
        assert(value->integer >= GENE_POWER10_LOW && value->integer <= GENE_POWER10_HIGH);
        return tens[value->integer - GENE_POWER10_LOW];
    case GENOTYPE_INT:
        break;
    }
    return (double)value->integer;
}

struct genotype_value gene_draw_value(const struct grammar_symbol *block, struct rng_stream *stream)
{
    struct genotype_value value = {0};

    if (block->type == GENOTYPE_FLOAT) {
        value.real = block->real_low + rng_uniform(stream) * (block->real_high - block->real_low);
        value.real = value.real < block->real_high ? value.real : block->real_high;
    } else {
        value.integer = draw_between(stream, block->low, block->high);
    }
    return value;
}

const struct grammar_symbol *gene_block(const struct grammar_alternative *alternative, uint32_t n)
{
    for (uint32_t i = 0; i < alternative->symbol_count; i++) {
        if (alternative->symbols[i].kind == GRAMMAR_BLOCK && n-- == 0) {
            return &alternative->symbols[i];
        }
    }
    return NULL;
}

static uint32_t block_count(const struct grammar_alternative *alternative)
{
    uint32_t count = 0;

    while (gene_block(alternative, count) != NULL) {
        count++;
    }
    return count;
}

static bool in_bounds(const struct grammar_symbol *block, const struct genotype_param *param)
{
    if (param->kind != block->type || param->value_count != block->count ||
        strcmp(param->name, block->name) != 0) {
        return false;
    }
    for (uint32_t i = 0; i < param->value_count; i++) {
        const struct genotype_value *value = &param->values[i];

        /* Written so that NaN is out of bounds. */
        if (block->type == GENOTYPE_FLOAT
                ? !(value->real >= block->real_low && value->real <= block->real_high)
                : value->integer < block->low || value->integer > block->high) {
            return false;
        }
    }
    return true;
}

static const struct genotype_rule *find_rule(const struct genotype_gene *gene, const char *symbol)
{
    for (uint32_t r = 0; r < gene->rule_count; r++) {
        if (strcmp(gene->rules[r].symbol, symbol) == 0) {
            return &gene->rules[r];
        }
    }
    return NULL;
}

/* The walk that writes a new gene from what an old one has and the stream. */
struct gene_builder {
    const struct grammar *grammar;
    const struct genotype_gene *from;
    struct rng_stream *stream;
    uint32_t read[GRAMMAR_RULES_MAX];              /* codons taken from `from` */
    struct genotype_rule rules[GRAMMAR_RULES_MAX]; /* by rule of the grammar; symbol unused */
};

static void builder_fini(struct gene_builder *builder)
{
    for (uint32_t r = 0; r < builder->grammar->rule_count; r++) {
        for (uint32_t c = 0; c < builder->rules[r].codon_count; c++) {
            free(builder->rules[r].codons[c].params);
        }
        free(builder->rules[r].codons);
    }
}

static void build_param(struct gene_builder *builder, const struct grammar_symbol *block,
                        const struct genotype_codon *old, struct genotype_param *out)
{
    for (uint32_t p = 0; old != NULL && p < old->param_count; p++) {
        if (in_bounds(block, &old->params[p])) {
            *out = old->params[p];
            return;
        }
    }
    memcpy(out->name, block->name, sizeof out->name);
    out->kind = block->type;
    out->value_count = block->count;
    for (uint32_t i = 0; i < block->count; i++) {
        out->values[i] = gene_draw_value(block, builder->stream);
    }
}

/* Append a codon with room for its parameters; NULL without memory. */
static struct genotype_codon *add_codon(struct genotype_rule *rule, uint32_t param_count,
                                        struct nero_err *err)
{
    struct genotype_param *params =
        param_count > 0 ? mem_calloc(param_count, sizeof *params) : NULL;
    struct genotype_codon *codons =
        mem_realloc_array(rule->codons, (size_t)rule->codon_count + 1, sizeof *codons);

    if (codons != NULL) {
        rule->codons = codons;
    }
    if (codons == NULL || (param_count > 0 && params == NULL)) {
        free(params);
        (void)err_set(err, NERO_NO_MEMORY, 0, "gene");
        return NULL;
    }
    codons[rule->codon_count] =
        (struct genotype_codon){.param_count = param_count, .params = params};
    return &codons[rule->codon_count++];
}

/* The parser refuses recursion and genes over the limits: depth and codon counts are bounded. */
static enum nero_status build_rule(struct gene_builder *builder, uint32_t number,
                                   struct nero_err *err)
{
    const struct grammar_rule *rule = &builder->grammar->rules[number];
    const struct genotype_rule *have = find_rule(builder->from, rule->name);
    const struct genotype_codon *old = NULL;
    const struct grammar_alternative *alternative;
    struct genotype_codon *codon;
    uint32_t chosen;

    if (have != NULL && builder->read[number] < have->codon_count) {
        old = &have->codons[builder->read[number]++];
        old = old->alternative < rule->alternative_count ? old : NULL;
    }
    chosen = old != NULL ? old->alternative : draw_index(builder->stream, rule->alternative_count);
    alternative = &rule->alternatives[chosen];
    codon = add_codon(&builder->rules[number], block_count(alternative), err);
    if (codon == NULL) {
        return err->status;
    }
    codon->alternative = chosen;
    for (uint32_t p = 0; p < codon->param_count; p++) {
        build_param(builder, gene_block(alternative, p), old, &codon->params[p]);
    }
    for (uint32_t i = 0; i < alternative->symbol_count; i++) {
        if (alternative->symbols[i].kind == GRAMMAR_NONTERMINAL &&
            build_rule(builder, alternative->symbols[i].rule, err) != NERO_OK) {
            return err->status;
        }
    }
    return NERO_OK;
}

/* Move the built rules, sorted by symbol, into *out. The builder keeps nothing on success. */
static enum nero_status build_finish(struct gene_builder *builder, struct genotype_gene *out,
                                     struct nero_err *err)
{
    uint32_t count = 0;

    for (uint32_t r = 0; r < builder->grammar->rule_count; r++) {
        count += builder->rules[r].codon_count > 0;
    }
    out->rules = mem_calloc(count, sizeof *out->rules);
    if (out->rules == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "gene");
    }
    out->rule_count = 0;
    for (uint32_t r = 0; r < builder->grammar->rule_count; r++) {
        uint32_t at = out->rule_count;

        if (builder->rules[r].codon_count == 0) {
            continue;
        }
        for (; at > 0 && strcmp(out->rules[at - 1].symbol, builder->grammar->rules[r].name) > 0;
             at--) {
            out->rules[at] = out->rules[at - 1];
        }
        out->rules[at] = builder->rules[r];
        memcpy(out->rules[at].symbol, builder->grammar->rules[r].name,
               sizeof out->rules[at].symbol);
        builder->rules[r] = (struct genotype_rule){0};
        out->rule_count++;
    }
    return NERO_OK;
}

static enum nero_status build_gene(const struct grammar *grammar, const char *start,
                                   const struct genotype_gene *from, struct rng_stream *stream,
                                   struct genotype_gene *out, struct nero_err *err)
{
    const struct grammar_rule *rule = grammar_find(grammar, start);
    struct gene_builder builder = {.grammar = grammar, .from = from, .stream = stream};
    struct genotype_gene built = {0};
    enum nero_status status;

    if (rule == NULL) {
        return err_set(err, NERO_INVALID, 0, "the grammar has no <%s>", start);
    }
    memcpy(built.start, rule->name, sizeof built.start);
    status = build_rule(&builder, (uint32_t)(rule - grammar->rules), err);
    if (status == NERO_OK) {
        status = build_finish(&builder, &built, err);
    }
    builder_fini(&builder);
    if (status == NERO_OK) {
        *out = built;
    }
    return status;
}

enum nero_status gene_draw(const struct grammar *grammar, const char *start,
                           struct rng_stream *stream, struct genotype_gene *out,
                           struct nero_err *err)
{
    const struct genotype_gene nothing = {0};

    return build_gene(grammar, start, &nothing, stream, out, err);
}

enum nero_status gene_complete(const struct grammar *grammar, struct genotype_gene *gene,
                               struct rng_stream *stream, struct nero_err *err)
{
    struct genotype_gene built;
    enum nero_status status = build_gene(grammar, gene->start, gene, stream, &built, err);

    if (status == NERO_OK) {
        gene_fini(gene);
        *gene = built;
    }
    return status;
}

/* The walk that only reads. */
struct gene_reader {
    const struct grammar *grammar;
    const struct genotype_gene *gene;
    const struct gene_visitor *visitor;
    uint32_t read[GRAMMAR_RULES_MAX];
};

static enum nero_status read_rule(struct gene_reader *reader, uint32_t number, struct nero_err *err)
{
    const struct grammar_rule *rule = &reader->grammar->rules[number];
    const struct genotype_rule *have = find_rule(reader->gene, rule->name);
    uint32_t at = reader->read[number]++;
    const struct genotype_codon *codon;
    const struct grammar_alternative *alternative;
    enum nero_status status = NERO_OK;
    uint32_t param = 0;

    if (have == NULL || at >= have->codon_count) {
        return err_set(err, NERO_INVALID, 0, "<%s>: codon %u is missing", rule->name, (unsigned)at);
    }
    codon = &have->codons[at];
    if (codon->alternative >= rule->alternative_count) {
        return err_set(err, NERO_INVALID, 0, "<%s>: there is no alternative %u", rule->name,
                       (unsigned)codon->alternative);
    }
    alternative = &rule->alternatives[codon->alternative];
    for (uint32_t i = 0; i < alternative->symbol_count && status == NERO_OK; i++) {
        const struct grammar_symbol *symbol = &alternative->symbols[i];

        if (symbol->kind == GRAMMAR_NONTERMINAL) {
            status = read_rule(reader, symbol->rule, err);
        } else if (symbol->kind == GRAMMAR_LITERAL) {
            status = reader->visitor->key(reader->visitor->context, symbol, NULL, err);
        } else if (param >= codon->param_count || !in_bounds(symbol, &codon->params[param])) {
            return err_set(err, NERO_INVALID, 0, "<%s>: codon %u: %s is missing or out of bounds",
                           rule->name, (unsigned)at, symbol->name);
        } else {
            status = reader->visitor->key(reader->visitor->context, symbol, &codon->params[param++],
                                          err);
        }
    }
    if (status == NERO_OK && param != codon->param_count) {
        return err_set(err, NERO_INVALID, 0, "<%s>: codon %u has parameters left over", rule->name,
                       (unsigned)at);
    }
    return status;
}

enum nero_status gene_read(const struct grammar *grammar, const struct genotype_gene *gene,
                           const struct gene_visitor *visitor, struct nero_err *err)
{
    struct gene_reader reader = {.grammar = grammar, .gene = gene, .visitor = visitor};
    const struct grammar_rule *start = grammar_find(grammar, gene->start);
    enum nero_status status;

    if (start == NULL) {
        return err_set(err, NERO_INVALID, 0, "the grammar has no <%s>", gene->start);
    }
    status = read_rule(&reader, (uint32_t)(start - grammar->rules), err);
    for (uint32_t r = 0; r < gene->rule_count && status == NERO_OK; r++) {
        const struct grammar_rule *rule = grammar_find(grammar, gene->rules[r].symbol);

        if (rule == NULL || reader.read[rule - grammar->rules] != gene->rules[r].codon_count) {
            status = err_set(err, NERO_INVALID, 0, "<%s>: codons left over, not complete",
                             gene->rules[r].symbol);
        }
    }
    return status;
}
