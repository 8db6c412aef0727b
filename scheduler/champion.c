#include "champion.h"

#include <inttypes.h>
#include <string.h>

enum nero_status champion_find(struct storage *store, struct trust *trust,
                               const uint32_t *closed_count, uint32_t lineage_count,
                               struct champion *out, struct nero_err *err)
{
    const char *run = trust_run(trust)->name;
    uint32_t generation = 0;

    memset(out, 0, sizeof *out);
    for (uint32_t i = 0; i < lineage_count; i++) {
        struct generation_stored last;

        if (closed_count[i] == 0) {
            continue;
        }
        if (generation_store_get(store, trust, run, i, closed_count[i] - 1, GENERATION_CLOSED,
                                 &last, err) != NERO_OK) {
            return err->status;
        }
        if (last.generation.has_champion &&
            (!out->found || last.generation.champion_fitness > out->fitness)) {
            out->found = true;
            out->lineage = i;
            out->member = last.generation.champion_member;
            out->fitness = last.generation.champion_fitness;
            generation = last.generation.champion_generation;
        }
        generation_stored_fini(&last);
    }
    if (!out->found) {
        return NERO_OK;
    }
    if (generation_store_get(store, trust, run, out->lineage, generation, GENERATION_CLOSED,
                             &out->closed, err) != NERO_OK) {
        out->found = false;
        return err->status;
    }
    if (out->member >= out->closed.generation.member_count ||
        !out->closed.generation.members[out->member].has_job) {
        champion_fini(out);
        return err_set(err, NERO_CORRUPT, 0,
                       "the champion (lineage %" PRIu32 ", generation %" PRIu32 ", member %" PRIu32
                       ") is no evaluated member",
                       out->lineage, generation, out->member);
    }
    return NERO_OK;
}

/* The selected member of `closed`, taken over into *out where it is the best so far. */
static void offer_selected(struct generation_stored *closed, struct champion *out)
{
    const struct generation *generation = &closed->generation;
    const struct generation_member *selected = &generation->members[generation->selected];

    if (selected->verdict != GENERATION_SCORED ||
        (out->found && selected->fitness <= out->fitness)) {
        generation_stored_fini(closed);
        return;
    }
    champion_fini(out);
    *out = (struct champion){.found = true,
                             .lineage = generation->lineage,
                             .member = generation->selected,
                             .fitness = selected->fitness,
                             .closed = *closed};
}

enum nero_status champion_find_warmup(struct storage *store, struct trust *trust,
                                      const uint32_t *closed_count, uint32_t lineage_count,
                                      struct champion *out, struct nero_err *err)
{
    const char *run = trust_run(trust)->name;

    memset(out, 0, sizeof *out);
    for (uint32_t i = 0; i < lineage_count; i++) {
        bool robust = false;

        for (uint32_t j = 0; j < closed_count[i] && !robust; j++) {
            struct generation_stored closed;

            if (generation_store_get(store, trust, run, i, j, GENERATION_CLOSED, &closed, err) !=
                NERO_OK) {
                champion_fini(out);
                return err->status;
            }
            robust = closed.generation.robust; /* and so are all that follow */
            if (robust) {
                generation_stored_fini(&closed);
            } else {
                offer_selected(&closed, out);
            }
        }
    }
    return NERO_OK;
}

enum nero_status champion_take(struct storage *store, struct trust *trust,
                               const uint32_t *closed_count, uint32_t lineage_count,
                               const struct champion_place *place, struct champion *out,
                               struct nero_err *err)
{
    const char *run = trust_run(trust)->name;
    const struct generation_member *member;
    struct generation_stored closed;

    if (place->lineage >= lineage_count || place->generation >= closed_count[place->lineage]) {
        return err_set(err, NERO_NOT_FOUND, 0,
                       "run %s has no closed generation %" PRIu32 " of lineage %" PRIu32, run,
                       place->generation, place->lineage);
    }
    if (generation_store_get(store, trust, run, place->lineage, place->generation,
                             GENERATION_CLOSED, &closed, err) != NERO_OK) {
        return err->status;
    }
    member = place->member < closed.generation.member_count
                 ? &closed.generation.members[place->member]
                 : NULL;
    if (member == NULL) {
        (void)err_set(err, NERO_NOT_FOUND, 0,
                      "generation %" PRIu32 " of lineage %" PRIu32 " has members 0 to %" PRIu32
                      ", no %" PRIu32,
                      place->generation, place->lineage, closed.generation.member_count - 1,
                      place->member);
    } else if (!member->has_job || member->verdict == GENERATION_FAILED) {
        (void)err_set(err, NERO_NOT_FOUND, 0, "the candidate has no weights: %s%s%s",
                      generation_verdict_name(member->verdict), member->text[0] != 0 ? ", " : "",
                      member->text);
    } else {
        *out = (struct champion){.found = true,
                                 .lineage = place->lineage,
                                 .member = place->member,
                                 .fitness = member->fitness,
                                 .closed = closed};
        return NERO_OK;
    }
    generation_stored_fini(&closed);
    return err->status;
}

void champion_fini(struct champion *champion)
{
    if (champion->found) {
        generation_stored_fini(&champion->closed);
    }
    champion->found = false;
}

enum nero_status champion_score_spec(const struct evolve_run *run, const struct champion *champion,
                                     const struct result_outcome *outcome, struct bytes *out,
                                     struct nero_err *err)
{
    const struct generation *closed = &champion->closed.generation;
    struct genotype genotype;
    struct job_spec spec;
    enum nero_status status;

    job_spec_init(&spec);
    status = genotype_decode(closed->members[champion->member].genotype, &genotype, err);
    if (status != NERO_OK) {
        return status;
    }
    status = evolve_decode(run, &genotype, &spec.phenotype, err);
    genotype_fini(&genotype);
    if (status == NERO_OK) {
        spec.kind = JOB_SCORE;
        spec.seed = 0; /* nothing is drawn */
        spec.budget = closed->members[champion->member].budget;
        spec.protocol = run->record->protocol;
        spec.protocol.split_seed = closed->split_seed;
        spec.protocol.part = JOB_PART_TEST;
        spec.protocol.fitness_count = run->test_count;
        memcpy(spec.numeric_class, run->record->numeric_class, sizeof spec.numeric_class);
        spec.has_continue_from = true;
        spec.continue_from = outcome->weights;
        status = job_spec_encode(&spec, out, err);
    }
    job_spec_fini(&spec);
    return status == NERO_OK ? NERO_OK : err_wrap(err, "score job of the champion");
}
