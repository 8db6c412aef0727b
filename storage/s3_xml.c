#include "s3_xml.h"

#include <errno.h>
#include <expat.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nero/mem.h"

enum { PATH_BYTES = 256, ROW_FIELDS_MAX = 3 };

/* Called at the end of each element with its path ("/Error/Code") and its own text. */
typedef enum nero_status element_fn(void *context, const char *path, const char *text,
                                    struct nero_err *err);

struct document {
    XML_Parser parser;
    const char *root; /* name of the first element */
    element_fn *element;
    void *context;
    struct nero_err *err;
    enum nero_status status; /* first failure */
    size_t elements;
    size_t depth;
    size_t path_bytes;
    size_t text_bytes;
    char path[PATH_BYTES];
    char text[S3_XML_TEXT_MAX + 1];
};

static void stop(struct document *doc, enum nero_status status)
{
    doc->status = status;
    (void)XML_StopParser(doc->parser, XML_FALSE);
}

static void on_start(void *user, const XML_Char *name, const XML_Char **attributes)
{
    struct document *doc = user;
    size_t bytes = strlen(name);

    (void)attributes;
    if (doc->status != NERO_OK) {
        return;
    }
    if (doc->depth == 0 && strcmp(name, doc->root) != 0) {
        stop(doc, err_set(doc->err, NERO_CORRUPT, 0, "the answer is <%.40s>, expected <%s>", name,
                          doc->root));
        return;
    }
    if (doc->depth == S3_XML_DEPTH_MAX || doc->elements == S3_XML_ELEMENTS_MAX ||
        doc->path_bytes + 1 + bytes >= PATH_BYTES) {
        stop(doc, err_set(doc->err, NERO_CORRUPT, 0, "the answer's XML is over its bounds"));
        return;
    }
    doc->depth++;
    doc->elements++;
    doc->path[doc->path_bytes] = '/';
    memcpy(doc->path + doc->path_bytes + 1, name, bytes + 1);
    doc->path_bytes += 1 + bytes;
    doc->text_bytes = 0;
}

static void on_text(void *user, const XML_Char *text, int bytes)
{
    struct document *doc = user;

    if (doc->status != NERO_OK) {
        return;
    }
    if ((size_t)bytes > S3_XML_TEXT_MAX - doc->text_bytes) {
        stop(doc, err_set(doc->err, NERO_CORRUPT, 0, "'%s' has more than %d bytes", doc->path,
                          S3_XML_TEXT_MAX));
        return;
    }
    memcpy(doc->text + doc->text_bytes, text, (size_t)bytes);
    doc->text_bytes += (size_t)bytes;
}

static void on_end(void *user, const XML_Char *name)
{
    struct document *doc = user;
    enum nero_status status;

    if (doc->status != NERO_OK) {
        return;
    }
    doc->text[doc->text_bytes] = 0;
    status = doc->element(doc->context, doc->path, doc->text, doc->err);
    if (status != NERO_OK) {
        stop(doc, status);
        return;
    }
    doc->depth--;
    doc->path_bytes -= 1 + strlen(name);
    doc->path[doc->path_bytes] = 0;
    doc->text_bytes = 0;
}

static void on_doctype(void *user, const XML_Char *name, const XML_Char *system_id,
                       const XML_Char *public_id, int has_internal_subset)
{
    struct document *doc = user;

    (void)name;
    (void)system_id;
    (void)public_id;
    (void)has_internal_subset;
    stop(doc, err_set(doc->err, NERO_CORRUPT, 0, "the answer's XML has a document type"));
}

static enum nero_status parse_failed(const struct document *doc, struct nero_err *err)
{
    enum XML_Error code = XML_GetErrorCode(doc->parser);

    if (doc->status != NERO_OK) {
        return doc->status;
    }
    if (code == XML_ERROR_NO_MEMORY) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for an answer's XML");
    }
    return err_set(err, NERO_CORRUPT, 0, "the answer's XML, line %lu: %s",
                   (unsigned long)XML_GetCurrentLineNumber(doc->parser), XML_ErrorString(code));
}

