/* nero-sched retry: jobs that were given up, once more. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "nero/backlog.h"

#include "operate.h"
#include "run_view.h"

/* A run opened for retrying. `lead` leads nothing: it names store, queue, run and key. */
struct retry {
    struct operate operate;
    struct storage *store;
    struct run_view view;
    bool viewed;
    struct key_pair run_key;
    struct lead lead;
    struct submission submission;
    const struct hash *only; /* NULL: every job */
    uint32_t reopened;
    uint32_t released; /* dead and parked ones */
};

/* ---- failed in the store ---- */

/* First the store's word, then Redis. */
static enum nero_status reopen(struct retry *retry, const struct hash *job, struct nero_err *err)
{
    struct backlog_fill fill = {
        .run = retry->lead.run, .epoch = retry->operate.epoch, .window_bytes = UINT64_MAX};
    struct submission_look look;
    enum nero_status status;

    if (retry->only != NULL && !hash_equal(retry->only, job)) {
        return NERO_OK;
    }
    result_init(&look.result);
    status = submission_look(&retry->submission, job, NULL, &look, err);
    result_fini(&look.result);
    if (status != NERO_OK || look.state != SUBMISSION_FAILED) {
        return status;
    }
    status = submission_terminate(&retry->submission, job, retry->operate.epoch, SLOT_REOPENED,
                                  "retried by hand", err);
    if (status == NERO_CONFLICT) { /* another has just done it */
        return NERO_OK;
    }
    if (status == NERO_OK) {
        backlog_note_open(retry->submission.backlog, job, false, 0);
        status = backlog_fill_one(retry->submission.backlog, retry->operate.queue, &fill, job, err);
    }
    retry->reopened += status == NERO_OK;
    return status;
}

/* The pending members of a stored record; none where it is not there. */
static enum nero_status reopen_members(struct retry *retry, uint32_t lineage, uint32_t number,
                                       enum generation_state state, bool *found,
                                       struct nero_err *err)
{
    struct generation_stored stored;
    enum nero_status status = generation_store_get(retry->store, retry->view.trust, retry->lead.run,
                                                   lineage, number, state, &stored, err);

    *found = status == NERO_OK;
    if (status != NERO_OK) {
        return status == NERO_NOT_FOUND ? NERO_OK : status;
    }
    for (uint32_t i = 0; i < stored.generation.member_count && status == NERO_OK; i++) {
        const struct generation_member *member = &stored.generation.members[i];

        if (member->has_job && member->verdict == GENERATION_PENDING) {
            status = reopen(retry, &member->job, err);
        }
    }
    generation_stored_fini(&stored);
    return status;
}

static enum nero_status is_evaluated(const struct retry *retry, uint32_t lineage, uint32_t number,
                                     bool *evaluated, struct nero_err *err)
{
    struct generation_stored stored;
    enum nero_status status =
        generation_store_get(retry->store, retry->view.trust, retry->lead.run, lineage, number,
                             GENERATION_EVALUATED, &stored, err);

    *evaluated = status == NERO_OK;
    if (*evaluated) {
        generation_stored_fini(&stored);
    }
    return status == NERO_NOT_FOUND ? NERO_OK : status;
}

/* Jobs whose failure has decided nothing yet: of the open generation of each lineage. */
static enum nero_status reopen_undecided(struct retry *retry, struct nero_err *err)
{
    enum nero_status status = NERO_OK;

    if (retry->view.run.record->strategy == RUN_SINGLE) {
        for (size_t i = 0; i < backlog_count(retry->submission.backlog) && status == NERO_OK; i++) {
            struct hash job = backlog_at(retry->submission.backlog, i)->job;

            status = reopen(retry, &job, err);
        }
        return status;
    }
    for (uint32_t i = 0; i < retry->view.lineage_count && status == NERO_OK; i++) {
        uint32_t number = retry->view.closed[i];
        bool evaluated = false;
        bool found;

        status = is_evaluated(retry, i, number, &evaluated, err);
        if (status == NERO_OK) {
            status =
                reopen_members(retry, i, number,
                               evaluated ? GENERATION_EXTENDING : GENERATION_PROPOSED, &found, err);
        }
    }
    return status;
}

/* ---- opening ---- */

