/*
 * Configuration files: one YAML document into a struct, by a libcyaml schema.
 *
 * Stricter than libcyaml and YAML themselves, so that a typing error never becomes a value: refused
 * are unknown, repeated and missing keys, a second document, anchors, aliases and tags; booleans
 * other than true and false; numbers in quotes, with leading zeros, in hex, with a rest ("1.5" for
 * a whole number, "3abc") or out of the member's range; inf and nan. Every error names the file,
 * the line, the key with its path ("search.phases[2].name") and what is allowed.
 *
 * A schema is a table of CYAML_FIELD_* (libcyaml's cyaml.h); its top level is a mapping with
 * CYAML_FLAG_POINTER. Bit fields are not supported, and a mapping has at most CONF_FIELDS_MAX keys.
 */
#ifndef NERO_CONF_H
#define NERO_CONF_H

#include <cyaml/cyaml.h>

#include "nero/bytes.h"
#include "nero/err.h"

enum { CONF_BYTES_MAX = 1024 * 1024, CONF_FIELDS_MAX = 128 };

/*
 * Load `text`; `name` stands for the file in errors.
 *
 * `defaults`, a struct of the schema's type or NULL (zeros), gives the value of each optional key
 * that the text leaves out, also inside embedded mappings. It is read for numbers, booleans, enums,
 * flags and strings; a sequence or a pointer other than a string that is left out is NULL, and
 * entries of a sequence have no defaults.
 *
 * Owns: *out is the caller's, freed by conf_free; defaults are copied.
 * Errors: invalid, too_big (over CONF_BYTES_MAX), no_memory.
 */
enum nero_status conf_load_bytes(const char *name, struct bytes_view text,
                                 const struct cyaml_schema_value *schema, const void *defaults,
                                 void **out, struct nero_err *err);

/* As conf_load_bytes for a file. Errors further: not_found, denied, unavailable. */
enum nero_status conf_load_file(const char *path, const struct cyaml_schema_value *schema,
                                const void *defaults, void **out, struct nero_err *err);

/* Free what a load gave, with everything below it. NULL does nothing. */
void conf_free(const struct cyaml_schema_value *schema, void *loaded);

#endif
