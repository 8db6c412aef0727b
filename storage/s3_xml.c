#include "s3_xml.h"

#include <errno.h>
#include <expat.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nero/mem.h"

enum { PATH_BYTES = 256 };

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

struct listing {
    s3_xml_key_fn *each;
    void *context;
    struct s3_xml_page page;
    char key[S3_XML_TEXT_MAX + 1]; /* of the present <Contents> */
    uint64_t bytes;
    bool has_key;
    bool has_bytes;
    bool has_truncated;
    bool has_token;
};

static enum nero_status repeated(const char *path, struct nero_err *err)
{
    return err_set(err, NERO_CORRUPT, 0, "'%s' is repeated", path);
}

static enum nero_status parse_size(const char *path, const char *text, uint64_t *out,
                                   struct nero_err *err)
{
    char *end = NULL;
    uint64_t value;

    errno = 0;
    value = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != 0 || errno != 0) {
        return err_set(err, NERO_CORRUPT, 0, "'%s' is '%.40s', expected a size", path, text);
    }
    *out = value;
    return NERO_OK;
}

static enum nero_status contents_element(struct listing *listing, const char *name,
                                         const char *path, const char *text, struct nero_err *err)
{
    if (strcmp(name, "") == 0) { /* </Contents> */
        if (!listing->has_key || !listing->has_bytes) {
            return err_set(err, NERO_CORRUPT, 0, "a <Contents> without %s",
                           listing->has_key ? "a <Size>" : "a <Key>");
        }
        listing->has_key = listing->has_bytes = false;
        return listing->each(listing->context, listing->key, listing->bytes, err);
    }
    if (strcmp(name, "/Key") == 0) {
        if (listing->has_key) {
            return repeated(path, err);
        }
        listing->has_key = true;
        memcpy(listing->key, text, strlen(text) + 1);
    } else if (strcmp(name, "/Size") == 0) {
        if (listing->has_bytes) {
            return repeated(path, err);
        }
        listing->has_bytes = true;
        return parse_size(path, text, &listing->bytes, err);
    }
    return NERO_OK;
}

static enum nero_status list_element(void *context, const char *path, const char *text,
                                     struct nero_err *err)
{
    static const char contents[] = "/ListBucketResult/Contents";
    struct listing *listing = context;

    if (strncmp(path, contents, sizeof contents - 1) == 0) {
        return contents_element(listing, path + sizeof contents - 1, path, text, err);
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
    struct listing *listing = mem_calloc(1, sizeof *listing);
    enum nero_status status;

    if (listing == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for a listing");
    }
    listing->each = each;
    listing->context = context;
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
