#include "evolve/layer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "evolve/gene.h"
#include "nero/mem.h"
#include "nero/result.h"

enum layer_key {
    KEY_LAYER,
    KEY_LEARNING,
    KEY_ACT_POS,
    KEY_ACT,
    KEY_BN,
    KEY_FILTERS,
    KEY_FILTERS_MULT,
    KEY_FILTER_SHAPE,
    KEY_STRIDE,
    KEY_PADDING,
    KEY_BIAS,
    KEY_CONV_ACT_POS,
    KEY_CONV_ACT,
    KEY_CONV_BN,
    KEY_CONV_FILTER_SHAPE,
    KEY_CONV_STRIDE,
    KEY_CONV_PADDING,
    KEY_CONV_BIAS,
    KEY_POOL_TYPE,
    KEY_POOL_KERNEL,
    KEY_POOL_STRIDE,
    KEY_POOL_PADDING,
    KEY_POOL_BN,
    KEY_NUM_UNITS,
    KEY_LR,
    KEY_DECAY,
    KEY_MOMENTUM,
    KEY_NESTEROV,
    KEY_RHO,
    KEY_BETA1,
    KEY_BETA2,
    KEY_BATCH,
    KEY_EARLY_STOP,
    KEY_EPOCHS,
    KEY_COUNT
};
_Static_assert((int)KEY_COUNT <= (int)LAYER_KEYS_MAX, "the table of values holds every key");

enum { SOFTMAX = 3, CHOICES_MAX = 5 }; /* SOFTMAX follows the activations of phenotype.h */

struct layer_choice {
    const char *text;
    int value;
};

static const struct layer_choice layers[CHOICES_MAX] = {
    {"convblock", LAYER_CONV}, {"poolblock", LAYER_POOL}, {"fc", LAYER_FC}};
static const struct layer_choice learnings[CHOICES_MAX] = {
    {"gradient-descent", LAYER_SGD}, {"rmsprop", LAYER_RMSPROP}, {"adam", LAYER_ADAM}};
static const struct layer_choice positions[CHOICES_MAX] = {{"postconv", PHENOTYPE_POST_CONV},
                                                           {"preconv", PHENOTYPE_PRE_CONV}};
static const struct layer_choice activations[CHOICES_MAX] = {{"linear", PHENOTYPE_LINEAR},
                                                             {"relu", PHENOTYPE_RELU},
                                                             {"swish", PHENOTYPE_SILU},
                                                             {"softmax", SOFTMAX}};
static const struct layer_choice norms[CHOICES_MAX] = {{"none", PHENOTYPE_BN_NONE},
                                                       {"pre", PHENOTYPE_BN_PRE},
                                                       {"mid", PHENOTYPE_BN_MID},
                                                       {"post", PHENOTYPE_BN_POST}};
static const struct layer_choice no_norm[CHOICES_MAX] = {{"none", PHENOTYPE_BN_NONE}};
static const struct layer_choice paddings[CHOICES_MAX] = {{"same", PHENOTYPE_SAME},
                                                          {"valid", PHENOTYPE_VALID}};
static const struct layer_choice pools[CHOICES_MAX] = {{"avg", PHENOTYPE_AVG_POOL},
                                                       {"max", PHENOTYPE_MAX_POOL}};
static const struct layer_choice booleans[CHOICES_MAX] = {{"True", 1}, {"False", 0}};

enum { TYPES_CONV_FC = LAYER_CONV | LAYER_FC, TYPES_CONV_POOL = LAYER_CONV | LAYER_POOL };

/*
 * Numbers: `whole` ones are counts. num-filters times filters-mult stays within
 * PHENOTYPE_FILTERS_MAX for all values in range.
 */
