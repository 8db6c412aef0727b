#include "evolve/grammar.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "evolve/gene.h"
#include "nero/mem.h"

/* Bounds of integers stay exact in a double, so that no reader ever rounds one. */
enum { INT_BITS = 53, NUMBER_BYTES = 40 };

struct grammar_reader {
    const char *file;
    uint32_t line;
    struct grammar *grammar;
    uint32_t rule_line[GRAMMAR_RULES_MAX];
};

#define grammar_fail(reader, err, ...)             \
    (err_set((err), NERO_INVALID, 0, __VA_ARGS__), \
     err_wrap((err), "%s:%u", (reader)->file, (unsigned)(reader)->line))

void grammar_fini(struct grammar *grammar)
{
    for (uint32_t r = 0; r < grammar->rule_count; r++) {
        for (uint32_t a = 0; a < grammar->rules[r].alternative_count; a++) {
            free(grammar->rules[r].alternatives[a].symbols);
        }
        free(grammar->rules[r].alternatives);
    }
    free(grammar->rules);
    *grammar = (struct grammar){0};
}

const struct grammar_rule *grammar_find(const struct grammar *grammar, const char *name)
{
    for (uint32_t r = 0; r < grammar->rule_count; r++) {
        if (strcmp(grammar->rules[r].name, name) == 0) {
            return &grammar->rules[r];
        }
    }
    return NULL;
}

/* Grow an array by one zeroed element. The array is unchanged on failure. */
static void *array_add(void **array, uint32_t *count, size_t bytes_each, struct nero_err *err)
{
    void *grown = mem_realloc_array(*array, (size_t)*count + 1, bytes_each);

    if (grown == NULL) {
        (void)err_set(err, NERO_NO_MEMORY, 0, "grammar");
        return NULL;
    }
    *array = grown;
    memset((char *)grown + (size_t)*count * bytes_each, 0, bytes_each);
    (*count)++;
    return (char *)grown + (size_t)(*count - 1) * bytes_each;
}

/* Cut the next word off the line; words are separated by blanks. False at the end of the line. */
static bool next_word(struct bytes_view *line, struct bytes_view *word)
{
    size_t start = 0;
    size_t end;

    while (start < line->bytes && (line->data[start] == ' ' || line->data[start] == '\t')) {
        start++;
    }
    end = start;
    while (end < line->bytes && line->data[end] != ' ' && line->data[end] != '\t') {
        end++;
    }
    *word = bytes_view_of(line->data + start, end - start);
    *line = bytes_view_of(line->data + end, line->bytes - end);
    return word->bytes > 0;
}

static bool name_char(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

static enum nero_status copy_name(const struct grammar_reader *reader, struct bytes_view from,
                                  char out[GENOTYPE_NAME_BYTES], struct nero_err *err)
{
    if (from.bytes == 0 || from.bytes >= GENOTYPE_NAME_BYTES) {
        return grammar_fail(reader, err, "a name has 1 to %d characters", GENOTYPE_NAME_BYTES - 1);
    }
    for (size_t i = 0; i < from.bytes; i++) {
        if (!name_char(from.data[i])) {
            return grammar_fail(reader, err,
                                "character 0x%02x in a name; allowed: A-Z a-z 0-9 . _ -",
                                (unsigned)from.data[i]);
        }
    }
    memcpy(out, from.data, from.bytes);
    out[from.bytes] = '\0';
    return NERO_OK;
}

static bool is_nonterminal(struct bytes_view word)
{
    return word.bytes >= 2 && word.data[0] == '<' && word.data[word.bytes - 1] == '>';
}

static struct bytes_view inner(struct bytes_view word)
{
    return bytes_view_of(word.data + 1, word.bytes - 2);
}

/* Split at the first `separator`; false if there is none. */
static bool split(struct bytes_view word, uint8_t separator, struct bytes_view *head,
                  struct bytes_view *tail)
{
    const uint8_t *at = word.bytes > 0 ? memchr(word.data, separator, word.bytes) : NULL;
    size_t used;

    if (at == NULL) {
        return false;
    }
    used = (size_t)(at - word.data);
    *head = bytes_view_of(word.data, used);
    *tail = bytes_view_of(word.data + used + 1, word.bytes - used - 1);
    return true;
}

/* A plain decimal number: strtod alone would take "inf", "0x1" and leading blanks too. */
static bool parse_number(struct bytes_view word, bool whole, double *out)
{
    char text[NUMBER_BYTES];
    char *end;

    if (word.bytes == 0 || word.bytes >= sizeof text || word.data[0] == '+') {
        return false;
    }
    for (size_t i = 0; i < word.bytes; i++) {
        const char *allowed = whole ? "-0123456789" : "+-.0123456789eE";

        if (word.data[i] == '\0' || strchr(allowed, word.data[i]) == NULL) {
            return false;
        }
    }
    memcpy(text, word.data, word.bytes);
    text[word.bytes] = '\0';
    *out = strtod(text, &end);
    return *end == '\0' && isfinite(*out) &&
           (!whole || (*out > -(double)(1LL << INT_BITS) && *out < (double)(1LL << INT_BITS)));
}

static enum nero_status parse_type(const struct grammar_reader *reader, struct bytes_view word,
                                   enum genotype_value_kind *out, struct nero_err *err)
{
    static const struct {
        const char *name;
        enum genotype_value_kind kind;
    } types[] = {{"int", GENOTYPE_INT},
                 {"float", GENOTYPE_FLOAT},
                 {"int_power2", GENOTYPE_POWER2},
                 {"int_power10", GENOTYPE_POWER10}};

    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (bytes_view_equal(word, bytes_view_str(types[i].name))) {
            *out = types[i].kind;
            return NERO_OK;
        }
    }
    return grammar_fail(reader, err,
                        "the type of a block is int, float, int_power2 or int_power10");
}