static enum nero_status parse(struct bytes_view text, const char *root, element_fn *element,
                              void *context, struct nero_err *err)
{
    static const XML_Memory_Handling_Suite memory = {mem_alloc, mem_realloc, free};
    enum nero_status status = NERO_OK;
    struct document *doc;

    if (text.bytes > INT_MAX) {
        return err_set(err, NERO_CORRUPT, 0, "an answer of %zu bytes", text.bytes);
    }
    doc = mem_calloc(1, sizeof *doc);
    if (doc != NULL) {
        doc->parser = XML_ParserCreate_MM("UTF-8", &memory, NULL);
    }
    if (doc == NULL || doc->parser == NULL) {
        free(doc);
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for an answer's XML");
    }
    doc->root = root;
    doc->element = element;
    doc->context = context;
    doc->err = err;
    XML_SetUserData(doc->parser, doc);
    XML_SetElementHandler(doc->parser, on_start, on_end);
    XML_SetCharacterDataHandler(doc->parser, on_text);
    XML_SetStartDoctypeDeclHandler(doc->parser, on_doctype);
    if (XML_Parse(doc->parser, (const char *)text.data, (int)text.bytes, XML_TRUE) !=
        XML_STATUS_OK) {
        status = parse_failed(doc, err);
    }
    XML_ParserFree(doc->parser);
    free(doc);
    return status;
}

/* For messages: cut, and without control characters. */
static void copy_printable(char *out, size_t out_bytes, const char *text)
{
    size_t i = 0;

    for (; text[i] != 0 && i + 1 < out_bytes; i++) {
        out[i] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
    }
    out[i] = 0;
}

static enum nero_status error_element(void *context, const char *path, const char *text,
                                      struct nero_err *err)
{
    struct s3_xml_error *error = context;

    (void)err;
    if (strcmp(path, "/Error/Code") == 0) {
        copy_printable(error->code, sizeof error->code, text);
    } else if (strcmp(path, "/Error/Message") == 0) {
        copy_printable(error->message, sizeof error->message, text);
    } else if (strcmp(path, "/Error/Region") == 0) {
        copy_printable(error->region, sizeof error->region, text);
    }
    return NERO_OK;
}

enum nero_status s3_xml_error(struct bytes_view text, struct s3_xml_error *out,
                              struct nero_err *err)
{
    struct s3_xml_error found = {0};
    enum nero_status status = parse(text, "Error", error_element, &found, err);

    if (status == NERO_OK && found.code[0] == 0) {
        status = err_set(err, NERO_CORRUPT, 0, "an <Error> without a <Code>");
    }
    if (status == NERO_OK) {
        *out = found;
    }
    return status;
}

static enum nero_status repeated(const char *path, struct nero_err *err)
{
    return err_set(err, NERO_CORRUPT, 0, "'%s' is repeated", path);
}

enum nero_status s3_xml_number(const char *text, uint64_t *out, struct nero_err *err)
{
    char *end = NULL;
    uint64_t value;

    errno = 0;
    value = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != 0 || errno != 0) {
        return err_set(err, NERO_CORRUPT, 0, "'%.40s' in an answer's XML is no number", text);
    }
    *out = value;
    return NERO_OK;
}

/* An element that may come any number of times, each with the same fields. */
struct row_kind {
    const char *path;
    const char *fields[ROW_FIELDS_MAX]; /* each must be there once; a NULL ends them */
};

struct row {
    const struct row_kind *kind;
    bool has[ROW_FIELDS_MAX];
    char values[ROW_FIELDS_MAX][S3_XML_TEXT_MAX + 1]; /* "" where the kind has fewer */
};

