/*
 * s3://: large objects, as parts that are written and ranges that are read several at a time.
 */
#include <assert.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nero/mem.h"
#include "nero/thread.h"
#include "storage_s3.h"

enum {
    PARTS_MAX = 10000,   /* of one upload, S3's limit */
    PARTS_EACH = 2,      /* for each of those that work in parallel, so that they end together */
    PART_FACTOR_MAX = 8, /* parts are at most so many times part_bytes: what a failure repeats */
    PART_TRIES_MAX = 3,
    PART_DELAY_MS = 100, /* before the second try, doubled before the third */
    THREADS_MAX = 16,
    ANSWER_BYTES_MAX = 64 * 1024,
    PART_XML_BYTES = 80 + S3_HTTP_ETAG_BYTES /* of one part in the list that completes them */
};

/* One large transfer. Parts are taken in order by whoever is free. */
struct transfer {
    struct storage_s3 *s3;
    const char *name;
    uint64_t bytes;
    uint64_t part_bytes;
    size_t part_count;
    enum nero_status (*move)(struct transfer *transfer, size_t index, struct nero_err *err);
    /* writing */
    struct storage_s3_upload *upload; /* element i of its ETags is the worker's of part i alone */
    /* reading */
    const char *etag;
    uint64_t offset;
    uint8_t *room;
    /* between the threads */
    atomic_size_t next;
    atomic_bool failed;
    pthread_mutex_t lock; /* guards what follows */
    enum nero_status status;
    struct nero_err err;
};

/* As few requests as keep everybody busy: each costs the server a beginning and an end. */
static uint64_t choose_part_bytes(const struct storage_s3_options *options, uint64_t bytes)
{
    uint64_t share = bytes / (options->parallel * PARTS_EACH);
    uint64_t most = options->part_bytes * PART_FACTOR_MAX;
    uint64_t least = (bytes - 1) / PARTS_MAX + 1;

    share = share < most ? share : most;
    share = share > options->part_bytes ? share : options->part_bytes;
    return share > least ? share : least;
}

static uint64_t part_length(const struct transfer *transfer, size_t index)
{
    uint64_t begin = index * transfer->part_bytes;
    uint64_t left = transfer->bytes - begin;

    return left < transfer->part_bytes ? left : transfer->part_bytes;
}

/* A part changes nothing that anybody sees, so it may be tried again whatever became of it. */
static enum nero_status move_part(struct transfer *transfer, size_t index, struct nero_err *err)
{
    const struct clock_source *clock = transfer->s3->options.client.clock;
    enum nero_status status = NERO_OK;

    for (int try = 0; try < PART_TRIES_MAX; try++) {
        if (try > 0) { /* with jitter, to part those that failed together */
            int64_t delay_ms = (int64_t)PART_DELAY_MS << (try - 1);

            clock_sleep_ms(clock, delay_ms / 2 + randombytes_uniform((uint32_t)delay_ms / 2));
        }
        status = transfer->move(transfer, index, err);
        if (!err_is_retryable(status) || atomic_load(&transfer->failed)) {
            break;
        }
    }
    return status;
}

static void work(void *context)
{
    struct transfer *transfer = context;

    while (!atomic_load(&transfer->failed)) {
        size_t index = atomic_fetch_add(&transfer->next, 1);
        enum nero_status status;
        struct nero_err err;

        if (index >= transfer->part_count) {
            return;
        }
        status = move_part(transfer, index, &err);
        if (status == NERO_OK) {
            continue;
        }
        (void)err_wrap(&err, "part %zu of %zu", index + 1, transfer->part_count);
        (void)pthread_mutex_lock(&transfer->lock);
        if (transfer->status == NERO_OK) {
            transfer->status = status;
            transfer->err = err;
        }
        (void)pthread_mutex_unlock(&transfer->lock);
        atomic_store(&transfer->failed, true);
    }
}

/* Move all parts; the calling thread works too, so no thread is needed for it to go on. */
static enum nero_status move_all(struct transfer *transfer, struct nero_err *err)
{
    struct thread threads[THREADS_MAX] = {0};
    size_t wanted = transfer->s3->options.parallel;
    struct nero_err no_thread;

    wanted = wanted < transfer->part_count ? wanted : transfer->part_count;
    wanted = wanted < THREADS_MAX ? wanted : THREADS_MAX;
    if (pthread_mutex_init(&transfer->lock, NULL) != 0) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for a lock");
    }
    for (size_t i = 1; i < wanted; i++) {
        if (thread_start(&threads[i], "s3-part", work, transfer, &no_thread) != NERO_OK) {
            break;
        }
    }
    work(transfer);
    for (size_t i = 1; i < wanted; i++) {
        thread_join(&threads[i]);
    }
    (void)pthread_mutex_destroy(&transfer->lock);
    if (transfer->status != NERO_OK) {
        *err = transfer->err;
    }
    return transfer->status;
}

/* Reading. */

