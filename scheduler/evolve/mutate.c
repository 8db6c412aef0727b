#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "evolve/connect.h"
#include "evolve/draw.h"
#include "evolve/evolve.h"
#include "evolve/gene.h"
#include "evolve/individual.h"
#include "evolve/mutate_gene.h"
#include "nero/mem.h"

/* One child in the making. */
struct mutation {
    const struct evolve_run *run;
    const struct run_search *search;
    struct rng_stream stream;
    struct genotype child;
    struct generation_event *events;
    uint32_t event_count;
    uint32_t capacity;
    uint32_t further;              /* events past GENERATION_EVENTS_MAX */
    struct generation_event spill; /* they are written here */
};

/*
 * Room for one more event, at first all zero. An individual with hundreds of units and high rates
 * can pass GENERATION_EVENTS_MAX: the last event then tells how many more there were.
 */
static struct generation_event *new_event(struct mutation *mutation, enum generation_operator op,
                                          const char *module, int32_t unit, struct nero_err *err)
{
    struct generation_event *event = &mutation->spill;

    if (mutation->event_count < GENERATION_EVENTS_MAX) {
        if (mutation->event_count == mutation->capacity) {
            uint32_t capacity = mutation->capacity > 0 ? 2 * mutation->capacity : 8;
            struct generation_event *grown =
                mem_realloc_array(mutation->events, capacity, sizeof *grown);

            if (grown == NULL) {
                (void)err_set(err, NERO_NO_MEMORY, 0, "events of a mutation");
                return NULL;
            }
            mutation->events = grown;
            mutation->capacity = capacity;
        }
        event = &mutation->events[mutation->event_count++];
    } else {
        struct generation_event *last = &mutation->events[GENERATION_EVENTS_MAX - 1];

        mutation->further++;
        (void)snprintf(last->what, sizeof last->what, "further events");
        last->before[0] = '\0';
        (void)snprintf(last->after, sizeof last->after, "%u", (unsigned)mutation->further + 1);
    }
    memset(event, 0, sizeof *event);
    event->op = op;
    event->unit = unit;
    (void)snprintf(event->module, sizeof event->module, "%s", module);
    return event;
}

uint64_t evolve_longer_budget(const struct run_search *search, uint64_t parent_budget)
{
    uint64_t cap = search->budget_cap;

    if (parent_budget >= cap) {
        return parent_budget;
    }
    /* Written without parent + default, which may not fit. */
    return search->budget.amount < cap - parent_budget ? parent_budget + search->budget.amount
                                                       : cap;
}

/* *longer: the operator fired below the cap and is the only change. */
static enum nero_status train_longer(struct mutation *mutation, uint64_t parent_budget,
                                     bool *longer, struct nero_err *err)
{
    uint64_t amount = evolve_longer_budget(mutation->search, parent_budget);
    struct generation_event *event;

    *longer = false;
    if (!draw_chance(&mutation->stream, mutation->search->rates.train_longer)) {
        return NERO_OK;
    }
    *longer = amount > parent_budget;
    event = new_event(mutation, *longer ? GENERATION_TRAIN_LONGER : GENERATION_TRAIN_LONGER_AT_CAP,
                      "", -1, err);
    if (event == NULL) {
        return err->status;
    }
    (void)snprintf(event->what, sizeof event->what, "%s",
                   job_budget_name(mutation->search->budget.kind));
    (void)snprintf(event->before, sizeof event->before, "%llu", (unsigned long long)parent_budget);
    (void)snprintf(event->after, sizeof event->after, "%llu", (unsigned long long)amount);
    return NERO_OK;
}

static enum nero_status insert_unit(struct mutation *mutation, const struct run_module *rules,
                                    struct genotype_module *module, struct nero_err *err)
{
    struct rng_stream *stream = &mutation->stream;
    bool copy = draw_chance(stream, mutation->search->rates.replicate_unit) &&
                module->unit_count > 0; /* an empty module has nothing to replicate */
    uint32_t source = 0;
    struct generation_event *event;
    uint32_t position;
    uint32_t gene;
    char inputs[GENERATION_TEXT_BYTES];

