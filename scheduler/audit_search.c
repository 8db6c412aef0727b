/*
 * The audit of the search: every generation record of every lineage is computed again from the run
 * record, the record before it and the signed outcomes, and must have the very bytes that are
 * stored.
 *
 * A record that is missing or bad has been named; what hangs on it is taken from the records that
 * follow, so that one damage is one finding and the audit goes on behind it.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "nero/mem.h"

#include "audit_state.h"

/* A stored record. `good`: signed, decoded, in its place; then the rest is filled. */
struct record_read {
    char key[LAYOUT_KEY_BYTES];
    bool good;
    struct bytes stored;
    struct bytes_view payload;
    struct hash hash;
    struct generation generation;
};

/* One generation of one lineage, as stored. */
struct step {
    struct audit *audit;
    uint32_t lineage;
    uint32_t number;
    uint32_t last; /* highest number of this lineage that has an object */
    struct record_read proposed, evaluated, extending, closed;
    struct evolve_evaluation *evaluations; /* by member, extensions too; owned */
    bool told;                             /* ... those of the proposed members are known */
};

/* What a lineage leaves behind for its next generation. */
struct lineage_end {
    uint32_t closed;             /* generations closed, in a dense row */
    bool sound;                  /* all of those records are good */
    struct record_read previous; /* the closed record of the generation before */
    bool has_newest;
    struct hash newest;
};

/* ---- reading ---- */

static void record_read_fini(struct record_read *record)
{
    bytes_fini(&record->stored);
    generation_fini(&record->generation);
    record->good = false;
}

static bool is_at_home(const struct audit *audit, const struct step *step,
                       const struct generation *generation, enum generation_state state)
{
    return strcmp(generation->run, audit->run) == 0 && generation->lineage == step->lineage &&
           generation->number == step->number && generation->state == state;
}

static enum nero_status read_record(struct step *step, enum generation_state state, bool wanted,
                                    struct record_read *out, struct nero_err *err)
{
    struct audit *audit = step->audit;
    struct nero_err reason;
    bool good;
    enum nero_status status;

    memset(out, 0, sizeof *out);
    generation_init(&out->generation);
    bytes_init(&out->stored, GENERATION_BYTES_MAX + ENVELOPE_OVERHEAD_MAX);
    layout_generation(out->key, audit->run, step->lineage, step->number,
                      generation_state_name(state));
    if (!wanted && audit_object(audit, out->key) == NULL) {
        return NERO_OK; /* it has not come to that yet */
    }
    status = audit_read_signed(audit, out->key, "the search went on behind it", ENVELOPE_GENERATION,
                               &out->stored, &out->payload, &good, err);
    if (status != NERO_OK || !good) {
        return status;
    }
    if (generation_decode(out->payload, &out->generation, &reason) != NERO_OK) {
        return audit_judge(audit, out->key, "is no generation record", &reason, err);
    }
    if (!is_at_home(audit, step, &out->generation, state)) {
        audit_say(audit, out->key,
                  "is the record of run %s, lineage %" PRIu32 ", generation %" PRIu32 ", %s",
                  out->generation.run, out->generation.lineage, out->generation.number,
                  generation_state_name(out->generation.state));
        return NERO_OK;
    }
    out->good = true;
    out->hash = hash_of(bytes_as_view(&out->stored));
    audit->report->generations++;
    audit_met(audit, &out->hash);
    return NERO_OK;
}

/* What must be there follows from what comes later. */
static enum nero_status read_step(struct step *step, struct nero_err *err)
{
    char key[LAYOUT_KEY_BYTES];
    bool later = step->number < step->last;
    bool has_closed;
    bool has_evaluated;
    enum nero_status status;