static enum nero_status parse_bounds(const struct grammar_reader *reader, struct bytes_view low,
                                     struct bytes_view high, struct grammar_symbol *symbol,
                                     struct nero_err *err)
{
    bool whole = symbol->type != GENOTYPE_FLOAT;

    if (!parse_number(low, whole, &symbol->real_low) ||
        !parse_number(high, whole, &symbol->real_high)) {
        return grammar_fail(reader, err, "block %s: bounds are %s numbers", symbol->name,
                            whole ? "whole" : "decimal");
    }
    if (symbol->real_low > symbol->real_high) {
        return grammar_fail(reader, err, "block %s: the lower bound is above the upper one",
                            symbol->name);
    }
    if (!whole) {
        return NERO_OK;
    }
    symbol->low = (int64_t)symbol->real_low;
    symbol->high = (int64_t)symbol->real_high;
    symbol->real_low = 0.0;
    symbol->real_high = 0.0;
    if (symbol->type == GENOTYPE_POWER2 &&
        (symbol->low < GENE_POWER2_LOW || symbol->high > GENE_POWER2_HIGH)) {
        return grammar_fail(reader, err, "block %s: exponents of 2 are %d to %d", symbol->name,
                            GENE_POWER2_LOW, GENE_POWER2_HIGH);
    }
    if (symbol->type == GENOTYPE_POWER10 &&
        (symbol->low < GENE_POWER10_LOW || symbol->high > GENE_POWER10_HIGH)) {
        return grammar_fail(reader, err, "block %s: exponents of 10 are %d to %d", symbol->name,
                            GENE_POWER10_LOW, GENE_POWER10_HIGH);
    }
    return NERO_OK;
}

/* [name,type,count,min,max] */
static enum nero_status parse_block(const struct grammar_reader *reader, struct bytes_view word,
                                    struct grammar_symbol *symbol, struct nero_err *err)
{
    enum { FIELDS = 5 };
    struct bytes_view field[FIELDS];
    struct bytes_view rest = inner(word);
    enum nero_status status;
    double count;

    symbol->kind = GRAMMAR_BLOCK;
    for (int i = 0; i < FIELDS - 1; i++) {
        if (!split(rest, ',', &field[i], &rest)) {
            return grammar_fail(reader, err, "a block is [name,type,count,min,max], no blanks");
        }
    }
    field[FIELDS - 1] = rest;
    status = copy_name(reader, field[0], symbol->name, err);
    if (status == NERO_OK) {
        status = parse_type(reader, field[1], &symbol->type, err);
    }
    if (status != NERO_OK) {
        return status;
    }
    if (!parse_number(field[2], true, &count) || count < 1 || count > GENOTYPE_VALUES_MAX) {
        return grammar_fail(reader, err, "block %s: the count is 1 to %d", symbol->name,
                            GENOTYPE_VALUES_MAX);
    }
    symbol->count = (uint32_t)count;
    return parse_bounds(reader, field[3], field[4], symbol, err);
}

