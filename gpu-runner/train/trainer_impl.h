/*
 * The trainer's insides, shared by trainer.c (life and state machine), train_eval.c (control, clean
 * and attack units), train_state.c and
 * train_snapshot.c (blobs, snapshots, the outcome). DESIGN.md has the invariants.
 */
#ifndef NERO_TRAINER_IMPL_H
#define NERO_TRAINER_IMPL_H

#include "nero/graph.h"

#include "attack/attack.h"
#include "net/net.h"
#include "train/optimiser.h"
#include "train/train_schedule.h"
#include "train/trainer.h"

enum { TRAINER_ORDER_NONE = UINT32_MAX };

/* What the inference plan holds. Not part of the state: a restored trainer loads again. */
enum trainer_loaded { TRAINER_LOADED_NONE, TRAINER_LOADED_LAST, TRAINER_LOADED_BEST };

struct trainer {
    /* borrowed */
    const struct job_spec *spec;
    const struct dataset *dataset;
    struct backend *backend;
    const struct clock_source *clock;

    struct hash job;
    struct graph graph;
    struct dataset_split split;
    struct schedule schedule;
    struct optimiser optimiser;
    struct net *train_net; /* NULL for SCORE */
    struct net *eval_net;
    struct attack *attack; /* NULL: no attack is asked for */

    /* backend memory; grads and eval_stats also hold the best weights while those are scored */
    float *trained;
    float *stats;
    float *grads;
    float *slot[2];
    float *eval_stats;

    /* host memory */
    float *best_trained;
    float *best_stats;
    float *images;   /* [max(batch, eval_batch), C,H,W] */
    uint8_t *labels; /* of those images */
    float *logits;   /* [eval_batch, K] */
    uint32_t *order; /* of the training images in epoch order_epoch */
    uint32_t order_epoch;

    enum trainer_loaded loaded;
    bool penalty_known;
    double penalty;  /* L2 term as of the start of the epoch; only shown, never decides */
    int64_t mark_ns; /* up to here the clock's time is in seconds_used */
    bool restorable; /* no unit was done and nothing restored */

    struct progress progress; /* the only mutable state beside the arrays; curve has room for all */
};

/* --- trainer.c --- */

uint32_t trainer_image_floats(const struct trainer *trainer);

/* The best weights are scored rather than the last ones (a fact once training has stopped). */
bool trainer_scores_best(const struct trainer *trainer);

/* Take the time since mark_ns into seconds_used. */
void trainer_account_time(struct trainer *trainer);

/* Set the phase that follows training: evaluation, or done where the loss was not finite. */
void trainer_begin_scoring(struct trainer *trainer);

/* --- train_eval.c: one unit each --- */

enum nero_status train_eval_control(struct trainer *trainer, struct trainer_event *event,
                                    struct nero_err *err);
enum nero_status train_eval_clean(struct trainer *trainer, struct trainer_event *event,
                                  struct nero_err *err);
enum nero_status train_eval_attack(struct trainer *trainer, struct trainer_event *event,
                                   struct nero_err *err);

/* After all clean images: may the candidate be attacked? Also where training was not finite. */
enum result_ill train_eval_ill(const struct trainer *trainer);

/* --- train_state.c --- */

/* EXTEND: weights, optimiser state, best weights, curve and counters of the parent. */
enum nero_status train_state_continue(struct trainer *trainer, struct bytes_view blob,
                                      struct nero_err *err);

/* SCORE: the weights. */
enum nero_status train_state_load_weights(struct trainer *trainer, struct bytes_view blob,
                                          struct nero_err *err);

#endif
