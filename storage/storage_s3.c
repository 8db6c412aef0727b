/*
 * s3://: a bucket of a service that speaks S3. DESIGN.md says what is assumed of it.
 */
#include "storage_s3.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nero/mem.h"

enum {
    MIB = 1024 * 1024,
    LIST_BODY_MAX = 8 * MIB,    /* 1,000 keys of 1 KiB, escaped, with their owners */
    SMALL_BODY_MAX = 16 * 1024, /* answers without a listing or an object */
    READ_TRIES_MAX = 3,         /* of an object that is replaced while it is read */
    CREATE_BODY_BYTES = 256
};

struct storage_s3_options storage_s3_defaults(void)
{
    return (struct storage_s3_options){.client = {.http = s3_http_defaults(),
                                                  .clock = clock_system(),
                                                  .environment = s3_environment_system()},
                                       .part_bytes = 8 * MIB,
                                       .multipart_bytes = 16 * MIB,
                                       .parallel = 4,
                                       .complete_ms = 120000};
}

void storage_s3_name(const struct storage_s3 *s3, const char *key, char out[STORAGE_S3_NAME_BYTES])
{
    (void)snprintf(out, STORAGE_S3_NAME_BYTES, "%s%s", s3_client_config(s3->client)->prefix, key);
}

void storage_s3_range(char out[STORAGE_S3_RANGE_BYTES], uint64_t offset, uint64_t bytes)
{
    (void)snprintf(out, STORAGE_S3_RANGE_BYTES, "bytes=%llu-%llu", (unsigned long long)offset,
                   (unsigned long long)(offset + bytes - 1));
}

/* Writing. */

/* A put of one request, with one more header where `condition` has a name. */
enum nero_status storage_s3_put_single(struct storage_s3 *s3, const char *key,
                                       struct bytes_view body, struct s3_sign_pair condition,
                                       struct nero_err *err)
{
    char name[STORAGE_S3_NAME_BYTES];
    struct s3_call call = {
        .method = "PUT", .key = name, .headers = {condition}, .body = body, .is_write = true};
    struct s3_http_answer answer;
    enum nero_status status;

    storage_s3_name(s3, key, name);
    status = s3_client_send(s3->client, &call, &answer, NULL, err);
    if (status == NERO_OK && answer.etag[0] == 0) {
        status = err_set(err, NERO_UNKNOWN, answer.code,
                         "the server answers %d without an ETag, which is no answer to a put",
                         answer.code);
    }
    s3_http_answer_fini(&answer);
    return status;
}

static enum nero_status s3_put(void *self, const char *key, struct bytes_view body,
                               struct nero_err *err)
{
    struct storage_s3 *s3 = self;
    char name[STORAGE_S3_NAME_BYTES];

    if (body.bytes <= s3->options.multipart_bytes) {
        return storage_s3_put_single(s3, key, body, (struct s3_sign_pair){0}, err);
    }
    storage_s3_name(s3, key, name);
    return storage_s3_put_parts(s3, name, body, err);
}

static enum nero_status s3_put_if_absent(void *self, const char *key, struct bytes_view body,
                                         struct nero_err *err)
{
    enum nero_status status =
        storage_s3_put_single(self, key, body, (struct s3_sign_pair){"if-none-match", "*"}, err);

    return status == NERO_CONFLICT ? err_set(err, NERO_EXISTS, 412, "it exists") : status;
}

static enum nero_status s3_head(void *self, const char *key, struct storage_info *out,
                                struct nero_err *err);

enum nero_status storage_s3_put_matching(struct storage_s3 *s3, const char *key,
                                         struct bytes_view body, const char *etag,
                                         enum storage_match_form match, struct nero_err *err)
{
    const char *quote = match == STORAGE_MATCH_QUOTED ? "\"" : "";
    char value[STORAGE_ETAG_BYTES_MAX + 2];

    (void)snprintf(value, sizeof value, "%s%s%s", quote, etag, quote);
    return storage_s3_put_single(s3, key, body, (struct s3_sign_pair){"if-match", value}, err);
}

/*
 * A 412 is a conflict only if the object is there with another ETag. With the wanted one the server
 * may want it in the other form.
 */
