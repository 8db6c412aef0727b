/* Lists of fields: those that more than one record holds, and the records themselves for show.c. */
#ifndef NERO_FIELDS_H
#define NERO_FIELDS_H

#include "nero/envelope.h"
#include "nero/generation.h"
#include "nero/job.h"
#include "nero/keys.h"
#include "nero/progress.h"
#include "nero/record.h"
#include "nero/result.h"
#include "nero/run.h"
#include "nero/slot.h"

/* Numbers that stand in object keys have at most ten digits, so that keys sort as numbers. */
#define FIELDS_NUMBER_MAX UINT64_C(9999999999)

void layout_run_field(struct record *r, char run[SLOT_RUN_BYTES]);
/* A numeric class: a text, may be empty; it is part of ids, so that nothing is replaced in it. */
void job_class_field(struct record *r, char numeric_class[JOB_CLASS_BYTES]);
void job_budget_fields(struct record *r, const char *field, struct job_budget *budget);
void job_protocol_fields(struct record *r, struct job_protocol *protocol);
/* The PHENOTYPE_FIELDS fields of a phenotype, without a version. */
enum { PHENOTYPE_FIELDS = 6 };
void phenotype_fields(struct record *r, struct phenotype *phenotype);
void result_histogram_field(struct record *r, uint32_t *class_count, uint32_t **histogram);
void result_curve_field(struct record *r, uint32_t *epoch_count, struct result_epoch **curve);

void job_spec_fields(struct record *r, struct job_spec *spec);
void job_record_fields(struct record *r, struct job_record *job);
void result_outcome_fields(struct record *r, struct result_outcome *outcome);
void result_fields(struct record *r, struct bytes_view *outcome,
                   struct result_provenance *provenance);
void progress_fields(struct record *r, struct progress *progress);
void slot_fields(struct record *r, struct slot *slot);
void generation_fields(struct record *r, struct generation *generation);
void run_record_fields(struct record *r, struct run_record *run);
void run_amendment_fields(struct record *r, struct run_amendment *amendment);
void run_epoch_fields(struct record *r, struct run_epoch *epoch);
void run_batch_fields(struct record *r, struct run_batch *batch);
void run_collection_fields(struct record *r, struct run_collection *collection);
void run_dataset_fields(struct record *r, struct run_dataset *dataset);
void keys_certificate_fields(struct record *r, struct keys_certificate *certificate);
void keys_enrol_fields(struct record *r, struct keys_enrol *enrol);

#endif
