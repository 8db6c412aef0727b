#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "evolve/propose.h"
#include "evolve/seed.h"
#include "nero/graph.h"
#include "nero/mem.h"
#include "nero/rng.h"

enum { REDRAW_SHIFT = 10 }; /* bits of a stream's slot below the number of the draw */

uint64_t evolve_split_seed(uint64_t run_seed, uint32_t lineage)
{
    struct rng_stream stream = rng_stream(run_seed, RNG_SPLIT_SEED, lineage, 0, 0);

    return rng_u64(&stream);
}

uint64_t evolve_training_seed(uint64_t run_seed, uint32_t lineage, uint32_t generation,
                              uint32_t slot)
{
    struct rng_stream stream = rng_stream(run_seed, RNG_TRAINING_SEED, lineage, generation, slot);

    return rng_u64(&stream);
}

enum nero_status evolve_genotype_seed(uint64_t run_seed, const struct phenotype *phenotype,
                                      uint64_t *out, struct nero_err *err)
{
    uint8_t number[8];
    struct bytes bytes;
    struct hash hash;
    enum nero_status status;

    bytes_put_u64le(number, run_seed);
    bytes_init(&bytes, sizeof number + JOB_SPEC_BYTES_MAX);
    status = bytes_append(&bytes, number, sizeof number, err);
    if (status == NERO_OK) {
        status = phenotype_encode(phenotype, &bytes, err);
    }
    if (status == NERO_OK) {
        hash = hash_tagged("nero.seed.v1", bytes_as_view(&bytes));
        *out = bytes_get_u64le(hash.data);
    }
    bytes_fini(&bytes);
    return status;
}

void evolve_proposal_fini(struct evolve_proposal *proposal)
{
    for (uint32_t i = 0; i < proposal->generation.member_count; i++) {
        if (proposal->specs != NULL) {
            bytes_fini(&proposal->specs[i]);
        }
        if (proposal->genotypes != NULL) {
            bytes_fini(&proposal->genotypes[i]);
        }
    }
    free(proposal->specs);
    free(proposal->genotypes);
    generation_fini(&proposal->generation);
    memset(proposal, 0, sizeof *proposal);
}

/* What all members of a proposal need. */
struct proposer {
    const struct evolve_run *run;
    const struct generation *previous;
    const struct result_outcome *parent_outcome;
    struct evolve_proposal *to;
};

/* What of a spec depends on how the member came about. */
struct job_plan {
    uint64_t budget;
    bool extend; /* from the parent's training state */
};

static enum nero_status proposal_init(const struct evolve_run *run, uint32_t lineage,
                                      uint32_t number, uint32_t member_count,
                                      struct evolve_proposal *out, struct nero_err *err)
{
    struct generation *generation = &out->generation;

    memset(out, 0, sizeof *out);
    generation_init(generation);
    memcpy(generation->run, run->record->name, sizeof generation->run);
    generation->lineage = lineage;
    generation->number = number;
    generation->state = GENERATION_PROPOSED;
    generation->split_seed = evolve_split_seed(run->record->seed, lineage);
    generation->members = mem_calloc(member_count, sizeof *generation->members);
    out->specs = mem_calloc(member_count, sizeof *out->specs);
    out->genotypes = mem_calloc(member_count, sizeof *out->genotypes);
    if (generation->members == NULL || out->specs == NULL || out->genotypes == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "members");
    }
    generation->member_count = member_count;
    for (uint32_t i = 0; i < member_count; i++) {
        bytes_init(&out->specs[i], JOB_BYTES_MAX);
        bytes_init(&out->genotypes[i], GENOTYPE_BYTES_MAX);
    }
    return NERO_OK;
}

static bool over_limit(const char *what, uint64_t value, uint64_t limit,
                       char text[GENERATION_TEXT_BYTES])
{
    if (limit == 0 || value <= limit) {
        return false;
    }
    (void)snprintf(text, GENERATION_TEXT_BYTES, "%s %llu over the limit of %llu", what,
                   (unsigned long long)value, (unsigned long long)limit);
    return true;
}

/*
 * Sets `text` where the phenotype cannot become a job. Only what the phenotype itself is makes it
 * invalid; anything else that goes wrong is an error and travels up.
 */