static enum nero_status resolve_conflict(struct storage_s3 *s3, const char *key,
                                         struct bytes_view body, const char *etag,
                                         enum storage_match_form match, struct nero_err *err)
{
    enum storage_match_form other =
        match == STORAGE_MATCH_BARE ? STORAGE_MATCH_QUOTED : STORAGE_MATCH_BARE;
    struct storage_info info;
    struct nero_err look;
    enum nero_status status = s3_head(s3, key, &info, &look);

    if (status == NERO_NOT_FOUND) {
        return err_set(err, NERO_NOT_FOUND, 404, "there is no such object");
    }
    if (status != NERO_OK || strcmp(info.etag, etag) != 0) {
        return NERO_CONFLICT; /* as `err` says already */
    }
    status = storage_s3_put_matching(s3, key, body, etag, other, err);
    if (status == NERO_OK) {
        atomic_store(&s3->match, other);
    }
    return status;
}

static enum nero_status s3_put_if_match(void *self, const char *key, struct bytes_view body,
                                        const char *etag, struct nero_err *err)
{
    struct storage_s3 *s3 = self;
    enum storage_match_form match = (enum storage_match_form)atomic_load(&s3->match);
    enum nero_status status;

    for (size_t i = 0; etag[i] != 0; i++) { /* it becomes a header */
        if (etag[i] < '!' || etag[i] > '~' || etag[i] == '"' || i + 1 >= STORAGE_ETAG_BYTES_MAX) {
            return err_set(err, NERO_INVALID, 0, "'%.40s' is no ETag", etag);
        }
    }
    status = storage_s3_put_matching(s3, key, body, etag, match, err);
    return status == NERO_CONFLICT ? resolve_conflict(s3, key, body, etag, match, err) : status;
}

enum nero_status storage_s3_remove(void *self, const char *key, struct nero_err *err)
{
    char name[STORAGE_S3_NAME_BYTES];
    struct s3_call call = {.method = "DELETE", .key = name, .is_write = true};
    struct s3_http_answer answer;
    struct storage_s3 *s3 = self;
    enum nero_status status;

    storage_s3_name(s3, key, name);
    status = s3_client_send(s3->client, &call, &answer, NULL, err);
    if (status == NERO_OK && answer.body.bytes > 0) {
        status = err_set(err, NERO_UNKNOWN, answer.code,
                         "the server answers %d with a body, which is no answer to a delete",
                         answer.code);
    }
    s3_http_answer_fini(&answer);
    return status == NERO_NOT_FOUND ? NERO_OK : status;
}

/* Reading. */

/* What is missing, or why it is refused: a body would say, which the answer to a HEAD has not. */
static bool is_unexplained(const struct nero_err *err)
{
    return err->system_code == 404 || err->system_code == 403 || err->system_code == 400;
}

/*
 * A HEAD was refused: a GET of one byte has a body that says why, such as credentials that have to
 * be renewed. ok: the object is there after all.
 */
static enum nero_status ask_again(struct storage_s3 *s3, const char *name, struct nero_err *err)
{
    struct s3_call call = {.method = "GET",
                           .key = name,
                           .headers = {{"range", "bytes=0-0"}},
                           .body_bytes_max = SMALL_BODY_MAX};
    struct s3_http_answer answer;
    enum nero_status status = s3_client_send(s3->client, &call, &answer, NULL, err);

    s3_http_answer_fini(&answer);
    return status == NERO_INVALID && err->system_code == 416 ? NERO_OK : status; /* it is empty */
}

static enum nero_status head_once(struct storage_s3 *s3, const char *name, struct storage_info *out,
                                  struct nero_err *err)
{
    struct s3_call call = {.method = "HEAD", .key = name};
    struct s3_http_answer answer;
    enum nero_status status = s3_client_send(s3->client, &call, &answer, NULL, err);

    if (status == NERO_OK &&
        (answer.code != 200 || answer.etag[0] == 0 || answer.content_bytes < 0)) {
        status = err_set(err, NERO_CORRUPT, answer.code,
                         "the server answers %d without ETag or Content-Length", answer.code);
    }
    if (status == NERO_OK) {
        *out = (struct storage_info){.bytes = (uint64_t)answer.content_bytes};
        memcpy(out->etag, answer.etag, strlen(answer.etag) + 1);
    }
    s3_http_answer_fini(&answer);
    return status;
}

