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
