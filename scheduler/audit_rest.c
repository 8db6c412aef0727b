/* The audit of what no other pass has seen: every object under a run's prefix must have a reason.
 */
#include <stdlib.h>
#include <string.h>

#include "audit_state.h"

/* A blob that no slot names: an attempt died before it committed. Harmless, if it is whole. */
static enum nero_status check_unnamed(struct audit *audit, struct audit_object *object,
                                      struct nero_err *err)
{
    audit->report->blobs_unnamed++;
    return audit_blob(audit, object->key, &object->place.hash, object->bytes, "its own name", err);
}

static enum nero_status check_object(struct audit *audit, struct audit_object *object,
                                     struct nero_err *err)
{
    if (!object->placed) {
        audit_say(audit, object->key, "has no place in a run: it was not put there by this system");
        return NERO_OK;
    }
    switch (object->place.kind) {
    case PLACE_BLOB:
        return check_unnamed(audit, object, err);
    case PLACE_GENERATION:
        audit_say(audit, object->key, "belongs to no lineage or generation of the run record");
        break;
    case PLACE_AMENDMENT:
    case PLACE_COLLECTION:
    case PLACE_EPOCH:
    case PLACE_BATCH:
        audit_say(audit, object->key, "is out of the row: numbers below it are missing");
        break;
    default:
        audit_say(audit, object->key, "belongs to nothing else in the run");
        break;
    }
    return NERO_OK;
}

static void check_named(struct audit *audit)
{
    for (size_t i = 0; i < audit->job_count; i++) {
        const struct audit_job *job = &audit->jobs[i];
        char key[LAYOUT_KEY_BYTES];

        if (job->has_spec && !job->named) {
            layout_spec(key, audit->run, &job->id);
            audit_say(audit, key,
                      "is a job that no generation record names, nor the run record, nor "
                      "the champion's score");
        }
    }
}

enum nero_status audit_rest(struct audit *audit, struct nero_err *err)
{
    enum nero_status status = NERO_OK;

    check_named(audit);
    for (size_t i = 0; i < audit->object_count && status == NERO_OK; i++) {
        if (!audit->objects[i].seen) {
            status = check_object(audit, &audit->objects[i], err);
        }
    }
    return status;
}
