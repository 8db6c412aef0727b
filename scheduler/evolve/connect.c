#include "evolve/connect.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "evolve/draw.h"
#include "nero/mem.h"

int32_t connect_lowest(const struct run_module *rules, uint32_t position)
{
    int32_t low = (int32_t)position - (int32_t)rules->levels_back;

    return low > -1 ? low : -1;
}

static bool has_input(const struct genotype_unit *unit, int32_t input)
{
    for (uint32_t i = 0; i < unit->input_count; i++) {
        if (unit->inputs[i] == input) {
            return true;
        }
    }
    return false;
}

/* No more than levels_back candidates exist, and levels_back <= GENOTYPE_INPUTS_MAX. */
static void put_input(struct genotype_unit *unit, int32_t input)
{
    uint32_t at = unit->input_count;

    if (has_input(unit, input)) {
        return;
    }
    assert(unit->input_count < GENOTYPE_INPUTS_MAX);
    for (; at > 0 && unit->inputs[at - 1] > input; at--) {
        unit->inputs[at] = unit->inputs[at - 1];
    }
    unit->inputs[at] = input;
    unit->input_count++;
}

static void drop_input(struct genotype_unit *unit, uint32_t at)
{
    for (uint32_t i = at; i + 1 < unit->input_count; i++) {
        unit->inputs[i] = unit->inputs[i + 1];
    }
    unit->input_count--;
    unit->inputs[unit->input_count] = 0; /* unused entries are zero: equal units, equal memory */
}

void connect_draw(const struct run_module *rules, struct genotype_unit *unit, uint32_t position,
                  struct rng_stream *stream)
{
    int32_t pool[GENOTYPE_INPUTS_MAX];
    int32_t top = (int32_t)position - 1;
    uint32_t count = 0;
    uint32_t size;

    unit->input_count = 0;
    memset(unit->inputs, 0, sizeof unit->inputs);
    if (!rules->allow_skip) {
        put_input(unit, top--);
    }
    for (int32_t j = connect_lowest(rules, position); j <= top; j++) {
        pool[count++] = j;
    }
    size = (uint32_t)draw_between(stream, rules->allow_skip ? 1 : 0, count);
    for (uint32_t i = 0; i < size; i++) { /* Fisher-Yates, stopped after `size` */
        uint32_t at = i + draw_index(stream, count - i);

        put_input(unit, pool[at]);
        pool[at] = pool[i];
    }
}

bool connect_add(const struct run_module *rules, struct genotype_unit *unit, uint32_t position,
                 struct rng_stream *stream)
{
    int32_t free_ones[GENOTYPE_INPUTS_MAX];
    uint32_t count = 0;

    for (int32_t j = connect_lowest(rules, position); j < (int32_t)position; j++) {
        if (!has_input(unit, j)) {
            free_ones[count++] = j;
        }
    }
    if (count == 0) {
        return false;
    }
    put_input(unit, free_ones[draw_index(stream, count)]);
    return true;
}

bool connect_remove(const struct run_module *rules, struct genotype_unit *unit, uint32_t position,
                    struct rng_stream *stream)
{
    uint32_t count = unit->input_count;

    if (!rules->allow_skip && has_input(unit, (int32_t)position - 1)) {
        count--; /* i-1 is the highest candidate, so the last input: it stays */
    } else if (count < 2) {
        return false;
    }
    if (count == 0) {
        return false;
    }
    drop_input(unit, draw_index(stream, count));
    return true;
}

enum nero_status connect_insert(const struct run_module *rules, struct genotype_module *module,
                                uint32_t position, uint32_t gene, struct rng_stream *stream,
                                struct nero_err *err)
{
    struct genotype_unit *units =
        mem_realloc_array(module->units, (size_t)module->unit_count + 1, sizeof *units);

    if (units == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "units of module %s", module->name);
    }
    assert(position <= module->unit_count);
    module->units = units;
    memmove(units + position + 1, units + position,
            (module->unit_count - position) * sizeof *units);
    module->unit_count++;
    /* Moved units move all their inputs with them: look-back distances stay what they were. */
    for (uint32_t u = position + 1; u < module->unit_count; u++) {
        for (uint32_t i = 0; i < units[u].input_count; i++) {
            units[u].inputs[i]++;
        }
    }
    units[position].gene = gene;
    connect_draw(rules, &units[position], position, stream);
    return NERO_OK;
}

/* The inputs of a unit that stood after the removed one, renumbered. */
static void forget_unit(struct genotype_unit *unit, int32_t removed, bool next)
{
    struct genotype_unit before = *unit;

    unit->input_count = 0;
    memset(unit->inputs, 0, sizeof unit->inputs);
    for (uint32_t i = 0; i < before.input_count; i++) {
        int32_t input = before.inputs[i];

        if (input != removed || next) { /* the next unit reads what stands before the gap */
            put_input(unit, input >= removed ? input - 1 : input);
        }
    }
}

void connect_erase(const struct run_module *rules, struct genotype_module *module,
                   uint32_t position, struct rng_stream *stream)
{
    struct genotype_unit *units = module->units;

    assert(position < module->unit_count);
    module->unit_count--;
    memmove(units + position, units + position + 1,
            (module->unit_count - position) * sizeof *units);
    for (uint32_t u = position; u < module->unit_count; u++) {
        forget_unit(&units[u], (int32_t)position, u == position);
        if (u == 0) {
            units[u].input_count = 1;
            units[u].inputs[0] = -1;
        }
        if (units[u].input_count == 0) {
            int32_t low = connect_lowest(rules, u);

            put_input(&units[u], low + (int32_t)draw_index(stream, (uint32_t)((int32_t)u - low)));
        }
    }
}

bool connect_is_dead_end(const struct genotype_module *module, uint32_t position)
{
    for (uint32_t u = position + 1; u < module->unit_count; u++) {
        if (has_input(&module->units[u], (int32_t)position)) {
            return false;
        }
    }
    return position + 1 < module->unit_count;
}

uint32_t connect_repair(const struct run_module *rules, struct genotype_module *module,
                        uint32_t position, struct rng_stream *stream, struct genotype_unit *before)
{
    uint32_t last = module->unit_count - 1;
    uint32_t reach = position + rules->levels_back < last ? position + rules->levels_back : last;
    uint32_t reader = position + 1 + draw_index(stream, reach - position);

    *before = module->units[reader];
    put_input(&module->units[reader], (int32_t)position);
    return reader;
}

bool connect_is_valid(const struct run_module *rules, const struct genotype_unit *unit,
                      uint32_t position)
{
    int32_t low = connect_lowest(rules, position);

    if (unit->input_count == 0 || unit->inputs[0] < low ||
        unit->inputs[unit->input_count - 1] >= (int32_t)position) {
        return false;
    }
    for (uint32_t i = 1; i < unit->input_count; i++) {
        if (unit->inputs[i] <= unit->inputs[i - 1]) {
            return false;
        }
    }
    return rules->allow_skip || has_input(unit, (int32_t)position - 1);
}

void connect_text(const struct genotype_unit *unit, char *out, size_t bytes)
{
    size_t used = 0;

    out[0] = '\0';
    for (uint32_t i = 0; i < unit->input_count; i++) {
        int wrote = snprintf(out + used, bytes - used, "%s%d", i > 0 ? "," : "", unit->inputs[i]);

        if (wrote < 0 || (size_t)wrote >= bytes - used) {
            return;
        }
        used += (size_t)wrote;
    }
}