enum nero_status storage_s3_look(struct storage_s3 *s3, const char *name, struct storage_info *out,
                                 struct nero_err *err)
{
    struct storage_info info;

    for (int try = 0; try < READ_TRIES_MAX; try++) {
        enum nero_status status = head_once(s3, name, &info, err);

        if (status == NERO_OK && out != NULL) {
            *out = info;
        }
        if (status == NERO_OK || !is_unexplained(err)) {
            return status;
        }
        status = ask_again(s3, name, err);
        if (status != NERO_OK) {
            return status;
        }
    }
    return err_set(err, NERO_UNAVAILABLE, 404, "it comes and goes");
}

static enum nero_status s3_head(void *self, const char *key, struct storage_info *out,
                                struct nero_err *err)
{
    char name[STORAGE_S3_NAME_BYTES];

    storage_s3_name(self, key, name);
    return storage_s3_look(self, name, out, err);
}

/* What the first request of a read has shown. */
struct first {
    uint64_t object_bytes;
    char etag[STORAGE_ETAG_BYTES_MAX];
};

/* Whether a 2xx is what [offset, offset + asked) was asked for. */
static enum nero_status check_first(const struct s3_http_answer *answer, uint64_t offset,
                                    uint64_t asked, uint64_t wanted, struct first *out,
                                    struct nero_err *err)
{
    uint64_t got = answer->into_bytes;

    if (answer->code == 206 && answer->has_range && answer->range_first == offset &&
        answer->range_last - offset + 1 == got &&
        (got == asked || answer->range_last + 1 == answer->object_bytes)) {
        out->object_bytes = answer->object_bytes;
    } else if (answer->code == 200 && offset == 0 && got <= wanted &&
               answer->content_bytes == (int64_t)got) {
        out->object_bytes = got; /* a server that knows no ranges, or an object shorter than it */
    } else {
        return err_set(err, NERO_CORRUPT, answer->code,
                       "the server answers %d with other bytes than were asked for", answer->code);
    }
    if (answer->etag[0] == 0) {
        return err_set(err, NERO_CORRUPT, answer->code, "the server sends no ETag");
    }
    memcpy(out->etag, answer->etag, strlen(answer->etag) + 1);
    return NERO_OK;
}

/* Append the first bytes of the range, one request. */
static enum nero_status get_first(struct storage_s3 *s3, const char *name, uint64_t offset,
                                  uint64_t wanted, struct bytes *out, struct first *first,
                                  struct nero_err *err)
{
    uint64_t asked = wanted < s3->options.part_bytes ? wanted : s3->options.part_bytes;
    struct s3_http_into into = {
        .out = out, .bytes = out->bytes_max - out->bytes, .timed_bytes = asked};
    char range[STORAGE_S3_RANGE_BYTES];
    struct s3_call call = {
        .method = "GET", .key = name, .headers = {{"range", range}}, .into = &into};
    size_t before = out->bytes;
    struct s3_http_answer answer;
    enum nero_status status;

    storage_s3_range(range, offset, asked);
    status = s3_client_send(s3->client, &call, &answer, NULL, err);
    if (status == NERO_OK) {
        status = check_first(&answer, offset, asked, wanted, first, err);
    }
    s3_http_answer_fini(&answer);
    if (status != NERO_OK) {
        out->bytes = before;
    }
    return status;
}

/* Nothing is at `offset`: it is the object's end, or beyond, or the object is another one by now.
 */
static enum nero_status get_nothing(struct storage_s3 *s3, const char *key, uint64_t offset,
                                    uint64_t bytes, struct storage_info *info, struct nero_err *err)
{
    struct storage_info found;
    enum nero_status status = s3_head(s3, key, &found, err);
    uint64_t cut = 0;

    if (status == NERO_OK) {
        status = storage_cut_range(found.bytes, offset, bytes, &cut, err);
    }
    if (status == NERO_OK && cut > 0) {
        return err_set(err, NERO_CONFLICT, 0, "it was replaced while it was read");
    }
    if (status == NERO_OK && info != NULL) {
        *info = found;
    }
    return status;
}

