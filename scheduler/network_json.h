/*
 * Networks, scores and attacks as JSON objects, for files that people and other programs read:
 * enums by name, no field without a meaning. New references, as jansson's own functions; NULL
 * without memory.
 */
#ifndef NERO_NETWORK_JSON_H
#define NERO_NETWORK_JSON_H

#include <jansson.h>

#include "nero/graph.h"
#include "nero/job.h"
#include "nero/result.h"

/* {"image", "classes", "parameters", "macs", "learning", "units", "nodes"}; units and nodes with
 * the shapes [C,H,W] of their outputs. */
json_t *network_json(const struct phenotype *phenotype, const struct graph *graph);

/* Integer counts, accuracies, and fitness with this beta. */
json_t *network_json_scores(const struct result_outcome *outcome, double beta);

json_t *network_json_attack(const struct job_attack *attack);

#endif