static const struct layer_rule {
    const char *name;
    const struct layer_choice *choices; /* NULL: a number */
    int needed_by;                      /* set of enum layer_type */
    int taken_by;                       /* in addition */
    bool whole;
    double low, high;
} rules[KEY_COUNT] = {
    [KEY_LAYER] = {"layer", layers, LAYER_UNITS, 0, false, 0, 0},
    [KEY_LEARNING] = {"learning", learnings, LAYER_LEARNING, 0, false, 0, 0},
    [KEY_ACT_POS] = {"act-pos", positions, LAYER_CONV, 0, false, 0, 0},
    [KEY_ACT] = {"act", activations, TYPES_CONV_FC, 0, false, 0, 0},
    [KEY_BN] = {"bn", norms, LAYER_CONV, 0, false, 0, 0},
    [KEY_FILTERS] = {"num-filters", NULL, TYPES_CONV_POOL, 0, true, 1, 4096},
    [KEY_FILTERS_MULT] = {"filters-mult", NULL, 0, LAYER_CONV, true, 0, 16},
    [KEY_FILTER_SHAPE] = {"filter-shape", NULL, LAYER_CONV, 0, true, 1, PHENOTYPE_KERNEL_MAX},
    [KEY_STRIDE] = {"stride", NULL, LAYER_CONV, 0, true, 1, PHENOTYPE_KERNEL_MAX},
    [KEY_PADDING] = {"padding", paddings, LAYER_CONV, 0, false, 0, 0},
    [KEY_BIAS] = {"bias", booleans, TYPES_CONV_FC, 0, false, 0, 0},
    [KEY_CONV_ACT_POS] = {"conv-act-pos", positions, LAYER_POOL, 0, false, 0, 0},
    [KEY_CONV_ACT] = {"conv-act", activations, LAYER_POOL, 0, false, 0, 0},
    [KEY_CONV_BN] = {"conv-bn", norms, LAYER_POOL, 0, false, 0, 0},
    [KEY_CONV_FILTER_SHAPE] = {"conv-filter-shape", NULL, LAYER_POOL, 0, true, 1,
                               PHENOTYPE_KERNEL_MAX},
    [KEY_CONV_STRIDE] = {"conv-stride", NULL, LAYER_POOL, 0, true, 1, PHENOTYPE_KERNEL_MAX},
    [KEY_CONV_PADDING] = {"conv-padding", paddings, LAYER_POOL, 0, false, 0, 0},
    [KEY_CONV_BIAS] = {"conv-bias", booleans, LAYER_POOL, 0, false, 0, 0},
    [KEY_POOL_TYPE] = {"pool-type", pools, LAYER_POOL, 0, false, 0, 0},
    [KEY_POOL_KERNEL] = {"pool-kernel-size", NULL, LAYER_POOL, 0, true, 1, PHENOTYPE_KERNEL_MAX},
    [KEY_POOL_STRIDE] = {"pool-stride", NULL, LAYER_POOL, 0, true, 1, PHENOTYPE_KERNEL_MAX},
    [KEY_POOL_PADDING] = {"pool-padding", paddings, LAYER_POOL, 0, false, 0, 0},
    [KEY_POOL_BN] = {"pool-bn", no_norm, LAYER_POOL, 0, false, 0, 0},
    [KEY_NUM_UNITS] = {"num-units", NULL, LAYER_FC, 0, true, 1, PHENOTYPE_FILTERS_MAX},
    [KEY_LR] = {"lr", NULL, LAYER_LEARNING, 0, false, 1e-12, 100},
    [KEY_DECAY] = {"decay", NULL, LAYER_LEARNING, 0, false, 0, 1},
    [KEY_MOMENTUM] = {"momentum", NULL, LAYER_SGD, 0, false, 0, RUN_CLIP_MAX},
    [KEY_NESTEROV] = {"nesterov", booleans, LAYER_SGD, 0, false, 0, 0},
    [KEY_RHO] = {"rho", NULL, LAYER_RMSPROP, 0, false, 0, 1},
    [KEY_BETA1] = {"beta1", NULL, LAYER_ADAM, 0, false, 0, 1},
    [KEY_BETA2] = {"beta2", NULL, LAYER_ADAM, 0, false, 0, 1},
    [KEY_BATCH] = {"batch_size", NULL, LAYER_LEARNING, 0, true, 1, PHENOTYPE_BATCH_MAX},
    [KEY_EARLY_STOP] = {"early_stop", NULL, LAYER_LEARNING, 0, true, 1, PHENOTYPE_EPOCHS_MAX},
    [KEY_EPOCHS] = {"epochs", NULL, LAYER_LEARNING, 0, true, 1, LAYER_EPOCHS_UNLIMITED}};