    layout_generation(key, step->audit->run, step->lineage, step->number,
                      generation_state_name(GENERATION_CLOSED));
    has_closed = later || audit_object(step->audit, key) != NULL;
    layout_generation(key, step->audit->run, step->lineage, step->number,
                      generation_state_name(GENERATION_EVALUATED));
    has_evaluated = has_closed || audit_object(step->audit, key) != NULL;
    layout_generation(key, step->audit->run, step->lineage, step->number,
                      generation_state_name(GENERATION_EXTENDING));
    has_evaluated = has_evaluated || audit_object(step->audit, key) != NULL;
    status = read_record(step, GENERATION_PROPOSED, true, &step->proposed, err);
    if (status == NERO_OK) {
        status = read_record(step, GENERATION_EVALUATED, has_evaluated, &step->evaluated, err);
    }
    if (status == NERO_OK) { /* whether it must be there is known once it is computed */
        status = read_record(step, GENERATION_EXTENDING, false, &step->extending, err);
    }
    if (status == NERO_OK) {
        status = read_record(step, GENERATION_CLOSED, has_closed, &step->closed, err);
    }
    return status;
}

/* ---- computing again ---- */

/* The stored payload must be what encoding `computed` gives. */
static enum nero_status compare(struct audit *audit, const struct record_read *stored,
                                const struct generation *computed, struct nero_err *err)
{
    struct bytes encoded;
    enum nero_status status;

    bytes_init(&encoded, GENERATION_BYTES_MAX);
    status = generation_encode(computed, &encoded, err);
    if (status == NERO_OK && !bytes_view_equal(bytes_as_view(&encoded), stored->payload)) {
        audit_compare(audit, stored->key, &stored->generation, computed);
    }
    bytes_fini(&encoded);
    return status;
}

static void name_jobs(struct audit *audit, const char *key, const struct generation *generation)
{
    for (uint32_t i = 0; i < generation->member_count; i++) {
        const struct generation_member *member = &generation->members[i];
        struct audit_job *job = member->has_job ? audit_job(audit, &member->job) : NULL;
        char spec[LAYOUT_KEY_BYTES];

        if (job != NULL) {
            job->named = true;
        } else if (member->has_job && key != NULL) {
            layout_spec(spec, audit->run, &member->job);
            audit_say(audit, spec, "is missing: it is the job of member %" PRIu32 " of %s", i, key);
        }
    }
}

/* Outcome of the member that `closed` selected; *known is false where its job cannot be told. */
static const struct result_outcome *parent_outcome(struct audit *audit,
                                                   const struct generation *closed, bool *known)
{
    const struct generation_member *selected = &closed->members[closed->selected];
    struct audit_job *job = selected->has_job ? audit_job(audit, &selected->job) : NULL;

    *known = true;
    if (!selected->has_job || selected->verdict == GENERATION_FAILED) {
        return NULL;
    }
    if (job != NULL) {
        audit_accept(audit, job, selected);
    }
    *known = job != NULL && job->told && job->end != NULL && job->end->kind == SLOT_FINAL;
    return *known ? &job->end->outcome : NULL;
}

/*
 * Propose again. *computed is false where that is not possible: the record before it is not there,
 * or the parent's outcome; both have been named.
 */
static enum nero_status propose_again(struct audit *audit, uint32_t lineage, uint32_t number,
                                      const struct lineage_end *end, const char *key,
                                      struct evolve_proposal *out, bool *computed,
                                      struct nero_err *err)
{
    const struct generation *previous = number > 0 ? &end->previous.generation : NULL;
    struct hash prev = number > 0 ? end->previous.hash : audit->evolve.record_hash;
    const struct result_outcome *outcome = NULL;
    struct nero_err reason;
    bool known = true;
    enum nero_status status;

    *computed = false;
    if (number > 0 && (!end->previous.good || previous->selected >= previous->member_count)) {
        return NERO_OK;
    }
    if (number > 0) {
        outcome = parent_outcome(audit, previous, &known);
    }
    if (!known) {
        return NERO_OK;
    }
    status = evolve_propose(&audit->evolve, lineage, number, previous, prev, outcome, out, &reason);
    *computed = status == NERO_OK;
    if (*computed || (key == NULL && audit_is_verdict(status))) {
        return NERO_OK;
    }
    return audit_judge(audit, key != NULL ? key : "", "cannot be computed again", &reason, err);
}

static enum nero_status check_proposed(struct step *step, const struct lineage_end *end,
                                       struct nero_err *err)
{
    struct audit *audit = step->audit;
    struct evolve_proposal proposal;
    bool computed;
    enum nero_status status =
        propose_again(audit, step->lineage, step->number, end,
                      step->proposed.good ? step->proposed.key : NULL, &proposal, &computed, err);

