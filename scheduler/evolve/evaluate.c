#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "evolve/evaluate.h"
#include "evolve/fitness.h"
#include "evolve/select.h"
#include "nero/mem.h"

/* Members with their own events; genotype views still point where the source's do. */
static enum nero_status copy_members(const struct generation *from, uint32_t room,
                                     struct generation *out, struct nero_err *err)
{
    out->members = mem_calloc((size_t)from->member_count + room, sizeof *out->members);
    if (out->members == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "members");
    }
    for (uint32_t i = 0; i < from->member_count; i++) {
        const struct generation_member *member = &from->members[i];
        size_t bytes = member->event_count * sizeof *member->events;
        struct generation_event *events = NULL;

        if (bytes > 0) {
            events = mem_dup(member->events, bytes);
            if (events == NULL) {
                return err_set(err, NERO_NO_MEMORY, 0, "events");
            }
        }
        out->members[i] = *member;
        out->members[i].events = events;
        out->member_count++; /* generation_fini frees what was copied so far */
    }
    return NERO_OK;
}

enum nero_status evaluate_next_record(const struct generation *from, enum generation_state expected,
                                      struct hash from_hash, enum generation_state state,
                                      uint32_t room, struct generation *out, struct nero_err *err)
{
    if (from->state != expected || from->member_count == 0) {
        return err_set(err, NERO_INVALID, 0, "generation %u of lineage %u is %s, not %s",
                       (unsigned)from->number, (unsigned)from->lineage,
                       generation_state_name(from->state), generation_state_name(expected));
    }
    generation_init(out);
    memcpy(out->run, from->run, sizeof out->run);
    out->lineage = from->lineage;
    out->number = from->number;
    out->state = state;
    out->prev = from_hash;
    out->robust = from->robust;
    out->split_seed = from->split_seed;
    if (copy_members(from, room, out, err) != NERO_OK) {
        generation_fini(out);
        return err->status;
    }
    return NERO_OK;
}

static enum nero_status evaluate_member(struct generation_member *member,
                                        const struct evolve_evaluation *evaluation,
                                        struct nero_err *err)
{
    const struct result_outcome *outcome = evaluation->outcome;

    if (!member->has_job) {
        member->verdict = GENERATION_INVALID;
        return NERO_OK;
    }
    member->has_slot = true;
    member->slot = evaluation->slot;
    if (evaluation->failed) {
        member->verdict = GENERATION_FAILED;
        (void)snprintf(member->text, sizeof member->text, "%.*s", (int)sizeof evaluation->text - 1,
                       evaluation->text);
        return NERO_OK;
    }
    if (outcome == NULL || !hash_equal(&outcome->job, &member->job)) {
        return err_set(err, NERO_INVALID, 0, "the outcome is missing or of another job");
    }
    if (outcome->correct > outcome->count || outcome->kept > outcome->correct) {
        return err_set(err, NERO_INVALID, 0, "the outcome's counts contradict each other");
    }
    member->verdict = outcome->ill == RESULT_WELL ? GENERATION_SCORED : GENERATION_ILL_FITTED;
    member->count = outcome->count;
    member->correct = outcome->correct;
    member->kept = outcome->kept;
    if (outcome->ill != RESULT_WELL) {
        (void)snprintf(member->text, sizeof member->text, "%s", result_ill_name(outcome->ill));
    }
    return NERO_OK;
}

enum nero_status evolve_evaluate(const struct evolve_run *run, const struct generation *proposed,
                                 struct hash proposed_hash,
                                 const struct evolve_evaluation *evaluations,
                                 struct generation *out, struct nero_err *err)
{
    const struct run_search *search = &run->record->search;
    struct generation evaluated;

    if (evaluate_next_record(proposed, GENERATION_PROPOSED, proposed_hash, GENERATION_EVALUATED, 0,
                             &evaluated, err) != NERO_OK) {
        return err->status;
    }
    for (uint32_t i = 0; i < evaluated.member_count; i++) {
        struct generation_member *member = &evaluated.members[i];

        if (evaluate_member(member, &evaluations[i], err) != NERO_OK) {
            generation_fini(&evaluated);
            return err_wrap(err, "generation %u of lineage %u, slot %u", (unsigned)proposed->number,
                            (unsigned)proposed->lineage, (unsigned)i);
        }
        member->fitness = fitness_of(search, evaluated.robust, member);
    }
    *out = evaluated;
    return NERO_OK;
}

/* The verdicts of the members that trained on. */
static enum nero_status evaluate_extensions(const struct evolve_run *run,
                                            const struct evolve_evaluation *evaluations,
                                            struct generation *generation, struct nero_err *err)
{
    for (uint32_t i = 0; i < generation->member_count; i++) {
        struct generation_member *member = &generation->members[i];

        if (member->verdict != GENERATION_PENDING) {
            continue;
        }
        if (evaluate_member(member, &evaluations[i], err) != NERO_OK) {
            return err_wrap(err, "generation %u of lineage %u, slot %u",
                            (unsigned)generation->number, (unsigned)generation->lineage,
                            (unsigned)i);
        }
        member->fitness = fitness_of(&run->record->search, generation->robust, member);
    }
    return NERO_OK;
}

static enum nero_status check_previous(const struct generation *last,
                                       const struct generation *previous, struct nero_err *err)
{
    if ((last->number > 0) != (previous != NULL) ||
        (previous != NULL &&
         (previous->state != GENERATION_CLOSED || previous->lineage != last->lineage ||
          previous->number + 1 != last->number))) {
        return err_set(err, NERO_INVALID, 0,
                       "generation %u of lineage %u does not follow the "
                       "record given as the one before it",
                       (unsigned)last->number, (unsigned)last->lineage);
    }
    return NERO_OK;
}

enum nero_status evolve_close(const struct evolve_run *run, const struct generation *last,
                              struct hash last_hash, const struct evolve_evaluation *evaluations,
                              const struct generation *previous, struct generation *out,
                              struct nero_err *err)
{
    const struct run_search *search = &run->record->search;
    bool extending = last->state == GENERATION_EXTENDING;
    uint32_t unused[GENERATION_EXTENSIONS_MAX];
    struct generation closed;

    if (check_previous(last, previous, err) != NERO_OK ||
        evaluate_next_record(last, extending ? GENERATION_EXTENDING : GENERATION_EVALUATED,
                             last_hash, GENERATION_CLOSED, 0, &closed, err) != NERO_OK) {
        return err->status;
    }
    if (extending && evaluate_extensions(run, evaluations, &closed, err) != NERO_OK) {
        generation_fini(&closed);
        return err->status;
    }
    if (!extending && select_extensions(search, last, unused) > 0) {
        generation_fini(&closed);
        return err_set(err, NERO_INVALID, 0,
                       "generation %u of lineage %u is not extended yet: some members have to "
                       "train on before one is selected",
                       (unsigned)last->number, (unsigned)last->lineage);
    }
    closed.selected = select_best(&closed);
    closed.mean_fitness = fitness_mean(search, &closed);
    closed.next_robust = select_next_robust(search, &closed, closed.mean_fitness);
    select_champion(previous, &closed);
    *out = closed;
    return NERO_OK;
}