static bool key_find(const char *name, enum layer_key *out)
{
    for (int k = 0; k < KEY_COUNT; k++) {
        if (strcmp(rules[k].name, name) == 0) {
            *out = (enum layer_key)k;
            return true;
        }
    }
    return false;
}

static uint64_t key_bit(enum layer_key key)
{
    return UINT64_C(1) << key;
}

static enum nero_status check_number(enum layer_key key, double value, struct nero_err *err)
{
    const struct layer_rule *rule = &rules[key];

    if (!(value >= rule->low && value <= rule->high) ||
        (rule->whole && value != (double)(int64_t)value)) {
        return err_set(err, NERO_INVALID, 0, "%s: %.17g is not a%s number of %g to %g", rule->name,
                       value, rule->whole ? " whole" : "", rule->low, rule->high);
    }
    if (key == KEY_EPOCHS && value > RESULT_EPOCHS_MAX && value != LAYER_EPOCHS_UNLIMITED) {
        return err_set(
            err, NERO_INVALID, 0,
            "epochs: %.17g; a result can hold %d. Give at most these, or %d for no limit "
            "but that",
            value, RESULT_EPOCHS_MAX, LAYER_EPOCHS_UNLIMITED);
    }
    return NERO_OK;
}

static enum nero_status take_literal(enum layer_key key, const char *text, double *out,
                                     struct nero_err *err)
{
    const struct layer_rule *rule = &rules[key];
    char *end;

    if (rule->choices == NULL) {
        *out = strtod(text, &end);
        return *end == '\0' && text[0] != '\0' && strspn(text, "+-.0123456789eE") == strlen(text)
                   ? check_number(key, *out, err)
                   : err_set(err, NERO_INVALID, 0, "%s:%s is not a number", rule->name, text);
    }
    for (int i = 0; i < CHOICES_MAX && rule->choices[i].text != NULL; i++) {
        if (strcmp(rule->choices[i].text, text) == 0) {
            *out = (double)rule->choices[i].value;
            return NERO_OK;
        }
    }
    return err_set(err, NERO_INVALID, 0, "%s:%s: no such value", rule->name, text);
}

enum nero_status layer_take(struct layer_values *values, const struct grammar_symbol *symbol,
                            const struct genotype_param *param, struct nero_err *err)
{
    enum layer_key key;

    if (!key_find(symbol->name, &key)) {
        return err_set(err, NERO_INVALID, 0, "unknown key \"%s\"", symbol->name);
    }
    if (values->keys & key_bit(key)) {
        return err_set(err, NERO_INVALID, 0, "%s is given twice", symbol->name);
    }
    values->keys |= key_bit(key);
    if (param == NULL) {
        return take_literal(key, symbol->value, &values->value[key], err);
    }
    if (rules[key].choices != NULL || param->value_count != 1) {
        return err_set(err, NERO_INVALID, 0, "%s cannot be a block of %u values", symbol->name,
                       (unsigned)param->value_count);
    }
    values->value[key] = gene_number(param->kind, &param->values[0]);
    return check_number(key, values->value[key], err);
}

