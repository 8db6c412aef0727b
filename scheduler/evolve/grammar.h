/*
 * Grammar files (specs/evolution.md b): one rule a line, "<nt> ::= alt | alt ...", symbols
 * separated by single spaces: <x> a non-terminal, [name,type,count,min,max] a parameter block (int,
 * float, int_power2, int_power10), anything else a literal key:value. Duplicated alternatives raise
 * their probability. Layer rules emit layer:<type>, learning rules learning:<algorithm>. '#' starts
 * a comment line.
 */
#ifndef NERO_GRAMMAR_H
#define NERO_GRAMMAR_H

#include <stdbool.h>
#include <stdint.h>

#include "nero/bytes.h"
#include "nero/genotype.h"

enum {
    GRAMMAR_BYTES_MAX = 64 * 1024,
    GRAMMAR_RULES_MAX = 128,
    GRAMMAR_ALTERNATIVES_MAX = 64, /* of one rule */
    GRAMMAR_SYMBOLS_MAX = 64       /* of one alternative */
};

enum grammar_symbol_kind { GRAMMAR_LITERAL = 1, GRAMMAR_NONTERMINAL = 2, GRAMMAR_BLOCK = 3 };

struct grammar_symbol {
    enum grammar_symbol_kind kind;
    char name[GENOTYPE_NAME_BYTES];  /* non-terminal, block name, or literal's key */
    char value[GENOTYPE_NAME_BYTES]; /* literal's value */
    uint32_t rule;                   /* NONTERMINAL: number of its rule */
    enum genotype_value_kind type;   /* BLOCK */
    uint32_t count;
    int64_t low, high;          /* INT, POWER2, POWER10 (exponents, see gene.h) */
    double real_low, real_high; /* FLOAT */
};

struct grammar_alternative {
    uint32_t symbol_count;
    struct grammar_symbol *symbols;
};

struct grammar_rule {
    char name[GENOTYPE_NAME_BYTES];
    uint32_t alternative_count;
    struct grammar_alternative *alternatives;
};

struct grammar {
    uint32_t rule_count;
    struct grammar_rule *rules;
};

/*
 * Owns: *out on success. `name` is the file in messages. Errors: invalid as "FILE:LINE: ..." for
 * bad syntax, an undefined or twice defined symbol, endless recursion (a rule all of whose
 * derivations contain itself; also any recursion at all, since genes are finite), bad bounds, a
 * rule whose genes could pass the limits of genotype.h; too_big over GRAMMAR_BYTES_MAX.
 */
enum nero_status grammar_parse(const char *name, struct bytes_view text, struct grammar *out,
                               struct nero_err *err);
void grammar_fini(struct grammar *grammar);
const struct grammar_rule *grammar_find(const struct grammar *grammar, const char *name);

#endif