/* conflict: the object was replaced meanwhile. */
static enum nero_status get_once(struct storage_s3 *s3, const char *key, uint64_t offset,
                                 uint64_t bytes, struct bytes *out, struct storage_info *info,
                                 struct nero_err *err)
{
    char name[STORAGE_S3_NAME_BYTES];
    size_t before = out->bytes;
    struct first first;
    enum nero_status status;
    uint8_t *room;
    uint64_t rest = 0;
    uint64_t got = 0;

    if (bytes == 0 || offset > UINT64_MAX - s3->options.part_bytes) {
        return get_nothing(s3, key, offset, bytes, info, err);
    }
    storage_s3_name(s3, key, name);
    status = get_first(s3, name, offset, bytes, out, &first, err);
    if (status == NERO_INVALID && err->system_code == 416) {
        return get_nothing(s3, key, offset, bytes, info, err);
    }
    if (status == NERO_OK) {
        got = out->bytes - before;
        rest = (bytes < first.object_bytes - offset ? bytes : first.object_bytes - offset) - got;
        status = rest <= SIZE_MAX - out->bytes ? bytes_extend(out, (size_t)rest, &room, err)
                                               : err_set(err, NERO_TOO_BIG, 0, "it has %llu bytes",
                                                         (unsigned long long)first.object_bytes);
    }
    if (status == NERO_OK && rest > 0) {
        status = storage_s3_get_ranges(s3, name, first.etag, offset + got, rest, room, err);
    }
    if (status != NERO_OK) {
        out->bytes = before;
        return status;
    }
    if (info != NULL) {
        *info = (struct storage_info){.bytes = first.object_bytes};
        memcpy(info->etag, first.etag, sizeof info->etag);
    }
    return NERO_OK;
}

static enum nero_status s3_get_range(void *self, const char *key, uint64_t offset, uint64_t bytes,
                                     struct bytes *out, struct storage_info *info,
                                     struct nero_err *err)
{
    for (int try = 0; try < READ_TRIES_MAX; try++) {
        enum nero_status status = get_once(self, key, offset, bytes, out, info, err);

        if (status != NERO_CONFLICT) {
            return status;
        }
    }
    return err_set(err, NERO_UNAVAILABLE, 412, "it was replaced each time while it was read");
}

/* Listing. */

static bool is_key_byte(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '/' || c == '-';
}

/*
 * Up to its first byte that no key has, a beginning is a key's own. What such a byte is does not
 * matter beyond its order, so one is sent in its place that every server takes: '~' is above all
 * key bytes, and nothing at all is below them.
 */
void storage_s3_start_after(const char *start_after, char out[STORAGE_KEY_BYTES_MAX + 2])
{
    size_t i = 0;

    while (i < STORAGE_KEY_BYTES_MAX && is_key_byte((unsigned char)start_after[i])) {
        out[i] = start_after[i];
        i++;
    }
    if (i < STORAGE_KEY_BYTES_MAX && (unsigned char)start_after[i] > '-') {
        unsigned char c = (unsigned char)start_after[i];

        out[i++] = c < '~' && c != '%' ? (char)c : '~';
    }
    out[i] = 0;
}

bool storage_s3_begins_keys(const char *prefix)
{
    size_t i = 0;

    while (i < STORAGE_KEY_BYTES_MAX && is_key_byte((unsigned char)prefix[i])) {
        i++;
    }
    return prefix[i] == 0;
}

struct listing {
    const char *store_prefix;
    size_t store_prefix_bytes;
    struct storage_list raw; /* of one answer, as the server wrote the keys */
};

static enum nero_status add_raw(void *context, const char *key, uint64_t bytes,
                                struct nero_err *err)
{
    struct listing *listing = context;

    return storage_list_add(&listing->raw, STORAGE_LIST_PAGE_MAX, key, bytes, err);
}

/* Move what are keys of this store from one answer to the page. */
static enum nero_status take_keys(struct listing *listing, bool encoded, size_t count_max,
                                  struct storage_list *out, struct nero_err *err)
{
    for (size_t i = 0; i < listing->raw.count; i++) {
        char *name = listing->raw.entries[i].key;
        struct nero_err no_key;
        enum nero_status status;

        if (encoded && !s3_xml_decode_key(name)) {
            return err_set(err, NERO_CORRUPT, 0, "a listed name has a broken escape");
        }
        if (strncmp(name, listing->store_prefix, listing->store_prefix_bytes) != 0) {
            return err_set(err, NERO_CORRUPT, 0, "'%.80s' is listed, which was not asked for",
                           name);
        }
        name += listing->store_prefix_bytes;
        if (storage_check_key(name, &no_key) == NERO_OK) {
            status = storage_list_add(out, count_max, name, listing->raw.entries[i].bytes, err);
            if (status != NERO_OK) {
                return status;
            }
        }
    }
    return NERO_OK;
}