/* Every key that `type` needs and none that it does not take. */
static enum nero_status check_keys(int type, uint64_t keys, struct nero_err *err)
{
    for (int k = 0; k < KEY_COUNT; k++) {
        bool given = (keys & key_bit((enum layer_key)k)) != 0;

        if (!given && (rules[k].needed_by & type) != 0) {
            return err_set(err, NERO_INVALID, 0, "%s is missing", rules[k].name);
        }
        if (given && ((rules[k].needed_by | rules[k].taken_by) & type) == 0) {
            return err_set(err, NERO_INVALID, 0, "%s does not belong to this type of layer",
                           rules[k].name);
        }
    }
    return NERO_OK;
}

static uint32_t whole(const struct layer_values *values, enum layer_key key)
{
    return (uint32_t)values->value[key];
}

static enum phenotype_activation activation(const struct layer_values *values, enum layer_key key)
{
    uint32_t choice = whole(values, key);

    return choice == SOFTMAX ? PHENOTYPE_LINEAR : (enum phenotype_activation)choice;
}

static void to_conv(const struct layer_values *values, bool pool, struct phenotype_conv *out)
{
    out->filters = whole(values, KEY_FILTERS);
    out->kernel = whole(values, pool ? KEY_CONV_FILTER_SHAPE : KEY_FILTER_SHAPE);
    out->stride = whole(values, pool ? KEY_CONV_STRIDE : KEY_STRIDE);
    out->padding = (enum phenotype_padding)whole(values, pool ? KEY_CONV_PADDING : KEY_PADDING);
    out->bias = whole(values, pool ? KEY_CONV_BIAS : KEY_BIAS) != 0;
    out->activation = activation(values, pool ? KEY_CONV_ACT : KEY_ACT);
    out->act_position =
        (enum phenotype_act_position)whole(values, pool ? KEY_CONV_ACT_POS : KEY_ACT_POS);
    out->bn = (enum phenotype_bn)whole(values, pool ? KEY_CONV_BN : KEY_BN);
    out->filters_mult = pool ? 0 : whole(values, KEY_FILTERS_MULT);
}

enum nero_status layer_to_unit(const struct layer_values *values, struct phenotype_unit *out,
                               struct nero_err *err)
{
    int type = (int)whole(values, KEY_LAYER); /* 0 where the key is missing */

    if (type == 0) {
        return err_set(err, NERO_INVALID, 0, "layer is missing");
    }
    if (check_keys(type, values->keys, err) != NERO_OK) {
        return err->status;
    }
    memset(out, 0, sizeof *out);
    if (type == LAYER_FC) {
        out->kind = PHENOTYPE_FC;
        out->fc_units = whole(values, KEY_NUM_UNITS);
        out->fc_bias = whole(values, KEY_BIAS) != 0;
        out->fc_activation = activation(values, KEY_ACT);
        return NERO_OK;
    }
    out->kind = type == LAYER_POOL ? PHENOTYPE_POOL : PHENOTYPE_CONV;
    to_conv(values, type == LAYER_POOL, &out->conv);
    if (type == LAYER_POOL) {
        out->pool.pooling = (enum phenotype_pooling)whole(values, KEY_POOL_TYPE);
        out->pool.kernel = whole(values, KEY_POOL_KERNEL);
        out->pool.stride = whole(values, KEY_POOL_STRIDE);
        out->pool.padding = (enum phenotype_padding)whole(values, KEY_POOL_PADDING);
    }
    return NERO_OK;
}

static double at_most(double value, double limit)
{
    return value < limit ? value : limit;
}

enum nero_status layer_to_learning(const struct layer_values *values, double clip,
                                   struct phenotype_learning *out, struct nero_err *err)
{
    int type = (int)whole(values, KEY_LEARNING);

