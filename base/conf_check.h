/*
 * The strict reading of a configuration's text, before libcyaml fills the struct. Not for other
 * folders.
 */
#ifndef NERO_CONF_CHECK_H
#define NERO_CONF_CHECK_H

#include <stddef.h>

#include "nero/conf.h"

/* Members that the text leaves out and that lie in the top-level struct itself. */
struct conf_absent {
    struct conf_absent_member {
        size_t offset; /* bytes from the start of the struct */
        size_t bytes;
        bool is_text; /* a char * whose text is to be copied */
    } * members;
    size_t count;
    size_t capacity;
};

/*
 * Errors: invalid, no_memory. *empty: there is no document, which libcyaml does not look at.
 * `absent` is filled also on failure; the caller frees its members.
 */
enum nero_status conf_check(const char *name, struct bytes_view text,
                            const struct cyaml_schema_value *schema, struct conf_absent *absent,
                            bool *empty, struct nero_err *err);

#endif