/* One request. `token` is that of the page before, or "", and becomes the next one's. */
static enum nero_status list_request(struct storage_s3 *s3, const char *prefix,
                                     const char *start_after, size_t count_max,
                                     struct s3_xml_page *page, struct storage_list *out,
                                     struct nero_err *err)
{
    const char *store_prefix = s3_client_config(s3->client)->prefix;
    struct listing listing = {.store_prefix = store_prefix,
                              .store_prefix_bytes = strlen(store_prefix)};
    char limit[8];
    struct s3_call call = {.method = "GET",
                           .key = "",
                           .query = {{"list-type", "2"},
                                     {"encoding-type", "url"},
                                     {"max-keys", limit},
                                     {"prefix", prefix},
                                     {"start-after", start_after}},
                           .body_bytes_max = LIST_BODY_MAX};
    struct s3_http_answer answer;
    enum nero_status status;

    (void)snprintf(limit, sizeof limit, "%zu", count_max - out->count);
    if (page->token[0] != 0) {
        call.query[4] = (struct s3_sign_pair){"continuation-token", page->token};
    } else if (start_after[0] == 0) {
        call.query[4] = (struct s3_sign_pair){0};
    }
    status = s3_client_send(s3->client, &call, &answer, NULL, err);
    if (status == NERO_OK) {
        status = s3_xml_list(bytes_as_view(&answer.body), add_raw, &listing, page, err);
    }
    if (status == NERO_OK && listing.raw.count > count_max - out->count) {
        status = err_set(err, NERO_CORRUPT, 0, "more keys are listed than were asked for");
    }
    if (status == NERO_OK) {
        status = take_keys(&listing, page->encoded, count_max, out, err);
    }
    storage_list_fini(&listing.raw);
    s3_http_answer_fini(&answer);
    return status;
}

static enum nero_status list_pages(struct storage_s3 *s3, const char *prefix,
                                   const char *start_after, size_t count_max,
                                   struct storage_list *out, struct nero_err *err)
{
    struct s3_xml_page *page = mem_calloc(1, sizeof *page);
    char *last = mem_calloc(1, sizeof page->token);
    enum nero_status status = NERO_OK;

    if (page == NULL || last == NULL) {
        status = err_set(err, NERO_NO_MEMORY, 0, "no memory for a listing");
    }
    /* Names that are no keys are left out of the page, so it may take several answers to fill. */
    while (status == NERO_OK) {
        memcpy(last, page->token, sizeof page->token);
        status = list_request(s3, prefix, start_after, count_max, page, out, err);
        if (status == NERO_OK && page->truncated && strcmp(last, page->token) == 0) {
            status = err_set(err, NERO_CORRUPT, 0, "the listing does not go on");
        }
        if (status != NERO_OK || !page->truncated || out->count == count_max) {
            break;
        }
    }
    if (status == NERO_OK) {
        out->more = page->truncated;
    }
    free(page);
    free(last);
    return status;
}

static enum nero_status s3_list(void *self, const char *prefix, const char *start_after,
                                size_t count_max, struct storage_list *out, struct nero_err *err)
{
    char after[STORAGE_S3_NAME_BYTES];
    char key[STORAGE_KEY_BYTES_MAX + 2];
    char name[STORAGE_S3_NAME_BYTES];
    struct storage_s3 *s3 = self;

    if (!storage_s3_begins_keys(prefix)) {
        return NERO_OK;
    }
    storage_s3_start_after(start_after, key);
    storage_s3_name(s3, prefix, name);
    after[0] = 0;
    if (key[0] != 0) {
        storage_s3_name(s3, key, after);
    }
    return list_pages(s3, name, after, count_max, out, err);
}

/* Opening. */

