#include "nero/storage_probe.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "nero/hash.h"
#include "nero/thread.h"
#include "storage_impl.h"

#define ODD_NAME "-._ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/.../-"

enum { NAME_BYTES = 64, KEY_BYTES = 192, BODY_BYTES = 32 };

/* One trial of a store. */
struct trial {
    struct storage *store;
    char folder[NAME_BYTES]; /* "probe/<random>/" */
    struct storage_probe *seen;
    struct nero_err *err;
};

static const char *key_of(const struct trial *trial, const char *name, char key[KEY_BYTES])
{
    (void)snprintf(key, KEY_BYTES, "%s%s", trial->folder, name);
    return key;
}

/* Note the first promise that does not hold. */
static void judge(const struct trial *trial, bool *promise, bool holds, const char *why)
{
    *promise = holds;
    if (!holds && trial->seen->why[0] == 0) {
        (void)snprintf(trial->seen->why, sizeof trial->seen->why, "%s", why);
    }
}

/* Whether the object is `wanted` (NULL: absent). Errors: it could not be read. */
static enum nero_status look(const struct trial *trial, const char *name, const char *wanted,
                             bool *holds)
{
    char key[KEY_BYTES];
    enum nero_status status;
    struct bytes body;

    bytes_init(&body, BODY_BYTES);
    status = storage_get(trial->store, key_of(trial, name, key), &body, NULL, trial->err);
    if (status == NERO_NOT_FOUND) {
        *holds = wanted == NULL;
        status = NERO_OK;
    } else if (status == NERO_OK) {
        *holds = wanted != NULL && bytes_view_equal(bytes_as_view(&body), bytes_view_str(wanted));
    }
    bytes_fini(&body);
    return status;
}

static enum nero_status put(const struct trial *trial, const char *name, const char *body)
{
    char key[KEY_BYTES];

    return storage_put(trial->store, key_of(trial, name, key), bytes_view_str(body), trial->err);
}

static bool can_create(const struct trial *trial)
{
    return (storage_capabilities(trial->store) & STORAGE_CAN_CREATE) != 0;
}

static enum nero_status try_creates(const struct trial *trial)
{
    char key[KEY_BYTES];
    bool first_stays = false;
    enum nero_status second;
    enum nero_status status;

    if (!can_create(trial)) {
        judge(trial, &trial->seen->creates_once, false,
              "it cannot put on the condition of absence");
        return NERO_OK;
    }
    status = storage_put_if_absent(trial->store, key_of(trial, "once", key),
                                   bytes_view_str("first"), trial->err);
    if (status != NERO_OK) {
        return status;
    }
    second = storage_put_if_absent(trial->store, key, bytes_view_str("second"), trial->err);
    if (second != NERO_OK && second != NERO_EXISTS) {
        return second;
    }
    status = look(trial, "once", "first", &first_stays);
    judge(trial, &trial->seen->creates_once, second == NERO_EXISTS && first_stays,
          second == NERO_OK ? "a second create of the same key succeeds (If-None-Match is ignored)"
                            : "a refused create has changed the object");
    return status;
}

struct racer {
    struct thread thread;
    const struct trial *trial;
    struct thread_monitor *start;
    bool *go; /* guarded by start */
    enum nero_status status;
    char body[BODY_BYTES];
    struct nero_err err;
};

static void race(void *context)
{
    struct racer *racer = context;
    char key[KEY_BYTES];

    thread_monitor_enter(racer->start);
    while (!*racer->go) {
        thread_monitor_wait(racer->start);
    }
    thread_monitor_leave(racer->start);
    racer->status = storage_put_if_absent(racer->trial->store, key_of(racer->trial, "race", key),
                                          bytes_view_str(racer->body), &racer->err);
}

/* Losers may hear exists, or that they should try again (S3's 409). */
static enum nero_status judge_race(const struct trial *trial, const struct racer *racers)
{
    const char *winner = NULL;
    unsigned winners = 0;
    bool winner_stays = false;
    enum nero_status status;

    for (size_t i = 0; i < STORAGE_PROBE_RACERS; i++) {
        if (racers[i].status == NERO_OK) {
            winner = racers[i].body;
            winners++;
        } else if (racers[i].status != NERO_EXISTS && !err_is_retryable(racers[i].status)) {
            *trial->err = racers[i].err;
            return racers[i].status;
        }
    }
    if (winners == 0) {
        return err_set(trial->err, NERO_UNAVAILABLE, 0, "of %d creates at once none succeeds",
                       STORAGE_PROBE_RACERS);
    }
    status = look(trial, "race", winner, &winner_stays);
    judge(trial, &trial->seen->race_has_one, winners == 1 && winner_stays,
          winners > 1 ? "of creates at once more than one succeeds"
                      : "the winner of a race of creates is not what is stored");
    return status;
}

