#include "data/dataset.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "nero/mem.h"
#include "nero/rng.h"

enum { PARTS = 3 };

static size_t pixel_count(const struct dataset *dataset)
{
    return (size_t)dataset->channels * dataset->height * dataset->width;
}

static size_t record_bytes(const struct dataset *dataset)
{
    return 1 + pixel_count(dataset);
}

static uint8_t label_of(const struct dataset *dataset, struct bytes_view records, uint32_t index)
{
    return records.data[(size_t)index * record_bytes(dataset)];
}

static enum nero_status check_part(const struct dataset *dataset, const char *part,
                                   struct bytes_view records, uint32_t count, struct nero_err *err)
{
    size_t each = record_bytes(dataset);

    if (records.bytes / each != count || records.bytes % each != 0) {
        return err_set(err, NERO_CORRUPT, 0,
                       "data set: %s part has %zu bytes, %u records of %zu want %zu", part,
                       records.bytes, count, each, (size_t)count * each);
    }
    for (uint32_t i = 0; i < count; i++) {
        uint8_t label = label_of(dataset, records, i);

        if (label >= dataset->classes) {
            return err_set(err, NERO_CORRUPT, 0,
                           "data set: %s record %u has label %u of %u classes", part, i, label,
                           dataset->classes);
        }
    }
    return NERO_OK;
}

enum nero_status dataset_check(const struct dataset *dataset, struct nero_err *err)
{
    enum nero_status status;

    if (dataset->channels == 0 || dataset->channels > DATASET_CHANNELS_MAX ||
        dataset->height == 0 || dataset->height > PHENOTYPE_IMAGE_SIDE_MAX || dataset->width == 0 ||
        dataset->width > PHENOTYPE_IMAGE_SIDE_MAX) {
        return err_set(err, NERO_CORRUPT, 0, "data set: images of %u x %u x %u", dataset->channels,
                       dataset->height, dataset->width);
    }
    if (dataset->classes == 0 || dataset->classes > DATASET_CLASSES_MAX) {
        return err_set(err, NERO_CORRUPT, 0, "data set: %u classes, a label is one byte",
                       dataset->classes);
    }
    status = check_part(dataset, "training", dataset->train, dataset->train_count, err);
    if (status == NERO_OK) {
        status = check_part(dataset, "test", dataset->test, dataset->test_count, err);
    }
    return status;
}

/* Images by class: class c is order[first[c] .. first[c + 1]), ascending. */
struct by_class {
    uint32_t classes;
    uint32_t count;
    uint32_t *order;
    uint32_t *first;
};

static void by_class_fini(struct by_class *by)
{
    free(by->order);
    free(by->first);
}

static enum nero_status by_class_init(struct by_class *by, const struct dataset *dataset,
                                      struct bytes_view records, uint32_t count,
                                      struct nero_err *err)
{
    by->classes = dataset->classes;
    by->count = count;
    by->order = mem_calloc(count, sizeof(*by->order));
    by->first = mem_calloc((size_t)dataset->classes + 2, sizeof(*by->first));
    if (by->order == NULL || by->first == NULL) {
        by_class_fini(by);
        return err_set(err, NERO_NO_MEMORY, 0, "data split: no memory");
    }
    /* Counting sort, shifted by one so that first[] ends up at the starts of the classes. */
    for (uint32_t i = 0; i < count; i++) {
        by->first[label_of(dataset, records, i) + 2]++;
    }
    for (uint32_t c = 2; c <= dataset->classes; c++) {
        by->first[c] += by->first[c - 1];
    }
    for (uint32_t i = 0; i < count; i++) {
        by->order[by->first[label_of(dataset, records, i) + 1]++] = i;
    }
    return NERO_OK;
}

static uint32_t class_size(const struct by_class *by, uint32_t class)
{
    return by->first[class + 1] - by->first[class];
}

/* What the part's exact share of a class has behind the point, in units of 1 / by->count. */
static uint64_t share_rest(const struct by_class *by, uint32_t class, uint32_t part_count)
{
    return (uint64_t)part_count * class_size(by, class) % by->count;
}

/* Of the classes with images left: fewest rounds given, then largest rest, then most left, then
 * the lowest number. There is one as long as the parts fit into the set. */