static enum nero_status get_part(struct transfer *transfer, size_t index, struct nero_err *err)
{
    uint64_t begin = index * transfer->part_bytes;
    struct s3_http_into into = {.room = transfer->room + begin,
                                .bytes = part_length(transfer, index)};
    char match[STORAGE_ETAG_BYTES_MAX + 2];
    char range[STORAGE_S3_RANGE_BYTES];
    struct s3_call call = {.method = "GET",
                           .key = transfer->name,
                           .headers = {{"range", range}, {"if-match", match}},
                           .into = &into};
    struct s3_http_answer answer;
    enum nero_status status;

    storage_s3_range(range, transfer->offset + begin, into.bytes);
    (void)snprintf(match, sizeof match, "\"%s\"", transfer->etag);
    status = s3_client_send(transfer->s3->client, &call, &answer, NULL, err);
    if (status == NERO_OK && strcmp(answer.etag, transfer->etag) != 0) {
        status = err_set(err, NERO_CONFLICT, answer.code, "its ETag is another one by now");
    }
    if (status == NERO_OK && (answer.code != 206 || !answer.has_range ||
                              answer.range_first != transfer->offset + begin ||
                              answer.range_last - answer.range_first + 1 != into.bytes)) {
        status = err_set(err, NERO_CORRUPT, answer.code,
                         "the server answers %d with other bytes than were asked for", answer.code);
    }
    s3_http_answer_fini(&answer);
    /* Absent by now, or shorter: replaced since the first answer, which the next look will show. */
    if (status == NERO_NOT_FOUND || (status == NERO_INVALID && err->system_code == 416)) {
        status = err_set(err, NERO_CONFLICT, err->system_code, "it is another one by now");
    }
    return status;
}

enum nero_status storage_s3_get_ranges(struct storage_s3 *s3, const char *name, const char *etag,
                                       uint64_t offset, uint64_t bytes, uint8_t *room,
                                       struct nero_err *err)
{
    uint64_t part_bytes = choose_part_bytes(&s3->options, bytes);
    struct transfer transfer = {.s3 = s3,
                                .name = name,
                                .bytes = bytes,
                                .part_bytes = part_bytes,
                                .part_count = (size_t)((bytes - 1) / part_bytes + 1),
                                .move = get_part,
                                .etag = etag,
                                .offset = offset,
                                .room = room};

    return move_all(&transfer, err);
}

/* Writing. */

struct bytes_view storage_s3_part(const struct storage_s3_upload *upload, size_t index)
{
    uint64_t begin = index * upload->part_bytes;
    uint64_t left = upload->body.bytes - begin;

    return bytes_view_of(upload->body.data + begin,
                         (size_t)(left < upload->part_bytes ? left : upload->part_bytes));
}

static enum nero_status put_part(struct transfer *transfer, size_t index, struct nero_err *err)
{
    struct storage_s3_upload *upload = transfer->upload;
    char number[24];
    struct s3_call call = {.method = "PUT",
                           .key = upload->name,
                           .query = {{"partNumber", number}, {"uploadId", upload->id}},
                           .body = storage_s3_part(upload, index),
                           .is_write = true};
    struct s3_http_answer answer;
    enum nero_status status;

    if (upload->etags[index][0] != 0) { /* it is there since an earlier try */
        return NERO_OK;
    }
    (void)snprintf(number, sizeof number, "%zu", index + 1);
    status = s3_client_send(transfer->s3->client, &call, &answer, NULL, err);
    if (status == NERO_OK && answer.etag[0] == 0) {
        status = err_set(err, NERO_UNAVAILABLE, answer.code, "a part without an ETag");
    }
    if (status == NERO_OK) {
        memcpy(upload->etags[index], answer.etag, sizeof answer.etag);
    }
    s3_http_answer_fini(&answer);
    return status;
}

static enum nero_status begin_upload(struct storage_s3 *s3, struct storage_s3_upload *upload,
                                     struct nero_err *err)
{
    struct s3_call call = {.method = "POST",
                           .key = upload->name,
                           .query = {{"uploads", ""}},
                           .is_write = true,
                           .body_bytes_max = ANSWER_BYTES_MAX};
    struct s3_http_answer answer;
    enum nero_status status = s3_client_send(s3->client, &call, &answer, NULL, err);

    if (status == NERO_OK) {
        status = s3_xml_upload_id(bytes_as_view(&answer.body), upload->id, err);
    }
    s3_http_answer_fini(&answer);
    return status == NERO_OK ? NERO_OK : err_wrap(err, "begin a multipart upload");
}

/* What completes an upload: every part with the ETag that the server gave it. */
static enum nero_status write_list(const struct storage_s3_upload *upload, struct bytes *list,
                                   struct nero_err *err)
{
    enum nero_status status = bytes_printf(list, err, "<CompleteMultipartUpload>");

