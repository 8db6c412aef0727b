#include "evolve/fitness.h"

#include "nero/result.h"

double fitness_of(const struct run_search *search, bool robust,
                  const struct generation_member *member)
{
    struct result_outcome counts = {
        .count = member->count, .correct = member->correct, .kept = member->kept};
    double clean;

    if (member->verdict != GENERATION_SCORED) {
        return search->penalty;
    }
    clean = result_clean_accuracy(&counts);
    return robust ? result_fitness(clean, result_adversarial_accuracy(&counts), search->beta)
                  : clean;
}

double fitness_mean(const struct run_search *search, const struct generation *generation)
{
    double sum = 0.0;
    uint32_t count = 0;

    for (uint32_t i = 0; i < generation->member_count; i++) {
        if (generation->members[i].origin != GENERATION_EXTENSION &&
            (generation->members[i].verdict == GENERATION_SCORED ||
             !search->warmup_mean_excludes_invalid)) {
            sum += generation->members[i].fitness;
            count++;
        }
    }
    return count > 0 ? sum / (double)count : search->penalty;
}