static enum nero_status try_race(const struct trial *trial)
{
    struct racer racers[STORAGE_PROBE_RACERS] = {0};
    enum nero_status status = NERO_OK;
    struct thread_monitor start;
    bool go = false;

    if (!can_create(trial)) {
        return NERO_OK;
    }
    status = thread_monitor_init(&start, trial->err);
    if (status != NERO_OK) {
        return status;
    }
    for (size_t i = 0; i < STORAGE_PROBE_RACERS && status == NERO_OK; i++) {
        racers[i] = (struct racer){.trial = trial, .start = &start, .go = &go};
        (void)snprintf(racers[i].body, sizeof racers[i].body, "racer %zu", i);
        status = thread_start(&racers[i].thread, "probe", race, &racers[i], trial->err);
    }
    thread_monitor_enter(&start);
    go = true;
    thread_monitor_wake_all(&start);
    thread_monitor_leave(&start);
    for (size_t i = 0; i < STORAGE_PROBE_RACERS; i++) {
        thread_join(&racers[i].thread);
    }
    thread_monitor_fini(&start);
    return status == NERO_OK ? judge_race(trial, racers) : status;
}

/* Whether a listing of the trial's folder has the key. */
static enum nero_status find(const struct trial *trial, const char *name, bool *found)
{
    struct storage_list list = {0};
    char key[KEY_BYTES];
    enum nero_status status = storage_list_page(trial->store, key_of(trial, name, key), NULL,
                                                STORAGE_LIST_PAGE_MAX, &list, trial->err);

    *found = status == NERO_OK && list.count > 0 && strcmp(list.entries[0].key, key) == 0;
    storage_list_fini(&list);
    return status;
}

/* Whether a get and a list both show the object as `wanted` (NULL: absent). */
static enum nero_status look_twice(const struct trial *trial, const char *wanted, bool *read,
                                   bool *listed)
{
    bool read_now = false;
    bool found = false;
    enum nero_status status = look(trial, "seen", wanted, &read_now);

    if (status == NERO_OK) {
        status = find(trial, "seen", &found);
    }
    *read = *read && read_now;
    *listed = *listed && found == (wanted != NULL);
    return status;
}

/* Looked at before each change too, so that a store that keeps answers has some to give again. */
static enum nero_status try_reads(const struct trial *trial)
{
    static const char *const writes[] = {"one", "two"};
    bool read = true;
    bool listed = true;
    char key[KEY_BYTES];
    enum nero_status status = look_twice(trial, NULL, &read, &listed);

    for (size_t i = 0; i < 2 && status == NERO_OK; i++) {
        status = put(trial, "seen", writes[i]);
        if (status == NERO_OK) {
            status = look_twice(trial, writes[i], &read, &listed);
        }
    }
    if (status == NERO_OK) {
        status = storage_remove(trial->store, key_of(trial, "seen", key), trial->err);
    }
    if (status == NERO_OK) {
        status = look_twice(trial, NULL, &read, &listed);
    }
    judge(trial, &trial->seen->reads_writes, read, "a get does not show the write before it");
    judge(trial, &trial->seen->lists_writes, listed, "a list does not show the write before it");
    return status;
}

static enum nero_status try_keys(const struct trial *trial)
{
    bool found = false;
    bool read = false;
    enum nero_status status = put(trial, ODD_NAME, "odd");

    if (status == NERO_OK) {
        status = look(trial, ODD_NAME, "odd", &read);
    }
    if (status == NERO_OK) {
        status = find(trial, ODD_NAME, &found);
    }
    judge(trial, &trial->seen->keeps_odd_keys, read && found,
          "a key of all allowed characters does not come back");
    return status;
}

/* Put, and the ETag that a look and a get then tell; *same: they agree. */
static enum nero_status name_content(const struct trial *trial, const char *body,
                                     struct storage_info *info, bool *same)
{
    struct storage_info read;
    char key[KEY_BYTES];
    struct bytes out;
    enum nero_status status = put(trial, "named", body);