/* Take the element at `path`, if it is of `row`. *ended: at its end, when `values` are whole. */
static enum nero_status row_element(struct row *row, const char *path, const char *text,
                                    bool *ended, struct nero_err *err)
{
    size_t bytes = strlen(row->kind->path);
    bool is_row = strncmp(path, row->kind->path, bytes) == 0;

    *ended = is_row && path[bytes] == 0;
    for (size_t i = 0; i < ROW_FIELDS_MAX && is_row && row->kind->fields[i] != NULL; i++) {
        const char *field = row->kind->fields[i];

        if (*ended && !row->has[i]) {
            return err_set(err, NERO_CORRUPT, 0, "a '%s' without <%s>", path, field);
        }
        if (path[bytes] == '/' && strcmp(path + bytes + 1, field) == 0) {
            if (row->has[i]) {
                return repeated(path, err);
            }
            row->has[i] = true;
            memcpy(row->values[i], text, strlen(text) + 1);
        }
    }
    if (*ended) {
        memset(row->has, 0, sizeof row->has);
    }
    return NERO_OK;
}

struct listing {
    s3_xml_key_fn *each;
    void *context;
    struct s3_xml_page page;
    struct row contents; /* key, size */
    bool has_truncated;
    bool has_token;
};

static enum nero_status list_element(void *context, const char *path, const char *text,
                                     struct nero_err *err)
{
    struct listing *listing = context;
    uint64_t bytes = 0;
    bool ended;
    enum nero_status status = row_element(&listing->contents, path, text, &ended, err);

    if (status == NERO_OK && ended) {
        status = s3_xml_number(listing->contents.values[1], &bytes, err);
        return status == NERO_OK
                   ? listing->each(listing->context, listing->contents.values[0], bytes, err)
                   : status;
    }
    if (status != NERO_OK) {
        return status;
    }
    if (strcmp(path, "/ListBucketResult/IsTruncated") == 0) {
        if (listing->has_truncated) {
            return repeated(path, err);
        }
        if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0) {
            return err_set(err, NERO_CORRUPT, 0, "'%s' is '%.40s'", path, text);
        }
        listing->has_truncated = true;
        listing->page.truncated = text[0] == 't';
    } else if (strcmp(path, "/ListBucketResult/NextContinuationToken") == 0) {
        if (listing->has_token) {
            return repeated(path, err);
        }
        listing->has_token = text[0] != 0;
        memcpy(listing->page.token, text, strlen(text) + 1);
    } else if (strcmp(path, "/ListBucketResult/EncodingType") == 0) {
        listing->page.encoded = strcmp(text, "url") == 0;
    }
    return NERO_OK;
}

enum nero_status s3_xml_list(struct bytes_view text, s3_xml_key_fn *each, void *context,
                             struct s3_xml_page *out, struct nero_err *err)
{
    static const struct row_kind contents = {"/ListBucketResult/Contents", {"Key", "Size"}};
    struct listing *listing = mem_calloc(1, sizeof *listing);
    enum nero_status status;

    if (listing == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for a listing");
    }
    listing->each = each;
    listing->context = context;
    listing->contents.kind = &contents;
    status = parse(text, "ListBucketResult", list_element, listing, err);
    if (status == NERO_OK && !listing->has_truncated) {
        status = err_set(err, NERO_CORRUPT, 0, "a listing without <IsTruncated>");
    }
    if (status == NERO_OK && listing->page.truncated && !listing->has_token) {
        status = err_set(err, NERO_CORRUPT, 0, "a truncated listing without a token");
    }
    if (status == NERO_OK) {
        *out = listing->page;
    }
    free(listing);
    return status;
}

static enum nero_status upload_element(void *context, const char *path, const char *text,
                                       struct nero_err *err)
{
    char *id = context;

    if (strcmp(path, "/InitiateMultipartUploadResult/UploadId") == 0) {
        if (id[0] != 0) {
            return repeated(path, err);
        }
        if (strlen(text) >= S3_XML_UPLOAD_ID_BYTES) {
            return err_set(err, NERO_CORRUPT, 0, "an upload id of %zu bytes", strlen(text));
        }
        memcpy(id, text, strlen(text) + 1);
    }
    return NERO_OK;
}

