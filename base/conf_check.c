#include "conf_check.h"

#include <assert.h>
#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "nero/mem.h"

enum { PATH_BYTES = 256, ALLOWED_BYTES = 480, NOT_IN_STRUCT = -1 };

/* The walk over the document's events. `event` is the one that is looked at. */
struct check {
    yaml_parser_t parser;
    yaml_event_t event;
    const char *name;
    char path[PATH_BYTES]; /* of the value that is looked at, cut at the end */
    struct conf_absent *absent;
};

static enum nero_status check_value(struct check *check, const struct cyaml_schema_value *schema,
                                    long offset, struct nero_err *err);

/* "file:line: path: message" */
__attribute__((format(printf, 4, 5))) static enum nero_status
refuse(const struct check *check, size_t line, struct nero_err *err, const char *format, ...)
{
    char message[ALLOWED_BYTES + 200];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(message, sizeof message, format, args);
    va_end(args);
    return err_set(err, NERO_INVALID, 0, "%s:%zu: %s%s%s", check->name, line + 1, check->path,
                   check->path[0] != 0 ? ": " : "", message);
}

static size_t line_of(const struct check *check)
{
    return check->event.start_mark.line;
}

static enum nero_status next(struct check *check, struct nero_err *err)
{
    const yaml_parser_t *parser = &check->parser;

    yaml_event_delete(&check->event);
    if (yaml_parser_parse(&check->parser, &check->event) != 0) {
        return NERO_OK;
    }
    memset(&check->event, 0, sizeof check->event);
    if (parser->error == YAML_MEMORY_ERROR) {
        return err_set(err, NERO_NO_MEMORY, 0, "%s: no memory to read YAML", check->name);
    }
    if (parser->error == YAML_READER_ERROR) { /* has a place in bytes and no line */
        return err_set(err, NERO_INVALID, 0, "%s: not YAML: %s at byte %zu", check->name,
                       parser->problem, parser->problem_offset);
    }
    /* Without the path: where the text stopped to be YAML is not where its author went wrong. */
    return err_set(err, NERO_INVALID, 0, "%s:%zu: not YAML: %s%s%s at column %zu", check->name,
                   parser->problem_mark.line + 1, parser->context != NULL ? parser->context : "",
                   parser->context != NULL ? ", " : "", parser->problem,
                   parser->problem_mark.column + 1);
}

/* Extends the path; returns its former length, for path_cut. */
__attribute__((format(printf, 2, 3))) static size_t path_extend(struct check *check,
                                                                const char *format, ...)
{
    size_t before = strlen(check->path);
    va_list args;

    va_start(args, format);
    (void)vsnprintf(check->path + before, sizeof check->path - before, format, args);
    va_end(args);
    return before;
}

static void path_cut(struct check *check, size_t bytes)
{
    check->path[bytes] = 0;
}

/* Values that are missing. */

static enum nero_status absent_add(struct conf_absent *absent, size_t offset, size_t bytes,
                                   bool is_text, struct nero_err *err)
{
    if (absent->count == absent->capacity) {
        size_t capacity = absent->capacity > 0 ? 2 * absent->capacity : 32;
        struct conf_absent_member *grown =
            mem_realloc_array(absent->members, capacity, sizeof *grown);

        if (grown == NULL) {
            return err_set(err, NERO_NO_MEMORY, 0, "no memory for %zu defaults", capacity);
        }
        absent->members = grown;
        absent->capacity = capacity;
    }
    absent->members[absent->count++] =
        (struct conf_absent_member){.offset = offset, .bytes = bytes, .is_text = is_text};
    return NERO_OK;
}

static enum nero_status absent_value(struct conf_absent *absent,
                                     const struct cyaml_schema_value *schema, size_t offset,
                                     struct nero_err *err)
{
    enum nero_status status = NERO_OK;