static enum nero_status open_retry(struct retry *retry, const char *store, const char *redis,
                                   const char *run, struct nero_err *err)
{
    if (operate_open(store, redis, run, &retry->operate, err) != NERO_OK ||
        cli_open_store(retry->operate.store_url, false, &retry->store, err) != NERO_OK ||
        run_view_open(retry->store, run, NULL, &retry->view, err) != NERO_OK) {
        return err->status;
    }
    retry->viewed = true;
    if (cli_run_key(run, &retry->run_key, err) != NERO_OK) {
        return err->status;
    }
    retry->lead = (struct lead){.store = retry->store,
                                .queue = retry->operate.queue,
                                .run = retry->view.lead.run,
                                .run_key = &retry->run_key};
    submission_init(&retry->submission, &retry->lead, retry->view.trust);
    return backlog_open(retry->store, retry->view.trust, &retry->submission.backlog, err);
}

static void close_retry(struct retry *retry)
{
    submission_fini(&retry->submission);
    key_pair_fini(&retry->run_key);
    if (retry->viewed) {
        run_view_close(&retry->view);
    }
    storage_close(retry->store);
    operate_close(&retry->operate);
}

/* The job whose id begins with `text`. */
static enum nero_status find_job(const struct backlog *backlog, const char *text, struct hash *out,
                                 struct nero_err *err)
{
    uint32_t found = 0;

    for (size_t i = 0; i < backlog_count(backlog); i++) {
        char hex[HASH_HEX_BYTES];

        hash_to_hex(hex, &backlog_at(backlog, i)->job);
        if (text[0] != '\0' && strncmp(hex, text, strlen(text)) == 0) {
            *out = backlog_at(backlog, i)->job;
            found++;
        }
    }
    if (found == 1) {
        return NERO_OK;
    }
    return err_set(err, found == 0 ? NERO_NOT_FOUND : NERO_INVALID, 0,
                   found == 0 ? "no job '%s...' was submitted in this run"
                              : "more than one job is called '%s...'",
                   text);
}

static enum nero_status retry_jobs(struct retry *retry, const char *job, struct nero_err *err)
{
    struct hash only;
    enum nero_status status = NERO_OK;

    if (job != NULL) {
        status = find_job(retry->submission.backlog, job, &only, err);
        retry->only = &only;
    }
    if (status == NERO_OK) {
        status = reopen_undecided(retry, err);
    }
    if (status == NERO_OK) {
        status = queue_retry(retry->operate.queue, retry->lead.run, retry->operate.epoch,
                             retry->only, &retry->released, err);
    }
    if (status == NERO_OK && job != NULL && retry->reopened + retry->released == 0) {
        status = err_set(err, NERO_CONFLICT, 0,
                         "job %s is neither dead nor parked, nor has it failed in a generation "
                         "that is still open",
                         job);
    }
    return status;
}

int cmd_retry(int argc, char **argv)
{
    const char *store = NULL;
    const char *redis = NULL;
    bool json = false;
    const struct options_spec specs[] = {CLI_OPTION_STORE(&store), CLI_OPTION_REDIS(&redis),
                                         CLI_OPTION_JSON(&json)};
    const struct options_command command = {
        .program = "nero-sched retry",
        .arguments = "RUN [JOB]",
        .about =
            "Try jobs again that were given up: dead and parked ones, and those that failed in a\n"
            "generation that is still open, which a signed 'reopened' slot in the store opens\n"
            "first. Their counters begin at zero. JOB is an id or the beginning of one, as\n"
            "'status' shows it; without it all such jobs. Needs the run's key.",
        .examples = "  nero-sched retry demo-3f9a12\n"
                    "  nero-sched retry demo-3f9a12 91e1c4d27f67\n",
        .specs = specs,
        .spec_count = sizeof specs / sizeof specs[0],
        .arguments_min = 1,
        .arguments_max = 2};
    struct options_parsed parsed;
    static struct retry retry; /* large */
    struct nero_err err;
    char text[160];
    bool done;
    enum nero_status status;
    int code = cli_parse(&command, argc, argv, &parsed, &done);

    if (done) {
        return code;
    }
    memset(&retry, 0, sizeof retry);
    status = open_retry(&retry, store, redis, parsed.arguments[0], &err);
    if (status == NERO_OK) {
        status = retry_jobs(&retry, parsed.argument_count > 1 ? parsed.arguments[1] : NULL, &err);
    }
    close_retry(&retry);
    if (status != NERO_OK) {
        return cli_fail(command.program, &err);
    }
    (void)snprintf(text, sizeof text,
                   "%" PRIu32 " jobs are tried again, %" PRIu32 " of them reopened in the store",
                   retry.reopened + retry.released, retry.reopened);
    operate_tell(json, parsed.arguments[0], "retried", retry.reopened + retry.released, text);
    return ERR_EXIT_DONE;
}
