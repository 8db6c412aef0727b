/*
 * One gene against its grammar: drawing, completing, reading (DESIGN.md, "Expansion").
 */
#ifndef NERO_EVOLVE_GENE_H
#define NERO_EVOLVE_GENE_H

#include "nero/genotype.h"
#include "nero/rng.h"

#include "evolve/grammar.h"

/* Exponents that the tables of powers hold; the parser refuses others. */
enum { GENE_POWER2_LOW = 0, GENE_POWER2_HIGH = 40, GENE_POWER10_LOW = -30, GENE_POWER10_HIGH = 18 };

void gene_fini(struct genotype_gene *gene);

/* A complete random gene of `start`. Owns: *out. Errors: invalid (no such symbol), no_memory. */
enum nero_status gene_draw(const struct grammar *grammar, const char *start,
                           struct rng_stream *stream, struct genotype_gene *out,
                           struct nero_err *err);

/* Draw what is missing, drop what is not read; the gene is unchanged on failure. */
enum nero_status gene_complete(const struct grammar *grammar, struct genotype_gene *gene,
                               struct rng_stream *stream, struct nero_err *err);

/* Called for every literal (param NULL) and block of a gene, in the order of the derivation. */
struct gene_visitor {
    void *context;
    enum nero_status (*key)(void *context, const struct grammar_symbol *symbol,
                            const struct genotype_param *param, struct nero_err *err);
};

/* Pure. Errors: invalid where a codon or parameter is missing, left over, or out of bounds. */
enum nero_status gene_read(const struct grammar *grammar, const struct genotype_gene *gene,
                           const struct gene_visitor *visitor, struct nero_err *err);

/* The number that a value stands for: itself, 2^e or 10^e. */
double gene_number(enum genotype_value_kind kind, const struct genotype_value *value);

/* A uniform value within a block's bounds. */
struct genotype_value gene_draw_value(const struct grammar_symbol *block,
                                      struct rng_stream *stream);

/* Number n of the blocks of an alternative; NULL past the last. */
const struct grammar_symbol *gene_block(const struct grammar_alternative *alternative, uint32_t n);

#endif