static unsigned s3_capabilities(void *self)
{
    (void)self;
    return STORAGE_CAN_CREATE | STORAGE_CAN_MATCH | STORAGE_CAN_MULTIPART;
}

static bool s3_clock_ahead(void *self, int64_t *ahead_ms)
{
    const struct storage_s3 *s3 = self;

    return s3_client_clock_ahead(s3->client, ahead_ms);
}

static void s3_close(void *self)
{
    struct storage_s3 *s3 = self;

    s3_client_close(s3->client);
    free(s3);
}

static enum nero_status create_bucket(struct storage_s3 *s3, struct nero_err *err)
{
    const struct s3_config *config = s3_client_config(s3->client);
    char body[CREATE_BODY_BYTES] = "";
    struct s3_call call = {.method = "PUT", .key = "", .is_write = true};
    struct s3_http_answer answer;
    struct s3_xml_error error;
    enum nero_status status;

    /* us-east-1 is what AWS assumes and must not be named; services of one's own have no places. */
    if (strstr(config->host, ".amazonaws.com") != NULL &&
        strcmp(config->region, "us-east-1") != 0) {
        (void)snprintf(body, sizeof body,
                       "<CreateBucketConfiguration><LocationConstraint>%s</LocationConstraint>"
                       "</CreateBucketConfiguration>",
                       config->region);
    }
    call.body = bytes_view_str(body);
    status = s3_client_send(s3->client, &call, &answer, &error, err);
    s3_http_answer_fini(&answer);
    if (status != NERO_OK && strcmp(error.code, "BucketAlreadyOwnedByYou") == 0) {
        return NERO_OK; /* somebody else of us was quicker */
    }
    return status;
}

/* Whether the bucket is there, by a listing: runners may not ask for more. */
static enum nero_status check_bucket(struct storage_s3 *s3, bool create, struct nero_err *err)
{
    struct s3_call call = {.method = "GET",
                           .key = "",
                           .query = {{"list-type", "2"},
                                     {"max-keys", "1"},
                                     {"prefix", s3_client_config(s3->client)->prefix}},
                           .body_bytes_max = LIST_BODY_MAX};
    struct s3_http_answer answer;
    struct s3_xml_error error;
    enum nero_status status = s3_client_send(s3->client, &call, &answer, &error, err);

    s3_http_answer_fini(&answer);
    if (status != NERO_OK && strcmp(error.code, "NoSuchBucket") == 0) {
        return create ? create_bucket(s3, err)
                      : err_set(err, NERO_NOT_FOUND, 404, "there is no such bucket");
    }
    return status;
}

enum nero_status storage_s3_open_with(const char *url, const struct storage_s3_options *options,
                                      bool create, struct storage **out, struct nero_err *err)
{
    static const struct storage_ops ops = {
        .name = "s3",
        .put = s3_put,
        .put_if_absent = s3_put_if_absent,
        .put_if_match = s3_put_if_match,
        .get_range = s3_get_range,
        .head = s3_head,
        .list = s3_list,
        .remove = storage_s3_remove,
        .remove_many = storage_s3_remove_many,
        .traits = storage_s3_traits,
        .capabilities = s3_capabilities,
        .clock_ahead = s3_clock_ahead,
        .close = s3_close,
    };
    struct storage_s3 *s3 = mem_calloc(1, sizeof *s3);
    enum nero_status status;

    if (s3 == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "store '%s': no memory", url);
    }
    s3->options = *options;
    atomic_init(&s3->match, STORAGE_MATCH_BARE);
    status = hash_library_init(err);
    if (status == NERO_OK) {
        status = s3_client_open(url, url + strlen("s3://"), &options->client, &s3->client, err);
    }
    if (status == NERO_OK) {
        status = check_bucket(s3, create, err);
    }
    if (status == NERO_OK) {
        status = storage_from_ops(&ops, s3, url, out, err);
    } else if (strncmp(err->message, "store '", 7) != 0) {
        status = err_wrap(err, "store '%s'", url);
    }
    if (status != NERO_OK) {
        s3_close(s3);
    }
    return status;
}

enum nero_status storage_s3_open(const char *url, const char *place, bool create,
                                 struct storage **out, struct nero_err *err)
{
    struct storage_s3_options options = storage_s3_defaults();

    (void)place;
    return storage_s3_open_with(url, &options, create, out, err);
}
