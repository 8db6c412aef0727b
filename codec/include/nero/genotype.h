/*
 * The genotype of the search: modules of units, each unit a reference into a pool of genes, and the
 * learning gene. Stored genotypes are complete (every codon that decoding reads is there, no unused
 * ones), so decoding is pure; the grammar gives the symbols their meaning and is not needed here.
 *
 * Pool rule: genes are written in the order of first use, scanning modules, then units, then the
 * learning gene. A gene used by k units is one entry with k references (replication by reference).
 *
 * Stored form: codec/FORMAT.md ("genotype"). Text form: same page ("genotype text"); reading what
 * was written gives equal bytes.
 */
#ifndef NERO_GENOTYPE_H
#define NERO_GENOTYPE_H

#include <stdint.h>

#include "nero/bytes.h"
#include "nero/err.h"

enum {
    GENOTYPE_NAME_BYTES = 48, /* symbols and parameter names, NUL included; [A-Za-z0-9._-] */
    GENOTYPE_GENES_MAX = 256,
    GENOTYPE_MODULES_MAX = 16,
    GENOTYPE_UNITS_MAX = 96,  /* of one module */
    GENOTYPE_INPUTS_MAX = 64, /* of one unit */
    GENOTYPE_RULES_MAX = 32,  /* non-terminals of one gene */
    GENOTYPE_CODONS_MAX = 64, /* of one rule */
    GENOTYPE_PARAMS_MAX = 32, /* of one codon */
    GENOTYPE_VALUES_MAX = 8,  /* of one parameter */
    GENOTYPE_BYTES_MAX = 256 * 1024,
    GENOTYPE_TEXT_BYTES_MAX = 8 * 1024 * 1024
};

/* POWER2 and POWER10 store the exponent, as integers do. */
enum genotype_value_kind {
    GENOTYPE_INT = 1,
    GENOTYPE_FLOAT = 2,
    GENOTYPE_POWER2 = 3,
    GENOTYPE_POWER10 = 4
};

struct genotype_value {
    int64_t integer; /* INT; POWER2 within +-1023, POWER10 within +-308 */
    double real;     /* FLOAT, finite */
};

struct genotype_param {
    char name[GENOTYPE_NAME_BYTES];
    enum genotype_value_kind kind;
    uint32_t value_count;
    struct genotype_value values[GENOTYPE_VALUES_MAX];
};

struct genotype_codon {
    uint32_t alternative; /* number of the chosen right-hand side */
    uint32_t param_count; /* in the order in which the alternative names them */
    struct genotype_param *params;
};

struct genotype_rule {
    char symbol[GENOTYPE_NAME_BYTES]; /* non-terminal, without <> */
    uint32_t codon_count;             /* in the order in which decoding reads them */
    struct genotype_codon *codons;
};

struct genotype_gene {
    char start[GENOTYPE_NAME_BYTES]; /* symbol where decoding begins */
    uint32_t rule_count;             /* ascending by symbol */
    struct genotype_rule *rules;
};

/* Inputs are module-local, ascending, unique; -1 is the module's input. */
struct genotype_unit {
    uint32_t gene;
    uint32_t input_count;
    int32_t inputs[GENOTYPE_INPUTS_MAX];
};

struct genotype_module {
    char name[GENOTYPE_NAME_BYTES]; /* start symbol of its units' genes; unique */
    uint32_t unit_count;            /* may be 0 */
    struct genotype_unit *units;
};

/* All pointers are owned. */
struct genotype {
    uint32_t gene_count;
    struct genotype_gene *genes;
    uint32_t module_count;
    struct genotype_module *modules;
    uint32_t learning_gene;
};

void genotype_init(struct genotype *genotype);
void genotype_fini(struct genotype *genotype);
enum nero_status genotype_copy(const struct genotype *from, struct genotype *out,
                               struct nero_err *err);

/* Limits, names, references, order of inputs, the pool rule. Errors: invalid with the place. */
enum nero_status genotype_check(const struct genotype *genotype, struct nero_err *err);

/*
 * Renumber and prune the pool so that the pool rule holds. Errors: invalid (a reference beyond the
 * pool), no_memory; *genotype is unchanged.
 */
enum nero_status genotype_normalise(struct genotype *genotype, struct nero_err *err);

enum nero_status genotype_encode(const struct genotype *genotype, struct bytes *out,
                                 struct nero_err *err);
enum nero_status genotype_decode(struct bytes_view bytes, struct genotype *out,
                                 struct nero_err *err);

enum nero_status genotype_print_text(const struct genotype *genotype, struct bytes *out,
                                     struct nero_err *err);
/* `name` is the file in messages ("FILE:LINE: reason"). */
enum nero_status genotype_parse_text(const char *name, struct bytes_view text, struct genotype *out,
                                     struct nero_err *err);

#endif