static uint32_t next_class(const struct by_class *by, uint32_t part_count, const uint32_t *rounds,
                           const uint32_t *left)
{
    uint32_t best = UINT32_MAX;

    for (uint32_t c = 0; c < by->classes; c++) {
        uint64_t rest = share_rest(by, c, part_count);
        uint64_t best_rest = best == UINT32_MAX ? 0 : share_rest(by, best, part_count);

        if (left[c] == 0) {
            continue;
        }
        if (best == UINT32_MAX || rounds[c] < rounds[best] ||
            (rounds[c] == rounds[best] &&
             (rest > best_rest || (rest == best_rest && left[c] > left[best])))) {
            best = c;
        }
    }
    assert(best != UINT32_MAX);
    return best;
}

/* Quotas of one part by largest remainder, never over what is left; takes them from `left`. */
static void part_quotas(const struct by_class *by, uint32_t part_count, uint32_t *left,
                        uint32_t *rounds, uint32_t *quota)
{
    uint32_t given = 0;

    for (uint32_t c = 0; c < by->classes; c++) {
        uint64_t share = by->count == 0 ? 0 : (uint64_t)part_count * class_size(by, c) / by->count;

        quota[c] = share < left[c] ? (uint32_t)share : left[c];
        left[c] -= quota[c];
        given += quota[c];
        rounds[c] = 0;
    }
    while (given < part_count) {
        uint32_t c = next_class(by, part_count, rounds, left);

        quota[c]++;
        left[c]--;
        rounds[c]++;
        given++;
    }
}

static int compare_index(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* Deal every class's images, in their present order, to the parts; each part ends up ascending. */
static enum nero_status deal(const struct by_class *by, const uint32_t counts[PARTS],
                             uint32_t *const out[PARTS], struct nero_err *err)
{
    uint32_t *left = mem_calloc((size_t)by->classes * 4, sizeof(*left));
    uint32_t *rounds;
    uint32_t *quota;
    uint32_t *next;

    if (left == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "data split: no memory");
    }
    rounds = left + by->classes;
    quota = rounds + by->classes;
    next = quota + by->classes;
    for (uint32_t c = 0; c < by->classes; c++) {
        left[c] = class_size(by, c);
        next[c] = by->first[c];
    }
    for (int part = 0; part < PARTS; part++) {
        uint32_t at = 0;

        part_quotas(by, counts[part], left, rounds, quota);
        for (uint32_t c = 0; c < by->classes; c++) {
            memcpy(out[part] + at, by->order + next[c], quota[c] * sizeof(*out[part]));
            at += quota[c];
            next[c] += quota[c];
        }
        qsort(out[part], counts[part], sizeof(*out[part]), compare_index);
    }
    free(left);
    return NERO_OK;
}

static enum nero_status split_training(const struct dataset *dataset, uint64_t split_seed,
                                       const uint32_t counts[PARTS], uint32_t *const out[PARTS],
                                       struct nero_err *err)
{
    struct by_class by;
    enum nero_status status =
        by_class_init(&by, dataset, dataset->train, dataset->train_count, err);

    if (status != NERO_OK) {
        return status;
    }
    for (uint32_t c = 0; c < by.classes; c++) {
        struct rng_stream stream = rng_stream(split_seed, RNG_SPLIT, 0, 0, c);

        rng_shuffle_u32(&stream, by.order + by.first[c], class_size(&by, c));
    }
    status = deal(&by, counts, out, err);
    by_class_fini(&by);
    return status;
}

/* The first images of each class in file order: the same for every split seed, so that results on
 * the test images compare across lineages. */
static enum nero_status split_test(const struct dataset *dataset, uint32_t count, uint32_t *out,
                                   struct nero_err *err)
{
    uint32_t counts[PARTS] = {count, 0, 0};
    uint32_t *const outs[PARTS] = {out, out, out};
    struct by_class by;
    enum nero_status status = by_class_init(&by, dataset, dataset->test, dataset->test_count, err);

    if (status == NERO_OK) {
        status = deal(&by, counts, outs, err);
        by_class_fini(&by);
    }
    return status;
}

static enum nero_status check_sizes(const struct dataset *dataset,
                                    const struct job_protocol *protocol, struct nero_err *err)
{
    uint64_t wanted = (uint64_t)protocol->train_count + protocol->control_count;

    if (protocol->part == JOB_PART_FITNESS) {
        wanted += protocol->fitness_count;
    } else if (protocol->fitness_count > dataset->test_count) {
        return err_set(err, NERO_INVALID, 0, "data split: %u of %u test images wanted",
                       protocol->fitness_count, dataset->test_count);
    }
    if (wanted > dataset->train_count) {
        return err_set(err, NERO_INVALID, 0,
                       "data split: parts of %u + %u + %u images, the training set has %u",
                       protocol->train_count, protocol->control_count, protocol->fitness_count,
                       dataset->train_count);
    }
    return NERO_OK;
}

