/* Objects that are named by the hash of their bytes, read piece by piece. */
#include <inttypes.h>

#include "nero/clock.h"
#include "nero/storage.h"

/*
 * A piece is small enough for a slow link to show that it moves, and grows while a link is fast, so
 * that round trips do not hold it up (and s3:// reads a large piece over several connections).
 */
enum { PIECE_BYTES_FIRST = 1 << 20, PIECE_BYTES_MAX = 1 << 28 };
#define PIECE_SECONDS 1.0

static enum nero_status refuse(struct bytes *out, size_t before, enum nero_status status,
                               const char *key, const char *why, struct nero_err *err)
{
    out->bytes = before;
    return err_set(err, status, 0, "get '%s': %s", key, why);
}

enum nero_status storage_get_content(struct storage *store, const char *key,
                                     const struct hash *content, uint64_t bytes_max,
                                     const struct storage_progress *progress, struct bytes *out,
                                     struct nero_err *err)
{
    const struct clock_source *clock = clock_system();
    uint64_t piece = PIECE_BYTES_FIRST;
    size_t before = out->bytes;
    struct hash_state state;
    struct hash found;
    uint64_t wanted;
    uint64_t got;

    hash_begin(&state);
    do {
        uint64_t done = out->bytes - before;
        uint64_t left = bytes_max - done;
        int64_t start_ns = clock_mono_ns(clock);

        wanted =
            piece <= left ? piece : left + 1; /* one more than allowed shows that it is there */
        if (storage_get_range(store, key, done, wanted, out, NULL, err) != NERO_OK) {
            out->bytes = before;
            /* Others were there a moment ago. */
            return done > 0 && err->status == NERO_INVALID
                       ? refuse(out, before, NERO_CORRUPT, key, "it shrank while it was read", err)
                       : err->status;
        }
        got = out->bytes - before - done;
        if (done + got > bytes_max) {
            return refuse(out, before, NERO_TOO_BIG, key, "it is larger than it may be", err);
        }
        hash_update(&state, out->data + before + done, (size_t)got);
        if (progress != NULL) {
            progress->made(progress->context, done + got);
        }
        if (piece < PIECE_BYTES_MAX && clock_seconds_since(clock, start_ns) < PIECE_SECONDS) {
            piece *= 2;
        }
    } while (got == wanted);
    found = hash_end(&state);
    return hash_equal(&found, content)
               ? NERO_OK
               : refuse(out, before, NERO_CORRUPT, key, "it holds other bytes", err);
}
