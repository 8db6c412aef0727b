/*
 * How a stored generation record differs from the one that follows from run record and results. The
 * bytes differ already: this is to say where, so that a person can look.
 */
#include <inttypes.h>
#include <string.h>

#include "audit_state.h"

/* The comparison of one record; `differences` counts what was said. */
struct comparison {
    struct audit *audit;
    const char *key;
    uint32_t differences;
};

static void differ_u64(struct comparison *comparison, const char *what, uint64_t stored,
                       uint64_t computed)
{
    if (stored != computed) {
        audit_say(comparison->audit, comparison->key, "%s is %" PRIu64 ", computed %" PRIu64, what,
                  stored, computed);
        comparison->differences++;
    }
}

/* Bits are compared: a NaN is a difference unless it is the same one. */
static void differ_real(struct comparison *comparison, const char *what, double stored,
                        double computed)
{
    if (memcmp(&stored, &computed, sizeof stored) != 0) {
        audit_say(comparison->audit, comparison->key, "%s is %.17g, computed %.17g", what, stored,
                  computed);
        comparison->differences++;
    }
}

static void differ_hash(struct comparison *comparison, const char *what, const struct hash *stored,
                        const struct hash *computed)
{
    char first[HASH_HEX_BYTES];
    char second[HASH_HEX_BYTES];

    if (!hash_equal(stored, computed)) {
        hash_to_hex(first, stored);
        hash_to_hex(second, computed);
        audit_say(comparison->audit, comparison->key, "%s is %s, computed %s", what, first, second);
        comparison->differences++;
    }
}

static void differ_text(struct comparison *comparison, const char *what, const char *stored,
                        const char *computed)
{
    if (strcmp(stored, computed) != 0) {
        audit_say(comparison->audit, comparison->key, "%s is '%.100s', computed '%.100s'", what,
                  stored, computed);
        comparison->differences++;
    }
}

static bool same_events(const struct generation_member *a, const struct generation_member *b)
{
    if (a->event_count != b->event_count) {
        return false;
    }
    for (uint32_t i = 0; i < a->event_count; i++) {
        const struct generation_event *left = &a->events[i];
        const struct generation_event *right = &b->events[i];

        if (left->op != right->op || left->unit != right->unit ||
            strcmp(left->module, right->module) != 0 || strcmp(left->what, right->what) != 0 ||
            strcmp(left->before, right->before) != 0 || strcmp(left->after, right->after) != 0) {
            return false;
        }
    }
    return true;
}

static void compare_origin(struct comparison *comparison, uint32_t number,
                           const struct generation_member *stored,
                           const struct generation_member *computed)
{
    char what[64];

    (void)snprintf(what, sizeof what, "member %" PRIu32 ": origin", number);
    differ_text(comparison, what, generation_origin_name(stored->origin),
                generation_origin_name(computed->origin));
    (void)snprintf(what, sizeof what, "member %" PRIu32 ": member that it extends", number);
    differ_u64(comparison, what, stored->extends, computed->extends);
    if (!bytes_view_equal(stored->genotype, computed->genotype)) {
        audit_say(comparison->audit, comparison->key,
                  "member %" PRIu32 ": its genotype is not the one that its parent and the run's "
                  "seed give",
                  number);
        comparison->differences++;
    }
    if (!same_events(stored, computed)) {
        audit_say(comparison->audit, comparison->key,
                  "member %" PRIu32 ": its mutations are not those that were drawn", number);
        comparison->differences++;
    }
    (void)snprintf(what, sizeof what, "member %" PRIu32 ": budget", number);
    differ_u64(comparison, what, stored->budget.amount, computed->budget.amount);
    (void)snprintf(what, sizeof what, "member %" PRIu32 ": having a job", number);
    differ_u64(comparison, what, stored->has_job, computed->has_job);
    if (stored->has_job && computed->has_job) {
        (void)snprintf(what, sizeof what, "member %" PRIu32 ": job", number);
        differ_hash(comparison, what, &stored->job, &computed->job);
    }
}

static void compare_evaluation(struct comparison *comparison, uint32_t number,
                               const struct generation_member *stored,
                               const struct generation_member *computed)
{
    char what[64];

    (void)snprintf(what, sizeof what, "member %" PRIu32 ": verdict", number);
    differ_text(comparison, what, generation_verdict_name(stored->verdict),
                generation_verdict_name(computed->verdict));
    (void)snprintf(what, sizeof what, "member %" PRIu32 ": text", number);
    differ_text(comparison, what, stored->text, computed->text);
    (void)snprintf(what, sizeof what, "member %" PRIu32 ": terminal slot", number);
    differ_hash(comparison, what, &stored->slot, &computed->slot);
    (void)snprintf(what, sizeof what, "member %" PRIu32 ": images", number);
    differ_u64(comparison, what, stored->count, computed->count);
    (void)snprintf(what, sizeof what, "member %" PRIu32 ": correct", number);
    differ_u64(comparison, what, stored->correct, computed->correct);
    (void)snprintf(what, sizeof what, "member %" PRIu32 ": kept", number);
    differ_u64(comparison, what, stored->kept, computed->kept);
    (void)snprintf(what, sizeof what, "member %" PRIu32 ": fitness", number);
    differ_real(comparison, what, stored->fitness, computed->fitness);
}

static void compare_close(struct comparison *comparison, const struct generation *stored,
                          const struct generation *computed)
{
    differ_u64(comparison, "selected member", stored->selected, computed->selected);
    differ_real(comparison, "mean fitness", stored->mean_fitness, computed->mean_fitness);
    differ_u64(comparison, "robust phase of the next generation", stored->next_robust,
               computed->next_robust);
    differ_u64(comparison, "having a champion", stored->has_champion, computed->has_champion);
    differ_u64(comparison, "champion's generation", stored->champion_generation,
               computed->champion_generation);
    differ_u64(comparison, "champion's member", stored->champion_member, computed->champion_member);
    differ_real(comparison, "champion's fitness", stored->champion_fitness,
                computed->champion_fitness);
}

void audit_compare(struct audit *audit, const char *key, const struct generation *stored,
                   const struct generation *computed)
{
    struct comparison comparison = {.audit = audit, .key = key};
    uint32_t members = stored->member_count < computed->member_count ? stored->member_count
                                                                     : computed->member_count;

    differ_hash(&comparison, "the record before it", &stored->prev, &computed->prev);
    differ_u64(&comparison, "robust phase", stored->robust, computed->robust);
    differ_u64(&comparison, "split seed", stored->split_seed, computed->split_seed);
    differ_u64(&comparison, "number of members", stored->member_count, computed->member_count);
    for (uint32_t i = 0; i < members; i++) {
        compare_origin(&comparison, i, &stored->members[i], &computed->members[i]);
        if (stored->state != GENERATION_PROPOSED) {
            compare_evaluation(&comparison, i, &stored->members[i], &computed->members[i]);
        }
    }
    if (stored->state == GENERATION_CLOSED) {
        compare_close(&comparison, stored, computed);
    }
    if (comparison.differences == 0) {
        audit_say(audit, key, "is not the record that follows from the run and its results");
    }
}