    if (status != NERO_OK) {
        return status;
    }
    if (step->proposed.good) {
        name_jobs(audit, step->proposed.key, &step->proposed.generation);
    }
    if (computed) {
        /* Jobs of a record that is not written yet, or is gone, belong to it all the same. */
        name_jobs(audit, NULL, &proposal.generation);
        if (step->proposed.good) {
            status = compare(audit, &step->proposed, &proposal.generation, err);
        }
        evolve_proposal_fini(&proposal);
    }
    return status;
}

/* What became of the job of member `number`. False where it cannot be told; `recorded` needs it. */
static bool tell(struct step *step, const struct generation_member *member, uint32_t number,
                 const struct record_read *recorded, struct evolve_evaluation *out)
{
    struct audit_job *job = audit_job(step->audit, &member->job);
    char slot[LAYOUT_KEY_BYTES];

    if (job == NULL || !job->told) {
        return false; /* its spec is missing or damaged: named before */
    }
    if (number < recorded->generation.member_count) {
        audit_accept(step->audit, job, &recorded->generation.members[number]);
    }
    if (job->end == NULL || job->end->kind == SLOT_CANCELLED) {
        audit_next_slot(step->audit, job, slot);
        audit_say(step->audit, slot, "is missing: %s says that the job ended, its chain does not",
                  recorded->key);
        return false;
    }
    out->failed = job->end->kind != SLOT_FINAL;
    out->slot = job->end->slot;
    out->outcome = out->failed ? NULL : &job->end->outcome;
    if (out->failed) {
        (void)snprintf(out->text, sizeof out->text, "%.*s", (int)sizeof out->text - 1,
                       job->end->text);
    }
    return true;
}

/*
 * What became of the jobs of the members from `first` on, by the record that says so. False where
 * one cannot be told.
 */
static bool gather(struct step *step, const struct generation *generation, uint32_t first,
                   const struct record_read *recorded)
{
    bool known = true;

    for (uint32_t i = first; i < generation->member_count; i++) {
        if (generation->members[i].has_job &&
            !tell(step, &generation->members[i], i, recorded, &step->evaluations[i])) {
            known = false;
        }
    }
    return known;
}

static enum nero_status check_evaluated(struct step *step, struct nero_err *err)
{
    struct audit *audit = step->audit;
    uint32_t room = step->proposed.generation.member_count + GENERATION_EXTENSIONS_MAX;
    struct generation computed;
    struct nero_err reason;
    enum nero_status status = NERO_OK;

    if (!step->evaluated.good || !step->proposed.good) {
        return NERO_OK;
    }
    step->evaluations = mem_calloc(room, sizeof *step->evaluations);
    if (step->evaluations == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for %" PRIu32 " evaluations", room);
    }
    step->told = gather(step, &step->proposed.generation, 0, &step->evaluated);
    if (step->told) {
        if (evolve_evaluate(&audit->evolve, &step->proposed.generation, step->proposed.hash,
                            step->evaluations, &computed, &reason) == NERO_OK) {
            status = compare(audit, &step->evaluated, &computed, err);
            generation_fini(&computed);
        } else {
            status =
                audit_judge(audit, step->evaluated.key, "cannot be computed again", &reason, err);
        }
    }
    return status;
}

/* The stored record against the computed one, which may be empty: nobody trains on. */
static enum nero_status judge_extending(struct step *step, const struct evolve_proposal *computed,
                                        struct nero_err *err)
{
    struct audit *audit = step->audit;
    bool wanted = computed->generation.member_count > 0;
    bool there = audit_object(audit, step->extending.key) != NULL;

    if (wanted && !there && audit_object(audit, step->closed.key) != NULL) {
        audit_say(audit, step->extending.key, "is missing: the search went on behind it");
    }
    if (!wanted && there) {
        audit_say(audit, step->extending.key,
                  "does not belong to the search: no member of this generation trains on");
    }
    if (wanted) { /* its jobs may have been published before it was written */
        name_jobs(audit, NULL, &computed->generation);
    }
    return wanted && step->extending.good
               ? compare(audit, &step->extending, &computed->generation, err)
               : NERO_OK;
}

