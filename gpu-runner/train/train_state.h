/*
 * The tensors of a training state: to and from safetensors. A state file holds, in this order,
 * every parameter and statistic in the order of the graph, "opt0." and "opt1." for the optimiser's
 * arrays, "best." for the best weights with their statistics where there are any, and "meta"
 * (train_meta.h). A weights file holds the parameters and statistics alone.
 */
#ifndef NERO_TRAIN_STATE_H
#define NERO_TRAIN_STATE_H

#include "nero/safetensors.h"

#include "train/train_meta.h"
#include "train/trainer_impl.h"

/* A file's tensors and where each lies: in the trainer's arrays (to write a file), or in host
 * memory of the image's own (read from a file). */
struct train_image {
    float *floats; /* owned: all of the following, or meta alone */
    float *trained;
    float *stats;
    float *slot[2];
    float *best_trained;
    float *best_stats;
    float *meta;
    uint32_t count;
    uint32_t device_count; /* so many of the first are in backend memory, if the trainer's */
    struct safetensors_tensor *tensors; /* owned */
    float **places;                     /* by tensor; owned */
};

/* A state file, read and checked; nothing of the trainer is touched yet. */
struct train_state_file {
    struct train_meta meta;
    struct result_epoch *curve; /* owned */
    struct train_image image;
};

/* Append the file of the present state, or of the weights that are scored. */
enum nero_status train_state_write(const struct trainer *trainer, struct bytes *out,
                                   struct nero_err *err);
enum nero_status train_state_write_weights(const struct trainer *trainer, struct bytes *out,
                                           struct nero_err *err);

/*
 * Owns: *state on success (train_state_file_fini). Errors: corrupt, version, invalid (of another
 * network or optimiser).
 */
enum nero_status train_state_read(const struct trainer *trainer, struct bytes_view blob,
                                  struct train_state_file *state, struct nero_err *err);
void train_state_file_fini(struct train_state_file *state);

/* Take the tensors over into the trainer's arrays. */
enum nero_status train_state_adopt(struct trainer *trainer, const struct train_image *image,
                                   struct nero_err *err);

#endif