static enum nero_status parse_symbol(const struct grammar_reader *reader, struct bytes_view word,
                                     struct grammar_symbol *symbol, struct nero_err *err)
{
    struct bytes_view key;
    struct bytes_view value;
    enum nero_status status;

    if (word.data[0] == '<') {
        symbol->kind = GRAMMAR_NONTERMINAL;
        return is_nonterminal(word)
                   ? copy_name(reader, inner(word), symbol->name, err)
                   : grammar_fail(reader, err, "a non-terminal is <name>, no blanks");
    }
    if (word.data[0] == '[') {
        return word.bytes >= 2 && word.data[word.bytes - 1] == ']'
                   ? parse_block(reader, word, symbol, err)
                   : grammar_fail(reader, err, "a block is [name,type,count,min,max], no blanks");
    }
    if (!split(word, ':', &key, &value)) {
        return grammar_fail(reader, err, "\"%.*s\" is no <non-terminal>, [block] or key:value",
                            word.bytes > 60 ? 60 : (int)word.bytes, (const char *)word.data);
    }
    symbol->kind = GRAMMAR_LITERAL;
    status = copy_name(reader, key, symbol->name, err);
    return status == NERO_OK ? copy_name(reader, value, symbol->value, err) : status;
}

/* A gene's codon names its parameters, so one alternative may name each block once. */
static enum nero_status check_alternative(const struct grammar_reader *reader,
                                          const struct grammar_alternative *alternative,
                                          struct nero_err *err)
{
    uint32_t blocks = 0;

    if (alternative->symbol_count == 0) {
        return grammar_fail(reader, err, "an alternative is empty");
    }
    for (uint32_t i = 0; i < alternative->symbol_count; i++) {
        const struct grammar_symbol *symbol = &alternative->symbols[i];

        if (symbol->kind != GRAMMAR_BLOCK) {
            continue;
        }
        if (++blocks > GENOTYPE_PARAMS_MAX) {
            return grammar_fail(reader, err, "more than %d blocks in one alternative",
                                GENOTYPE_PARAMS_MAX);
        }
        for (uint32_t j = 0; j < i; j++) {
            if (alternative->symbols[j].kind == GRAMMAR_BLOCK &&
                strcmp(alternative->symbols[j].name, symbol->name) == 0) {
                return grammar_fail(reader, err, "block %s stands twice in one alternative",
                                    symbol->name);
            }
        }
    }
    return NERO_OK;
}

static enum nero_status parse_alternative(const struct grammar_reader *reader,
                                          struct bytes_view *line, struct grammar_rule *rule,
                                          bool *more, struct nero_err *err)
{
    struct grammar_alternative *alternative;
    struct bytes_view word;

    if (rule->alternative_count == GRAMMAR_ALTERNATIVES_MAX) {
        return grammar_fail(reader, err, "more than %d alternatives", GRAMMAR_ALTERNATIVES_MAX);
    }
    alternative = array_add((void **)&rule->alternatives, &rule->alternative_count,
                            sizeof *rule->alternatives, err);
    if (alternative == NULL) {
        return err->status;
    }
    *more = false;
    while (!*more && next_word(line, &word)) {
        struct grammar_symbol *symbol;

        if (bytes_view_equal(word, bytes_view_str("|"))) {
            *more = true;
            break;
        }
        if (alternative->symbol_count == GRAMMAR_SYMBOLS_MAX) {
            return grammar_fail(reader, err, "more than %d symbols in an alternative",
                                GRAMMAR_SYMBOLS_MAX);
        }
        symbol = array_add((void **)&alternative->symbols, &alternative->symbol_count,
                           sizeof *alternative->symbols, err);
        if (symbol == NULL || parse_symbol(reader, word, symbol, err) != NERO_OK) {
            return err->status;
        }
    }
    return check_alternative(reader, alternative, err);
}

static enum nero_status parse_rule(struct grammar_reader *reader, struct bytes_view line,
                                   struct nero_err *err)
{
    struct grammar *grammar = reader->grammar;
    char name[GENOTYPE_NAME_BYTES];
    struct grammar_rule *rule;
    struct bytes_view word;
    bool more = true;

