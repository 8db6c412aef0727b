/*
 * What the keys of a grammar mean: layer:convblock, poolblock and fc; learning:gradient-descent,
 * rmsprop and adam (specs/evolution.md b). One table says which type takes and needs which key and
 * which values it may have; the check of a structure and decoding both read it.
 */
#ifndef NERO_EVOLVE_LAYER_H
#define NERO_EVOLVE_LAYER_H

#include "nero/phenotype.h"
#include "nero/run.h"

#include "evolve/grammar.h"

enum layer_type {
    LAYER_CONV = 1,
    LAYER_POOL = 2,
    LAYER_FC = 4,
    LAYER_SGD = 8,
    LAYER_RMSPROP = 16,
    LAYER_ADAM = 32,
    LAYER_UNITS = LAYER_CONV | LAYER_POOL | LAYER_FC,
    LAYER_LEARNING = LAYER_SGD | LAYER_RMSPROP | LAYER_ADAM
};

enum {
    LAYER_KEYS_MAX = 48,
    LAYER_EPOCHS_UNLIMITED = 10000 /* `epochs`: no limit but the result's, RESULT_EPOCHS_MAX */
};

/* The keys of one gene as decoding collects them. Zero it first. */
struct layer_values {
    uint64_t keys;                /* bit k: key k of the table was given */
    double value[LAYER_KEYS_MAX]; /* a number, or the number of a choice */
};

/* Errors: invalid (unknown key, bad value, key given twice). */
enum nero_status layer_take(struct layer_values *values, const struct grammar_symbol *symbol,
                            const struct genotype_param *param, struct nero_err *err);

/*
 * Fill kind and fields of *out but not its inputs; the classifier's softmax becomes a linear FC.
 * Errors: invalid (missing or foreign key).
 */
enum nero_status layer_to_unit(const struct layer_values *values, struct phenotype_unit *out,
                               struct nero_err *err);

/* rho, beta1 and beta2 are at most `clip`: at 1 they divide by zero or never forget. */
enum nero_status layer_to_learning(const struct layer_values *values, double clip,
                                   struct phenotype_learning *out, struct nero_err *err);

/*
 * Prove that every gene of the structure's start symbols decodes: each derivation is one layer (for
 * learning_symbol one learning unit) with every key it needs, once, and none it does not take; all
 * values are in range; a module is convolutional or fully connected, the former first; the last
 * module is the softmax with `classes` outputs (0: any number). Errors: invalid.
 */
enum nero_status layer_check(const struct grammar *grammar, const struct run_search *search,
                             uint32_t classes, struct nero_err *err);

#endif
