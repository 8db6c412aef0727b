/*
 * The audit of what a record accepts though the chain goes on, and of what attempt mode allows:
 * attempts that went on beside each other. They are listed; what is wrong is an attempt that
 * continues nothing, or two that ended differently.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "nero/chain.h"
#include "nero/mem.h"

#include "audit_state.h"

void audit_accept(struct audit *audit, struct audit_job *job,
                  const struct generation_member *member)
{
    bool attempts = trust_run(audit->trust)->store_mode == RUN_ATTEMPTS;

    for (uint32_t i = 0; i < job->end_count && member->has_slot; i++) {
        const struct audit_end *end = &job->ends[i];
        char key[LAYOUT_KEY_BYTES];

        if (!hash_equal(&end->slot, &member->slot) || job->end == end ||
            !(attempts || end->kind == SLOT_FAILED)) {
            continue;
        }
        job->end = end;
        if (!attempts) {
            layout_spec(key, audit->run, &job->id);
            audit_note(audit, key,
                       "the job was opened again when its failure had been recorded; the record "
                       "stands");
        }
    }
}

static bool is_first(const struct chain_entry *entry)
{
    return entry->valid && entry->number == entry->slot.skipped_count;
}

/* What an attempt continues is there, or was damaged since, which is named elsewhere. */
static void check_bases(struct audit *audit, const struct chain *chain, const struct hash *envelope)
{
    uint64_t count = chain_count(chain);
    bool damaged = false;

    for (uint64_t i = 0; i < count; i++) {
        damaged = damaged || !chain_at(chain, i)->valid;
    }
    for (uint64_t i = 0; i < count && !damaged; i++) {
        const struct chain_entry *entry = chain_at(chain, i);
        char key[LAYOUT_KEY_BYTES];

        if (is_first(entry) && !hash_equal(&entry->slot.prev, envelope) &&
            chain_find(chain, &entry->slot.prev) == NULL) {
            chain_key(chain, entry, key);
            audit_say(audit, key, "continues a slot that is missing");
        }
    }
}

/* Finals of one job and one numeric class hold the same outcome. */
static void check_finals(struct audit *audit, const struct audit_job *job,
                         const struct chain *chain)
{
    const struct audit_end *first = NULL;

    for (uint32_t i = 0; i < job->end_count; i++) {
        const struct audit_end *end = &job->ends[i];
        char key[LAYOUT_KEY_BYTES];
        char other[LAYOUT_KEY_BYTES];

        if (end->kind != SLOT_FINAL) {
            continue;
        }
        if (first != NULL && !hash_equal(&first->outcome_bytes, &end->outcome_bytes)) {
            bool same = strcmp(first->outcome.numeric_class, end->outcome.numeric_class) == 0;

            chain_key(chain, chain_find(chain, &end->slot), key);
            chain_key(chain, chain_find(chain, &first->slot), other);
            (same ? audit_say : audit_note)(audit, key,
                                            "its outcome is not that of %s, which ran in %s", other,
                                            same ? "the same class" : "another class");
        }
        first = first != NULL ? first : end;
    }
}

static bool same_row(const struct chain_entry *a, const struct chain_entry *b)
{
    return a->slot.token == b->slot.token && a->slot.nonce == b->slot.nonce;
}

/* Mark what `entry` builds on, itself included; give what its row's first slot continues. */
static const struct chain_entry *mark_row(const struct chain *chain,
                                          const struct chain_entry *entry, bool *marks)
{
    const struct chain_entry *base = NULL;
    uint64_t count = chain_count(chain);

    for (uint64_t i = 0; i < count; i++) {
        const struct chain_entry *other = chain_at(chain, i);

        if (other->valid && same_row(other, entry) && other->number <= entry->number && !marks[i]) {
            marks[i] = true;
            base = is_first(other) ? chain_find(chain, &other->slot.prev) : base;
        }
    }
    return base;
}

/* Work that neither the slot in force nor, before there is one, the best checkpoint builds on. */
static void list_forks(struct audit *audit, const struct chain *chain, const bool *marks)
{
    const struct chain_entry *told = NULL;
    uint64_t count = chain_count(chain);

    for (uint64_t i = 0; i < count; i++) {
        const struct chain_entry *entry = chain_at(chain, i);
        char key[LAYOUT_KEY_BYTES];

        if (entry->valid && !entry->by_scheduler && !marks[i] &&
            entry->slot.kind != SLOT_TAKEOVER && (told == NULL || !same_row(told, entry))) {
            chain_key(chain, entry, key);
            audit_note(audit, key, "fork: %s, which the end in force does not build on",
                       slot_kind_name(entry->slot.kind));
            told = entry;
        }
    }
}

enum nero_status audit_forks(struct audit *audit, const struct audit_job *job,
                             const struct chain *chain, const struct hash *envelope,
                             struct nero_err *err)
{
    const struct chain_entry *entry =
        job->end != NULL ? chain_find(chain, &job->end->slot) : chain_checkpoint(chain, NULL);
    bool *marks = mem_calloc(chain_count(chain) + 1, sizeof *marks);

    if (marks == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for the slots of a job");
    }
    while (entry != NULL) {
        entry = mark_row(chain, entry, marks);
    }
    check_bases(audit, chain, envelope);
    check_finals(audit, job, chain);
    list_forks(audit, chain, marks);
    free(marks);
    return NERO_OK;
}
