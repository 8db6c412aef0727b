/* Which job is meant, and who named it. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "nero/layout.h"
#include "nero/trust.h"

#include "audit_state.h"
#include "explain.h"
#include "generation_store.h"
#include "place.h"
#include "run_list.h"

enum { CANDIDATES_MAX = 8 /* that an error lists */ };

/* ---- generation records ---- */

/*
 * The furthest record of a generation: it has all members that the ones before it have. *found is
 * false where there is none; one that is not to be believed is told in `fault` and passed over.
 */
static enum nero_status read_furthest(struct storage *store, struct trust *trust, uint32_t lineage,
                                      uint32_t number, char fault[EXPLAIN_TEXT_BYTES], bool *found,
                                      struct generation_stored *out, struct nero_err *err)
{
    static const enum generation_state states[] = {GENERATION_CLOSED, GENERATION_EXTENDING,
                                                   GENERATION_EVALUATED, GENERATION_PROPOSED};

    *found = false;
    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++) {
        enum nero_status status = generation_store_get(store, trust, trust_run(trust)->name,
                                                       lineage, number, states[i], out, err);

        if (status == NERO_OK) {
            *found = true;
            return NERO_OK;
        }
        if (!audit_is_verdict(status)) {
            return status;
        }
        if (status != NERO_NOT_FOUND) {
            (void)snprintf(fault, EXPLAIN_TEXT_BYTES, "%.500s", err->message);
        }
    }
    return NERO_OK;
}

static void note_places(struct explain *explain, const struct generation *generation)
{
    for (uint32_t i = 0; i < generation->member_count; i++) {
        const struct generation_member *member = &generation->members[i];

        if (!member->has_job || !hash_equal(&member->job, &explain->job)) {
            continue;
        }
        if (explain->place_count < EXPLAIN_PLACES_MAX) {
            explain->places[explain->place_count] =
                (struct explain_place){.lineage = generation->lineage,
                                       .generation = generation->number,
                                       .member = i,
                                       .origin = member->origin};
        }
        explain->place_count++;
    }
}

enum nero_status explain_find_places(struct storage *store, struct trust *trust,
                                     struct explain *explain, struct nero_err *err)
{
    const struct run_record *record = trust_run(trust);
    uint32_t lineages = record->strategy != RUN_SINGLE ? record->search.lineages : 0;

    for (uint32_t i = 0; i < lineages; i++) {
        bool found = true;

        for (uint32_t number = 0; found; number++) {
            struct generation_stored stored;
            enum nero_status status =
                read_furthest(store, trust, i, number, explain->place_fault, &found, &stored, err);

            if (status != NERO_OK) {
                return status;
            }
            if (found) {
                note_places(explain, &stored.generation);
                generation_stored_fini(&stored);
            }
        }
    }
    return NERO_OK;
}

/* ---- [LINEAGE.]GENERATION.SLOT ---- */

/* Two or three numbers with points between them; lineage 0 where there are two. */
static bool parse_place(const char *text, uint32_t place[3])
{
    uint32_t count = 0;
    const char *at = text;
    char *end;

    do {
        unsigned long long value = strtoull(at, &end, 10);

        if (*at < '0' || *at > '9' || value > UINT32_MAX || count == 3) {
            return false;
        }
        place[count++] = (uint32_t)value;
        at = end + 1;
    } while (*end == '.');
    if (count == 2) {
        place[2] = place[1];
        place[1] = place[0];
        place[0] = 0;
    }
    return *end == '\0' && count > 1;
}

static enum nero_status find_member(struct storage *store, const char *run, const char *text,
                                    const uint32_t place[3], const struct key_public *root,
                                    struct hash *job, struct nero_err *err)
{
    char fault[EXPLAIN_TEXT_BYTES] = "";
    struct generation_stored stored;
    struct trust *trust;
    bool found = false;
    enum nero_status status = trust_open(store, run, root, &trust, err);

    if (status != NERO_OK) {
        return status;
    }
    status = read_furthest(store, trust, place[0], place[1], fault, &found, &stored, err);
    trust_close(trust);
    if (status != NERO_OK) {
        return status;
    }
    if (!found) {
        return err_set(err, fault[0] != '\0' ? NERO_CORRUPT : NERO_NOT_FOUND, 0,
                       "run %s: lineage %" PRIu32 " has no generation %" PRIu32 "%s%s", run,
                       place[0], place[1], fault[0] != '\0' ? " to believe: " : "", fault);
    }
    if (place[2] >= stored.generation.member_count) {
        status =
            err_set(err, NERO_NOT_FOUND, 0, "run %s: '%s': the generation has slots 0 to %" PRIu32,
                    run, text, stored.generation.member_count - 1);
    } else if (!stored.generation.members[place[2]].has_job) {
        status = err_set(err, NERO_NOT_FOUND, 0, "run %s: '%s' never became a job: %s", run, text,
                         stored.generation.members[place[2]].text);
    } else {
        *job = stored.generation.members[place[2]].job;
    }
    generation_stored_fini(&stored);
    return status;
}

/* ---- the beginning of an id ---- */

struct candidates {
    uint32_t count;
    char run[SLOT_RUN_BYTES]; /* of the first */
    struct hash job;          /* of the first */
    struct hash last;
    char listed[EXPLAIN_TEXT_BYTES];
    size_t digits; /* that are shown */
};

static enum nero_status note_candidate(void *context, const char *key, uint64_t bytes,
                                       struct nero_err *err)
{
    struct candidates *candidates = context;
    size_t used = strlen(candidates->listed);
    struct place place;
    char hex[HASH_HEX_BYTES];