    if (type == 0) {
        return err_set(err, NERO_INVALID, 0, "learning is missing");
    }
    if (check_keys(type, values->keys, err) != NERO_OK) {
        return err->status;
    }
    memset(out, 0, sizeof *out);
    out->optimiser = type == LAYER_SGD       ? PHENOTYPE_SGD
                     : type == LAYER_RMSPROP ? PHENOTYPE_RMSPROP
                                             : PHENOTYPE_ADAM;
    out->lr = values->value[KEY_LR];
    out->decay = values->value[KEY_DECAY];
    /* Keys that were not given are 0, as the phenotype's unused fields are. */
    out->momentum = values->value[KEY_MOMENTUM];
    out->nesterov = whole(values, KEY_NESTEROV) != 0;
    out->rho = at_most(values->value[KEY_RHO], clip);
    out->beta1 = at_most(values->value[KEY_BETA1], clip);
    out->beta2 = at_most(values->value[KEY_BETA2], clip);
    out->batch = whole(values, KEY_BATCH);
    out->early_stop = whole(values, KEY_EARLY_STOP);
    out->epochs_max = whole(values, KEY_EPOCHS);
    return NERO_OK;
}

/*
 * The static check. The form of a derivation is the set of its keys and its type; the forms of a
 * rule are the distinct ones of all its derivations. There are few of them: alternatives that give
 * the same keys other values share one.
 */
enum { FORMS_MAX = 64 };

struct layer_form {
    uint64_t keys;
    int type; /* enum layer_type, 0: not given yet */
    bool softmax;
};

struct layer_forms {
    uint32_t count;
    struct layer_form forms[FORMS_MAX];
};

struct layer_checker {
    const struct grammar *grammar;
    bool done[GRAMMAR_RULES_MAX];
    bool classes_done[GRAMMAR_RULES_MAX];
    struct layer_forms of[GRAMMAR_RULES_MAX];
};

static enum nero_status add_form(struct layer_forms *to, struct layer_form form,
                                 struct nero_err *err)
{
    for (uint32_t i = 0; i < to->count; i++) {
        if (to->forms[i].keys == form.keys && to->forms[i].type == form.type &&
            to->forms[i].softmax == form.softmax) {
            return NERO_OK;
        }
    }
    if (to->count == FORMS_MAX) {
        return err_set(err, NERO_INVALID, 0, "more than %d different sets of keys", FORMS_MAX);
    }
    to->forms[to->count++] = form;
    return NERO_OK;
}

/* *with = every form of *with joined with every form of `more`. */
static enum nero_status join_forms(struct layer_forms *with, const struct layer_forms *more,
                                   struct nero_err *err)
{
    struct layer_forms before = *with;

    with->count = 0;
    for (uint32_t i = 0; i < before.count; i++) {
        for (uint32_t j = 0; j < more->count; j++) {
            const struct layer_form *a = &before.forms[i];
            const struct layer_form *b = &more->forms[j];
            uint64_t twice = a->keys & b->keys;
            struct layer_form both = {.keys = a->keys | b->keys,
                                      .type = a->type != 0 ? a->type : b->type,
                                      .softmax = a->softmax || b->softmax};

            if (twice != 0) {
                return err_set(err, NERO_INVALID, 0, "%s can be given twice",
                               rules[__builtin_ctzll(twice)].name);
            }
            if (a->type != 0 && b->type != 0) {
                return err_set(err, NERO_INVALID, 0, "a derivation is a layer and a learning unit");
            }
            if (add_form(with, both, err) != NERO_OK) {
                return err->status;
            }
        }
    }
    return NERO_OK;
}

/* A block is in range if both its ends are: the numbers rise with the values. */
static enum nero_status form_of_terminal(const struct grammar_symbol *symbol,
                                         struct layer_forms *out, struct nero_err *err)
{
    struct genotype_param ends[2] = {{.kind = symbol->type, .value_count = symbol->count},
                                     {.kind = symbol->type, .value_count = symbol->count}};
    struct layer_values values = {0};
    struct layer_form form;