static enum nero_status admit(const struct job_protocol *protocol,
                              const struct phenotype *phenotype, char text[GENERATION_TEXT_BYTES],
                              struct nero_err *err)
{
    struct graph graph;
    uint64_t plan_bytes;
    enum nero_status status = graph_build(phenotype, &graph, err);

    text[0] = '\0';
    if (status == NERO_INVALID || status == NERO_TOO_BIG) {
        (void)snprintf(text, GENERATION_TEXT_BYTES, "%.*s", GENERATION_TEXT_BYTES - 1,
                       err->message);
        return NERO_OK;
    }
    if (status != NERO_OK) {
        return status;
    }
    if (__builtin_mul_overflow(graph.plan_bytes_per_image, (uint64_t)phenotype->learning.batch,
                               &plan_bytes) ||
        __builtin_add_overflow(plan_bytes, graph.plan_bytes_fixed, &plan_bytes)) {
        plan_bytes = UINT64_MAX;
    }
    if (!over_limit("parameters:", graph.trained_count, protocol->max_parameters, text) &&
        !over_limit("multiply-adds:", graph.macs, protocol->max_macs, text) &&
        !over_limit("plan bytes:", plan_bytes, protocol->max_plan_bytes, text)) {
        (void)over_limit("batch size:", phenotype->learning.batch, protocol->train_count, text);
    }
    graph_fini(&graph);
    return NERO_OK;
}

static enum nero_status training_seed(const struct run_record *record,
                                      const struct generation *generation, uint32_t slot,
                                      const struct phenotype *phenotype, uint64_t *out,
                                      struct nero_err *err)
{
    if (record->search.seed_policy == RUN_SEED_GENOTYPE) {
        return evolve_genotype_seed(record->seed, phenotype, out, err);
    }
    *out = evolve_training_seed(record->seed, generation->lineage, generation->number, slot);
    return NERO_OK;
}

enum nero_status propose_spec(const struct evolve_run *run, struct generation *generation,
                              uint32_t slot, const struct result_outcome *former,
                              struct phenotype *phenotype, struct bytes *out, struct nero_err *err)
{
    const struct run_record *record = run->record;
    struct generation_member *member = &generation->members[slot];
    struct job_spec spec;
    enum nero_status status;

    job_spec_init(&spec);
    spec.kind = JOB_TRAIN;
    spec.phenotype = *phenotype;
    phenotype_init(phenotype);
    status = training_seed(record, generation, slot, &spec.phenotype, &spec.seed, err);
    spec.budget = member->budget;
    spec.protocol = record->protocol;
    spec.protocol.split_seed = generation->split_seed;
    memcpy(spec.numeric_class, record->numeric_class, sizeof spec.numeric_class);
    if (former != NULL && former->has_state) {
        spec.kind = JOB_EXTEND;
        spec.has_continue_from = true;
        spec.continue_from = former->state;
    }
    status = status == NERO_OK ? job_spec_encode(&spec, out, err) : status;
    job_spec_fini(&spec);
    if (status == NERO_OK) {
        member->has_job = true;
        member->job = job_id(bytes_as_view(out));
    }
    return status;
}

/* The member's genotype and job. `origin` and events are the caller's. */
static enum nero_status fill_member(const struct proposer *proposer, uint32_t slot,
                                    const struct genotype *genotype, const struct job_plan *plan,
                                    struct nero_err *err)
{
    struct generation_member *member = &proposer->to->generation.members[slot];
    struct bytes *bytes = &proposer->to->genotypes[slot];
    struct phenotype phenotype;
    enum nero_status status;

    if (genotype_encode(genotype, bytes, err) != NERO_OK) {
        return err->status;
    }
    member->genotype = bytes_as_view(bytes);
    member->budget = proposer->run->record->search.budget;
    member->budget.amount = plan->budget;
    if (evolve_decode(proposer->run, genotype, &phenotype, err) != NERO_OK) {
        return err->status;
    }
    status = admit(&proposer->run->record->protocol, &phenotype, member->text, err);
    if (status == NERO_OK && member->text[0] == '\0') {
        status = propose_spec(proposer->run, &proposer->to->generation, slot,
                              plan->extend ? proposer->parent_outcome : NULL, &phenotype,
                              &proposer->to->specs[slot], err);
    }
    phenotype_fini(&phenotype);
    return status;
}

