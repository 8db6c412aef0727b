/*
 * An operator's word to the queue of a run: its Redis, and the epoch that it knows. What is said so
 * concerns Redis alone and takes nobody's lead.
 */
#ifndef NERO_OPERATE_H
#define NERO_OPERATE_H

#include "nero/queue.h"

#include "cli.h"

struct operate {
    struct queue *queue;
    uint64_t epoch;
    char store_url[CLI_URL_BYTES];
};

/* store, redis: as on the command line, may be NULL. Errors: not_found when Redis does not know the
 * run. Ends with operate_close, also after a failure. */
enum nero_status operate_open(const char *store, const char *redis, const char *run,
                              struct operate *out, struct nero_err *err);
void operate_close(struct operate *operate);

/* Print {"run":...,"done":...,"count":N}, or `text` for people, which tells of N. */
void operate_tell(bool json, const char *run, const char *done, uint32_t count, const char *text);

#endif
