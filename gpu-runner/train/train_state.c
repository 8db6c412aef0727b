#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nero/mem.h"

#include "train/train_state.h"

/* Which parts a file has. */
struct state_parts {
    uint32_t slots;
    bool best;
    bool meta;
    uint32_t epoch_count; /* decides the size of meta */
};

static void image_fini(struct train_image *image)
{
    free(image->floats);
    free(image->tensors);
    free(image->places);
}

static bool is_statistic(const struct graph_param *param)
{
    return param->kind == GRAPH_MEAN || param->kind == GRAPH_VAR;
}

/* Add "<prefix><name>" for all parameters; statistics only where there is an array for them. */
static void add_params(struct train_image *image, const struct graph *graph, const char *prefix,
                       float *trained, float *stats)
{
    for (uint32_t i = 0; i < graph->param_count; i++) {
        const struct graph_param *param = &graph->params[i];
        struct safetensors_tensor *tensor = &image->tensors[image->count];
        float *array = is_statistic(param) ? stats : trained;
        char name[GRAPH_NAME_BYTES];

        if (array == NULL) {
            continue;
        }
        graph_param_name(graph, i, name);
        snprintf(tensor->name, sizeof(tensor->name), "%s%s", prefix, name);
        tensor->rank = param->rank;
        for (uint32_t d = 0; d < param->rank; d++) {
            tensor->dims[d] = param->dims[d];
        }
        tensor->count = param->count;
        image->places[image->count++] = array + param->offset;
    }
}

static void add_meta(struct train_image *image, uint32_t floats)
{
    struct safetensors_tensor *tensor = &image->tensors[image->count];

    snprintf(tensor->name, sizeof(tensor->name), "meta");
    tensor->rank = 1;
    tensor->dims[0] = floats;
    tensor->count = floats;
    image->places[image->count++] = image->meta;
}

/* The floats that an image of its own memory has, or what of them is no array of the trainer's. */
static float *image_allocate(struct train_image *image, size_t floats, size_t tensors,
                             struct nero_err *err)
{
    memset(image, 0, sizeof(*image));
    image->floats = mem_calloc(floats, sizeof(float));
    image->tensors = mem_calloc(tensors, sizeof(*image->tensors));
    image->places = mem_calloc(tensors, sizeof(*image->places));
    if (image->floats == NULL || image->tensors == NULL || image->places == NULL) {
        image_fini(image);
        memset(image, 0, sizeof(*image));
        (void)err_set(err, NERO_NO_MEMORY, 0, "training state: no memory");
        return NULL;
    }
    return image->floats;
}

static size_t tensors_of(const struct graph *graph, const struct state_parts *parts)
{
    return (size_t)graph->param_count * (1 + parts->slots + parts->best) + parts->meta;
}

static size_t meta_floats_of(const struct state_parts *parts)
{
    return parts->meta ? train_meta_floats(parts->epoch_count) : 0;
}

/* The arrays are set: list the tensors in the order of the file. */
static void image_list(struct train_image *image, const struct graph *graph,
                       const struct state_parts *parts)
{
    static const char *const slot_prefix[2] = {"opt0.", "opt1."};

    add_params(image, graph, "", image->trained, image->stats);
    for (uint32_t s = 0; s < parts->slots; s++) {
        add_params(image, graph, slot_prefix[s], image->slot[s], NULL);
    }
    image->device_count = image->count;
    if (parts->best) {
        add_params(image, graph, "best.", image->best_trained, image->best_stats);
    }
    if (parts->meta) {
        add_meta(image, (uint32_t)meta_floats_of(parts));
    }
}

