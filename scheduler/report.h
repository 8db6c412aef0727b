/*
 * What a run found, read from the bucket alone: the table of generations, the best individual in
 * readable form, and its test score where the run asked for one.
 */
#ifndef NERO_REPORT_H
#define NERO_REPORT_H

#include <stdbool.h>
#include <stdio.h>

#include "nero/job.h"
#include "nero/storage.h"

/* Text for people, or one JSON object. Errors: not_found, corrupt, unavailable. */
enum nero_status report_print(struct storage *store, const char *run, bool json, FILE *out,
                              struct nero_err *err);

/* "FGSM, 8/255", "PGD, 8/255, 7 steps of 2/255". */
enum { REPORT_ATTACK_BYTES = 96 };
void report_attack(const struct job_attack *attack, char out[REPORT_ATTACK_BYTES]);

/* A network as lines of units: number, kind, parameters, inputs, output shape. */
struct phenotype;
struct phenotype_learning;
enum nero_status report_print_network(const struct phenotype *phenotype, FILE *out,
                                      struct nero_err *err);

/* The learning unit as a line. */
void report_print_learning(const struct phenotype_learning *learning, FILE *out);

#endif