    if (!next_word(&line, &word)) {
        return NERO_OK; /* blank */
    }
    if (!is_nonterminal(word)) {
        return grammar_fail(reader, err, "a rule begins with its <name>");
    }
    if (copy_name(reader, inner(word), name, err) != NERO_OK) {
        return err->status;
    }
    if (!next_word(&line, &word) || !bytes_view_equal(word, bytes_view_str("::="))) {
        return grammar_fail(reader, err, "\"::=\" is missing after <%s>", name);
    }
    for (uint32_t r = 0; r < grammar->rule_count; r++) {
        if (strcmp(grammar->rules[r].name, name) == 0) {
            return grammar_fail(reader, err, "<%s> is defined in line %u already", name,
                                (unsigned)reader->rule_line[r]);
        }
    }
    if (grammar->rule_count == GRAMMAR_RULES_MAX) {
        return grammar_fail(reader, err, "more than %d rules", GRAMMAR_RULES_MAX);
    }
    reader->rule_line[grammar->rule_count] = reader->line;
    rule = array_add((void **)&grammar->rules, &grammar->rule_count, sizeof *rule, err);
    if (rule == NULL) {
        return err->status;
    }
    memcpy(rule->name, name, sizeof rule->name);
    while (more) {
        if (parse_alternative(reader, &line, rule, &more, err) != NERO_OK) {
            return err->status;
        }
    }
    return NERO_OK;
}

static enum nero_status resolve(struct grammar_reader *reader, struct nero_err *err)
{
    struct grammar *grammar = reader->grammar;

    for (uint32_t r = 0; r < grammar->rule_count; r++) {
        struct grammar_rule *rule = &grammar->rules[r];

        reader->line = reader->rule_line[r];
        for (uint32_t a = 0; a < rule->alternative_count; a++) {
            for (uint32_t i = 0; i < rule->alternatives[a].symbol_count; i++) {
                struct grammar_symbol *symbol = &rule->alternatives[a].symbols[i];
                const struct grammar_rule *target;

                if (symbol->kind != GRAMMAR_NONTERMINAL) {
                    continue;
                }
                target = grammar_find(grammar, symbol->name);
                if (target == NULL) {
                    return grammar_fail(reader, err, "<%s> uses <%s>, which has no rule",
                                        rule->name, symbol->name);
                }
                symbol->rule = (uint32_t)(target - grammar->rules);
            }
        }
    }
    return NERO_OK;
}

/*
 * Sizes. most[r][x] is the largest number of codons of rule x in any gene that starts at r, cut at
 * CODONS_OVER. It is computed once every rule that r uses is done; meeting a rule that is still
 * open is a recursion.
 */
enum { CODONS_OVER = GENOTYPE_CODONS_MAX + 1 };
enum rule_visit { RULE_NEW = 0, RULE_OPEN, RULE_DONE };

struct grammar_sizes {
    enum rule_visit visit[GRAMMAR_RULES_MAX];
    uint8_t most[GRAMMAR_RULES_MAX][GRAMMAR_RULES_MAX];
};

static void most_of_alternative(const struct grammar *grammar, const struct grammar_sizes *sizes,
                                const struct grammar_alternative *alternative,
                                uint32_t sum[GRAMMAR_RULES_MAX])
{
    memset(sum, 0, GRAMMAR_RULES_MAX * sizeof sum[0]);
    for (uint32_t i = 0; i < alternative->symbol_count; i++) {
        const struct grammar_symbol *symbol = &alternative->symbols[i];

        for (uint32_t x = 0; symbol->kind == GRAMMAR_NONTERMINAL && x < grammar->rule_count; x++) {
            sum[x] += sizes->most[symbol->rule][x];
        }
    }
}

