/*
 * Notices of preemption from a cloud's metadata service, asked for by a thread of its own:
 *
 *   aws    spot/instance-action (IMDSv2: a session token first), with the time of the end, 2 min
 *          ahead; events/recommendations/rebalance is a warning of one
 *   gce    instance/preempted, 30 s ahead
 *   azure  scheduled events of type Preempt that name this machine, at least 30 s ahead
 *
 * A service that is not there costs one short try, then one ever more rarely, down to one a minute.
 * Thread: the main thread calls; the watching thread is inside.
 * Source: specs/batch.md section 5.1; AWS, Google Cloud and Azure documentation of instance
 * metadata.
 */
#ifndef NERO_RUNNER_WATCH_H
#define NERO_RUNNER_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "nero/err.h"

enum runner_watch_platform {
    RUNNER_WATCH_NONE = 1,
    RUNNER_WATCH_AWS,
    RUNNER_WATCH_GCE,
    RUNNER_WATCH_AZURE
};

struct runner_watch;

struct runner_watch_view {
    bool threatened; /* an end is likely, or announced */
    bool announced;
    bool at_once;    /* announced: the cloud's lead is short, stop now */
    int64_t kill_ns; /* announced: monotonic, when */
    const char *why; /* announced: a constant */
};

/* "aws", "gce", "azure", "none", or "auto": what the machine's firmware says it is. Errors:
 * invalid. */
enum nero_status runner_watch_parse(const char *text, enum runner_watch_platform *out,
                                    struct nero_err *err);

/* By the vendor and the asset tag in /sys/class/dmi/id; exposed for its test. */
enum runner_watch_platform runner_watch_platform_of(const char *vendor, const char *asset_tag);

/*
 * `base` replaces the service's well-known address; NULL: that. NONE gives NULL in *out. Errors:
 * unavailable, no_memory.
 */
enum nero_status runner_watch_start(enum runner_watch_platform platform, const char *base,
                                    struct runner_watch **out, struct nero_err *err);
void runner_watch_end(struct runner_watch *watch); /* NULL does nothing */

/* NULL: all false. */
void runner_watch_look(struct runner_watch *watch, struct runner_watch_view *out);

#endif
