#include "nero/generation.h"

#include <float.h>
#include <stdlib.h>
#include <string.h>

#include "fields.h"
#include "nero/genotype.h"

void generation_init(struct generation *generation)
{
    memset(generation, 0, sizeof *generation);
}

void generation_fini(struct generation *generation)
{
    for (uint32_t i = 0; generation->members != NULL && i < generation->member_count; i++) {
        free(generation->members[i].events);
    }
    free(generation->members);
    generation_init(generation);
}

static void event_fields(struct record *r, struct generation_event *event)
{
    record_group(r, "event", 6);
    record_u32(r, "op", &event->op, GENERATION_TRAIN_LONGER, GENERATION_TRAIN_LONGER_AT_CAP);
    record_text(r, "module", event->module, sizeof event->module);
    record_i32(r, "unit", &event->unit, -1, GENOTYPE_UNITS_MAX - 1);
    record_text(r, "what", event->what, sizeof event->what);
    record_text(r, "before", event->before, sizeof event->before);
    record_text(r, "after", event->after, sizeof event->after);
    record_leave(r);
}

static void events_field(struct record *r, struct generation_member *member)
{
    record_list(r, "events", &member->event_count, 0, GENERATION_EVENTS_MAX);
    if (record_reading(r)) {
        member->events = record_alloc(r, member->event_count, sizeof *member->events);
    }
    for (uint32_t i = 0; record_ok(r) && i < member->event_count; i++) {
        record_item(r, i);
        event_fields(r, &member->events[i]);
    }
    record_leave(r);
}

/* Present once evaluated. */
static void verdict_fields(struct record *r, struct generation_member *member)
{
    record_group(r, "evaluation", 5);
    if (record_optional(r, "slot", &member->has_slot)) {
        record_hash(r, "slot", &member->slot);
    }
    record_real(r, "fitness", &member->fitness, -DBL_MAX, DBL_MAX);
    record_u32(r, "count", &member->count, 0, JOB_SCORED_MAX);
    record_u32(r, "correct", &member->correct, 0, member->count);
    record_u32(r, "kept", &member->kept, 0, member->correct);
    record_leave(r);
}

static void member_fields(struct record *r, const struct generation *generation, uint32_t number)
{
    struct generation_member *member = &generation->members[number];
    bool proposed = generation->state == GENERATION_PROPOSED;
    bool has_budget = member->budget.kind != 0;
    bool may_extend = number > 0 && generation->state >= GENERATION_EXTENDING;

    record_group(r, "member", 9);
    record_u32(r, "origin", &member->origin, GENERATION_PARENT,
               may_extend ? GENERATION_EXTENSION : GENERATION_SEED);
    if (record_when(r, "extends", member->origin == GENERATION_EXTENSION)) {
        record_u32(r, "extends", &member->extends, 0, number > 0 ? number - 1 : 0);
    }
    record_bin(r, "genotype", &member->genotype, 0, GENOTYPE_BYTES_MAX);
    if (record_optional(r, "job", &member->has_job)) {
        record_hash(r, "job", &member->job);
    }
    if (record_optional(r, "budget", &has_budget)) {
        job_budget_fields(r, "budget", &member->budget);
    }
    events_field(r, member);
    record_text(r, "text", member->text, sizeof member->text);
    record_u32(r, "verdict", &member->verdict, GENERATION_PENDING,
               proposed ? GENERATION_PENDING : GENERATION_FAILED);
    if (record_when(r, "evaluation", member->verdict != GENERATION_PENDING)) {
        verdict_fields(r, member);
    }
    if (record_ok(r) && member->has_job && !has_budget) {
        record_fail(r, "budget", "a job has one");
    }
    if (record_ok(r) && !member->has_job && member->verdict != GENERATION_PENDING &&
        member->verdict != GENERATION_INVALID) {
        record_fail(r, "verdict", "%s without a job", generation_verdict_name(member->verdict));
    }
    record_leave(r);
}

static void closing_fields(struct record *r, struct generation *generation)
{
    record_group(r, "closing", 4);
    record_u32(r, "selected", &generation->selected, 0, generation->member_count - 1);
    record_real(r, "mean_fitness", &generation->mean_fitness, -DBL_MAX, DBL_MAX);
    record_bool(r, "next_robust", &generation->next_robust);
    if (record_optional(r, "champion", &generation->has_champion)) {
        record_group(r, "champion", 3);
        record_u32(r, "generation", &generation->champion_generation, 0, generation->number);
        record_u32(r, "member", &generation->champion_member, 0, GENERATION_MEMBERS_MAX - 1);
        record_real(r, "fitness", &generation->champion_fitness, -DBL_MAX, DBL_MAX);
        record_leave(r);
    }
    record_leave(r);
}