    if (symbol->kind == GRAMMAR_BLOCK) {
        struct layer_values low = {0};
        enum layer_key key;

        ends[0].values[0] = (struct genotype_value){symbol->low, symbol->real_low};
        ends[1].values[0] = (struct genotype_value){symbol->high, symbol->real_high};
        if (layer_take(&low, symbol, &ends[0], err) != NERO_OK) {
            return err->status;
        }
        if (symbol->type == GENOTYPE_FLOAT && key_find(symbol->name, &key) && rules[key].whole) {
            return err_set(err, NERO_INVALID, 0, "%s is a count: its block is int or int_power2",
                           symbol->name);
        }
    }
    if (layer_take(&values, symbol, symbol->kind == GRAMMAR_BLOCK ? &ends[1] : NULL, err) !=
        NERO_OK) {
        return err->status;
    }
    if (symbol->kind == GRAMMAR_BLOCK && values.value[KEY_EPOCHS] > RESULT_EPOCHS_MAX) {
        return err_set(err, NERO_INVALID, 0, "epochs: a block ends at %d, as a result does",
                       RESULT_EPOCHS_MAX);
    }
    form = (struct layer_form){.keys = values.keys};
    form.type = (int)values.value[KEY_LAYER] + (int)values.value[KEY_LEARNING];
    form.softmax = (values.keys & key_bit(KEY_ACT)) != 0 && (int)values.value[KEY_ACT] == SOFTMAX;
    if ((int)values.value[KEY_CONV_ACT] == SOFTMAX) {
        return err_set(err, NERO_INVALID, 0, "conv-act:softmax: no such value");
    }
    *out = (struct layer_forms){.count = 1, .forms = {form}};
    return NERO_OK;
}

static enum nero_status forms_of_rule(struct layer_checker *checker, uint32_t number,
                                      struct nero_err *err)
{
    const struct grammar_rule *rule = &checker->grammar->rules[number];
    struct layer_forms *forms = &checker->of[number];

    if (checker->done[number]) {
        return NERO_OK;
    }
    for (uint32_t a = 0; a < rule->alternative_count; a++) {
        const struct grammar_alternative *alternative = &rule->alternatives[a];
        struct layer_forms joined = {.count = 1};

        for (uint32_t i = 0; i < alternative->symbol_count; i++) {
            const struct grammar_symbol *symbol = &alternative->symbols[i];
            struct layer_forms own;
            const struct layer_forms *more = &own;
            enum nero_status status;

            if (symbol->kind == GRAMMAR_NONTERMINAL) {
                status = forms_of_rule(checker, symbol->rule, err);
                more = &checker->of[symbol->rule];
            } else {
                status = form_of_terminal(symbol, &own, err);
            }
            if (status != NERO_OK) {
                return status;
            }
            if (join_forms(&joined, more, err) != NERO_OK) {
                return err_wrap(err, "<%s>", rule->name);
            }
        }
        for (uint32_t f = 0; f < joined.count; f++) {
            if (add_form(forms, joined.forms[f], err) != NERO_OK) {
                return err_wrap(err, "<%s>", rule->name);
            }
        }
    }
    checker->done[number] = true;
    return NERO_OK;
}

/* All forms of a start symbol; *types is the set of their types. */
static enum nero_status check_start(struct layer_checker *checker, const char *symbol, int allowed,
                                    bool last, int *types, struct nero_err *err)
{
    const struct grammar_rule *rule = grammar_find(checker->grammar, symbol);
    uint32_t number;

    if (rule == NULL) {
        return err_set(err, NERO_INVALID, 0, "the grammar has no rule for it");
    }
    number = (uint32_t)(rule - checker->grammar->rules);
    if (forms_of_rule(checker, number, err) != NERO_OK) {
        return err->status;
    }
    *types = 0;
    for (uint32_t f = 0; f < checker->of[number].count; f++) {
        const struct layer_form *form = &checker->of[number].forms[f];

        if ((form->type & allowed) == 0) {
            return err_set(err, NERO_INVALID, 0, "a derivation gives no %s",
                           allowed == LAYER_LEARNING ? "learning:<algorithm>" : "layer:<type>");
        }
        if (check_keys(form->type, form->keys, err) != NERO_OK) {
            return err->status;
        }
        if (form->softmax != last && allowed == LAYER_UNITS) {
            return err_set(err, NERO_INVALID, 0,
                           last ? "the last module must be a layer:fc with act:softmax"
                                : "act:softmax belongs to the last module alone");
        }
        *types |= form->type;
    }
    return NERO_OK;
}

