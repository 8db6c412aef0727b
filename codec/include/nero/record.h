/*
 * Stored records: msgpack arrays in fixed order, version first (codec/FORMAT.md).
 *
 * A record lists its fields once, in one function over a struct record, and that list serves three
 * ways: RECORD_CHECK tests the ranges of a struct, RECORD_WRITE tests and packs it, RECORD_READ
 * fills it from bytes. So the writer refuses exactly what the reader refuses. In CHECK and WRITE
 * the pointers given are only read.
 *
 * The first failure sticks: every later call does nothing, so that a list of fields reads as a
 * list. Messages name the record, the field and, in READ, the offset: "slot: blobs[2].hash at byte
 * 123". Status: corrupt in READ, invalid in CHECK and WRITE, version for a newer record, too_big
 * over a limit of bytes, no_memory.
 *
 * Before a byte reaches a field, an allocation-free walker has checked size, depth, declared counts
 * against the bytes that remain, types, minimal lengths and trailing bytes.
 */
#ifndef NERO_RECORD_H
#define NERO_RECORD_H

#include "nero/hash.h"

enum { RECORD_DEPTH_MAX = 12 };

enum record_mode { RECORD_CHECK = 0, RECORD_WRITE = 1, RECORD_READ = 2 };

struct record_place {
    const char *name;
    int64_t index; /* -1: no item of a list */
    bool json_list;
    bool json_any; /* something was printed inside: a comma is due */
};

/* One pass over one record. Only `mode` and `status` are for readers outside record*.c. */
struct record {
    enum record_mode mode;
    enum nero_status status;
    struct nero_err *err; /* borrowed */
    const char *name;     /* of the record, constant */
    struct bytes_view in; /* READ */
    size_t at;            /* READ: offset of the next value */
    struct bytes *out;    /* WRITE */
    size_t out_start;
    size_t out_max;     /* bytes of this record */
    struct bytes *json; /* READ: print fields by name as they pass; or NULL */
    bool json_any;
    /* With json: prints a nested record in place of hex; false: nothing known of it or printed. */
    bool (*expand)(struct record *r, const char *field, struct bytes_view bytes);
    uint32_t depth;
    struct record_place path[RECORD_DEPTH_MAX];
};

/* Begin a pass. `name` is constant text; everything else is borrowed until record_end. */
void record_check_begin(struct record *r, const char *name, struct nero_err *err);
void record_write_begin(struct record *r, const char *name, struct bytes *out, size_t bytes_max,
                        struct nero_err *err);
void record_read_begin(struct record *r, const char *name, struct bytes_view in, size_t bytes_max,
                       struct nero_err *err);

/* End it. On failure a written record is taken back from `out`. */
enum nero_status record_end(struct record *r);

static inline bool record_ok(const struct record *r)
{
    return r->status == NERO_OK;
}
static inline bool record_reading(const struct record *r)
{
    return r->mode == RECORD_READ;
}

/* Fail for a reason that spans fields. `field` may be NULL. */
void record_fail(struct record *r, const char *field, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The record itself: an array of `fields` elements of which the version is the first. */
void record_open(struct record *r, uint32_t version, uint32_t fields);
/* The same for a record of which two versions are known, the newer with one more field. `newer`:
 * the one to write. Returns whether it is, or was found to be, the newer. */
bool record_open_either(struct record *r, uint32_t version, uint32_t fields, bool newer);
void record_close(struct record *r);

/* A nested array of exactly `fields` fields; close with record_leave. */
void record_group(struct record *r, const char *field, uint32_t fields);
/* A nested array of min..max items; say record_item before each; close with record_leave. */
void record_list(struct record *r, const char *field, uint32_t *count, uint32_t min, uint32_t max);
void record_item(struct record *r, uint32_t index);
void record_leave(struct record *r);

/*
 * A value that may be nil. True when it is there: the caller goes on with the value itself. In READ
 * *present is set; false after a failure.
 */
bool record_optional(struct record *r, const char *field, bool *present);

/* A value that is there exactly when other fields say so, else nil. True: go on with the value. */
bool record_when(struct record *r, const char *field, bool wanted);

/* READ only: zeroed memory for the items of a list, owned by the caller; NULL for 0 or on failure.
 */
void *record_alloc(struct record *r, uint32_t count, size_t bytes_each);

/* Integers within [min, max]; enums of the project go through record_u32 (they are unsigned). */
void record_u32(struct record *r, const char *field, uint32_t *value, uint32_t min, uint32_t max);
void record_u64(struct record *r, const char *field, uint64_t *value, uint64_t min, uint64_t max);
void record_i32(struct record *r, const char *field, int32_t *value, int32_t min, int32_t max);
void record_i64(struct record *r, const char *field, int64_t *value, int64_t min, int64_t max);
void record_bool(struct record *r, const char *field, bool *value);

/* Finite, within [min, max]. DBL_MIN and RECORD_BELOW_ONE say "above 0" and "below 1". */
#define RECORD_BELOW_ONE 0x1.fffffffffffffp-1
void record_real(struct record *r, const char *field, double *value, double min, double max);
/* Any value; every NaN is stored as the one quiet NaN 0x7ff8000000000000. */
void record_real_any(struct record *r, const char *field, double *value);

/* 1 to bytes-1 of [A-Za-z0-9._-] in a char[bytes]. */
void record_name(struct record *r, const char *field, char *text, size_t bytes);
/*
 * 0 to bytes-1 bytes of UTF-8 without control characters, in a char[bytes]: words for people.
 * WRITE puts '?' for every byte that READ would refuse, so that no message is ever unwritable.
 */
void record_text(struct record *r, const char *field, char *text, size_t bytes);
/* A document in UTF-8: newline, return and tab are the only control characters. A view. */
void record_document(struct record *r, const char *field, struct bytes_view *text,
                     size_t bytes_max);

/* Exactly `bytes` bytes. */
void record_fixed(struct record *r, const char *field, uint8_t *data, size_t bytes);
void record_hash(struct record *r, const char *field, struct hash *hash);
/* min..max bytes; READ gives a view into the input. */
void record_bin(struct record *r, const char *field, struct bytes_view *data, size_t bytes_min,
                size_t bytes_max);

/* Any stored msgpack that the walker accepts, printed as JSON: bytes as hex, no field names. */
enum nero_status record_print_json(struct bytes_view bytes, struct bytes *out,
                                   struct nero_err *err);

/* Put '?' for every byte of a text that READ would refuse (record_text). */
void record_clean_text(char *text);

/* True when the bytes are UTF-8 without control characters (`lines`: but \n, \r and \t). */
bool record_text_is_clean(struct bytes_view text, bool lines);

#endif
