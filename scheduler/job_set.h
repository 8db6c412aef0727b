/*
 * A set of job ids: how many evaluations a search named, and how many of those it had named before
 * and so reused.
 */
#ifndef NERO_JOB_SET_H
#define NERO_JOB_SET_H

#include <stdbool.h>
#include <stdint.h>

#include "nero/generation.h"

struct job_set {
    struct hash *slots; /* open addressing, a power of two, at most half full; all 0: free */
    uint64_t room;
    uint64_t named;  /* jobs of all members that were added */
    uint64_t reused; /* that were in the set before; named - reused were evaluated */
};
void job_set_fini(struct job_set *set);

/* *reused tells whether it was there. Zero-initialise the set before the first. */
enum nero_status job_set_add(struct job_set *set, const struct hash *job, bool *reused,
                             struct nero_err *err);

/* The jobs of all members. */
enum nero_status job_set_add_generation(struct job_set *set, const struct generation *generation,
                                        struct nero_err *err);

#endif