    switch (schema->type) {
    case CYAML_STRING:
        return absent_add(absent, offset, schema->data_size,
                          (schema->flags & CYAML_FLAG_POINTER) != 0, err);
    case CYAML_INT:
    case CYAML_UINT:
    case CYAML_BOOL:
    case CYAML_ENUM:
    case CYAML_FLAGS:
    case CYAML_FLOAT:
        return (schema->flags & CYAML_FLAG_POINTER) != 0
                   ? NERO_OK
                   : absent_add(absent, offset, schema->data_size, false, err);
    case CYAML_MAPPING:
        if ((schema->flags & CYAML_FLAG_POINTER) != 0) {
            return NERO_OK;
        }
        for (const struct cyaml_schema_field *field = schema->mapping.fields;
             field->key != NULL && status == NERO_OK; field++) {
            status = absent_value(absent, &field->value, offset + field->data_offset, err);
        }
        return status;
    case CYAML_SEQUENCE_FIXED:
        if ((schema->flags & CYAML_FLAG_POINTER) != 0) {
            return NERO_OK;
        }
        for (size_t i = 0; i < schema->sequence.max && status == NERO_OK; i++) {
            status =
                absent_value(absent, schema->sequence.entry, offset + i * schema->data_size, err);
        }
        return status;
    default:
        return NERO_OK;
    }
}

/* Scalars. */