    for (size_t i = 0; i < upload->part_count && status == NERO_OK; i++) {
        const char *etag = upload->etags[i];

        if (strpbrk(etag, "<>&") != NULL) {
            return err_set(err, NERO_UNAVAILABLE, 0, "a part's ETag is '%.40s'", etag);
        }
        status = bytes_printf(
            list, err, "<Part><PartNumber>%zu</PartNumber><ETag>\"%s\"</ETag></Part>", i + 1, etag);
    }
    return status == NERO_OK ? bytes_printf(list, err, "</CompleteMultipartUpload>") : status;
}

/*
 * There is no such upload any more: our own request may have been delivered twice, or somebody else
 * has completed the upload that we both went on with. The object's ETag tells.
 */
static enum nero_status settle_completed(struct storage_s3 *s3,
                                         const struct storage_s3_upload *upload,
                                         struct nero_err *err)
{
    char wanted[STORAGE_ETAG_BYTES_MAX];
    struct storage_info info;
    struct nero_err look;

    if (storage_s3_upload_etag(upload, wanted) &&
        storage_s3_look(s3, upload->name, &info, &look) == NERO_OK &&
        strcmp(info.etag, wanted) == 0) {
        return NERO_OK;
    }
    return err->status = NERO_UNKNOWN;
}

static enum nero_status complete_upload(struct storage_s3 *s3,
                                        const struct storage_s3_upload *upload,
                                        struct bytes_view list, struct nero_err *err)
{
    struct s3_call call = {.method = "POST",
                           .key = upload->name,
                           .query = {{"uploadId", upload->id}},
                           .headers = {{upload->creates ? "if-none-match" : NULL, "*"}},
                           .body = list,
                           .is_write = true,
                           .body_bytes_max = ANSWER_BYTES_MAX,
                           .extra_ms = s3->options.complete_ms};
    struct s3_http_answer answer;
    struct s3_xml_error error;
    enum nero_status status = s3_client_send(s3->client, &call, &answer, &error, err);

    if (status == NERO_OK && s3_xml_completed(bytes_as_view(&answer.body), err) != NERO_OK) {
        status = err->status = NERO_UNKNOWN; /* it did answer 200 */
    }
    s3_http_answer_fini(&answer);
    if (status != NERO_OK && strcmp(error.code, "NoSuchUpload") == 0) {
        status = settle_completed(s3, upload, err);
    }
    return status == NERO_OK ? NERO_OK : err_wrap(err, "complete a multipart upload");
}

/* Whatever becomes of it: what is left behind, a later put finds or a lifecycle rule ends. */
static void abort_upload(struct storage_s3 *s3, const struct storage_s3_upload *upload)
{
    struct s3_call call = {.method = "DELETE",
                           .key = upload->name,
                           .query = {{"uploadId", upload->id}},
                           .is_write = true};
    struct s3_http_answer answer;
    struct nero_err ignored;

    (void)s3_client_send(s3->client, &call, &answer, NULL, &ignored);
    s3_http_answer_fini(&answer);
}

/* Parts are no object: until they are completed nothing has taken effect. */
static enum nero_status not_yet(enum nero_status status, struct nero_err *err)
{
    if (status == NERO_UNKNOWN) {
        status = err->status = NERO_UNAVAILABLE;
    }
    return status;
}

/* Send the parts that are missing and complete. */
static enum nero_status put_missing(struct storage_s3 *s3, struct storage_s3_upload *upload,
                                    struct nero_err *err)
{
    struct transfer transfer = {
        .s3 = s3, .part_count = upload->part_count, .move = put_part, .upload = upload};
    struct bytes list;
    enum nero_status status = move_all(&transfer, err);

    bytes_init(&list, upload->part_count * PART_XML_BYTES + 256);
    if (status == NERO_OK) {
        status = write_list(upload, &list, err);
    }
    status = not_yet(status, err);
    if (status == NERO_OK) {
        status = complete_upload(s3, upload, bytes_as_view(&list), err);
    }
    if (status != NERO_OK) {
        abort_upload(s3, upload);
    }
    bytes_fini(&list);
    return status;
}

enum nero_status storage_s3_upload(struct storage_s3 *s3, struct storage_s3_upload *upload,
                                   struct nero_err *err)
{
    enum nero_status status = not_yet(begin_upload(s3, upload, err), err);

    return status == NERO_OK ? put_missing(s3, upload, err) : status;
}

enum nero_status storage_s3_put_parts(struct storage_s3 *s3, const char *name,
                                      struct bytes_view body, struct nero_err *err)
{
    struct storage_s3_upload upload = {
        .name = name, .body = body, .part_bytes = choose_part_bytes(&s3->options, body.bytes)};
    enum nero_status status;
    bool found = false;

    assert(body.bytes > 0);
    upload.part_count = (size_t)((body.bytes - 1) / upload.part_bytes + 1);
    upload.etags = mem_calloc(upload.part_count, sizeof upload.etags[0]);
    if (upload.etags == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for a multipart upload");
    }
    status = storage_s3_find_upload(s3, &upload, &found, err);
    if (status == NERO_OK) {
        status = found ? put_missing(s3, &upload, err) : storage_s3_upload(s3, &upload, err);
    }
    free(upload.etags);
    return status;
}
