#include "operate.h"

#include <inttypes.h>
#include <stdio.h>

#include "redis_find.h"

enum nero_status operate_open(const char *store, const char *redis, const char *run,
                              struct operate *out, struct nero_err *err)
{
    char redis_url[REDIS_FIND_URL_BYTES];
    struct queue_counts counts;

    *out = (struct operate){.queue = NULL};
    if (cli_store_url(store, false, out->store_url, err) != NERO_OK ||
        redis_find(redis, run, out->store_url, redis_url, err) != NERO_OK ||
        queue_open(redis_url, &out->queue, err) != NERO_OK) {
        return err->status;
    }
    if (queue_counts(out->queue, run, &counts, err) != NERO_OK) {
        return err_wrap(err, "run %s", run);
    }
    out->epoch = counts.epoch;
    return NERO_OK;
}

void operate_close(struct operate *operate)
{
    queue_close(operate->queue);
    operate->queue = NULL;
}

void operate_tell(bool json, const char *run, const char *done, uint32_t count, const char *text)
{
    if (json) {
        (void)printf("{\"run\":\"%s\",\"done\":\"%s\",\"count\":%" PRIu32 "}\n", run, done, count);
    } else {
        (void)printf("%s\n", text);
    }
}
