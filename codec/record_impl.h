/* What the files of record share. */
#ifndef NERO_RECORD_IMPL_H
#define NERO_RECORD_IMPL_H

#include <msgpack.h>

#include "nero/record.h"
#include "token.h"

/* WRITE: a packer over this record; false where there is nothing to pack. */
bool record_packer(struct record *r, msgpack_packer *packer);

/*
 * READ: look at the next value, which must be of the type wanted. `content` (may be NULL) gets the
 * bytes of a str or bin. False in other modes and after a failure. record_step then accepts it: it
 * is printed if asked for and stepped over.
 */
bool record_take(struct record *r, const char *field, enum token_type want, struct token *token,
                 const uint8_t **content);
void record_step(struct record *r, const char *field, const struct token *token);

/* Print the value just read under the name of its field; nothing where r->json is NULL. */
void record_json_value(struct record *r, const char *field, const struct token *token,
                       const uint8_t *content);
/* Comma and name, before something is printed in the place of a value. */
void record_json_lead(struct record *r, const char *field);
/* Print a text as a JSON string. */
void record_json_text(struct record *r, struct bytes_view text);
void record_json_enter(struct record *r, const char *field, bool list);
void record_json_leave(struct record *r, bool list);

#endif
