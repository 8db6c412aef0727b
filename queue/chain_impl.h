/*
 * What the chain's files share. The rules are numbered in queue/DESIGN.md.
 */
#ifndef NERO_CHAIN_IMPL_H
#define NERO_CHAIN_IMPL_H

#include "nero/chain.h"

/* An entry with what only the chain itself wants to know. */
struct chain_record {
    struct chain_entry entry; /* first: chain_at hands this out */
    struct bytes stored;
    bool authentic; /* signed by somebody of this run, about this job and number */
    bool control;   /* the scheduler's failed, cancelled, reopened: no owner's slot */
    bool own;       /* appended through this chain */
};

struct chain {
    struct storage *store;
    struct trust *trust;
    const char *run;
    struct hash job;
    struct hash job_stored; /* hash of the job's envelope */
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
};

void chain_record_destroy(struct chain_record *record);

/*
 * A record of stored bytes, judged: authentic or with its fault. Owns: takes `stored` always.
 * Errors: only where it could not be judged (an outage, no memory), never for damage.
 */
enum nero_status chain_judge(struct chain *chain, uint64_t number, struct bytes *stored,
                             struct chain_record **out, struct nero_err *err);

/* Why an authentic record may not be the chain's next; NULL when it may. */
const char *chain_refuse(const struct chain *chain, const struct chain_record *record);

/* Append a judged record to the chain as read. Owns: takes `record` always. */
enum nero_status chain_admit(struct chain *chain, struct chain_record *record,
                             struct nero_err *err);

/* Read slot `number` and judge it. Errors: not_found; as chain_judge. */
enum nero_status chain_load(struct chain *chain, uint64_t number, struct chain_record **out,
                            struct nero_err *err);

#endif