/* An image with host memory of its own, to be filled from a file. */
static enum nero_status image_init(struct train_image *image, const struct trainer *trainer,
                                   const struct state_parts *parts, struct nero_err *err)
{
    const struct graph *graph = &trainer->graph;
    size_t trained = (size_t)graph->trained_count;
    size_t stats = (size_t)graph->stat_count;
    size_t floats = trained * (1 + parts->slots + parts->best) + stats * (1u + parts->best) +
                    meta_floats_of(parts);
    float *next = image_allocate(image, floats, tensors_of(graph, parts), err);

    if (next == NULL) {
        return err->status;
    }
    image->trained = next;
    image->stats = image->trained + trained;
    next = image->stats + stats;
    for (uint32_t s = 0; s < parts->slots; s++) {
        image->slot[s] = next;
        next += trained;
    }
    if (parts->best) {
        image->best_trained = next;
        image->best_stats = next + trained;
        next += trained + stats;
    }
    image->meta = next;
    image_list(image, graph, parts);
    return NERO_OK;
}

/* An image of the trainer's own arrays; only the meta tensor has memory of its own. */
static enum nero_status image_of(struct train_image *image, const struct trainer *trainer,
                                 const struct state_parts *parts, struct nero_err *err)
{
    const struct graph *graph = &trainer->graph;
    float *meta = image_allocate(image, meta_floats_of(parts), tensors_of(graph, parts), err);

    if (meta == NULL) {
        return err->status;
    }
    image->trained = trainer->trained;
    image->stats = trainer->stats;
    image->slot[0] = trainer->slot[0];
    image->slot[1] = trainer->slot[1];
    image->best_trained = trainer->best_trained;
    image->best_stats = trainer->best_stats;
    image->meta = meta;
    image_list(image, graph, parts);
    return NERO_OK;
}

static enum nero_status upload(struct trainer *trainer, float *to, const float *from,
                               uint64_t count, struct nero_err *err)
{
    struct backend *backend = trainer->backend;

    return from == NULL || to == NULL
               ? NERO_OK
               : backend->ops->upload(backend, to, from, count * sizeof(float), err);
}

static uint32_t slots_of(const struct trainer *trainer)
{
    return trainer->spec->kind == JOB_SCORE ? 0 : trainer->optimiser.slots;
}

static struct train_meta meta_of(const struct trainer *trainer)
{
    const struct progress *progress = &trainer->progress;
    bool scores = trainer->spec->kind == JOB_SCORE;
    bool seconds = !scores && trainer->spec->budget.kind == JOB_SECONDS;

    return (struct train_meta){
        .network = train_meta_network(&trainer->graph, trainer->spec->phenotype.learning.optimiser),
        .job = trainer->job,
        .budget = scores ? (struct job_budget){0} : trainer->spec->budget,
        .updates = progress->updates,
        /* Measured time would make equal work unequal bytes: only where it is the budget. */
        .seconds_used = seconds ? progress->seconds_used : 0.0,
        .patience = progress->patience,
        .has_best = progress->has_best,
        .best_loss = progress->best_loss,
        .best_epoch = progress->best_epoch,
        .epoch_count = progress->epoch_count};
}

/* Each tensor straight from where it lies to where it stays in the file: one copy in all. */
static enum nero_status write_file(const struct trainer *trainer, const struct train_image *image,
                                   struct bytes *out, struct nero_err *err)
{
    struct backend *backend = trainer->backend;
    size_t start = out->bytes;
    float *data;
    enum nero_status status = safetensors_begin(image->tensors, image->count, out, &data, err);

    for (uint32_t i = 0; i < image->count && status == NERO_OK; i++) {
        size_t bytes = (size_t)image->tensors[i].count * sizeof(float);

        if (i < image->device_count) {
            status = backend->ops->download(backend, data, image->places[i], bytes, err);
        } else {
            mem_copy_past(data, image->places[i], bytes);
        }
        data += image->tensors[i].count;
    }
    if (status != NERO_OK) {
        out->bytes = start;
    }
    return status;
}

enum nero_status train_state_write(const struct trainer *trainer, struct bytes *out,
                                   struct nero_err *err)
{
    struct train_meta meta = meta_of(trainer);
    struct state_parts parts = {.slots = slots_of(trainer),
                                .best = meta.has_best,
                                .meta = true,
                                .epoch_count = meta.epoch_count};
    struct train_image image;
    enum nero_status status = image_of(&image, trainer, &parts, err);