/* num-units of the classifier is the number of classes, wherever the rules below `rule` give it. */
static enum nero_status check_classes(struct layer_checker *checker, uint32_t number,
                                      uint32_t classes, struct nero_err *err)
{
    const struct grammar_rule *rule = &checker->grammar->rules[number];

    if (checker->classes_done[number]) {
        return NERO_OK;
    }
    checker->classes_done[number] = true;
    for (uint32_t a = 0; a < rule->alternative_count; a++) {
        for (uint32_t i = 0; i < rule->alternatives[a].symbol_count; i++) {
            const struct grammar_symbol *symbol = &rule->alternatives[a].symbols[i];
            double value;

            if (symbol->kind == GRAMMAR_NONTERMINAL) {
                if (check_classes(checker, symbol->rule, classes, err) != NERO_OK) {
                    return err->status;
                }
                continue;
            }
            if (strcmp(symbol->name, rules[KEY_NUM_UNITS].name) != 0) {
                continue;
            }
            if (symbol->kind == GRAMMAR_BLOCK ||
                take_literal(KEY_NUM_UNITS, symbol->value, &value, err) != NERO_OK ||
                (classes != 0 && value != (double)classes)) {
                return err_set(err, NERO_INVALID, 0,
                               "num-units must be the number of classes of the data set, %u",
                               (unsigned)classes);
            }
        }
    }
    return NERO_OK;
}

static enum nero_status check_modules(struct layer_checker *checker,
                                      const struct run_search *search, uint32_t classes,
                                      struct nero_err *err)
{
    bool flat = false; /* a fully connected module came before */
    int types = 0;

    for (uint32_t m = 0; m < search->module_count; m++) {
        const char *symbol = search->modules[m].symbol;
        bool last = m + 1 == search->module_count;
        const struct grammar_rule *rule;

        if (check_start(checker, symbol, LAYER_UNITS, last, &types, err) != NERO_OK) {
            return err_wrap(err, "module <%s>", symbol);
        }
        if ((types & LAYER_FC) != 0 && types != LAYER_FC) {
            return err_set(err, NERO_INVALID, 0,
                           "module <%s> mixes layer:fc with convolutional layers", symbol);
        }
        if (flat && types != LAYER_FC) {
            return err_set(err, NERO_INVALID, 0,
                           "module <%s>: a convolution cannot follow a layer:fc", symbol);
        }
        flat = types == LAYER_FC;
        rule = grammar_find(checker->grammar, symbol);
        if (last && check_classes(checker, (uint32_t)(rule - checker->grammar->rules), classes,
                                  err) != NERO_OK) {
            return err_wrap(err, "module <%s>", symbol);
        }
    }
    if (check_start(checker, search->learning_symbol, LAYER_LEARNING, false, &types, err) !=
        NERO_OK) {
        return err_wrap(err, "learning <%s>", search->learning_symbol);
    }
    return NERO_OK;
}

enum nero_status layer_check(const struct grammar *grammar, const struct run_search *search,
                             uint32_t classes, struct nero_err *err)
{
    struct layer_checker *checker = mem_calloc(1, sizeof *checker);
    enum nero_status status;

    if (checker == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "check of the grammar");
    }
    checker->grammar = grammar;
    status = check_modules(checker, search, classes, err);
    free(checker);
    return status;
}
