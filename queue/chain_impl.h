/*
 * What the chain's files share. The rules are numbered in queue/DESIGN.md.
 */
#ifndef NERO_CHAIN_IMPL_H
#define NERO_CHAIN_IMPL_H

#include "nero/chain.h"

struct chain_row;

/* An entry with what only the chain itself wants to know. */
struct chain_record {
    struct chain_entry entry; /* first: chain_at hands this out */
    struct bytes stored;
    const struct chain_row *row;
    uint64_t units; /* attempt mode: done at this checkpoint */
    bool authentic; /* signed by somebody of this run, about this job, row and number */
    bool control;   /* the scheduler's failed, cancelled, reopened: no owner's slot */
    bool own;       /* appended through this chain */
};

/* Slots that are dense from 0. A chain is one row; in attempt mode one for each attempt. */
struct chain_row {
    uint64_t token; /* attempt mode: the row's name; nonce 0: of the scheduler */
    uint64_t nonce;
    struct chain_record **records;
    uint64_t count;
    uint64_t room;
    /* The owner: the highest token of all authentic slots, and its nonce. */
    bool has_owner;
    bool owner_is_control;
    uint64_t owner_token;
    uint64_t owner_nonce;
    /* The time of our first try at a number: a repeated try then has the same bytes. */
    uint64_t try_number;
    int64_t try_wall_ms;
    /* Attempt mode: we write it, so it need not be read; what we put and may have landed. */
    bool ours;
    struct chain_record *pending;
};

struct chain {
    struct storage *store;
    struct trust *trust;
    const char *run;
    bool attempts; /* attempt mode */
    struct hash job;
    struct hash job_stored;  /* hash of the job's envelope */
    struct chain_row **rows; /* in attempt mode by token, the scheduler's last, nonce; else one */
    size_t row_count;
    size_t row_room;
};

void chain_record_destroy(struct chain_record *record);

/* Newest valid slot of a row; NULL: none. */
const struct chain_entry *chain_row_tail(const struct chain_row *row);

/* The row of (token, nonce), made empty where there is none; not in attempt mode: the row. */
enum nero_status chain_row_of(struct chain *chain, uint64_t token, uint64_t nonce,
                              struct chain_row **out, struct nero_err *err);

void chain_slot_key(const struct chain *chain, const struct chain_row *row, uint64_t number,
                    char out[LAYOUT_KEY_BYTES]);

/*
 * A record of stored bytes, judged: authentic or with its fault. Owns: takes `stored` always.
 * Errors: only where it could not be judged (an outage, no memory), never for damage.
 */
enum nero_status chain_judge(struct chain *chain, const struct chain_row *row, uint64_t number,
                             struct bytes *stored, struct chain_record **out, struct nero_err *err);

/* Why an authentic record may not be the row's next; NULL when it may. */
const char *chain_refuse(const struct chain *chain, const struct chain_row *row,
                         const struct chain_record *record);

/* Append a judged record to the row as read. Owns: takes `record` always. */
enum nero_status chain_admit(struct chain *chain, struct chain_row *row,
                             struct chain_record *record, struct nero_err *err);

/* Read slot `number` and judge it. Errors: not_found; as chain_judge. */
enum nero_status chain_load(struct chain *chain, const struct chain_row *row, uint64_t number,
                            struct chain_record **out, struct nero_err *err);

/* Read the slots of a row that others have appended since. */
enum nero_status chain_refresh_row(struct chain *chain, struct chain_row *row,
                                   struct nero_err *err);

/* Steps 1 and 2 of appending, and the making of the row's next record. */
enum nero_status chain_may_append(const struct chain *chain, const struct chain_row *row,
                                  const struct slot *slot, bool control, struct nero_err *err);
enum nero_status chain_make(struct chain *chain, struct chain_row *row, const struct slot *given,
                            bool control, const struct key_pair *signer, struct chain_record **out,
                            struct nero_err *err);

/* The highest token of all authentic slots; 0 without one. */
uint64_t chain_highest_token(const struct chain *chain);

/* Of a control slot: the highest token, or the first of its leader's epoch, which no claim gets. */
uint64_t chain_control_token(const struct chain *chain, const struct slot *slot);

/* ---- attempt mode ---- */

/* Find the rows that others have begun since, and read all that are not ours to their ends. */
enum nero_status chain_attempt_refresh(struct chain *chain, struct nero_err *err);
const struct chain_entry *chain_attempt_terminal(const struct chain *chain);
/* Units done at a checkpoint, 0 where its body does not tell. */
uint64_t chain_attempt_units(const struct slot *slot);
/* What slot 0 of a row continues: its hash. */
struct hash chain_attempt_base(const struct chain *chain, bool control);
/* The row that `slot` goes to; those of others are read to their ends first. */
enum nero_status chain_attempt_row(struct chain *chain, const struct slot *slot, bool control,
                                   struct chain_row **out, struct nero_err *err);
/* Append to the row of our own attempt. */
enum nero_status chain_attempt_append(struct chain *chain, struct chain_row *row,
                                      const struct slot *slot, const struct key_pair *signer,
                                      const struct chain_entry **out, struct nero_err *err);

#endif
