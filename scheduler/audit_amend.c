/*
 * The audit of the amendments: a row without gaps, each signed by the root key and raising what was
 * before it. A run that went on beyond the end of the row lacks one.
 *
 * Behind a missing or bad amendment the row cannot be followed. That has been named then, and the
 * generations that are there are taken for what the run was to have, so that they are audited.
 */
#include <inttypes.h>
#include <stdio.h>

#include "audit_state.h"

struct row {
    struct audit *audit;
    bool whole; /* so far */
};

static enum nero_status check_amendment(struct row *row, uint64_t number, const char *why,
                                        struct nero_err *err)
{
    struct audit *audit = row->audit;
    char key[LAYOUT_KEY_BYTES];
    struct nero_err reason;
    struct bytes stored;
    bool good;
    enum nero_status status;

    layout_amend(key, audit->run, number);
    bytes_init(&stored, ENVELOPE_BYTES_MAX);
    status = audit_read(audit, key, why, &stored, &good, err);
    if (status == NERO_OK && good && row->whole) {
        good = amendment_list_add(&audit->amendments, audit->trust, bytes_as_view(&stored),
                                  &reason) == NERO_OK;
        if (good) {
            audit->report->signatures++;
            audit_met(audit, &audit->amendments.last);
        } else {
            status = audit_judge(audit, key, "is no amendment of this run", &reason, err);
        }
    }
    row->whole = row->whole && good;
    bytes_fini(&stored);
    return status;
}

/* Is there a first record of that generation, signed by the run key? */
static enum nero_status went_on(struct audit *audit, uint32_t lineage, uint32_t number, bool *out,
                                struct nero_err *err)
{
    char key[LAYOUT_KEY_BYTES];
    struct nero_err ignored;
    struct bytes stored;
    struct bytes_view payload;
    enum nero_status status;

    *out = false;
    layout_generation(key, audit->run, lineage, number, generation_state_name(GENERATION_PROPOSED));
    if (audit_object(audit, key) == NULL) {
        return NERO_OK;
    }
    bytes_init(&stored, GENERATION_BYTES_MAX + ENVELOPE_OVERHEAD_MAX);
    status = storage_get(audit->store, key, &stored, NULL, err);
    *out = status == NERO_OK &&
           trust_open_run_envelope(audit->trust, bytes_as_view(&stored), ENVELOPE_GENERATION,
                                   &payload, &ignored) == NERO_OK;
    bytes_fini(&stored);
    return audit_is_verdict(status) ? NERO_OK : status;
}

static enum nero_status follow(struct row *row, uint32_t lineage, struct nero_err *err)
{
    struct audit *audit = row->audit;

    for (;;) {
        char why[128];
        bool beyond;
        enum nero_status status = went_on(audit, lineage, audit->generations, &beyond, err);

        if (status != NERO_OK || !beyond) {
            return status;
        }
        if (row->whole) {
            (void)snprintf(why, sizeof why, "the run went on beyond its %" PRIu32 " generations",
                           audit->generations);
            if (check_amendment(row, audit->amendments.count, why, err) != NERO_OK) {
                return err->status;
            }
        }
        audit->generations =
            row->whole ? amendment_end(&audit->amendments) : audit->generations + 1;
    }
}

enum nero_status audit_amendments(struct audit *audit, uint64_t count, struct nero_err *err)
{
    struct row row = {.audit = audit, .whole = true};
    enum nero_status status = amendment_list_init(audit->trust, &audit->amendments, err);

    for (uint64_t i = 0; i < count && status == NERO_OK; i++) {
        status = check_amendment(&row, i, "a later amendment exists", err);
    }
    if (status != NERO_OK) {
        return status;
    }
    audit->generations = amendment_end(&audit->amendments);
    for (uint32_t i = 0; i < trust_run(audit->trust)->search.lineages && status == NERO_OK; i++) {
        status = follow(&row, i, err);
    }
    audit->amendments_whole = row.whole;
    return status == NERO_OK && audit->amendments.count > 0
               ? audit_head(audit, &audit->amendments.last, err)
               : status;
}
