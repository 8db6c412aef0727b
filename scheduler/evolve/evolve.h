/*
 * The search as pure functions: what is proposed and what is selected follow from the run record
 * and the outcomes alone. Every draw is Philox keyed by (run seed, lineage, generation, slot,
 * purpose, index); there is no hidden state, no clock, no I/O. Scheduler and auditor call the same
 * functions and get the same bytes on every machine. Source: specs/evolution.md; DESIGN 8.
 */
#ifndef NERO_EVOLVE_H
#define NERO_EVOLVE_H

#include "nero/generation.h"
#include "nero/genotype.h"
#include "nero/phenotype.h"
#include "nero/result.h"
#include "nero/run.h"

#include "evolve/grammar.h"

/* What all functions need of a run; borrowed. */
struct evolve_run {
    const struct run_record *record;
    struct hash record_hash; /* of the stored run record: `prev` of the first generation record */
    const struct grammar *grammar;
    uint32_t channels, height, width, classes; /* of the data set */
    uint32_t test_count;                       /* its test images; 0 where nothing scores them */
};

/*
 * The structure of the record's search fits the grammar: every gene that can be drawn decodes, and
 * so does the seed genotype if there is one. Call once when a run is made or opened; classes 0: not
 * known yet. Errors: invalid, naming the module.
 */
enum nero_status evolve_check(const struct evolve_run *run, struct nero_err *err);

/* Draw missing codons, prune unused ones, normalise the pool. Deterministic in the stream. */
struct rng_stream;
enum nero_status evolve_complete(const struct evolve_run *run, struct genotype *genotype,
                                 struct rng_stream *stream, struct nero_err *err);

/* A random complete individual (dead ends repaired). Owns: *out on success. */
enum nero_status evolve_random(const struct evolve_run *run, uint32_t lineage, uint32_t generation,
                               uint32_t slot, struct genotype *out, struct nero_err *err);

/*
 * A mutated, completed, repaired child. Events say what fired. *longer: the train-longer operator
 * fired and is the only change. Owns: *out; *events (free()) on success.
 */
enum nero_status evolve_mutate(const struct evolve_run *run, const struct genotype *parent,
                               uint64_t parent_budget, uint32_t lineage, uint32_t generation,
                               uint32_t slot, struct genotype *out, bool *longer,
                               struct generation_event **events, uint32_t *event_count,
                               struct nero_err *err);

/* The budget of a train-longer child: the parent's and one default budget, at most the cap. */
uint64_t evolve_longer_budget(const struct run_search *search, uint64_t parent_budget);

/* Pure. Errors: invalid (incomplete, or not of this grammar), naming unit and symbol. */
enum nero_status evolve_decode(const struct evolve_run *run, const struct genotype *genotype,
                               struct phenotype *out, struct nero_err *err);

/*
 * The jobs of a proposed generation: encoded specs in member order; empty for members without a
 * job. Free with evolve_proposal_fini.
 */
struct evolve_proposal {
    struct generation generation; /* state PROPOSED */
    struct bytes *specs;          /* member_count; owned */
    struct bytes *genotypes;      /* encoded; the members' genotype views point here; owned */
};
void evolve_proposal_fini(struct evolve_proposal *proposal);

/*
 * Propose generation `number` of a lineage. previous: the closed record before it (NULL for number
 * 0), previous_hash: of its stored bytes, parent_outcome: outcome of its selected member (NULL for
 * number 0, and where the member has none). Generation 0: lambda random individuals, or the
 * given architecture and lambda - 1 mutants of it; later ones:
 * the parent in slot 0, then lambda mutants. Members over a limit (max_parameters, max_macs,
 * max_plan_bytes) or not buildable are invalid without a job. With RUN_RANDOM every member is
 * random, and there are as many trainings as an evolution has. Without reevaluate_parent slot 0
 * names the parent's former job and its spec is empty:
 * nothing is submitted, and the outcome to give to evolve_evaluate is that job's.
 */
enum nero_status evolve_propose(const struct evolve_run *run, uint32_t lineage, uint32_t number,
                                const struct generation *previous, struct hash previous_hash,
                                const struct result_outcome *parent_outcome,
                                struct evolve_proposal *out, struct nero_err *err);

/* What became of a member's job. */
struct evolve_evaluation {
    bool failed;                          /* failed for cause: penalised */
    char text[GENERATION_TEXT_BYTES];     /* why */
    struct hash slot;                     /* accepted terminal slot (stored bytes) */
    const struct result_outcome *outcome; /* unless failed; borrowed */
};

/*
 * EVALUATED record of a proposed generation from its evaluations (entry i for member i; ignored for
 * members without a job): verdicts, counts, fitness. The genotype views of *out point into
 * `proposed`.
 */
enum nero_status evolve_evaluate(const struct evolve_run *run, const struct generation *proposed,
                                 struct hash proposed_hash,
                                 const struct evolve_evaluation *evaluations,
                                 struct generation *out, struct nero_err *err);

/*
 * Fairness: EXTENDING record of an evaluated generation, with its members and behind them those
 * that train on, pending. `evaluations` as for evolve_evaluate. Nobody trains on: *out is empty
 * (member_count 0). specs and genotypes of *out are empty for the members of `evaluated`, whose
 * genotype views point into `evaluated`.
 */
enum nero_status evolve_extend(const struct evolve_run *run, const struct generation *evaluated,
                               struct hash evaluated_hash,
                               const struct evolve_evaluation *evaluations,
                               struct evolve_proposal *out, struct nero_err *err);

/*
 * CLOSED record: selection, mean, phase switch, champion. `last` is the EXTENDING record, or the
 * EVALUATED one where nobody trains on; evaluations: entry i for member i of EXTENDING, used
 * for its pending members; unused (may be NULL) for EVALUATED.
 */
enum nero_status evolve_close(const struct evolve_run *run, const struct generation *last,
                              struct hash last_hash, const struct evolve_evaluation *evaluations,
                              const struct generation *previous, struct generation *out,
                              struct nero_err *err);

/*
 * The split seed of a lineage, and the training seed of a member: by its place (RUN_SEED_SLOT), or
 * by its phenotype (RUN_SEED_GENOTYPE), so that equal candidates of a lineage are one job.
 */
uint64_t evolve_split_seed(uint64_t run_seed, uint32_t lineage);
uint64_t evolve_training_seed(uint64_t run_seed, uint32_t lineage, uint32_t generation,
                              uint32_t slot);
enum nero_status evolve_genotype_seed(uint64_t run_seed, const struct phenotype *phenotype,
                                      uint64_t *out, struct nero_err *err);

#endif
