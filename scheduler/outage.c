#include "outage.h"

#include "nero/clock.h"
#include "nero/log.h"

enum { REST_FIRST_MS = 100, TELL_EVERY = 8 };

bool outage_rests(const struct outage *outage)
{
    return outage->rest_ms > 0 &&
           clock_seconds_since(clock_system(), outage->tried_ns) * 1000 < outage->rest_ms;
}

void outage_goes_on(struct outage *outage, uint32_t rest_ms_max, const char *event, const char *run,
                    const struct nero_err *err)
{
    uint64_t rest_ms = outage->rest_ms == 0 ? REST_FIRST_MS : 2 * (uint64_t)outage->rest_ms;

    if (outage->tries++ % TELL_EVERY == 0) {
        log_line(LOG_WARN, event, &(struct log_context){.run = run}, "try=%u status=%s %s",
                 outage->tries, err_status_name(err->status), err->message);
    }
    outage->rest_ms = rest_ms < rest_ms_max ? (uint32_t)rest_ms : rest_ms_max;
    outage->tried_ns = clock_mono_ns(clock_system());
}

void outage_is_over(struct outage *outage, const char *event, const char *run)
{
    if (outage->tries > 0) {
        log_line(LOG_INFO, event, &(struct log_context){.run = run}, "after %u failed tries",
                 outage->tries);
    }
    *outage = (struct outage){0};
}
