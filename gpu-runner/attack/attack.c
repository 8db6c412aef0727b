#include "attack/attack.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "nero/mem.h"

#include "net/net.h"

struct attack {
    struct job_attack spec;
    struct attack_model model;
    struct attack_buffers buffers;
};

static enum nero_status forward_net(void *context, const float *images, float *logits,
                                    struct nero_err *err)
{
    return net_forward(context, images, logits, err);
}

static enum nero_status backward_net(void *context, const float *dlogits, float *dimages,
                                     struct nero_err *err)
{
    return net_backward_input(context, dlogits, dimages, err);
}

struct attack_model attack_model_of_net(struct net *net, uint32_t batch, uint32_t image_floats,
                                        uint32_t classes)
{
    return (struct attack_model){.context = net,
                                 .batch = batch,
                                 .image_floats = image_floats,
                                 .classes = classes,
                                 .forward = forward_net,
                                 .backward_input = backward_net};
}

static enum nero_status check_spec(const struct job_attack *spec, struct nero_err *err)
{
    bool pgd = spec->kind == JOB_ATTACK_PGD;

    if (spec->kind != JOB_ATTACK_FGSM && !pgd) {
        return err_set(err, NERO_INVALID, 0, "attack %d: unknown kind", (int)spec->kind);
    }
    if (!(spec->epsilon > 0.0 && spec->epsilon <= 1.0)) {
        return err_set(err, NERO_INVALID, 0, "attack: epsilon %g is not in (0, 1]", spec->epsilon);
    }
    if (pgd && !(spec->step_size > 0.0 && spec->step_size <= 1.0)) {
        return err_set(err, NERO_INVALID, 0, "attack pgd: step size %g is not in (0, 1]",
                       spec->step_size);
    }
    if (pgd && spec->steps == 0) {
        return err_set(err, NERO_INVALID, 0, "attack pgd: no steps");
    }
    return NERO_OK;
}

enum nero_status attack_create(const struct job_attack *spec, const struct attack_model *model,
                               struct attack **out, struct nero_err *err)
{
    size_t logits = sizeof(float) * model->batch * model->classes;
    size_t images = sizeof(float) * model->batch * model->image_floats;
    enum nero_status status = check_spec(spec, err);
    struct attack *attack;

    if (status != NERO_OK) {
        return status;
    }
    attack = mem_calloc(1, sizeof(*attack));
    if (attack == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "attack: no memory");
    }
    attack->spec = *spec;
    attack->model = *model;
    attack->buffers.logits = mem_alloc_tensor(logits);
    attack->buffers.dlogits = mem_alloc_tensor(logits);
    attack->buffers.dimages = mem_alloc_tensor(images);
    if (spec->kind == JOB_ATTACK_PGD) {
        attack->buffers.clean = mem_alloc_tensor(images);
    }
    if (attack->buffers.logits == NULL || attack->buffers.dlogits == NULL ||
        attack->buffers.dimages == NULL ||
        (spec->kind == JOB_ATTACK_PGD && attack->buffers.clean == NULL)) {
        attack_destroy(attack);
        return err_set(err, NERO_NO_MEMORY, 0, "attack: no memory for batches of %u", model->batch);
    }
    *out = attack;
    return NERO_OK;
}

void attack_destroy(struct attack *attack)
{
    if (attack == NULL) {
        return;
    }
    free(attack->buffers.logits);
    free(attack->buffers.dlogits);
    free(attack->buffers.dimages);
    free(attack->buffers.clean);
    free(attack);
}

enum nero_status attack_input_gradient(const struct attack_model *model,
                                       const struct attack_buffers *buffers, const float *images,
                                       const uint8_t *labels, uint32_t valid, struct nero_err *err)
{
    uint32_t classes = model->classes;

    if (model->forward(model->context, images, buffers->logits, err) != NERO_OK) {
        return err->status;
    }
    memset(buffers->dlogits, 0, sizeof(float) * model->batch * classes);
    for (uint32_t row = 0; row < valid; row++) {
        size_t at = (size_t)row * classes;

        attack_cross_entropy_gradient(buffers->logits + at, classes, labels[row],
                                      buffers->dlogits + at);
    }
    return model->backward_input(model->context, buffers->dlogits, buffers->dimages, err);
}

/* Rows that are still classified as their label; a row of logits that are not finite is not. */
static uint32_t count_kept(const struct attack *attack, const uint8_t *labels, uint32_t valid)
{
    uint32_t classes = attack->model.classes;
    uint32_t kept = 0;

    for (uint32_t row = 0; row < valid; row++) {
        const float *logits = attack->buffers.logits + (size_t)row * classes;

        kept +=
            attack_logits_finite(logits, classes) && attack_argmax(logits, classes) == labels[row];
    }
    return kept;
}

enum nero_status attack_batch(struct attack *attack, float *images, const uint8_t *labels,
                              uint32_t valid, struct attack_counts *counts, struct nero_err *err)
{
    const struct attack_model *model = &attack->model;
    size_t used = (size_t)valid * model->image_floats;
    size_t all = (size_t)model->batch * model->image_floats;
    struct attack_counts found = {0};
    enum nero_status status;

    assert(valid <= model->batch);
    memset(images + used, 0, (all - used) * sizeof(*images));
    if (attack->spec.kind == JOB_ATTACK_PGD) {
        status = attack_pgd(model, &attack->spec, &attack->buffers, images, labels, valid,
                            &found.zero_gradient, err);
    } else {
        status = attack_fgsm(model, (float)attack->spec.epsilon, &attack->buffers, images, labels,
                             valid, &found.zero_gradient, err);
    }
    if (status != NERO_OK ||
        model->forward(model->context, images, attack->buffers.logits, err) != NERO_OK) {
        return err_wrap(err, "attack");
    }
    found.kept = count_kept(attack, labels, valid);
    *counts = found;
    return NERO_OK;
}
