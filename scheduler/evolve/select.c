#include "evolve/select.h"

static bool is_better(const struct generation_member *a, const struct generation_member *b)
{
    if (a->fitness != b->fitness) {
        return a->fitness > b->fitness;
    }
    return a->verdict == GENERATION_SCORED && b->verdict != GENERATION_SCORED;
}

uint32_t select_best(const struct generation *generation)
{
    uint32_t best = 0; /* the parent's slot: it wins ties */

    for (uint32_t i = 1; i < generation->member_count; i++) {
        if (is_better(&generation->members[i], &generation->members[best])) {
            best = i;
        }
    }
    return best;
}

static bool extends_parent(const struct run_search *search, const struct generation *generation,
                           uint32_t best)
{
    const struct generation_member *parent = &generation->members[0];

    return best != 0 && parent->origin == GENERATION_PARENT &&
           parent->verdict == GENERATION_SCORED && parent->budget.amount > search->budget.amount &&
           parent->budget.amount < generation->members[best].budget.amount;
}

uint32_t select_extensions(const struct run_search *search, const struct generation *generation,
                           uint32_t out[GENERATION_EXTENSIONS_MAX])
{
    uint32_t best = select_best(generation);
    const struct generation_member *least = NULL;
    uint32_t count = 0;
    bool parent;

    if (generation->members[best].verdict != GENERATION_SCORED ||
        generation->members[best].budget.amount <= search->budget.amount) {
        return 0;
    }
    parent = extends_parent(search, generation, best);
    if (parent) {
        out[count++] = 0;
    }
    /* The parent is as well trained as the best by then; failed ones never train on. */
    for (uint32_t i = parent ? 1 : 0; i < generation->member_count; i++) {
        const struct generation_member *member = &generation->members[i];

        if (member->verdict == GENERATION_SCORED &&
            (least == NULL || member->budget.amount < least->budget.amount ||
             (member->budget.amount == least->budget.amount && member->fitness > least->fitness))) {
            least = member;
        }
    }
    if (least != NULL && least->budget.amount < generation->members[best].budget.amount) {
        out[count++] = (uint32_t)(least - generation->members);
    }
    return count;
}

bool select_next_robust(const struct run_search *search, const struct generation *generation,
                        double mean_fitness)
{
    return generation->robust || mean_fitness >= search->warmup_threshold;
}

void select_champion(const struct generation *previous, struct generation *closed)
{
    const struct generation_member *best = &closed->members[closed->selected];

    if (previous != NULL && previous->has_champion) {
        closed->has_champion = true;
        closed->champion_generation = previous->champion_generation;
        closed->champion_member = previous->champion_member;
        closed->champion_fitness = previous->champion_fitness;
    }
    /* Warm-up fitness is another formula: those generations never give a champion. */
    if (closed->robust && best->verdict == GENERATION_SCORED &&
        (!closed->has_champion || best->fitness > closed->champion_fitness)) {
        closed->has_champion = true;
        closed->champion_generation = closed->number;
        closed->champion_member = closed->selected;
        closed->champion_fitness = best->fitness;
    }
}