    if (copy) {
        source = draw_index(stream, module->unit_count);
        gene = module->units[source].gene;
    } else {
        struct genotype_gene fresh;

        if (gene_draw(mutation->run->grammar, rules->symbol, stream, &fresh, err) != NERO_OK ||
            individual_add_gene(&mutation->child, &fresh, &gene, err) != NERO_OK) {
            return err->status;
        }
    }
    position = draw_index(stream, module->unit_count + 1);
    if (connect_insert(rules, module, position, gene, stream, err) != NERO_OK) {
        return err->status;
    }
    event = new_event(mutation, copy ? GENERATION_REPLICATE_UNIT : GENERATION_ADD_UNIT,
                      module->name, (int32_t)position, err);
    if (event == NULL) {
        return err->status;
    }
    connect_text(&module->units[position], inputs, sizeof inputs);
    if (copy) {
        (void)snprintf(event->before, sizeof event->before, "unit %u", (unsigned)source);
    }
    (void)snprintf(event->what, sizeof event->what, "unit");
    (void)snprintf(event->after, sizeof event->after, "inputs %.140s", inputs);
    return NERO_OK;
}

static enum nero_status add_units(struct mutation *mutation, const struct run_module *rules,
                                  struct genotype_module *module, struct nero_err *err)
{
    int64_t tries = draw_between(&mutation->stream, 1, 2);

    for (int64_t t = 0; t < tries; t++) {
        if (module->unit_count < rules->units_max &&
            draw_chance(&mutation->stream, mutation->search->rates.add_unit) &&
            insert_unit(mutation, rules, module, err) != NERO_OK) {
            return err->status;
        }
    }
    return NERO_OK;
}

static enum nero_status remove_units(struct mutation *mutation, const struct run_module *rules,
                                     struct genotype_module *module, struct nero_err *err)
{
    int64_t tries = draw_between(&mutation->stream, 1, 2);

    for (int64_t t = 0; t < tries; t++) {
        struct generation_event *event;
        uint32_t position;
        char inputs[GENERATION_TEXT_BYTES];

        if (module->unit_count <= rules->units_min ||
            !draw_chance(&mutation->stream, mutation->search->rates.remove_unit)) {
            continue;
        }
        position = draw_index(&mutation->stream, module->unit_count);
        event = new_event(mutation, GENERATION_REMOVE_UNIT, module->name, (int32_t)position, err);
        if (event == NULL) {
            return err->status;
        }
        connect_text(&module->units[position], inputs, sizeof inputs);
        (void)snprintf(event->what, sizeof event->what, "unit");
        (void)snprintf(event->before, sizeof event->before, "inputs %.140s", inputs);
        connect_erase(rules, module, position, &mutation->stream);
    }
    return NERO_OK;
}

/* DSGE of a gene; `unit` -1 is the learning gene. */
static enum nero_status change_gene(struct mutation *mutation, const char *module, int32_t unit,
                                    uint32_t gene, struct nero_err *err)
{
    struct generation_event change = {0};
    struct generation_event *event;
    bool fired;

    if (mutate_gene(mutation->run->grammar, &mutation->child.genes[gene],
                    mutation->search->rates.float_sigma, &mutation->stream, &change, &fired,
                    err) != NERO_OK) {
        return err->status;
    }
    if (!fired) {
        return NERO_OK;
    }
    event = new_event(mutation, change.op, module, unit, err);
    if (event == NULL) {
        return err->status;
    }
    memcpy(event->what, change.what, sizeof event->what);
    memcpy(event->before, change.before, sizeof event->before);
    memcpy(event->after, change.after, sizeof event->after);
    return NERO_OK;
}

static enum nero_status note_inputs(struct mutation *mutation, enum generation_operator op,
                                    const struct genotype_module *module, uint32_t unit,
                                    const struct genotype_unit *before, struct nero_err *err)
{
    struct generation_event *event = new_event(mutation, op, module->name, (int32_t)unit, err);

    if (event == NULL) {
        return err->status;
    }
    (void)snprintf(event->what, sizeof event->what, "inputs");
    connect_text(before, event->before, sizeof event->before);
    connect_text(&module->units[unit], event->after, sizeof event->after);
    return NERO_OK;
}

