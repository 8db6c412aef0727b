/*
 * Inputs of units inside one module (DESIGN.md, "Definitions"): candidates, drawing, inserting and
 * removing units, repair of dead ends. Inputs stay ascending and unique.
 */
#ifndef NERO_EVOLVE_CONNECT_H
#define NERO_EVOLVE_CONNECT_H

#include "nero/genotype.h"
#include "nero/rng.h"
#include "nero/run.h"

/* Lowest candidate of the unit at `position`; the highest is position - 1. */
int32_t connect_lowest(const struct run_module *rules, uint32_t position);

/* Replace the inputs of the unit at `position` by random ones. */
void connect_draw(const struct run_module *rules, struct genotype_unit *unit, uint32_t position,
                  struct rng_stream *stream);

/* Add or remove one random input. False where there is none to add or remove. */
bool connect_add(const struct run_module *rules, struct genotype_unit *unit, uint32_t position,
                 struct rng_stream *stream);
bool connect_remove(const struct run_module *rules, struct genotype_unit *unit, uint32_t position,
                    struct rng_stream *stream);

/* A unit of `gene` at `position` (0..unit_count) with random inputs. Errors: no_memory. */
enum nero_status connect_insert(const struct run_module *rules, struct genotype_module *module,
                                uint32_t position, uint32_t gene, struct rng_stream *stream,
                                struct nero_err *err);
void connect_erase(const struct run_module *rules, struct genotype_module *module,
                   uint32_t position, struct rng_stream *stream);

/* Not the last unit, and feeds nobody. */
bool connect_is_dead_end(const struct genotype_module *module, uint32_t position);

/* Give a dead end a random reader; returns its position. *before: the reader as it was. */
uint32_t connect_repair(const struct run_module *rules, struct genotype_module *module,
                        uint32_t position, struct rng_stream *stream, struct genotype_unit *before);

/* Inputs are candidates, ascending, and hold i-1 in a legacy module. */
bool connect_is_valid(const struct run_module *rules, const struct genotype_unit *unit,
                      uint32_t position);

/* "-1,0,2", cut at the end. */
void connect_text(const struct genotype_unit *unit, char *out, size_t bytes);

#endif