/* Members are at most 512, so that the draws of one slot have streams of their own above it. */
static uint32_t slot_of_draw(uint32_t slot, uint32_t draw)
{
    static_assert(GENERATION_MEMBERS_MAX <= 1 << REDRAW_SHIFT &&
                      (RUN_REDRAWS_MAX + 1) << REDRAW_SHIFT <= UINT16_MAX,
                  "a slot and a draw fit a stream's slot");
    return slot | draw << REDRAW_SHIFT;
}

/* Is the member inadmissible, and another draw allowed? Then it is made empty again. */
static bool draws_again(const struct proposer *proposer, uint32_t slot, uint32_t draw)
{
    struct generation_member *member = &proposer->to->generation.members[slot];

    if (member->text[0] == '\0' || draw >= proposer->run->record->search.redraws) {
        return false;
    }
    bytes_clear(&proposer->to->genotypes[slot]);
    free(member->events);
    member->events = NULL;
    member->event_count = 0;
    member->text[0] = '\0';
    return true;
}

static enum nero_status propose_random(const struct proposer *proposer, uint32_t slot,
                                       struct nero_err *err)
{
    const struct generation *generation = &proposer->to->generation;
    struct job_plan plan = {.budget = proposer->run->record->search.budget.amount};
    struct genotype genotype;
    enum nero_status status;

    proposer->to->generation.members[slot].origin = GENERATION_RANDOM;
    for (uint32_t draw = 0;; draw++) {
        if (evolve_random(proposer->run, generation->lineage, generation->number,
                          slot_of_draw(slot, draw), &genotype, err) != NERO_OK) {
            return err->status;
        }
        status = fill_member(proposer, slot, &genotype, &plan, err);
        genotype_fini(&genotype);
        if (status != NERO_OK || !draws_again(proposer, slot, draw)) {
            return status;
        }
    }
}

/* The given architecture in slot 0, a mutant of it elsewhere. */
static enum nero_status propose_seeded(const struct proposer *proposer, uint32_t slot,
                                       struct nero_err *err)
{
    const struct generation *generation = &proposer->to->generation;
    struct generation_member *member = &proposer->to->generation.members[slot];
    struct job_plan plan = {.budget = proposer->run->record->search.budget.amount};
    struct genotype genotype;
    enum nero_status status;

    member->origin = slot == 0 ? GENERATION_SEED : GENERATION_MUTANT;
    for (uint32_t draw = 0;; draw++) {
        if (seed_individual(proposer->run, generation->lineage, slot_of_draw(slot, draw), slot > 0,
                            &genotype, &member->events, &member->event_count, err) != NERO_OK) {
            return err->status;
        }
        status = fill_member(proposer, slot, &genotype, &plan, err);
        genotype_fini(&genotype);
        if (status != NERO_OK || !draws_again(proposer, slot, draw)) {
            return status;
        }
    }
}

/*
 * Trained again, or its former job named again: then there is no spec to submit, and the outcome to
 * hand to evolve_evaluate is that job's, scored by the formula of this generation's phase.
 */
static enum nero_status propose_parent(const struct proposer *proposer,
                                       const struct genotype *parent, struct nero_err *err)
{
    const struct generation_member *former =
        &proposer->previous->members[proposer->previous->selected];
    struct generation_member *member = &proposer->to->generation.members[0];
    struct job_plan plan = {.budget = former->budget.amount};

    member->origin = GENERATION_PARENT;
    if (fill_member(proposer, 0, parent, &plan, err) != NERO_OK) {
        return err->status;
    }
    if (!proposer->run->record->search.reevaluate_parent && former->has_job) {
        bytes_clear(&proposer->to->specs[0]);
        member->has_job = true;
        member->job = former->job;
    }
    return NERO_OK;
}