enum nero_status s3_xml_upload_id(struct bytes_view text, char out[S3_XML_UPLOAD_ID_BYTES],
                                  struct nero_err *err)
{
    char id[S3_XML_UPLOAD_ID_BYTES] = "";
    enum nero_status status = parse(text, "InitiateMultipartUploadResult", upload_element, id, err);

    if (status == NERO_OK && id[0] == 0) {
        status = err_set(err, NERO_CORRUPT, 0, "a multipart upload without an id");
    }
    if (status == NERO_OK) {
        memcpy(out, id, sizeof id);
    }
    return status;
}

static enum nero_status any_element(void *context, const char *path, const char *text,
                                    struct nero_err *err)
{
    (void)context;
    (void)path;
    (void)text;
    (void)err;
    return NERO_OK;
}

enum nero_status s3_xml_completed(struct bytes_view text, struct nero_err *err)
{
    return parse(text, "CompleteMultipartUploadResult", any_element, NULL, err);
}

/* An answer that is rows of one or two kinds, each given to `each`. */
struct rows {
    struct row rows[2];
    size_t count;
    s3_xml_row_fn *each;
    void *context;
};

static enum nero_status rows_element(void *context, const char *path, const char *text,
                                     struct nero_err *err)
{
    struct rows *rows = context;
    enum nero_status status = NERO_OK;

    for (size_t i = 0; i < rows->count && status == NERO_OK; i++) {
        struct row *row = &rows->rows[i];
        bool ended;

        status = row_element(row, path, text, &ended, err);
        if (status == NERO_OK && ended) {
            const char *values[ROW_FIELDS_MAX] = {row->values[0], row->values[1], row->values[2]};

            status = rows->each(rows->context, values, err);
        }
    }
    return status;
}

static enum nero_status parse_rows(struct bytes_view text, const char *root,
                                   const struct row_kind *kinds, size_t count, s3_xml_row_fn *each,
                                   void *context, struct nero_err *err)
{
    struct rows *rows = mem_calloc(1, sizeof *rows);
    enum nero_status status;

    if (rows == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for an answer");
    }
    for (size_t i = 0; i < count; i++) {
        rows->rows[i].kind = &kinds[i];
    }
    rows->count = count;
    rows->each = each;
    rows->context = context;
    status = parse(text, root, rows_element, rows, err);
    free(rows);
    return status;
}

enum nero_status s3_xml_uploads(struct bytes_view text, s3_xml_row_fn *each, void *context,
                                struct nero_err *err)
{
    static const struct row_kind kind = {"/ListMultipartUploadsResult/Upload", {"Key", "UploadId"}};

    return parse_rows(text, "ListMultipartUploadsResult", &kind, 1, each, context, err);
}

enum nero_status s3_xml_parts(struct bytes_view text, s3_xml_row_fn *each, void *context,
                              struct nero_err *err)
{
    static const struct row_kind kind = {"/ListPartsResult/Part", {"PartNumber", "Size", "ETag"}};

    return parse_rows(text, "ListPartsResult", &kind, 1, each, context, err);
}

enum nero_status s3_xml_deleted(struct bytes_view text, s3_xml_row_fn *each, void *context,
                                struct nero_err *err)
{
    static const struct row_kind kinds[] = {{"/DeleteResult/Deleted", {"Key"}},
                                            {"/DeleteResult/Error", {"Key", "Code"}}};

    return parse_rows(text, "DeleteResult", kinds, 2, each, context, err);
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

bool s3_xml_decode_key(char *key)
{
    char *out = key;

    for (const char *in = key; *in != 0; in++) {
        char c = *in == '+' ? ' ' : *in;

        if (c == '%') {
            int high = hex_digit(in[1]);
            int low = high >= 0 ? hex_digit(in[2]) : -1;

            if (low < 0 || high + low == 0) {
                return false;
            }
            c = (char)(high * 16 + low);
            in += 2;
        }
        *out++ = c;
    }
    *out = 0;
    return true;
}