/* All that `rule` uses is done: fill in its row and hold it against the limits of a gene. */
static enum nero_status size_rule(struct grammar_reader *reader, struct grammar_sizes *sizes,
                                  uint32_t rule, struct nero_err *err)
{
    const struct grammar *grammar = reader->grammar;
    uint8_t *most = sizes->most[rule];
    uint32_t symbols = 0;

    for (uint32_t a = 0; a < grammar->rules[rule].alternative_count; a++) {
        uint32_t sum[GRAMMAR_RULES_MAX];

        most_of_alternative(grammar, sizes, &grammar->rules[rule].alternatives[a], sum);
        for (uint32_t x = 0; x < grammar->rule_count; x++) {
            uint32_t cut = sum[x] < CODONS_OVER ? sum[x] : CODONS_OVER;

            most[x] = cut > most[x] ? (uint8_t)cut : most[x];
        }
    }
    most[rule] = 1; /* no recursion: exactly one of itself */
    reader->line = reader->rule_line[rule];
    for (uint32_t x = 0; x < grammar->rule_count; x++) {
        symbols += most[x] > 0;
        if (most[x] >= CODONS_OVER) {
            return grammar_fail(reader, err, "a gene of <%s> can hold more than %d codons of <%s>",
                                grammar->rules[rule].name, GENOTYPE_CODONS_MAX,
                                grammar->rules[x].name);
        }
    }
    if (symbols > GENOTYPE_RULES_MAX) {
        return grammar_fail(reader, err, "<%s> reaches %u non-terminals; a gene has at most %d",
                            grammar->rules[rule].name, (unsigned)symbols, GENOTYPE_RULES_MAX);
    }
    return NERO_OK;
}

/* Depth first; the depth is at most the number of rules. */
static enum nero_status size_from(struct grammar_reader *reader, struct grammar_sizes *sizes,
                                  uint32_t rule, struct nero_err *err)
{
    const struct grammar_rule *it = &reader->grammar->rules[rule];

    if (sizes->visit[rule] == RULE_DONE) {
        return NERO_OK;
    }
    if (sizes->visit[rule] == RULE_OPEN) {
        reader->line = reader->rule_line[rule];
        return grammar_fail(reader, err, "<%s> contains itself: recursion never ends", it->name);
    }
    sizes->visit[rule] = RULE_OPEN;
    for (uint32_t a = 0; a < it->alternative_count; a++) {
        for (uint32_t i = 0; i < it->alternatives[a].symbol_count; i++) {
            const struct grammar_symbol *symbol = &it->alternatives[a].symbols[i];

            if (symbol->kind == GRAMMAR_NONTERMINAL &&
                size_from(reader, sizes, symbol->rule, err) != NERO_OK) {
                return err->status;
            }
        }
    }
    sizes->visit[rule] = RULE_DONE;
    return size_rule(reader, sizes, rule, err);
}

static enum nero_status check_sizes(struct grammar_reader *reader, struct nero_err *err)
{
    struct grammar_sizes *sizes = mem_calloc(1, sizeof *sizes);
    enum nero_status status = NERO_OK;

    if (sizes == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "grammar");
    }
    for (uint32_t r = 0; r < reader->grammar->rule_count && status == NERO_OK; r++) {
        status = size_from(reader, sizes, r, err);
    }
    free(sizes);
    return status;
}

static enum nero_status parse_lines(struct grammar_reader *reader, struct bytes_view text,
                                    struct nero_err *err)
{
    while (text.bytes > 0) {
        struct bytes_view line = text;
        enum nero_status status;

        reader->line++;
        if (!split(text, '\n', &line, &text)) {
            text = bytes_view_of(NULL, 0);
        }
        if (line.bytes > 0 && line.data[line.bytes - 1] == '\r') {
            line.bytes--;
        }
        if (line.bytes > 0 && line.data[0] == '#') {
            continue;
        }
        status = parse_rule(reader, line, err);
        if (status != NERO_OK) {
            return status;
        }
    }
    return reader->grammar->rule_count > 0 ? NERO_OK
                                           : grammar_fail(reader, err, "there is no rule");
}

enum nero_status grammar_parse(const char *name, struct bytes_view text, struct grammar *out,
                               struct nero_err *err)
{
    struct grammar grammar = {0};
    struct grammar_reader reader = {.file = name, .grammar = &grammar};
    enum nero_status status;

    if (text.bytes > GRAMMAR_BYTES_MAX) {
        return err_set(err, NERO_TOO_BIG, 0, "%s: a grammar has at most %d bytes", name,
                       GRAMMAR_BYTES_MAX);
    }
    status = parse_lines(&reader, text, err);
    if (status == NERO_OK) {
        status = resolve(&reader, err);
    }
    if (status == NERO_OK) {
        status = check_sizes(&reader, err);
    }
    if (status != NERO_OK) {
        grammar_fini(&grammar);
        return status;
    }
    *out = grammar;
    return NERO_OK;
}