enum nero_status dataset_split_create(const struct dataset *dataset,
                                      const struct job_protocol *protocol,
                                      struct dataset_split *out, struct nero_err *err)
{
    bool test = protocol->part == JOB_PART_TEST;
    uint32_t counts[PARTS] = {protocol->train_count, protocol->control_count,
                              test ? 0 : protocol->fitness_count};
    struct dataset_split split = {.train_count = protocol->train_count,
                                  .control_count = protocol->control_count,
                                  .fitness_count = protocol->fitness_count};
    enum nero_status status = check_sizes(dataset, protocol, err);

    if (status != NERO_OK) {
        return status;
    }
    split.train = mem_calloc(split.train_count, sizeof(uint32_t));
    split.control = mem_calloc(split.control_count, sizeof(uint32_t));
    split.fitness = mem_calloc(split.fitness_count, sizeof(uint32_t));
    if (split.train == NULL || split.control == NULL || split.fitness == NULL) {
        status = err_set(err, NERO_NO_MEMORY, 0, "data split: no memory");
    }
    if (status == NERO_OK) {
        uint32_t *const outs[PARTS] = {split.train, split.control, split.fitness};

        status = split_training(dataset, protocol->split_seed, counts, outs, err);
    }
    if (status == NERO_OK && test) {
        status = split_test(dataset, split.fitness_count, split.fitness, err);
    }
    if (status != NERO_OK) {
        dataset_split_fini(&split);
        return status;
    }
    *out = split;
    return NERO_OK;
}

void dataset_split_fini(struct dataset_split *split)
{
    free(split->train);
    free(split->control);
    free(split->fitness);
    memset(split, 0, sizeof(*split));
}

void dataset_epoch_order(uint64_t seed, uint32_t epoch, uint32_t count, uint32_t *order)
{
    struct rng_stream stream = rng_stream(seed, RNG_SHUFFLE, 0, epoch, 0);

    for (uint32_t i = 0; i < count; i++) {
        order[i] = i;
    }
    rng_shuffle_u32(&stream, order, count);
}

uint8_t dataset_image(const struct dataset *dataset, struct bytes_view records, uint32_t index,
                      float *out)
{
    size_t count = pixel_count(dataset);
    const uint8_t *record = records.data + (size_t)index * record_bytes(dataset);

    for (size_t i = 0; i < count; i++) {
        out[i] = (float)record[1 + i] / 255.0f;
    }
    return record[0];
}

/* Uniform in [0, bound) from one word; biased by less than bound / 2^32, so no second draw. */
static uint32_t scaled(uint32_t word, uint32_t bound)
{
    return (uint32_t)((uint64_t)word * bound >> 32);
}

/*
 * One row of the crop. Column x shows column x + shift - DATASET_PAD of the image, which lies
 * mirrored when flipped; outside of it is the padding.
 */
static void crop_row(const uint8_t *row, uint32_t width, uint32_t shift, bool flip, float *out)
{
    for (uint32_t x = 0; x < width; x++) {
        uint32_t padded = x + shift;
        bool inside = padded >= DATASET_PAD && padded < width + DATASET_PAD;
        uint32_t column = padded - DATASET_PAD;

        out[x] = inside ? (float)row[flip ? width - 1 - column : column] / 255.0f : 0.0f;
    }
}

uint8_t dataset_augmented_image(const struct dataset *dataset, uint64_t seed, uint32_t epoch,
                                uint32_t index, float *out)
{
    struct rng_stream stream = rng_stream(seed, RNG_AUGMENT, 0, epoch, 0);
    const uint8_t *record = dataset->train.data + (size_t)index * record_bytes(dataset);
    uint32_t width = dataset->width;
    uint32_t height = dataset->height;
    uint32_t word[4];
    uint32_t shift_y;
    uint32_t shift_x;
    bool flip;

    rng_block_at(&stream, index, word);
    flip = word[0] >> 31 != 0;
    shift_y = scaled(word[1], 2 * DATASET_PAD + 1);
    shift_x = scaled(word[2], 2 * DATASET_PAD + 1);
    for (uint32_t c = 0; c < dataset->channels; c++) {
        for (uint32_t y = 0; y < height; y++) {
            uint32_t padded = y + shift_y;
            float *to = out + ((size_t)c * height + y) * width;

            if (padded < DATASET_PAD || padded >= height + DATASET_PAD) {
                memset(to, 0, width * sizeof(*to));
                continue;
            }
            crop_row(record + 1 + ((size_t)c * height + padded - DATASET_PAD) * width, width,
                     shift_x, flip, to);
        }
    }
    return record[0];
}