static enum nero_status propose_mutant(const struct proposer *proposer, uint32_t slot,
                                       const struct genotype *parent, struct nero_err *err)
{
    const struct generation *generation = &proposer->to->generation;
    const struct run_search *search = &proposer->run->record->search;
    struct generation_member *member = &proposer->to->generation.members[slot];
    uint64_t former = proposer->previous->members[proposer->previous->selected].budget.amount;
    struct job_plan plan = {.budget = search->budget.amount};
    struct genotype child;
    enum nero_status status;

    member->origin = GENERATION_MUTANT;
    for (uint32_t draw = 0;; draw++) {
        if (evolve_mutate(proposer->run, parent, former, generation->lineage, generation->number,
                          slot_of_draw(slot, draw), &child, &plan.extend, &member->events,
                          &member->event_count, err) != NERO_OK) {
            return err->status;
        }
        plan.budget = plan.extend ? evolve_longer_budget(search, former) : search->budget.amount;
        status = fill_member(proposer, slot, &child, &plan, err);
        genotype_fini(&child);
        if (status != NERO_OK || !draws_again(proposer, slot, draw)) {
            return status;
        }
    }
}

/* Slot 0 the parent, the others its mutants. */
static enum nero_status propose_family(const struct proposer *proposer, struct nero_err *err)
{
    const struct generation_member *former =
        &proposer->previous->members[proposer->previous->selected];
    struct genotype parent;
    enum nero_status status;

    if (genotype_decode(former->genotype, &parent, err) != NERO_OK) {
        return err_wrap(err, "genotype of the parent");
    }
    status = propose_parent(proposer, &parent, err);
    for (uint32_t i = 1; i < proposer->to->generation.member_count && status == NERO_OK; i++) {
        status = propose_mutant(proposer, i, &parent, err);
        if (status != NERO_OK) {
            (void)err_wrap(err, "slot %u", (unsigned)i);
        }
    }
    genotype_fini(&parent);
    return status;
}

static enum nero_status check_arguments(const struct evolve_run *run, uint32_t lineage,
                                        uint32_t number, const struct generation *previous,
                                        struct nero_err *err)
{
    if (run->record->strategy != RUN_EVOLVE && run->record->strategy != RUN_RANDOM) {
        return err_set(err, NERO_INVALID, 0, "the run has no generations");
    }
    if (number == 0) {
        return NERO_OK;
    }
    if (previous == NULL || previous->state != GENERATION_CLOSED || previous->lineage != lineage ||
        previous->number + 1 != number || previous->selected >= previous->member_count) {
        return err_set(err, NERO_INVALID, 0,
                       "generation %u of lineage %u does not follow the "
                       "record given as the one before it",
                       (unsigned)number, (unsigned)lineage);
    }
    return NERO_OK;
}

static enum nero_status propose_members(const struct proposer *proposer, bool family,
                                        struct nero_err *err)
{
    bool seeded = seed_given(proposer->run);

    if (family) {
        return propose_family(proposer, err);
    }
    for (uint32_t i = 0; i < proposer->to->generation.member_count; i++) {
        if ((seeded ? propose_seeded(proposer, i, err) : propose_random(proposer, i, err)) !=
            NERO_OK) {
            return err_wrap(err, "slot %u", (unsigned)i);
        }
    }
    return NERO_OK;
}

enum nero_status evolve_propose(const struct evolve_run *run, uint32_t lineage, uint32_t number,
                                const struct generation *previous, struct hash previous_hash,
                                const struct result_outcome *parent_outcome,
                                struct evolve_proposal *out, struct nero_err *err)
{
    struct evolve_proposal proposal;
    struct proposer proposer = {
        .run = run, .previous = previous, .parent_outcome = parent_outcome, .to = &proposal};
    bool family = number > 0 && run->record->strategy == RUN_EVOLVE;
    /* Where one strategy trains the parent again, the other has one more individual. */
    bool more = family || (number > 0 && run->record->search.reevaluate_parent);

    if (check_arguments(run, lineage, number, previous, err) != NERO_OK) {
        return err->status;
    }
    if (proposal_init(run, lineage, number, run->record->search.lambda + (more ? 1 : 0), &proposal,
                      err) != NERO_OK) {
        evolve_proposal_fini(&proposal);
        return err->status;
    }
    proposal.generation.prev = number > 0 ? previous_hash : run->record_hash;
    proposal.generation.robust = number > 0 && previous->next_robust;
    if (propose_members(&proposer, family, err) != NERO_OK) {
        evolve_proposal_fini(&proposal);
        return err_wrap(err, "lineage %u, generation %u", (unsigned)lineage, (unsigned)number);
    }
    *out = proposal;
    return NERO_OK;
}
