#include "preset_cut.h"

#include <inttypes.h>
#include <stdio.h>

#include "preset.h"

/* The list that grows, and the texts that its new entries point to. */
struct cutter {
    struct preset_cut *cut;
    struct options_list *sets;
    uint32_t count;
};

static enum nero_status add_text(struct cutter *cutter, const char *key, const char *value,
                                 struct nero_err *err)
{
    char *text = cutter->cut->overrides[cutter->count];
    int length = snprintf(text, PRESET_CUT_BYTES, "%s=%s", key, value);

    if (length < 0 || length >= PRESET_CUT_BYTES) {
        return err_set(err, NERO_INVALID, 0, "%s: \"%.40s...\" is too long", key, value);
    }
    if (cutter->sets->count == OPTIONS_LIST_MAX) {
        return err_set(err, NERO_INVALID, 0, "more than %d overrides", OPTIONS_LIST_MAX);
    }
    cutter->count++;
    cutter->sets->values[cutter->sets->count++] = text;
    return NERO_OK;
}

static enum nero_status add(struct cutter *cutter, const char *key, const char *unit,
                            uint64_t value, struct nero_err *err)
{
    char text[PRESET_CUT_BYTES];

    (void)snprintf(text, sizeof text, "%s%s%" PRIu64, unit, unit[0] == '\0' ? "" : ":", value);
    return add_text(cutter, key, text, err);
}

/* `part` of `whole`, of `images`, to the nearest whole number but at least 1. */
static uint64_t share(uint64_t images, uint64_t part, uint64_t whole)
{
    uint64_t rounded = (2 * images * part + whole) / (2 * whole);

    return rounded > 0 ? rounded : 1;
}

static enum nero_status cut_images(struct cutter *cutter, const struct job_protocol *protocol,
                                   struct nero_err *err)
{
    uint64_t images = cutter->cut->images;
    uint64_t whole =
        (uint64_t)protocol->train_count + protocol->control_count + protocol->fitness_count;
    uint64_t control;
    uint64_t fitness;

    if (images > whole || images < 3) {
        return err_set(err, NERO_INVALID, 0,
                       "--images: %" PRIu64 "; allowed: 3 to the preset's %" PRIu64, images, whole);
    }
    control = share(images, protocol->control_count, whole);
    fitness = share(images, protocol->fitness_count, whole);
    if (control + fitness >= images) {
        return err_set(err, NERO_INVALID, 0, "--images: %" PRIu64 " leave none to train on",
                       images);
    }
    if (add(cutter, "protocol.train_count", "", images - control - fitness, err) != NERO_OK ||
        add(cutter, "protocol.control_count", "", control, err) != NERO_OK) {
        return err->status;
    }
    return add(cutter, "protocol.fitness_count", "", fitness, err);
}

static enum nero_status cut_budget(struct cutter *cutter, const struct run_search *search,
                                   struct nero_err *err)
{
    struct job_budget budget;
    uint64_t cap;

    if (job_budget_parse(cutter->cut->budget, &budget, err) != NERO_OK) {
        return err_wrap(err, "--budget");
    }
    if (__builtin_mul_overflow(budget.amount, search->budget_cap, &cap)) {
        return err_set(err, NERO_INVALID, 0, "--budget: %s is too large", cutter->cut->budget);
    }
    cap /= search->budget.amount;
    if (add(cutter, "search.budget", job_budget_name(budget.kind), budget.amount, err) != NERO_OK) {
        return err->status;
    }
    return add(cutter, "search.budget_cap", job_budget_name(budget.kind), cap, err);
}

enum nero_status preset_cut_apply(const char *path, struct preset_cut *cut,
                                  struct options_list *sets, struct nero_err *err)
{
    struct cutter cutter = {.cut = cut, .sets = sets};
    struct preset preset;
    enum nero_status status = NERO_OK;

    if (cut->strategy != NULL &&
        add_text(&cutter, "search.strategy", cut->strategy, err) != NERO_OK) {
        return err_wrap(err, "--strategy");
    }
    if (cut->images == 0 && cut->budget == NULL && cut->lineages == 0) {
        return NERO_OK;
    }
    if (preset_load(path, sets->values, sets->count, &preset, err) != NERO_OK) {
        return err->status;
    }
    if (cut->lineages > 0) {
        status = add(&cutter, "search.lineages", "", cut->lineages, err);
    }
    if (status == NERO_OK && cut->images > 0) {
        status = cut_images(&cutter, &preset.record.protocol, err);
    }
    if (status == NERO_OK && cut->budget != NULL) {
        status = cut_budget(&cutter, &preset.record.search, err);
    }
    preset_fini(&preset);
    return status;
}