    bytes_init(&out, BODY_BYTES);
    if (status == NERO_OK) {
        status = storage_head(trial->store, key_of(trial, "named", key), info, trial->err);
    }
    if (status == NERO_OK) {
        status = storage_get(trial->store, key, &out, &read, trial->err);
    }
    *same = status == NERO_OK && strcmp(info->etag, read.etag) == 0;
    bytes_fini(&out);
    return status;
}

static enum nero_status try_names(const struct trial *trial)
{
    struct storage_traits *traits = &trial->seen->traits;
    struct storage_info info[2];
    bool same[2] = {false, false};
    enum nero_status status = name_content(trial, "one", &info[0], &same[0]);

    if (status == NERO_OK) {
        status = name_content(trial, "two", &info[1], &same[1]);
    }
    if (status == NERO_OK) {
        status = storage_traits(trial->store, trial->folder, traits, trial->err);
    }
    if (status != NERO_OK) {
        return status;
    }
    judge(trial, &trial->seen->names_content,
          same[0] && same[1] && strcmp(info[0].etag, info[1].etag) != 0 &&
              (!traits->tried || traits->pins_reads),
          "the ETag that it tells of an object is not the one that it takes");
    return NERO_OK;
}

/* Recorded, and no reason to refuse a store: nothing that decides a run replaces by ETag. */
static enum nero_status try_matches(const struct trial *trial)
{
    struct storage *store = trial->store;
    struct storage_probe *seen = trial->seen;
    struct storage_info info;
    char key[KEY_BYTES];
    char absent[KEY_BYTES];
    enum nero_status status = put(trial, "match", "one");

    if ((storage_capabilities(store) & STORAGE_CAN_MATCH) == 0) {
        return NERO_OK;
    }
    if (status == NERO_OK) {
        status = storage_head(store, key_of(trial, "match", key), &info, trial->err);
    }
    if (status != NERO_OK) {
        return status;
    }
    seen->replaces_matched =
        storage_put_if_match(store, key, bytes_view_str("two"), "00000000000000000000000000000000",
                             trial->err) == NERO_CONFLICT &&
        storage_put_if_match(store, key, bytes_view_str("two"), info.etag, trial->err) == NERO_OK;
    seen->misses_matched =
        storage_put_if_match(store, key_of(trial, "absent", absent), bytes_view_str("two"),
                             info.etag, trial->err) == NERO_NOT_FOUND;
    return NERO_OK;
}

/*
 * By name, for a listing may be what does not hold ("absent": there where conditions do not). That
 * some are left is noted and no more: they are in nobody's way.
 */
static bool clean_up(const struct trial *trial)
{
    static const char *const names[] = {"once",  "race",   "seen",  ODD_NAME,
                                        "match", "absent", "named", "traits"};
    enum { COUNT = sizeof names / sizeof names[0] };
    char keys[COUNT][KEY_BYTES];
    const char *list[COUNT];
    struct nero_err left_over;

    for (size_t i = 0; i < COUNT; i++) {
        list[i] = key_of(trial, names[i], keys[i]);
    }
    return storage_remove_many(trial->store, list, COUNT, &left_over) == NERO_OK;
}

enum nero_status storage_probe(struct storage *store, struct storage_probe *out,
                               struct nero_err *err)
{
    static enum nero_status (*const tries[])(const struct trial *) = {
        try_creates, try_race, try_reads, try_keys, try_names, try_matches};
    struct storage_probe seen = {0};
    struct trial trial = {.store = store, .seen = &seen, .err = err};
    enum nero_status status = hash_library_init(err);
    uint8_t random[16];
    char hex[33];

    if (status != NERO_OK) {
        return status;
    }
    randombytes_buf(random, sizeof random);
    bytes_to_hex(hex, random, sizeof random);
    (void)snprintf(trial.folder, sizeof trial.folder, "probe/%s/", hex);
    for (size_t i = 0; i < sizeof tries / sizeof tries[0] && status == NERO_OK; i++) {
        status = tries[i](&trial);
    }
    seen.cleans_up = clean_up(&trial);
    if (status != NERO_OK) {
        return err_wrap(err, "probe of %s", storage_url(store));
    }
    seen.knows_clock = storage_clock_ahead(store, &seen.clock_ahead_ms);
    seen.usable =
        seen.reads_writes && seen.lists_writes && seen.keeps_odd_keys && seen.names_content;
    seen.trusted = seen.usable && seen.creates_once && seen.race_has_one;
    store->probed = true;
    store->seen = seen;
    *out = seen;
    return NERO_OK;
}

const struct storage_probe *storage_probed(const struct storage *store)
{
    return store->probed ? &store->seen : NULL;
}