static bool is_plain(const yaml_event_t *event)
{
    return event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

static const char *text_of(const yaml_event_t *event)
{
    return (const char *)event->data.scalar.value;
}

/* One spelling a number: -?(0|[1-9][0-9]*). */
static bool is_whole(const char *text)
{
    size_t digits;

    text += *text == '-' ? 1 : 0;
    digits = strspn(text, "0123456789");
    return digits > 0 && text[digits] == 0 && (text[0] != '0' || digits == 1);
}

/* -?digits(.digits)?(e[+-]?digits)? with digits on at least one side of the point. */
static bool is_decimal(const char *text)
{
    size_t before;
    size_t after = 0;

    text += *text == '-' ? 1 : 0;
    before = strspn(text, "0123456789");
    text += before;
    if (*text == '.') {
        after = strspn(text + 1, "0123456789");
        text += 1 + after;
    }
    if (before + after == 0) {
        return false;
    }
    if (*text == 'e' || *text == 'E') {
        text += text[1] == '+' || text[1] == '-' ? 2 : 1;
        after = strspn(text, "0123456789");
        text += after;
        if (after == 0) {
            return false;
        }
    }
    return *text == 0;
}

static enum nero_status check_int(const struct check *check,
                                  const struct cyaml_schema_value *schema, struct nero_err *err)
{
    const char *text = text_of(&check->event);
    int64_t high = (int64_t)(UINT64_MAX >> (65 - 8 * schema->data_size));
    int64_t low = -high - 1;
    long long value = 0;

    errno = 0;
    if (is_plain(&check->event) && is_whole(text)) {
        value = strtoll(text, NULL, 10);
    } else {
        errno = EINVAL;
    }
    if (errno != 0 || value < low || value > high) {
        return refuse(check, line_of(check), err,
                      "'%.80s' is not allowed; expected a whole number from %lld to %lld", text,
                      (long long)low, (long long)high);
    }
    return NERO_OK;
}

static enum nero_status check_uint(const struct check *check,
                                   const struct cyaml_schema_value *schema, struct nero_err *err)
{
    const char *text = text_of(&check->event);
    uint64_t high = UINT64_MAX >> (64 - 8 * schema->data_size);
    unsigned long long value = 0;

    errno = 0;
    if (is_plain(&check->event) && is_whole(text) && text[0] != '-') {
        value = strtoull(text, NULL, 10);
    } else {
        errno = EINVAL;
    }
    if (errno != 0 || value > high) {
        return refuse(check, line_of(check), err,
                      "'%.80s' is not allowed; expected a whole number from 0 to %llu", text,
                      (unsigned long long)high);
    }
    return NERO_OK;
}

static enum nero_status check_float(const struct check *check,
                                    const struct cyaml_schema_value *schema, struct nero_err *err)
{
    const char *text = text_of(&check->event);
    double high = schema->data_size == sizeof(float) ? (double)FLT_MAX : DBL_MAX;

    if (!is_plain(&check->event) || !is_decimal(text) || !(fabs(strtod(text, NULL)) <= high)) {
        return refuse(check, line_of(check), err,
                      "'%.80s' is not allowed; expected a finite decimal number", text);
    }
    return NERO_OK;
}

static enum nero_status check_bool(const struct check *check, struct nero_err *err)
{
    const char *text = text_of(&check->event);

    if (!is_plain(&check->event) || (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)) {
        return refuse(check, line_of(check), err, "'%.80s' is not allowed; expected true or false",
                      text);
    }
    return NERO_OK;
}

static enum nero_status check_string(const struct check *check,
                                     const struct cyaml_schema_value *schema, struct nero_err *err)
{
    const char *text = text_of(&check->event);
    size_t bytes = check->event.data.scalar.length;

    if (strlen(text) != bytes) {
        return refuse(check, line_of(check), err, "a NUL character is not allowed");
    }
    if (bytes < schema->string.min) {
        return refuse(check, line_of(check), err,
                      "'%.80s' is too short; expected at least %u bytes", text, schema->string.min);
    }
    if (bytes > schema->string.max) {
        return refuse(check, line_of(check), err, "'%.80s' is too long; expected at most %u bytes",
                      text, schema->string.max);
    }
    return NERO_OK;
}

static enum nero_status check_enum(const struct check *check,
                                   const struct cyaml_schema_value *schema, struct nero_err *err)
{
    const char *text = text_of(&check->event);
    char allowed[ALLOWED_BYTES] = "";
    size_t used = 0;

    for (uint32_t i = 0; i < schema->enumeration.count; i++) {
        const char *word = schema->enumeration.strings[i].str;

        if (strcmp(text, word) == 0) {
            return NERO_OK;
        }
        if (used < sizeof allowed) {
            used += (size_t)snprintf(allowed + used, sizeof allowed - used, "%s%s",
                                     i > 0 ? ", " : "", word);
        }
    }
    return refuse(check, line_of(check), err, "'%.80s' is not allowed; expected one of: %s", text,
                  allowed);
}

/* Mappings and sequences. */

static const struct cyaml_schema_field *find_field(const struct cyaml_schema_field *fields,
                                                   const char *key)
{
    for (; fields->key != NULL; fields++) {
        if (strcmp(fields->key, key) == 0) {
            return fields;
        }
    }
    return NULL;
}

static enum nero_status refuse_key(const struct check *check,
                                   const struct cyaml_schema_field *fields, struct nero_err *err)
{
    char allowed[ALLOWED_BYTES] = "";
    size_t used = 0;

    for (size_t i = 0; fields[i].key != NULL && used < sizeof allowed; i++) {
        used += (size_t)snprintf(allowed + used, sizeof allowed - used, "%s%s", i > 0 ? ", " : "",
                                 fields[i].key);
    }
    return refuse(check, line_of(check), err, "unknown key '%.80s'; allowed are: %s",
                  text_of(&check->event), allowed);
}

/* lines[i]: where key i was met, from 1; 0 where it was not. */
static enum nero_status check_absent(struct check *check, const struct cyaml_schema_field *fields,
                                     const size_t *lines, size_t line, long offset,
                                     struct nero_err *err)
{
    enum nero_status status = NERO_OK;

    for (size_t i = 0; fields[i].key != NULL && status == NERO_OK; i++) {
        if (lines[i] != 0) {
            continue;
        }
        if ((fields[i].value.flags & CYAML_FLAG_OPTIONAL) == 0) {
            return refuse(check, line, err, "required key '%s' is missing", fields[i].key);
        }
        if (offset != NOT_IN_STRUCT) {
            status = absent_value(check->absent, &fields[i].value,
                                  (size_t)offset + fields[i].data_offset, err);
        }
    }
    return status;
}

static enum nero_status check_mapping(struct check *check, const struct cyaml_schema_value *schema,
                                      long offset, struct nero_err *err)
{
    const struct cyaml_schema_field *fields = schema->mapping.fields;
    size_t lines[CONF_FIELDS_MAX] = {0};
    size_t start = line_of(check);
    enum nero_status status = next(check, err);

    while (status == NERO_OK && check->event.type != YAML_MAPPING_END_EVENT) {
        const struct cyaml_schema_field *field;
        size_t before;

        if (check->event.type != YAML_SCALAR_EVENT) {
            return refuse(check, line_of(check), err, "a key is a word, not a list or mapping");
        }
        field = find_field(fields, text_of(&check->event));
        if (field == NULL) {
            return refuse_key(check, fields, err);
        }
        assert(field - fields < CONF_FIELDS_MAX);
        if (lines[field - fields] != 0) {
            return refuse(check, line_of(check), err, "key '%s' was given before, in line %zu",
                          field->key, lines[field - fields]);
        }
        lines[field - fields] = line_of(check) + 1;
        before = path_extend(check, "%s%s", check->path[0] != 0 ? "." : "", field->key);
        status = next(check, err);
        if (status == NERO_OK) {
            status = check_value(
                check, &field->value,
                offset == NOT_IN_STRUCT ? NOT_IN_STRUCT : offset + (long)field->data_offset, err);
        }
        path_cut(check, before);
        status = status == NERO_OK ? next(check, err) : status;
    }
    return status == NERO_OK ? check_absent(check, fields, lines, start, offset, err) : status;
}

/* CYAML_FLAGS is a list of words, too: its entries are enums. */
static enum nero_status check_sequence(struct check *check, const struct cyaml_schema_value *schema,
                                       long offset, struct nero_err *err)
{
    bool fixed = schema->type == CYAML_SEQUENCE_FIXED;
    uint32_t min = schema->type == CYAML_FLAGS ? 0 : schema->sequence.min;
    uint32_t max = schema->type == CYAML_FLAGS ? UINT32_MAX : schema->sequence.max;
    size_t start = line_of(check);
    enum nero_status status = next(check, err);
    uint32_t count = 0;

    for (; status == NERO_OK && check->event.type != YAML_SEQUENCE_END_EVENT; count++) {
        size_t before;

        if (count >= max) {
            return refuse(check, line_of(check), err, "the list has more than %u entries", max);
        }
        before = path_extend(check, "[%u]", count);
        if (schema->type != CYAML_FLAGS) {
            status = check_value(check, schema->sequence.entry,
                                 offset == NOT_IN_STRUCT || !fixed
                                     ? NOT_IN_STRUCT
                                     : offset + (long)(count * schema->data_size),
                                 err);
        } else if (check->event.type != YAML_SCALAR_EVENT) {
            return refuse(check, line_of(check), err, "expected a word");
        } else {
            status = check_enum(check, schema, err);
        }
        path_cut(check, before);
        status = status == NERO_OK ? next(check, err) : status;
    }
    if (status == NERO_OK && count < min) {
        return refuse(check, start, err, "the list has %u entries; expected at least %u", count,
                      min);
    }
    return status;
}

/* Whatever it is, to its last event. */
static enum nero_status skip_value(struct check *check, struct nero_err *err)
{
    enum nero_status status = NERO_OK;
    size_t depth = 0;

    for (;;) {
        switch (check->event.type) {
        case YAML_MAPPING_START_EVENT:
        case YAML_SEQUENCE_START_EVENT:
            depth++;
            break;
        case YAML_MAPPING_END_EVENT:
        case YAML_SEQUENCE_END_EVENT:
            depth--;
            break;
        default:
            break;
        }
        if (depth == 0) {
            return NERO_OK;
        }
        status = next(check, err);
        if (status != NERO_OK) {
            return status;
        }
    }
}

/* Anchors, aliases and tags would make two readings of one text possible. */
static enum nero_status check_decoration(const struct check *check, struct nero_err *err)
{
    const yaml_event_t *event = &check->event;
    const yaml_char_t *anchor = NULL;
    const yaml_char_t *tag = NULL;

    switch (event->type) {
    case YAML_ALIAS_EVENT:
        return refuse(check, line_of(check), err, "aliases ('*%s') are not supported",
                      (const char *)event->data.alias.anchor);
    case YAML_SCALAR_EVENT:
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
        break;
    case YAML_SEQUENCE_START_EVENT:
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
        break;
    case YAML_MAPPING_START_EVENT:
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
        break;
    default:
        break;
    }
    if (anchor != NULL || tag != NULL) {
        return refuse(check, line_of(check), err, "anchors and tags ('%.80s') are not supported",
                      (const char *)(anchor != NULL ? anchor : tag));
    }
    return NERO_OK;
}

static bool is_null(const struct check *check, const struct cyaml_schema_value *schema)
{
    static const char *const words[] = {"null", "Null", "NULL", "~"};
    const int null_empty = CYAML_FLAG_POINTER_NULL & ~CYAML_FLAG_POINTER;
    const int null_words = CYAML_FLAG_POINTER_NULL_STR & ~CYAML_FLAG_POINTER_NULL;

    if (check->event.type != YAML_SCALAR_EVENT || !is_plain(&check->event)) {
        return false;
    }
    if (((int)schema->flags & null_empty) != 0 && check->event.data.scalar.length == 0) {
        return true;
    }
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (((int)schema->flags & null_words) != 0 &&
            strcmp(text_of(&check->event), words[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* The event that a value of this type begins with, and how to say so. */
static enum nero_status check_start(const struct check *check,
                                    const struct cyaml_schema_value *schema, struct nero_err *err)
{
    yaml_event_type_t wanted = YAML_SCALAR_EVENT;
    const char *what = "a single value";

    if (schema->type == CYAML_MAPPING) {
        wanted = YAML_MAPPING_START_EVENT;
        what = "a mapping (key: value)";
    } else if (schema->type == CYAML_SEQUENCE || schema->type == CYAML_SEQUENCE_FIXED ||
               schema->type == CYAML_FLAGS) {
        wanted = YAML_SEQUENCE_START_EVENT;
        what = "a list";
    }
    if (check->event.type == wanted) {
        return NERO_OK;
    }
    return refuse(check, line_of(check), err, "expected %s, found %s", what,
                  check->event.type == YAML_MAPPING_START_EVENT    ? "a mapping"
                  : check->event.type == YAML_SEQUENCE_START_EVENT ? "a list"
                                                                   : "a single value");
}

/* offset: where the value lies in the top-level struct, or NOT_IN_STRUCT. */
static enum nero_status check_value(struct check *check, const struct cyaml_schema_value *schema,
                                    long offset, struct nero_err *err)
{
    enum nero_status status;

    if (schema->type == CYAML_IGNORE) {
        return skip_value(check, err);
    }
    status = check_decoration(check, err);
    if (status != NERO_OK || is_null(check, schema)) {
        return status;
    }
    status = check_start(check, schema, err);
    if (status != NERO_OK) {
        return status;
    }
    if ((schema->flags & CYAML_FLAG_POINTER) != 0) {
        offset = NOT_IN_STRUCT;
    }
    switch (schema->type) {
    case CYAML_INT:
        return check_int(check, schema, err);
    case CYAML_UINT:
        return check_uint(check, schema, err);
    case CYAML_BOOL:
        return check_bool(check, err);
    case CYAML_FLOAT:
        return check_float(check, schema, err);
    case CYAML_STRING:
        return check_string(check, schema, err);
    case CYAML_ENUM:
        return check_enum(check, schema, err);
    case CYAML_MAPPING:
        return check_mapping(check, schema, offset, err);
    case CYAML_FLAGS:
    case CYAML_SEQUENCE:
    case CYAML_SEQUENCE_FIXED:
        return check_sequence(check, schema, offset, err);
    default:
        assert(!"a type of value that configurations have");
        return NERO_OK;
    }
}

static enum nero_status check_document(struct check *check, const struct cyaml_schema_value *schema,
                                       bool *empty, struct nero_err *err)
{
    /* The pointer at the top is how libcyaml hands out the struct, which has offset 0. */
    struct cyaml_schema_value top = *schema;
    static const size_t none[CONF_FIELDS_MAX];
    enum nero_status status = next(check, err); /* the stream */

    top.flags = CYAML_FLAG_DEFAULT;
    status = status == NERO_OK ? next(check, err) : status;
    if (status != NERO_OK) {
        return status;
    }
    *empty = check->event.type == YAML_STREAM_END_EVENT;
    if (*empty) {
        return check_absent(check, schema->mapping.fields, none, 0, 0, err);
    }
    status = next(check, err);
    status = status == NERO_OK ? check_value(check, &top, 0, err) : status;
    status = status == NERO_OK ? next(check, err) : status; /* the document's end */
    status = status == NERO_OK ? next(check, err) : status;
    if (status == NERO_OK && check->event.type != YAML_STREAM_END_EVENT) {
        return refuse(check, line_of(check), err,
                      "a file holds one document; a second begins here");
    }
    return status;
}

enum nero_status conf_check(const char *name, struct bytes_view text,
                            const struct cyaml_schema_value *schema, struct conf_absent *absent,
                            bool *empty, struct nero_err *err)
{
    struct check check = {.name = name, .absent = absent};
    enum nero_status status;

    if (yaml_parser_initialize(&check.parser) == 0) {
        return err_set(err, NERO_NO_MEMORY, 0, "%s: no memory to read YAML", name);
    }
    yaml_parser_set_input_string(
        &check.parser, text.bytes > 0 ? text.data : (const unsigned char *)"", text.bytes);
    status = check_document(&check, schema, empty, err);
    yaml_event_delete(&check.event);
    yaml_parser_delete(&check.parser);
    return status;
}