    (void)bytes;
    (void)err;
    if (!place_of(key, &place) ||
        (candidates->count > 0 && hash_equal(&place.hash, &candidates->last))) {
        return NERO_OK; /* the next slot of the same job */
    }
    if (candidates->count == 0) {
        memcpy(candidates->run, place.run, sizeof candidates->run);
        candidates->job = place.hash;
    }
    candidates->last = place.hash;
    hash_to_hex(hex, &place.hash);
    if (candidates->count < CANDIDATES_MAX) {
        (void)snprintf(candidates->listed + used, sizeof candidates->listed - used, "%s%.*s in %s",
                       used > 0 ? ", " : "", (int)candidates->digits, hex, place.run);
    }
    candidates->count++;
    return NERO_OK;
}

/* "runs/<run>/spec/<hh>/" and "runs/<run>/job/" with the beginning behind. */
static void spec_prefix(const char *run, const char *text, char out[LAYOUT_KEY_BYTES])
{
    static const struct hash any;
    char *at;

    layout_spec(out, run, &any);
    *strrchr(out, '/') = '\0';
    at = strrchr(out, '/') + 1;
    (void)snprintf(at, LAYOUT_KEY_BYTES - (size_t)(at - out), "%.2s%s%s", text,
                   strlen(text) > 2 ? "/" : "", strlen(text) > 2 ? text : "");
}

static void chain_prefix(const char *run, const char *text, char out[LAYOUT_KEY_BYTES])
{
    static const struct hash any;
    char *at;

    layout_slot(out, run, &any, 0);
    *strrchr(out, '/') = '\0';
    at = strrchr(out, '/') + 1;
    (void)snprintf(at, LAYOUT_KEY_BYTES - (size_t)(at - out), "%s", text);
}

/* A job is known by its spec; where that is gone, by its slots. */
static enum nero_status list_candidates(struct storage *store, const char *run, const char *text,
                                        struct candidates *candidates, struct nero_err *err)
{
    uint32_t before = candidates->count;
    char prefix[LAYOUT_KEY_BYTES];
    enum nero_status status;

    spec_prefix(run, text, prefix);
    status = storage_list_each(store, prefix, note_candidate, candidates, err);
    if (status == NERO_OK && candidates->count == before) {
        chain_prefix(run, text, prefix);
        status = storage_list_each(store, prefix, note_candidate, candidates, err);
    }
    return status == NERO_OK ? NERO_OK : err_wrap(err, "list %s", prefix);
}

static enum nero_status find_prefix(struct storage *store, const struct run_list *runs,
                                    const char *text, char found[SLOT_RUN_BYTES], struct hash *job,
                                    struct nero_err *err)
{
    struct candidates candidates = {.digits = strlen(text) + 4 > 12 ? strlen(text) + 4 : 12};

    if (text[0] == '\0' || text[strspn(text, "0123456789abcdef")] != '\0' ||
        strlen(text) >= HASH_HEX_BYTES) {
        return err_set(err, NERO_INVALID, 0,
                       "'%.80s' is neither the beginning of a job's id (up to 64 digits 0-9a-f) "
                       "nor [LINEAGE.]GENERATION.SLOT",
                       text);
    }
    for (uint32_t i = 0; i < runs->count; i++) {
        if (list_candidates(store, runs->names[i], text, &candidates, err) != NERO_OK) {
            return err->status;
        }
    }
    if (candidates.count == 0) {
        return err_set(err, NERO_NOT_FOUND, 0, "no job '%s' in %s%s", text,
                       runs->count == 1 ? "run " : "any run of ",
                       runs->count == 1 ? runs->names[0] : storage_url(store));
    }
    if (candidates.count > 1) {
        return err_set(err, NERO_INVALID, 0, "'%s' begins the ids of %" PRIu32 " jobs: %s%s", text,
                       candidates.count, candidates.listed,
                       candidates.count > CANDIDATES_MAX ? ", ..." : "");
    }
    memcpy(found, candidates.run, sizeof candidates.run);
    *job = candidates.job;
    return NERO_OK;
}

/* ---- both ---- */

static enum nero_status find_among(struct storage *store, const struct run_list *runs,
                                   const char *text, const struct key_public *root,
                                   char found[SLOT_RUN_BYTES], struct hash *job,
                                   struct nero_err *err)
{
    uint32_t place[3];

    if (!parse_place(text, place)) {
        return find_prefix(store, runs, text, found, job, err);
    }
    if (runs->count != 1) {
        return err_set(err, NERO_INVALID, 0,
                       "'%s' is a place in a run, and %s holds %" PRIu32 " runs: say --run", text,
                       storage_url(store), runs->count);
    }
    memcpy(found, runs->names[0], SLOT_RUN_BYTES);
    return find_member(store, found, text, place, root, job, err);
}

enum nero_status explain_find_job(struct storage *store, const char *run, const char *text,
                                  const struct key_public *root, char found[SLOT_RUN_BYTES],
                                  struct hash *job, struct nero_err *err)
{
    char name[1][SLOT_RUN_BYTES] = {""};
    struct run_list runs = {.count = 1, .names = name};
    enum nero_status status;

    if (run != NULL) {
        if (layout_check_run(run, err) != NERO_OK) {
            return err_wrap(err, "--run");
        }
        (void)snprintf(name[0], sizeof name[0], "%s", run);
        return find_among(store, &runs, text, root, found, job, err);
    }
    status = run_list_read(store, &runs, err);
    if (status == NERO_OK) {
        status = find_among(store, &runs, text, root, found, job, err);
        run_list_fini(&runs);
    }
    return status;
}