    if (status != NERO_OK) {
        return status;
    }
    train_meta_write(&meta, trainer->progress.curve, image.meta);
    status = write_file(trainer, &image, out, err);
    image_fini(&image);
    return status;
}

enum nero_status train_state_write_weights(const struct trainer *trainer, struct bytes *out,
                                           struct nero_err *err)
{
    struct state_parts parts = {0};
    struct train_image image;
    enum nero_status status;

    if (image_of(&image, trainer, &parts, err) != NERO_OK) {
        return err->status;
    }
    if (trainer_scores_best(trainer)) {
        image.count = 0;
        add_params(&image, &trainer->graph, "", trainer->best_trained, trainer->best_stats);
        image.device_count = 0; /* the best weights are kept in host memory */
    }
    status = write_file(trainer, &image, out, err);
    image_fini(&image);
    return status;
}

enum nero_status trainer_reserve(const struct trainer *trainer, struct bytes *state,
                                 struct nero_err *err)
{
    struct state_parts parts = {.slots = slots_of(trainer),
                                .best = trainer->best_trained != NULL,
                                .meta = true,
                                .epoch_count = RESULT_EPOCHS_MAX};
    struct train_image image;
    float *data;
    enum nero_status status = image_of(&image, trainer, &parts, err);

    if (status != NERO_OK) {
        return status;
    }
    bytes_clear(state);
    status = safetensors_begin(image.tensors, image.count, state, &data, err);
    if (status == NERO_OK) {
        memset(state->data, 0, state->bytes); /* or the first snapshot pays for its pages */
        bytes_clear(state);
    }
    image_fini(&image);
    return status;
}

/* Copy a file into an image of the same tensors in the same order; else `mismatch` is the status.
 */
static enum nero_status fill_image(struct train_image *image, const struct safetensors_file *file,
                                   enum nero_status mismatch, struct nero_err *err)
{
    if (file->count != image->count) {
        return err_set(err, mismatch, 0, "%u tensors, this network's file has %u", file->count,
                       image->count);
    }
    for (uint32_t i = 0; i < image->count; i++) {
        const struct safetensors_tensor *want = &image->tensors[i];
        const struct safetensors_tensor *have = &file->tensors[i];

        if (strcmp(want->name, have->name) != 0 || want->rank != have->rank ||
            memcmp(want->dims, have->dims, want->rank * sizeof(want->dims[0])) != 0) {
            return err_set(err, mismatch, 0,
                           "tensor %u is \"%s\", not \"%s\" of this network's shape", i, have->name,
                           want->name);
        }
        memcpy(image->places[i], have->data, (size_t)want->count * sizeof(float));
    }
    return NERO_OK;
}

void train_state_file_fini(struct train_state_file *state)
{
    free(state->curve);
    image_fini(&state->image);
}

static enum nero_status read_meta(const struct trainer *trainer,
                                  const struct safetensors_file *file,
                                  struct train_state_file *state, struct nero_err *err)
{
    const struct safetensors_tensor *meta = safetensors_find(file, "meta");
    struct hash network =
        train_meta_network(&trainer->graph, trainer->spec->phenotype.learning.optimiser);
    enum nero_status status;

    if (meta == NULL) {
        return err_set(err, NERO_CORRUPT, 0, "no tensor \"meta\"");
    }
    state->curve = mem_calloc(RESULT_EPOCHS_MAX, sizeof(*state->curve));
    if (state->curve == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for a curve");
    }
    status = train_meta_read(meta->data, meta->count, &state->meta, state->curve, err);
    if (status == NERO_OK && !hash_equal(&state->meta.network, &network)) {
        status = err_set(err, NERO_INVALID, 0, "of another network or optimiser");
    }
    return status;
}

