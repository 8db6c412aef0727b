#include <stdlib.h>
#include <string.h>

#include "evolve/evaluate.h"
#include "evolve/propose.h"
#include "evolve/select.h"
#include "nero/mem.h"

static enum nero_status proposal_init(const struct generation *evaluated,
                                      struct hash evaluated_hash, uint32_t room,
                                      struct evolve_proposal *out, struct nero_err *err)
{
    uint32_t count = evaluated->member_count + room;

    memset(out, 0, sizeof *out);
    if (evaluate_next_record(evaluated, GENERATION_EVALUATED, evaluated_hash, GENERATION_EXTENDING,
                             room, &out->generation, err) != NERO_OK) {
        return err->status;
    }
    out->specs = mem_calloc(count, sizeof *out->specs);
    out->genotypes = mem_calloc(count, sizeof *out->genotypes);
    if (out->specs == NULL || out->genotypes == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "extensions");
    }
    for (uint32_t i = 0; i < count; i++) {
        bytes_init(&out->specs[i], JOB_BYTES_MAX);
        bytes_init(&out->genotypes[i], GENOTYPE_BYTES_MAX);
    }
    out->generation.member_count = count;
    return NERO_OK;
}

/* Member `slot`: member `extended` with the budget of the best. */
static enum nero_status fill_extension(const struct evolve_run *run, uint32_t slot,
                                       uint32_t extended, const struct job_budget *budget,
                                       const struct result_outcome *former,
                                       struct evolve_proposal *to, struct nero_err *err)
{
    struct generation_member *member = &to->generation.members[slot];
    struct bytes_view source = to->generation.members[extended].genotype;
    struct bytes *bytes = &to->genotypes[slot];
    struct genotype genotype;
    struct phenotype phenotype;
    enum nero_status status;

    if (bytes_append(bytes, source.data, source.bytes, err) != NERO_OK ||
        genotype_decode(source, &genotype, err) != NERO_OK) {
        return err->status;
    }
    member->origin = GENERATION_EXTENSION;
    member->extends = extended;
    member->genotype = bytes_as_view(bytes);
    member->budget = *budget;
    status = evolve_decode(run, &genotype, &phenotype, err);
    genotype_fini(&genotype);
    if (status == NERO_OK) {
        status =
            propose_spec(run, &to->generation, slot, former, &phenotype, &to->specs[slot], err);
        phenotype_fini(&phenotype);
    }
    return status;
}

enum nero_status evolve_extend(const struct evolve_run *run, const struct generation *evaluated,
                               struct hash evaluated_hash,
                               const struct evolve_evaluation *evaluations,
                               struct evolve_proposal *out, struct nero_err *err)
{
    uint32_t extended[GENERATION_EXTENSIONS_MAX];
    uint32_t count = select_extensions(&run->record->search, evaluated, extended);
    const struct job_budget *budget = &evaluated->members[select_best(evaluated)].budget;
    struct evolve_proposal proposal;
    enum nero_status status;

    if (count == 0) {
        memset(out, 0, sizeof *out);
        return NERO_OK;
    }
    status = proposal_init(evaluated, evaluated_hash, count, &proposal, err);
    for (uint32_t i = 0; i < count && status == NERO_OK; i++) {
        status = fill_extension(run, evaluated->member_count + i, extended[i], budget,
                                evaluations[extended[i]].outcome, &proposal, err);
    }
    if (status != NERO_OK) {
        evolve_proposal_fini(&proposal);
        return err_wrap(err, "extensions of generation %u of lineage %u",
                        (unsigned)evaluated->number, (unsigned)evaluated->lineage);
    }
    *out = proposal;
    return NERO_OK;
}