static enum nero_status check_extending(struct step *step, struct nero_err *err)
{
    struct audit *audit = step->audit;
    struct evolve_proposal computed;
    struct nero_err reason;
    enum nero_status status;

    if (step->extending.good) {
        name_jobs(audit, step->extending.key, &step->extending.generation);
    }
    if (!step->told ||
        step->evaluated.generation.member_count != step->proposed.generation.member_count) {
        return NERO_OK;
    }
    if (evolve_extend(&audit->evolve, &step->evaluated.generation, step->evaluated.hash,
                      step->evaluations, &computed, &reason) != NERO_OK) {
        return audit_judge(audit, step->evaluated.key, "cannot be extended again", &reason, err);
    }
    status = judge_extending(step, &computed, err);
    evolve_proposal_fini(&computed);
    return status;
}

/* The record that the closed one follows; NULL where it or its jobs cannot be told. */
static const struct record_read *last_record(struct step *step)
{
    const struct generation *extending = &step->extending.generation;
    uint32_t first = step->proposed.generation.member_count;

    if (audit_object(step->audit, step->extending.key) == NULL) {
        return step->evaluated.good ? &step->evaluated : NULL;
    }
    if (!step->extending.good || !step->told || extending->member_count < first ||
        extending->member_count > first + GENERATION_EXTENSIONS_MAX ||
        !gather(step, extending, first, &step->closed)) {
        return NULL;
    }
    return &step->extending;
}

static enum nero_status check_closed(struct step *step, const struct lineage_end *end,
                                     struct nero_err *err)
{
    const struct generation *previous = step->number > 0 ? &end->previous.generation : NULL;
    const struct record_read *last;
    struct generation computed;
    struct nero_err reason;
    enum nero_status status = NERO_OK;

    if (!step->closed.good || (previous != NULL && !end->previous.good)) {
        return NERO_OK;
    }
    last = last_record(step);
    if (last == NULL) {
        return NERO_OK;
    }
    if (evolve_close(&step->audit->evolve, &last->generation, last->hash, step->evaluations,
                     previous, &computed, &reason) != NERO_OK) {
        return audit_judge(step->audit, step->closed.key, "cannot be computed again", &reason, err);
    }
    status = compare(step->audit, &step->closed, &computed, err);
    generation_fini(&computed);
    return status;
}

/* ---- one lineage ---- */

/* The highest generation of the lineage that has an object. False: it has none. */
static bool last_generation(const struct audit *audit, uint32_t lineage, uint32_t *last)
{
    char key[LAYOUT_KEY_BYTES];
    bool any = false;

    *last = 0;
    layout_generation(key, audit->run, lineage, 0, "");
    for (size_t i = audit_lower(audit, key); i < audit->object_count; i++) {
        const struct place *place = &audit->objects[i].place;

        if (!audit->objects[i].placed) {
            continue; /* no record, but one may follow */
        }
        if (place->kind != PLACE_GENERATION || place->lineage != lineage) {
            break;
        }
        any = true;
        *last = (uint32_t)place->number;
    }
    return any;
}

static void note_newest(struct lineage_end *end, const struct step *step)
{
    const struct record_read *const records[] = {&step->proposed, &step->evaluated,
                                                 &step->extending, &step->closed};

    for (size_t i = 0; i < sizeof records / sizeof records[0]; i++) {
        if (records[i]->good) {
            end->has_newest = true;
            end->newest = records[i]->hash;
        }
    }
}

static enum nero_status check_step(struct step *step, struct lineage_end *end, struct nero_err *err)
{
    enum nero_status status = read_step(step, err);

    if (status == NERO_OK) {
        status = check_proposed(step, end, err);
    }
    if (status == NERO_OK) {
        status = check_evaluated(step, err);
    }
    if (status == NERO_OK) {
        status = check_extending(step, err);
    }
    if (status == NERO_OK) {
        status = check_closed(step, end, err);
    }
    note_newest(end, step);
    end->sound = end->sound && (step->closed.good || step->number == step->last);
    end->closed += step->closed.good;
    record_read_fini(&end->previous);
    end->previous = step->closed; /* moved: the next generation hangs on it */
    record_read_fini(&step->proposed);
    record_read_fini(&step->evaluated);
    record_read_fini(&step->extending);
    free(step->evaluations);
    return status;
}