enum nero_status train_state_read(const struct trainer *trainer, struct bytes_view blob,
                                  struct train_state_file *state, struct nero_err *err)
{
    struct state_parts parts = {.slots = slots_of(trainer), .meta = true};
    struct safetensors_file file;
    enum nero_status status = safetensors_read(blob, &file, err);

    if (status != NERO_OK) {
        return err_wrap(err, "training state");
    }
    memset(state, 0, sizeof(*state));
    status = read_meta(trainer, &file, state, err);
    if (status == NERO_OK) {
        parts.best = state->meta.has_best;
        parts.epoch_count = state->meta.epoch_count;
        status = image_init(&state->image, trainer, &parts, err);
    }
    if (status == NERO_OK) {
        status = fill_image(&state->image, &file, NERO_CORRUPT, err);
    }
    safetensors_file_fini(&file);
    if (status != NERO_OK) {
        train_state_file_fini(state);
        memset(state, 0, sizeof(*state));
        return err_wrap(err, "training state");
    }
    return NERO_OK;
}

enum nero_status train_state_adopt(struct trainer *trainer, const struct train_image *image,
                                   struct nero_err *err)
{
    const struct graph *graph = &trainer->graph;
    enum nero_status status =
        upload(trainer, trainer->trained, image->trained, graph->trained_count, err);

    if (status == NERO_OK) {
        status = upload(trainer, trainer->stats, image->stats, graph->stat_count, err);
    }
    for (int s = 0; s < 2 && status == NERO_OK; s++) {
        status = upload(trainer, trainer->slot[s], image->slot[s], graph->trained_count, err);
    }
    if (image->best_trained != NULL) {
        memcpy(trainer->best_trained, image->best_trained, graph->trained_count * sizeof(float));
        memcpy(trainer->best_stats, image->best_stats, graph->stat_count * sizeof(float));
    }
    return status;
}

enum nero_status train_state_continue(struct trainer *trainer, struct bytes_view blob,
                                      struct nero_err *err)
{
    struct progress *progress = &trainer->progress;
    struct train_state_file state;
    uint64_t steps = 0;
    enum nero_status status = train_state_read(trainer, blob, &state, err);

    if (status != NERO_OK) {
        return status;
    }
    for (uint32_t i = 0; i < state.meta.epoch_count; i++) {
        progress->curve[i] = state.curve[i];
        steps += state.curve[i].steps;
    }
    if (steps != state.meta.updates) {
        status = err_set(err, NERO_CORRUPT, 0, "training state: taken in the middle of an epoch");
    }
    progress->epoch_count = state.meta.epoch_count;
    progress->epoch = state.meta.epoch_count;
    progress->updates = state.meta.updates;
    progress->has_best = state.meta.has_best;
    progress->best_loss = state.meta.best_loss;
    progress->best_epoch = state.meta.best_epoch;
    progress->seconds_used = state.meta.seconds_used;
    if (status == NERO_OK &&
        schedule_continue(&trainer->schedule, &state.meta.budget, progress, err) != NERO_OK) {
        status = err_wrap(err, "training state");
    }
    if (status == NERO_OK) {
        status = train_state_adopt(trainer, &state.image, err);
    }
    train_state_file_fini(&state);
    return status;
}

enum nero_status train_state_load_weights(struct trainer *trainer, struct bytes_view blob,
                                          struct nero_err *err)
{
    struct state_parts parts = {0};
    struct safetensors_file file;
    struct train_image image;
    enum nero_status status = safetensors_read(blob, &file, err);

    if (status != NERO_OK) {
        return err_wrap(err, "weights");
    }
    status = image_init(&image, trainer, &parts, err);
    if (status == NERO_OK) {
        status = fill_image(&image, &file, NERO_INVALID, err);
        if (status == NERO_OK) {
            status = train_state_adopt(trainer, &image, err);
        }
        image_fini(&image);
    }
    safetensors_file_fini(&file);
    return status == NERO_OK ? NERO_OK : err_wrap(err, "weights");
}
