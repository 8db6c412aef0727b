#include "single.h"

#include <string.h>

#include "evolve/evolve.h"

static enum nero_status decode(struct preset *preset, const struct run_dataset *dataset,
                               const struct genotype *genotype, struct phenotype *out,
                               struct nero_err *err)
{
    struct grammar grammar = {.rule_count = 0};
    struct evolve_run run = {.record = &preset->record,
                             .grammar = &grammar,
                             .channels = dataset->channels,
                             .height = dataset->height,
                             .width = dataset->width,
                             .classes = dataset->classes};
    enum nero_status status =
        grammar_parse("the preset's grammar", preset->record.grammar, &grammar, err);

    if (status == NERO_OK) {
        status = evolve_decode(&run, genotype, out, err);
        grammar_fini(&grammar);
    }
    return status;
}

/* The spec's bytes and the genotype's to those of the job record. */
static enum nero_status encode(const struct job_spec *spec, const struct genotype *genotype,
                               struct bytes *job, struct nero_err *err)
{
    struct bytes spec_bytes;
    struct bytes genotype_bytes;
    enum nero_status status;

    bytes_init(&spec_bytes, JOB_SPEC_BYTES_MAX);
    bytes_init(&genotype_bytes, GENOTYPE_BYTES_MAX);
    status = job_spec_encode(spec, &spec_bytes, err);
    if (status == NERO_OK) {
        status = genotype_encode(genotype, &genotype_bytes, err);
    }
    if (status == NERO_OK) {
        bytes_clear(job);
        status =
            job_record_encode(bytes_as_view(&spec_bytes), bytes_as_view(&genotype_bytes), job, err);
    }
    bytes_fini(&spec_bytes);
    bytes_fini(&genotype_bytes);
    return status;
}

enum nero_status single_prepare(const struct run_dataset *dataset, struct preset *preset,
                                const struct single_options *options, struct bytes *job,
                                struct nero_err *err)
{
    struct run_record *record = &preset->record;
    struct job_spec spec;
    enum nero_status status;

    if (options->test) {
        record->protocol.part = JOB_PART_TEST;
        record->protocol.fitness_count = dataset->test_count;
    }
    job_spec_init(&spec);
    spec.kind = JOB_TRAIN;
    spec.seed = options->seed;
    spec.budget = record->search.budget;
    spec.protocol = record->protocol;
    spec.protocol.split_seed = evolve_split_seed(record->seed, 0);
    memcpy(spec.numeric_class, record->numeric_class, sizeof spec.numeric_class);
    status = decode(preset, dataset, options->genotype, &spec.phenotype, err);
    if (status == NERO_OK && options->budget != NULL) {
        status = job_budget_parse(options->budget, &spec.budget, err);
    }
    if (status == NERO_OK) {
        status = encode(&spec, options->genotype, job, err);
    }
    job_spec_fini(&spec);
    if (status != NERO_OK) {
        return status;
    }
    record->strategy = RUN_SINGLE;
    record->single_job = bytes_as_view(job);
    return NERO_OK;
}