void generation_fields(struct record *r, struct generation *generation)
{
    record_open(r, 1, 10);
    layout_run_field(r, generation->run);
    record_u32(r, "lineage", &generation->lineage, 0, UINT16_MAX);
    record_u32(r, "number", &generation->number, 0, 99999999);
    record_u32(r, "state", &generation->state, GENERATION_PROPOSED, GENERATION_CLOSED);
    record_hash(r, "prev", &generation->prev);
    record_bool(r, "robust", &generation->robust);
    record_u64(r, "split_seed", &generation->split_seed, 0, UINT64_MAX);
    record_list(r, "members", &generation->member_count, 1, GENERATION_MEMBERS_MAX);
    if (record_reading(r)) {
        generation->members =
            record_alloc(r, generation->member_count, sizeof *generation->members);
    }
    for (uint32_t i = 0; record_ok(r) && i < generation->member_count; i++) {
        record_item(r, i);
        member_fields(r, generation, i);
    }
    record_leave(r);
    if (record_when(r, "closing", generation->state == GENERATION_CLOSED)) {
        closing_fields(r, generation);
    }
    record_close(r);
}

enum nero_status generation_encode(const struct generation *generation, struct bytes *out,
                                   struct nero_err *err)
{
    struct generation copy = *generation;
    struct record r;

    record_write_begin(&r, "generation", out, GENERATION_BYTES_MAX, err);
    generation_fields(&r, &copy);
    return record_end(&r);
}

enum nero_status generation_decode(struct bytes_view bytes, struct generation *out,
                                   struct nero_err *err)
{
    struct generation made;
    struct record r;

    generation_init(&made);
    record_read_begin(&r, "generation", bytes, GENERATION_BYTES_MAX, err);
    generation_fields(&r, &made);
    if (record_end(&r) != NERO_OK) {
        generation_fini(&made);
        return r.status;
    }
    *out = made;
    return NERO_OK;
}

const char *generation_state_name(enum generation_state state)
{
    static const char *const names[] = {[GENERATION_PROPOSED] = "proposed",
                                        [GENERATION_EVALUATED] = "evaluated",
                                        [GENERATION_EXTENDING] = "extending",
                                        [GENERATION_CLOSED] = "closed"};

    return state >= GENERATION_PROPOSED && state <= GENERATION_CLOSED ? names[state] : "undefined";
}

const char *generation_origin_name(enum generation_origin origin)
{
    static const char *const names[] = {[GENERATION_PARENT] = "parent",
                                        [GENERATION_RANDOM] = "random",
                                        [GENERATION_MUTANT] = "mutant",
                                        [GENERATION_SEED] = "seed",
                                        [GENERATION_EXTENSION] = "extension"};

    return origin >= GENERATION_PARENT && origin <= GENERATION_EXTENSION ? names[origin]
                                                                         : "undefined";
}

const char *generation_operator_name(enum generation_operator op)
{
    static const char *const names[] = {[GENERATION_TRAIN_LONGER] = "train_longer",
                                        [GENERATION_ADD_UNIT] = "add_unit",
                                        [GENERATION_REPLICATE_UNIT] = "replicate_unit",
                                        [GENERATION_REMOVE_UNIT] = "remove_unit",
                                        [GENERATION_ADD_CONNECTION] = "add_connection",
                                        [GENERATION_REMOVE_CONNECTION] = "remove_connection",
                                        [GENERATION_MUTATE_RULE] = "mutate_rule",
                                        [GENERATION_MUTATE_INT] = "mutate_int",
                                        [GENERATION_MUTATE_FLOAT] = "mutate_float",
                                        [GENERATION_MUTATE_POWER] = "mutate_power",
                                        [GENERATION_REPAIR] = "repair",
                                        [GENERATION_TRAIN_LONGER_AT_CAP] = "train_longer_at_cap"};

    return op >= GENERATION_TRAIN_LONGER && op <= GENERATION_TRAIN_LONGER_AT_CAP ? names[op]
                                                                                 : "undefined";
}

const char *generation_verdict_name(enum generation_verdict verdict)
{
    static const char *const names[] = {[GENERATION_PENDING] = "pending",
                                        [GENERATION_SCORED] = "scored",
                                        [GENERATION_INVALID] = "invalid",
                                        [GENERATION_ILL_FITTED] = "ill_fitted",
                                        [GENERATION_FAILED] = "failed"};

    return verdict <= GENERATION_FAILED ? names[verdict] : "undefined";
}
