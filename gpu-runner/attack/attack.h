/*
 * Attacks on a classifier, one physical batch of images at a time.
 *
 * An attack sees the model as two functions over batches of a fixed size; what it does to an image
 * depends on that image alone (specs/attacks.md 1), so results do not depend on how images are
 * packed into batches. Losses of images are summed, never averaged; argmax is the lowest index
 * among maxima. Everything here is host memory.
 *
 * Thread: one thread uses an attack and its model.
 */
#ifndef NERO_ATTACK_H
#define NERO_ATTACK_H

#include <stdbool.h>
#include <stdint.h>

#include "nero/err.h"
#include "nero/job.h"

struct net;

/* Inference over batches of `batch` rows: the later call of the two refers to the earlier. */
struct attack_model {
    void *context;
    uint32_t batch;        /* N, physical */
    uint32_t image_floats; /* C*H*W */
    uint32_t classes;      /* K */
    /* images [N,C,H,W] in [0,1] to logits [N,K] */
    enum nero_status (*forward)(void *context, const float *images, float *logits,
                                struct nero_err *err);
    /* dlogits [N,K] to dimages [N,C,H,W], of the last forward */
    enum nero_status (*backward_input)(void *context, const float *dlogits, float *dimages,
                                       struct nero_err *err);
};

/* The inference plan `net` (borrowed) as a model. */
struct attack_model attack_model_of_net(struct net *net, uint32_t batch, uint32_t image_floats,
                                        uint32_t classes);

/* What an attack did to the valid rows of a batch. */
struct attack_counts {
    uint32_t kept;          /* rows that the model still classifies as their label */
    uint32_t zero_gradient; /* rows whose first input gradient was zero or NaN throughout */
};

struct attack;

/*
 * Prepare with all buffers. model: copied, its context borrowed for the attack's life.
 * Errors: invalid (an unknown attack, a radius or step size outside of (0, 1], no steps),
 * no_memory.
 */
enum nero_status attack_create(const struct job_attack *spec, const struct attack_model *model,
                               struct attack **out, struct nero_err *err);
void attack_destroy(struct attack *attack); /* NULL does nothing */

/*
 * Attack rows [0, valid) of images [N,C,H,W], in place; labels: their true classes, which the model
 * gives the images as they are. Rows from `valid` on are set to zero. Allocates nothing.
 * Errors: those of the model.
 */
enum nero_status attack_batch(struct attack *attack, float *images, const uint8_t *labels,
                              uint32_t valid, struct attack_counts *counts, struct nero_err *err);

/* --- for attack_<kind>.c --- */

/* The class of a row of finite logits: the lowest index among the largest. */
uint32_t attack_argmax(const float *logits, uint32_t classes);

/* False where a logit is NaN or infinite: such a row has no class. */
bool attack_logits_finite(const float *logits, uint32_t classes);

/* Cross-entropy of one row, logsumexp(z) - z[label], in double. */
double attack_cross_entropy(const float *logits, uint32_t classes, uint32_t label);

/* Its gradient with respect to the logits: softmax(z) - onehot(label). */
void attack_cross_entropy_gradient(const float *logits, uint32_t classes, uint32_t label,
                                   float *dlogits);

/* Buffers for one batch, shared by the attacks. */
struct attack_buffers {
    float *logits;  /* [N,K] */
    float *dlogits; /* [N,K] */
    float *dimages; /* [N,C,H,W] */
    float *clean;   /* [N,C,H,W], PGD: the images as they came; else NULL */
};

/*
 * Gradient of the cross-entropy of each of the first `valid` rows with respect to its image, into
 * buffers->dimages; logits and dlogits are used on the way. What other rows get is 0 times theirs.
 */
enum nero_status attack_input_gradient(const struct attack_model *model,
                                       const struct attack_buffers *buffers, const float *images,
                                       const uint8_t *labels, uint32_t valid, struct nero_err *err);

/* x = clip(x + epsilon * sign(gradient of the cross-entropy of x, y), 0, 1) */
enum nero_status attack_fgsm(const struct attack_model *model, float epsilon,
                             const struct attack_buffers *buffers, float *images,
                             const uint8_t *labels, uint32_t valid, uint32_t *zero_gradient,
                             struct nero_err *err);

/*
 * spec->steps times x = box(ball(x + step_size * sign(gradient at x))), from the clean image; the
 * last iterate stands. zero_gradient counts rows whose gradient at the clean image is no direction.
 */
enum nero_status attack_pgd(const struct attack_model *model, const struct job_attack *spec,
                            const struct attack_buffers *buffers, float *images,
                            const uint8_t *labels, uint32_t valid, uint32_t *zero_gradient,
                            struct nero_err *err);

#endif
