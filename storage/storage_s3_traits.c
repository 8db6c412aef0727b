/*
 * s3://: what services that speak S3 do differently, tried on the one at hand.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nero/mem.h"
#include "storage_s3.h"

enum {
    KEY_BYTES = 192,
    PART_BYTES_MIN = 5 * 1024 * 1024 /* S3's, of every part but the last */
};

#define NO_ETAG "00000000000000000000000000000000"

/* Read the object bound to an ETag. *answered: with its bytes; else it was refused, or garbled. */
static enum nero_status read_pinned(struct storage_s3 *s3, const char *name, const char *etag,
                                    struct bytes_view body, bool *answered, struct nero_err *err)
{
    uint8_t room[16];
    enum nero_status status = storage_s3_get_ranges(s3, name, etag, 0, body.bytes, room, err);

    *answered = status == NERO_OK && memcmp(room, body.data, body.bytes) == 0;
    return status == NERO_CONFLICT || status == NERO_CORRUPT ? NERO_OK : status;
}

static enum nero_status try_pins(struct storage_s3 *s3, const char *key, bool *pins,
                                 struct nero_err *err)
{
    struct bytes_view body = bytes_view_str("pinned");
    char name[STORAGE_S3_NAME_BYTES];
    struct storage_info info;
    bool right = false;
    bool wrong = false;
    enum nero_status status = storage_s3_put_single(s3, key, body, (struct s3_sign_pair){0}, err);

    storage_s3_name(s3, key, name);
    if (status == NERO_OK) {
        status = storage_s3_look(s3, name, &info, err);
    }
    if (status == NERO_OK) {
        status = read_pinned(s3, name, info.etag, body, &right, err);
    }
    if (status == NERO_OK) {
        status = read_pinned(s3, name, NO_ETAG, body, &wrong, err);
    }
    *pins = right && !wrong;
    return status;
}

/* Whether the right ETag replaces in this form; the object at `key` is there. */
static enum nero_status try_form(struct storage_s3 *s3, const char *key, const char *body,
                                 enum storage_match_form form, bool *replaces, struct nero_err *err)
{
    char name[STORAGE_S3_NAME_BYTES];
    struct storage_info info;
    enum nero_status status;

    storage_s3_name(s3, key, name);
    status = storage_s3_look(s3, name, &info, err);
    if (status != NERO_OK) {
        return status;
    }
    status = storage_s3_put_matching(s3, key, bytes_view_str(body), info.etag, form, err);
    *replaces = status == NERO_OK;
    return err_is_retryable(status) ? status : NERO_OK; /* a refusal of any kind */
}

/* Both, and which of them later replaces try first. */
static enum nero_status try_forms(struct storage_s3 *s3, const char *key,
                                  enum storage_match_form *forms, struct nero_err *err)
{
    bool bare = false;
    bool quoted = false;
    enum nero_status status = try_form(s3, key, "bare", STORAGE_MATCH_BARE, &bare, err);

    if (status == NERO_OK) {
        status = try_form(s3, key, "quoted", STORAGE_MATCH_QUOTED, &quoted, err);
    }
    if (status != NERO_OK) {
        return status;
    }
    *forms = bare && quoted ? STORAGE_MATCH_EITHER
             : bare         ? STORAGE_MATCH_BARE
             : quoted       ? STORAGE_MATCH_QUOTED
                            : STORAGE_MATCH_NONE;
    atomic_store(&s3->match, (int)(quoted && !bare ? STORAGE_MATCH_QUOTED : STORAGE_MATCH_BARE));
    return NERO_OK;
}

/* Complete an upload over the object at `key` as if it were new, which must be refused. */
static enum nero_status try_parts(struct storage_s3 *s3, const char *key, bool *creates,
                                  struct nero_err *err)
{
    uint64_t part_bytes =
        s3->options.part_bytes < PART_BYTES_MIN ? s3->options.part_bytes : PART_BYTES_MIN;
    char etags[2][S3_HTTP_ETAG_BYTES] = {{0}};
    char name[STORAGE_S3_NAME_BYTES];
    uint8_t *data = mem_calloc(1, part_bytes + 1);
    struct storage_s3_upload upload = {.name = name,
                                       .body = {data, (size_t)part_bytes + 1},
                                       .part_bytes = part_bytes,
                                       .part_count = 2,
                                       .creates = true,
                                       .etags = etags};
    enum nero_status status;

    if (data == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for a part");
    }
    storage_s3_name(s3, key, name);
    status = storage_s3_upload(s3, &upload, err);
    *creates = status == NERO_CONFLICT;
    free(data);
    return err_is_retryable(status) ? status : NERO_OK;
}

enum nero_status storage_s3_traits(void *self, const char *folder, struct storage_traits *out,
                                   struct nero_err *err)
{
    struct storage_traits seen = {.tried = true};
    struct storage_s3 *s3 = self;
    char key[KEY_BYTES];
    enum nero_status status;

    (void)snprintf(key, sizeof key, "%straits", folder);
    status = try_pins(s3, key, &seen.pins_reads, err);
    if (status == NERO_OK) {
        status = try_forms(s3, key, &seen.match_form, err);
    }
    if (status == NERO_OK) {
        status = try_parts(s3, key, &seen.creates_parts, err);
    }
    if (status == NERO_OK) {
        *out = seen;
    }
    return status;
}
