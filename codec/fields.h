/* Lists of fields that more than one record holds. */
#ifndef NERO_FIELDS_H
#define NERO_FIELDS_H

#include "nero/envelope.h"
#include "nero/job.h"
#include "nero/record.h"
#include "nero/result.h"
#include "nero/slot.h"

enum { FIELDS_NUMBER_MAX_DIGITS = 10 };
/* Numbers that stand in object keys have at most ten digits, so that keys sort as numbers. */
#define FIELDS_NUMBER_MAX UINT64_C(9999999999)

void layout_run_field(struct record *r, char run[SLOT_RUN_BYTES]);
/* A numeric class: printable ASCII, may be empty. */
void job_class_field(struct record *r, char numeric_class[JOB_CLASS_BYTES]);
void job_budget_fields(struct record *r, const char *field, struct job_budget *budget);
void job_protocol_fields(struct record *r, struct job_protocol *protocol);
/* The PHENOTYPE_FIELDS fields of a phenotype, without a version. */
enum { PHENOTYPE_FIELDS = 6 };
void phenotype_fields(struct record *r, struct phenotype *phenotype);
void result_histogram_field(struct record *r, uint32_t *class_count, uint32_t **histogram);
void result_curve_field(struct record *r, uint32_t *epoch_count, struct result_epoch **curve);

#endif
