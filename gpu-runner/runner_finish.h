/*
 * The result of a job: the trainer's outcome, and the provenance as the chain tells it.
 *
 * The chain is all that is known of former attempts, so provenance is what can be told from it:
 *   attempts, tokens   takeovers, this one included
 *   preemptions        checkpoints whose reason is a notice (a release without one is not seen)
 *   seconds_lost       between an attempt's last slot and the next takeover: time in which nothing
 *                      was committed, be it work thrown away or a job waiting in the queue
 *   steps_redone       updates that were committed and then computed again, after falling back;
 *                      work that a killed attempt never committed is not seen
 *   seconds_trained    training seconds over committed segments
 * Nothing of it reaches the outcome.
 */
#ifndef NERO_RUNNER_FINISH_H
#define NERO_RUNNER_FINISH_H

#include "nero/chain.h"
#include "nero/interval.h"
#include "nero/progress.h"
#include "nero/result.h"

#include "runner_ckpt.h"

/* now_ms: wall clock. Fills *out. */
void runner_finish_provenance(const struct chain *chain, const struct runner_ckpt_owner *owner,
                              const struct progress *progress, double images_per_second,
                              int64_t now_ms, struct result_provenance *out);

/*
 * Add what a chain tells, to be asked once after each takeover of ours, of the lives of runners
 * before us: the attempts that did not end the job, and how long each is known to have lived (from
 * its takeover to its newest slot, by their clocks, at most a day each). An attempt of our own is
 * no life that ended, and those before it were counted then.
 */
void runner_finish_lives(const struct chain *chain, const struct key_id *ours,
                         struct interval_lives *lives);

/* Append the result record's bytes. Errors: too_big, no_memory, invalid. */
enum nero_status runner_finish_encode(const struct result_outcome *outcome,
                                      const struct result_provenance *provenance, struct bytes *out,
                                      struct nero_err *err);

#endif
