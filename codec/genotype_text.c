/*
 * Reads the text form of a genotype (codec/FORMAT.md, "genotype text"). The text is read twice:
 * first the genes, then what refers to them, so that they may stand in any order.
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nero/genotype.h"
#include "nero/mem.h"

#define TEXT_HEAD "nero-genotype"
#define TEXT_VERSION "1"

struct label {
    char name[GENOTYPE_NAME_BYTES];
    uint32_t line;
    bool used;
};

struct parser {
    const char *name; /* of the file */
    struct bytes_view text;
    size_t at;              /* of the next line */
    uint32_t line;          /* counted from 1 */
    struct bytes_view rest; /* of the line at hand, comment cut off */
    struct genotype *out;
    struct label *labels;           /* [GENOTYPE_GENES_MAX], of out->genes */
    struct genotype_gene *gene;     /* that rules belong to, or NULL */
    struct genotype_module *module; /* that units belong to, or NULL */
    bool has_learning;
    struct nero_err *err;
};

static enum nero_status parser_fail(const struct parser *parser, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static enum nero_status parser_fail(const struct parser *parser, const char *format, ...)
{
    char reason[512];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    return err_set(parser->err, NERO_INVALID, 0, "%s:%" PRIu32 ": %s", parser->name, parser->line,
                   reason);
}

/* For "%.*s". */
static int view_width(struct bytes_view view)
{
    return view.bytes < 60 ? (int)view.bytes : 60;
}

static bool view_is(struct bytes_view view, const char *text)
{
    return bytes_view_equal(view, bytes_view_str(text));
}

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* The next word of the line; false at its end. */
static bool word_next(struct parser *parser, struct bytes_view *word)
{
    struct bytes_view *rest = &parser->rest;
    size_t length = 0;

    while (rest->bytes > 0 && is_blank(rest->data[0])) {
        *rest = bytes_view_of(rest->data + 1, rest->bytes - 1);
    }
    while (length < rest->bytes && !is_blank(rest->data[length])) {
        length++;
    }
    *word = bytes_view_of(rest->data, length);
    *rest = bytes_view_of(rest->data + length, rest->bytes - length);
    return length > 0;
}

/* The next line that holds anything, and its first word; false at the end of the text. */
static bool line_next(struct parser *parser, struct bytes_view *word)
{
    while (parser->at < parser->text.bytes) {
        const uint8_t *start = parser->text.data + parser->at;
        size_t left = parser->text.bytes - parser->at;
        const uint8_t *newline = memchr(start, '\n', left);
        size_t length = newline != NULL ? (size_t)(newline - start) : left;
        const uint8_t *comment = memchr(start, '#', length);

        parser->at += length + (newline != NULL ? 1 : 0);
        parser->line++;
        parser->rest = bytes_view_of(start, comment != NULL ? (size_t)(comment - start) : length);
        if (word_next(parser, word)) {
            return true;
        }
    }
    return false;
}

static enum nero_status line_end(struct parser *parser)
{
    struct bytes_view word;

    if (word_next(parser, &word)) {
        return parser_fail(parser, "'%.*s' is one word too many", view_width(word), word.data);
    }
    return NERO_OK;
}

static enum nero_status name_copy(struct parser *parser, const char *what, struct bytes_view word,
                                  char out[GENOTYPE_NAME_BYTES])
{
    bool clean = word.bytes > 0 && word.bytes < GENOTYPE_NAME_BYTES;

    for (size_t i = 0; clean && i < word.bytes; i++) {
        uint8_t c = word.data[i];

        clean = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                c == '.' || c == '_' || c == '-';
    }
    if (!clean) {
        return parser_fail(parser, "%s '%.*s': expected 1 to %d of A-Z a-z 0-9 . _ -", what,
                           view_width(word), word.data, GENOTYPE_NAME_BYTES - 1);
    }
    memcpy(out, word.data, word.bytes);
    out[word.bytes] = 0;
    return NERO_OK;
}

static enum nero_status name_next(struct parser *parser, const char *what,
                                  char out[GENOTYPE_NAME_BYTES])
{
    struct bytes_view word;

    if (!word_next(parser, &word)) {
        return parser_fail(parser, "%s is missing", what);
    }
    return name_copy(parser, what, word, out);
}

/* One more item, zeroed; NULL after a failure, which leaves the list as it was. */
static void *list_grow(struct parser *parser, void *items, uint32_t *count, uint32_t max,
                       size_t bytes_each, const char *what)
{
    uint8_t *grown;

    if (*count == max) {
        (void)parser_fail(parser, "more than %" PRIu32 " %s", max, what);
        return NULL;
    }
    grown = mem_realloc_array(items, *count + 1u, bytes_each);
    if (grown == NULL) {
        (void)err_set(parser->err, NERO_NO_MEMORY, 0, "%s: no memory", parser->name);
        return NULL;
    }
    memset(grown + *count * bytes_each, 0, bytes_each);
    (*count)++;
    return grown;
}

/* ---- numbers ---- */

/* A whole word as a decimal integer. */
static bool integer_parse(struct bytes_view word, int64_t *out)
{
    char text[24];
    char *end;

    if (word.bytes == 0 || word.bytes >= sizeof text) {
        return false;
    }
    memcpy(text, word.data, word.bytes);
    text[word.bytes] = 0;
    if (strspn(text, "-0123456789") != word.bytes) {
        return false;
    }
    errno = 0;
    *out = strtoll(text, &end, 10);
    return errno == 0 && *end == 0 && end != text;
}

static bool real_parse(struct bytes_view word, double *out)
{
    char text[64];
    char *end;

    if (word.bytes == 0 || word.bytes >= sizeof text) {
        return false;
    }
    memcpy(text, word.data, word.bytes);
    text[word.bytes] = 0;
    if (strspn(text, "+-.0123456789eE") != word.bytes) {
        return false;
    }
    *out = strtod(text, &end);
    return *end == 0 && end != text && isfinite(*out);
}

/* 2^E, 10^E, an integer, or a real number, told by its point or exponent. */
static bool value_parse(struct bytes_view word, enum genotype_value_kind *kind,
                        struct genotype_value *out)
{
    if (word.bytes > 2 && memcmp(word.data, "2^", 2) == 0) {
        *kind = GENOTYPE_POWER2;
        return integer_parse(bytes_view_of(word.data + 2, word.bytes - 2), &out->integer) &&
               out->integer >= -1023 && out->integer <= 1023;
    }
    if (word.bytes > 3 && memcmp(word.data, "10^", 3) == 0) {
        *kind = GENOTYPE_POWER10;
        return integer_parse(bytes_view_of(word.data + 3, word.bytes - 3), &out->integer) &&
               out->integer >= -308 && out->integer <= 308;
    }
    *kind = GENOTYPE_INT;
    if (integer_parse(word, &out->integer)) {
        return true;
    }
    *kind = GENOTYPE_FLOAT;
    return (memchr(word.data, '.', word.bytes) != NULL ||
            memchr(word.data, 'e', word.bytes) != NULL ||
            memchr(word.data, 'E', word.bytes) != NULL) &&
           real_parse(word, &out->real);
}

/* "name=value" or "name=value,value"; the values are of one kind. */
static enum nero_status param_parse(struct parser *parser, struct bytes_view word,
                                    struct genotype_param *param)
{
    const uint8_t *equals = memchr(word.data, '=', word.bytes);
    struct bytes_view left;

    if (equals == NULL) {
        return parser_fail(parser, "'%.*s': expected name=value", view_width(word), word.data);
    }
    left = bytes_view_of(equals + 1, word.bytes - (size_t)(equals - word.data) - 1);
    word.bytes = (size_t)(equals - word.data);
    if (name_copy(parser, "parameter", word, param->name) != NERO_OK) {
        return parser->err->status;
    }
    for (bool more = true; more; param->value_count++) {
        const uint8_t *comma = left.bytes > 0 ? memchr(left.data, ',', left.bytes) : NULL;
        size_t length = comma != NULL ? (size_t)(comma - left.data) : left.bytes;
        struct bytes_view value = bytes_view_of(left.data, length);
        enum genotype_value_kind kind;

        if (param->value_count == GENOTYPE_VALUES_MAX) {
            return parser_fail(parser, "%s: more than %d values", param->name, GENOTYPE_VALUES_MAX);
        }
        if (!value_parse(value, &kind, &param->values[param->value_count])) {
            return parser_fail(parser,
                               "%s: '%.*s': expected a whole number (64), a real number with a "
                               "point or exponent (0.5), or a power (2^7, 10^-3)",
                               param->name, view_width(value), value.data);
        }
        if (param->value_count > 0 && kind != param->kind) {
            return parser_fail(parser, "%s: values of different kinds", param->name);
        }
        param->kind = kind;
        more = comma != NULL;
        left = bytes_view_of(left.data + length + more, left.bytes - length - more);
    }
    return NERO_OK;
}

/* ---- lines ---- */

/* The rule of this symbol in the gene at hand, made where it is new; NULL after a failure. */
static struct genotype_rule *rule_find(struct parser *parser, const char *symbol)
{
    struct genotype_gene *gene = parser->gene;
    void *grown;

    for (uint32_t i = 0; i < gene->rule_count; i++) {
        if (strcmp(gene->rules[i].symbol, symbol) == 0) {
            return &gene->rules[i];
        }
    }
    grown = list_grow(parser, gene->rules, &gene->rule_count, GENOTYPE_RULES_MAX,
                      sizeof *gene->rules, "rules in a gene");
    if (grown == NULL) {
        return NULL;
    }
    gene->rules = grown;
    memcpy(gene->rules[gene->rule_count - 1].symbol, symbol, GENOTYPE_NAME_BYTES);
    return &gene->rules[gene->rule_count - 1];
}

/* "symbol: ALTERNATIVE name=value ..." */
static enum nero_status codon_line(struct parser *parser, struct bytes_view word)
{
    char symbol[GENOTYPE_NAME_BYTES] = {0};
    struct genotype_rule *rule;
    struct genotype_codon *codon;
    struct bytes_view number;
    int64_t alternative;
    void *grown;

    if (parser->gene == NULL) {
        return parser_fail(parser, "a rule stands outside a gene");
    }
    word.bytes--;
    if (name_copy(parser, "symbol", word, symbol) != NERO_OK) {
        return parser->err->status;
    }
    if (!word_next(parser, &number) || !integer_parse(number, &alternative) || alternative < 0 ||
        alternative > INT32_MAX) {
        return parser_fail(parser, "%s: expected the number of an alternative, from 0", symbol);
    }
    rule = rule_find(parser, symbol);
    if (rule == NULL) {
        return parser->err->status;
    }
    grown = list_grow(parser, rule->codons, &rule->codon_count, GENOTYPE_CODONS_MAX,
                      sizeof *rule->codons, "codons of a rule");
    if (grown == NULL) {
        return parser->err->status;
    }
    rule->codons = grown;
    codon = &rule->codons[rule->codon_count - 1];
    codon->alternative = (uint32_t)alternative;
    while (word_next(parser, &word)) {
        grown = list_grow(parser, codon->params, &codon->param_count, GENOTYPE_PARAMS_MAX,
                          sizeof *codon->params, "parameters of a codon");
        if (grown == NULL) {
            return parser->err->status;
        }
        codon->params = grown;
        if (param_parse(parser, word, &codon->params[codon->param_count - 1]) != NERO_OK) {
            return parser->err->status;
        }
    }
    return NERO_OK;
}

/* UINT32_MAX: there is no gene of this label. */
static uint32_t label_find(const struct parser *parser, const char *name)
{
    for (uint32_t i = 0; i < parser->out->gene_count; i++) {
        if (strcmp(parser->labels[i].name, name) == 0) {
            return i;
        }
    }
    return UINT32_MAX;
}

/* "gene LABEL START" */
static enum nero_status gene_line(struct parser *parser)
{
    struct genotype *genotype = parser->out;
    char name[GENOTYPE_NAME_BYTES] = {0};
    struct genotype_gene *gene;
    struct label *label;
    void *grown;

    if (name_next(parser, "the label of a gene", name) != NERO_OK) {
        return parser->err->status;
    }
    if (label_find(parser, name) != UINT32_MAX) {
        return parser_fail(parser, "gene '%s' twice", name);
    }
    grown = list_grow(parser, genotype->genes, &genotype->gene_count, GENOTYPE_GENES_MAX,
                      sizeof *genotype->genes, "genes");
    if (grown == NULL) {
        return parser->err->status;
    }
    genotype->genes = grown;
    gene = &genotype->genes[genotype->gene_count - 1];
    label = &parser->labels[genotype->gene_count - 1];
    memcpy(label->name, name, sizeof name);
    label->line = parser->line;
    label->used = false;
    parser->gene = gene;
    if (name_next(parser, "the start symbol of a gene", gene->start) != NERO_OK) {
        return parser->err->status;
    }
    return line_end(parser);
}

/* The label of a gene, which must be there. */
static enum nero_status reference_next(struct parser *parser, uint32_t *gene)
{
    char name[GENOTYPE_NAME_BYTES];

    if (name_next(parser, "the label of a gene", name) != NERO_OK) {
        return parser->err->status;
    }
    *gene = label_find(parser, name);
    if (*gene == UINT32_MAX) {
        return parser_fail(parser, "there is no gene '%s'", name);
    }
    parser->labels[*gene].used = true;
    return NERO_OK;
}

/* "module NAME" */
static enum nero_status module_line(struct parser *parser)
{
    struct genotype *genotype = parser->out;
    char name[GENOTYPE_NAME_BYTES] = {0};
    void *grown;

    if (name_next(parser, "the name of a module", name) != NERO_OK) {
        return parser->err->status;
    }
    for (uint32_t i = 0; i < genotype->module_count; i++) {
        if (strcmp(genotype->modules[i].name, name) == 0) {
            return parser_fail(parser, "module '%s' twice", name);
        }
    }
    grown = list_grow(parser, genotype->modules, &genotype->module_count, GENOTYPE_MODULES_MAX,
                      sizeof *genotype->modules, "modules");
    if (grown == NULL) {
        return parser->err->status;
    }
    genotype->modules = grown;
    parser->module = &genotype->modules[genotype->module_count - 1];
    memcpy(parser->module->name, name, sizeof name);
    return line_end(parser);
}

/* The words after "from". */
static enum nero_status inputs_parse(struct parser *parser, struct genotype_unit *unit,
                                     uint32_t number)
{
    struct bytes_view word;

    while (word_next(parser, &word)) {
        int64_t least = unit->input_count > 0 ? unit->inputs[unit->input_count - 1] + 1 : -1;
        int64_t input;

        if (unit->input_count == GENOTYPE_INPUTS_MAX) {
            return parser_fail(parser, "more than %d inputs", GENOTYPE_INPUTS_MAX);
        }
        if (!integer_parse(word, &input) || input < least || input >= (int64_t)number) {
            return parser_fail(parser,
                               "input '%.*s' of unit %" PRIu32
                               ": expected ascending numbers of earlier units of the module, or "
                               "-1 for its input",
                               view_width(word), word.data, number);
        }
        unit->inputs[unit->input_count++] = (int32_t)input;
    }
    return unit->input_count > 0 ? NERO_OK : parser_fail(parser, "a unit has an input");
}

/* "unit LABEL from INPUT ..." */
static enum nero_status unit_line(struct parser *parser)
{
    struct genotype_module *module = parser->module;
    struct genotype_unit *unit;
    struct bytes_view word;
    void *grown;

    if (module == NULL) {
        return parser_fail(parser, "a unit stands outside a module");
    }
    grown = list_grow(parser, module->units, &module->unit_count, GENOTYPE_UNITS_MAX,
                      sizeof *module->units, "units in a module");
    if (grown == NULL) {
        return parser->err->status;
    }
    module->units = grown;
    unit = &module->units[module->unit_count - 1];
    if (reference_next(parser, &unit->gene) != NERO_OK) {
        return parser->err->status;
    }
    if (strcmp(parser->out->genes[unit->gene].start, module->name) != 0) {
        return parser_fail(parser, "gene '%s' starts at '%s', the module at '%s'",
                           parser->labels[unit->gene].name, parser->out->genes[unit->gene].start,
                           module->name);
    }
    if (!word_next(parser, &word) || !view_is(word, "from")) {
        return parser_fail(parser, "expected 'from' and the unit's inputs");
    }
    return inputs_parse(parser, unit, module->unit_count - 1);
}

/* "learning LABEL" */
static enum nero_status learning_line(struct parser *parser)
{
    if (parser->has_learning) {
        return parser_fail(parser, "'learning' twice");
    }
    parser->has_learning = true;
    if (reference_next(parser, &parser->out->learning_gene) != NERO_OK) {
        return parser->err->status;
    }
    return line_end(parser);
}

/* ---- the two passes ---- */

static enum nero_status line_parse(struct parser *parser, struct bytes_view word, bool genes)
{
    bool is_rule = word.data[word.bytes - 1] == ':';

    if (is_rule) {
        return genes ? codon_line(parser, word) : NERO_OK;
    }
    if (view_is(word, "unit")) {
        return genes ? NERO_OK : unit_line(parser);
    }
    parser->gene = NULL;
    parser->module = NULL;
    if (view_is(word, "gene")) {
        return genes ? gene_line(parser) : NERO_OK;
    }
    if (view_is(word, "module")) {
        return genes ? NERO_OK : module_line(parser);
    }
    if (view_is(word, "learning")) {
        return genes ? NERO_OK : learning_line(parser);
    }
    return parser_fail(parser, "'%.*s': expected module, unit, learning, gene or 'symbol:'",
                       view_width(word), word.data);
}

static enum nero_status head_parse(struct parser *parser)
{
    struct bytes_view word;

    parser->at = 0;
    parser->line = 0;
    parser->gene = NULL;
    parser->module = NULL;
    if (!line_next(parser, &word) || !view_is(word, TEXT_HEAD)) {
        return parser_fail(parser, "expected '" TEXT_HEAD " " TEXT_VERSION "' first");
    }
    if (!word_next(parser, &word) || !view_is(word, TEXT_VERSION)) {
        return err_set(parser->err, NERO_VERSION, 0,
                       "%s:%" PRIu32 ": version '%.*s'; this program knows " TEXT_VERSION,
                       parser->name, parser->line, view_width(word), word.data);
    }
    return line_end(parser);
}

static enum nero_status pass_parse(struct parser *parser, bool genes)
{
    enum nero_status status = head_parse(parser);
    struct bytes_view word;

    while (status == NERO_OK && line_next(parser, &word)) {
        status = line_parse(parser, word, genes);
    }
    return status;
}

static int rule_order(const void *a, const void *b)
{
    const struct genotype_rule *left = a;
    const struct genotype_rule *right = b;

    return strcmp(left->symbol, right->symbol);
}

static enum nero_status text_parse(struct parser *parser)
{
    struct genotype *genotype = parser->out;
    enum nero_status status = pass_parse(parser, true);

    for (uint32_t i = 0; i < genotype->gene_count; i++) {
        struct genotype_gene *gene = &genotype->genes[i];

        if (gene->rule_count > 0) {
            qsort(gene->rules, gene->rule_count, sizeof *gene->rules, rule_order);
        }
    }
    if (status == NERO_OK) {
        status = pass_parse(parser, false);
    }
    if (status == NERO_OK && !parser->has_learning) {
        status = parser_fail(parser, "'learning LABEL' is missing");
    }
    for (uint32_t i = 0; status == NERO_OK && i < genotype->gene_count; i++) {
        if (!parser->labels[i].used) {
            parser->line = parser->labels[i].line;
            status = parser_fail(parser, "gene '%s' is never used", parser->labels[i].name);
        }
    }
    if (status == NERO_OK) {
        status = genotype_normalise(genotype, parser->err);
    }
    if (status == NERO_OK && genotype_check(genotype, parser->err) != NERO_OK) {
        status = err_wrap(parser->err, "%s", parser->name);
    }
    return status;
}

enum nero_status genotype_parse_text(const char *name, struct bytes_view text, struct genotype *out,
                                     struct nero_err *err)
{
    struct genotype made;
    struct parser parser = {.name = name, .text = text, .out = &made, .err = err};
    enum nero_status status;

    if (text.bytes > GENOTYPE_TEXT_BYTES_MAX) {
        return err_set(err, NERO_TOO_BIG, 0, "%s: more than %d bytes", name,
                       GENOTYPE_TEXT_BYTES_MAX);
    }
    genotype_init(&made);
    parser.labels = mem_calloc(GENOTYPE_GENES_MAX, sizeof *parser.labels);
    if (parser.labels == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "%s: no memory", name);
    }
    status = text_parse(&parser);
    free(parser.labels);
    if (status != NERO_OK) {
        genotype_fini(&made);
        return status;
    }
    *out = made;
    return NERO_OK;
}