static enum nero_status change_connections(struct mutation *mutation,
                                           const struct run_module *rules,
                                           struct genotype_module *module, uint32_t u,
                                           struct nero_err *err)
{
    struct genotype_unit *unit = &module->units[u];
    struct genotype_unit before = *unit;

    if (draw_chance(&mutation->stream, mutation->search->rates.add_connection) &&
        connect_add(rules, unit, u, &mutation->stream) &&
        note_inputs(mutation, GENERATION_ADD_CONNECTION, module, u, &before, err) != NERO_OK) {
        return err->status;
    }
    before = *unit;
    if (draw_chance(&mutation->stream, mutation->search->rates.remove_connection) &&
        connect_remove(rules, unit, u, &mutation->stream) &&
        note_inputs(mutation, GENERATION_REMOVE_CONNECTION, module, u, &before, err) != NERO_OK) {
        return err->status;
    }
    return NERO_OK;
}

static enum nero_status mutate_module(struct mutation *mutation, const struct run_module *rules,
                                      struct genotype_module *module, struct nero_err *err)
{
    if (add_units(mutation, rules, module, err) != NERO_OK ||
        remove_units(mutation, rules, module, err) != NERO_OK) {
        return err->status;
    }
    for (uint32_t u = 0; u < module->unit_count; u++) {
        if (draw_chance(&mutation->stream, mutation->search->rates.mutate_unit) &&
            change_gene(mutation, module->name, (int32_t)u, module->units[u].gene, err) !=
                NERO_OK) {
            return err->status;
        }
        if (u > 0 && change_connections(mutation, rules, module, u, err) != NERO_OK) {
            return err->status;
        }
    }
    return NERO_OK;
}

static enum nero_status repair_module(struct mutation *mutation, const struct run_module *rules,
                                      struct genotype_module *module, struct nero_err *err)
{
    for (uint32_t u = 0; u < module->unit_count; u++) {
        struct genotype_unit before;
        uint32_t reader;

        if (!connect_is_dead_end(module, u)) {
            continue;
        }
        reader = connect_repair(rules, module, u, &mutation->stream, &before);
        if (note_inputs(mutation, GENERATION_REPAIR, module, reader, &before, err) != NERO_OK) {
            return err->status;
        }
    }
    return NERO_OK;
}

static enum nero_status mutate_all(struct mutation *mutation, struct nero_err *err)
{
    const struct run_search *search = mutation->search;
    struct genotype *child = &mutation->child;

    for (uint32_t m = 0; m < child->module_count; m++) {
        if (mutate_module(mutation, &search->modules[m], &child->modules[m], err) != NERO_OK) {
            return err->status;
        }
    }
    if (draw_chance(&mutation->stream, search->rates.mutate_learning) &&
        change_gene(mutation, search->learning_symbol, -1, child->learning_gene, err) != NERO_OK) {
        return err->status;
    }
    for (uint32_t m = 0; m < child->module_count; m++) {
        if (search->modules[m].allow_skip &&
            repair_module(mutation, &search->modules[m], &child->modules[m], err) != NERO_OK) {
            return err->status;
        }
    }
    return genotype_normalise(child, err);
}

enum nero_status evolve_mutate(const struct evolve_run *run, const struct genotype *parent,
                               uint64_t parent_budget, uint32_t lineage, uint32_t generation,
                               uint32_t slot, struct genotype *out, bool *longer,
                               struct generation_event **events, uint32_t *event_count,
                               struct nero_err *err)
{
    struct mutation mutation = {
        .run = run,
        .search = &run->record->search,
        .stream = rng_stream(run->record->seed, RNG_MUTATION, lineage, generation, slot)};
    bool only_longer = false;

    genotype_init(&mutation.child);
    if (individual_check(run, parent, err) != NERO_OK ||
        genotype_copy(parent, &mutation.child, err) != NERO_OK ||
        train_longer(&mutation, parent_budget, &only_longer, err) != NERO_OK ||
        (!only_longer && mutate_all(&mutation, err) != NERO_OK)) {
        genotype_fini(&mutation.child);
        free(mutation.events);
        return err_wrap(err, "mutation");
    }
    *out = mutation.child;
    *longer = only_longer;
    *events = mutation.events;
    *event_count = mutation.event_count;
    return NERO_OK;
}
