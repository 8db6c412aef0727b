/*
 * A data set in memory and the pure functions that cut, order and augment it.
 *
 * Records are those of CIFAR-10's binary layout: 1 label byte, then C*H*W pixel bytes, plane by
 * plane. Everything random is a pure function of (seed, epoch, index): no state, so a job resumes
 * anywhere.
 */
#ifndef NERO_DATASET_H
#define NERO_DATASET_H

#include <stdint.h>

#include "nero/bytes.h"
#include "nero/err.h"
#include "nero/job.h"

enum {
    DATASET_PAD = 4,           /* pixels of zeros on each side before the crop */
    DATASET_CLASSES_MAX = 256, /* a label is one byte */
    DATASET_CHANNELS_MAX = 1024
};

struct dataset {
    uint32_t channels, height, width, classes;
    uint32_t train_count;
    uint32_t test_count;
    struct bytes_view train; /* records; borrowed */
    struct bytes_view test;
};

/* Sizes agree and every label is below classes. Errors: corrupt, naming the part and record. */
enum nero_status dataset_check(const struct dataset *dataset, struct nero_err *err);

/*
 * The stratified split of the training images (specs/evolution.md f): indices into train,
 * ascending. Each part has the classes in the proportions of the whole as far as the counts divide,
 * the remainder by largest rest; which image goes where depends on split_seed alone. When train +
 * control + fitness < train_count the rest is unused. With JOB_PART_TEST the fitness part is the
 * first images of each class of the test set, whatever the seed.
 * Owns: *out (dataset_split_fini). Errors: invalid (the set is too small), no_memory.
 */
struct dataset_split {
    uint32_t *train; /* train_count indices; owned, as are the others */
    uint32_t *control;
    uint32_t *fitness; /* or, for JOB_PART_TEST, indices into the test images */
    uint32_t train_count, control_count, fitness_count;
};
enum nero_status dataset_split_create(const struct dataset *dataset,
                                      const struct job_protocol *protocol,
                                      struct dataset_split *out, struct nero_err *err);
void dataset_split_fini(struct dataset_split *split);

/* Order of the training images of an epoch: a permutation of [0, count). */
void dataset_epoch_order(uint64_t seed, uint32_t epoch, uint32_t count, uint32_t *order);

/* Pixels / 255 of one record to out[C,H,W]; returns the label. */
uint8_t dataset_image(const struct dataset *dataset, struct bytes_view records, uint32_t index,
                      float *out);

/*
 * The same of a training image with zero padding of DATASET_PAD, a horizontal flip with p = 1/2 and
 * a crop at an offset of 0 to 2 * DATASET_PAD on each axis, all from the one block of random
 * numbers of (seed, epoch, index in the training set).
 */
uint8_t dataset_augmented_image(const struct dataset *dataset, uint64_t seed, uint32_t epoch,
                                uint32_t index, float *out);

#endif
