/*
 * Whether a store keeps its promises, tried before a run is built on it: many stores that speak S3
 * accept a condition and ignore it, or keep it only while nobody else writes.
 *
 * Works on every kind of store. Objects are made below probe/ under a random name and are removed.
 */
#ifndef NERO_STORAGE_PROBE_H
#define NERO_STORAGE_PROBE_H

#include "nero/storage.h"

enum { STORAGE_PROBE_RACERS = 16, STORAGE_PROBE_WHY_BYTES = 256 };

/*
 * Each is what was seen, not what was promised. Creates and races decide whether several writers
 * can be kept apart by the store; the rest up to names_content whether it can be used at all.
 */
struct storage_probe {
    bool creates_once;     /* a second create is refused, and the first one's bytes stay */
    bool race_has_one;     /* of STORAGE_PROBE_RACERS creates at once exactly one succeeds */
    bool reads_writes;     /* a get after a put, a replace and a remove shows it */
    bool lists_writes;     /* a list after a put and a remove shows it */
    bool keeps_odd_keys;   /* a key of all allowed characters comes back as it went */
    bool names_content;    /* an ETag stays while the object does, and pins reads */
    bool replaces_matched; /* put_if_match: the right ETag replaces, another conflicts */
    bool misses_matched;   /* put_if_match of an absent key is not_found */
    bool cleans_up;        /* the objects of the trial could be removed */
    struct storage_traits traits;
    bool knows_clock;
    int64_t clock_ahead_ms;            /* the store's against ours */
    bool usable;                       /* reads, lists, odd keys and ETags hold */
    bool trusted;                      /* usable, and creates and races hold */
    char why[STORAGE_PROBE_WHY_BYTES]; /* the first that does not, or "" */
};

/*
 * Try `store`. ok: *out says what was seen, also of a store that is not to be trusted.
 * Errors: those of the operations, where the store could not be judged (unavailable, denied, ...).
 * Thread: nobody else uses `store` meanwhile.
 */
enum nero_status storage_probe(struct storage *store, struct storage_probe *out,
                               struct nero_err *err);

/* What the last storage_probe of this open store saw; NULL: there was none. */
const struct storage_probe *storage_probed(const struct storage *store);

#endif