/* The next generation's jobs may have been published before its record was written. */
static enum nero_status name_next(struct audit *audit, uint32_t lineage,
                                  const struct lineage_end *end, struct nero_err *err)
{
    struct evolve_proposal proposal;
    bool computed;
    enum nero_status status =
        propose_again(audit, lineage, end->closed, end, NULL, &proposal, &computed, err);

    if (status == NERO_OK && computed) {
        name_jobs(audit, NULL, &proposal.generation);
        evolve_proposal_fini(&proposal);
    }
    return status;
}

static enum nero_status check_lineage(struct audit *audit, uint32_t lineage,
                                      struct lineage_end *end, struct nero_err *err)
{
    uint32_t wanted = audit->generations;
    uint32_t last;
    bool any = last_generation(audit, lineage, &last);
    enum nero_status status = NERO_OK;

    if (any && last >= wanted) {
        char key[LAYOUT_KEY_BYTES];

        layout_generation(key, audit->run, lineage, last, "");
        audit_say(audit, key, "is beyond the %" PRIu32 " generations that the run is to have",
                  wanted);
        last = wanted - 1;
    }
    for (uint32_t i = 0; any && i <= last && status == NERO_OK; i++) {
        struct step step = {.audit = audit, .lineage = lineage, .number = i, .last = last};

        audit_tell(audit, "generation", i, wanted);
        status = check_step(&step, end, err);
    }
    if (status == NERO_OK && end->closed < wanted && (!any || end->closed == last + 1)) {
        status = name_next(audit, lineage, end, err);
    }
    if (status == NERO_OK && end->has_newest) {
        status = audit_head(audit, &end->newest, err);
    }
    return status;
}

/* ---- all lineages ---- */

static enum nero_status check_lineages(struct audit *audit, uint32_t *closed, bool *sound,
                                       struct nero_err *err)
{
    uint32_t lineages = trust_run(audit->trust)->search.lineages;
    enum nero_status status = NERO_OK;

    *sound = true;
    for (uint32_t i = 0; i < lineages && status == NERO_OK; i++) {
        struct lineage_end end = {.sound = true};

        generation_init(&end.previous.generation);
        status = check_lineage(audit, i, &end, err);
        record_read_fini(&end.previous);
        closed[i] = end.closed;
        *sound = *sound && end.sound;
    }
    return status;
}

static enum nero_status check_search(struct audit *audit, struct nero_err *err)
{
    const struct run_search *search = &trust_run(audit->trust)->search;
    uint32_t *closed = mem_calloc(search->lineages, sizeof *closed);
    char text[AUDIT_STANDING_BYTES];
    uint64_t total = 0;
    uint64_t wanted = (uint64_t)search->lineages * audit->generations;
    uint32_t least = audit->generations;
    bool sound;
    enum nero_status status;

    if (closed == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for the lineages");
    }
    status = check_lineages(audit, closed, &sound, err);
    for (uint32_t i = 0; i < search->lineages; i++) {
        total += closed[i];
        least = closed[i] < least ? closed[i] : least;
    }
    free(closed);
    (void)snprintf(text, sizeof text, "%s: %" PRIu64 " of %" PRIu64 " generations closed",
                   total >= wanted ? "finished" : "open", total, wanted);
    audit_stand(audit, total >= wanted, text);
    if (!sound || !audit->amendments_whole) {
        audit_excuse_scores(audit);
    }
    return status == NERO_OK && sound && search->score_test ? audit_scores(audit, least, err)
                                                            : status;
}

enum nero_status audit_search(struct audit *audit, struct nero_err *err)
{
    if (trust_run(audit->trust)->strategy == RUN_SINGLE) {
        return audit_single(audit, err);
    }
    if (!audit->has_grammar || !audit->has_dataset) {
        audit_stand(audit, false,
                    "the search could not be computed again: grammar or data set are bad");
        return NERO_OK;
    }
    return check_search(audit, err);
}
