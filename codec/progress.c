#include "nero/progress.h"

#include <float.h>
#include <stdlib.h>
#include <string.h>

#include "fields.h"
#include "nero/mem.h"

const char *progress_phase_name(enum progress_phase phase)
{
    static const char *const names[] = {"", "training", "control", "clean", "attack", "done"};

    return phase >= PROGRESS_TRAIN && phase <= PROGRESS_DONE ? names[phase] : "undefined";
}

void progress_init(struct progress *progress)
{
    memset(progress, 0, sizeof *progress);
}

void progress_fini(struct progress *progress)
{
    free(progress->histogram);
    free(progress->correct_mask);
    free(progress->curve);
    progress_init(progress);
}

/* NULL for nothing to copy; `failed` is set, never cleared. */
static void *copy_items(const void *items, uint32_t count, size_t bytes_each, bool *failed)
{
    void *copy = count > 0 ? mem_dup(items, count * bytes_each) : NULL;

    *failed = *failed || (count > 0 && copy == NULL);
    return copy;
}

enum nero_status progress_copy(const struct progress *from, struct progress *out,
                               struct nero_err *err)
{
    struct progress made = *from;
    bool failed = false;

    made.histogram =
        copy_items(from->histogram, from->class_count, sizeof *from->histogram, &failed);
    made.correct_mask = copy_items(from->correct_mask, from->correct_mask_bytes, 1, &failed);
    made.curve = copy_items(from->curve, from->epoch_count, sizeof *from->curve, &failed);
    if (failed) {
        progress_fini(&made);
        return err_set(err, NERO_NO_MEMORY, 0, "no memory to copy a progress record");
    }
    *out = made;
    return NERO_OK;
}

static void training_fields(struct record *r, struct progress *progress)
{
    record_group(r, "training", 8);
    record_u64(r, "updates", &progress->updates, 0, UINT64_MAX);
    record_u32(r, "epoch", &progress->epoch, 0, UINT32_MAX);
    record_u32(r, "cursor", &progress->cursor, 0, UINT32_MAX);
    record_real_any(r, "loss_sum", &progress->loss_sum);
    record_real_any(r, "control_sum", &progress->control_sum);
    record_u32(r, "control_correct", &progress->control_correct, 0, UINT32_MAX);
    record_u32(r, "patience", &progress->patience, 0, UINT32_MAX);
    record_real(r, "seconds_used", &progress->seconds_used, 0.0, DBL_MAX);
    record_leave(r);
}

static void best_fields(struct record *r, struct progress *progress)
{
    if (record_optional(r, "best", &progress->has_best)) {
        record_group(r, "best", 2);
        record_real_any(r, "loss", &progress->best_loss);
        record_u32(r, "epoch", &progress->best_epoch, 1, UINT32_MAX);
        record_leave(r);
    }
}

static void mask_field(struct record *r, struct progress *progress)
{
    struct bytes_view mask = bytes_view_of(progress->correct_mask, progress->correct_mask_bytes);

    record_bin(r, "correct_mask", &mask, 0, PROGRESS_MASK_BYTES_MAX);
    if (record_reading(r) && record_ok(r) && mask.bytes > 0) {
        progress->correct_mask = record_alloc(r, (uint32_t)mask.bytes, 1);
        if (progress->correct_mask != NULL) {
            memcpy(progress->correct_mask, mask.data, mask.bytes);
            progress->correct_mask_bytes = (uint32_t)mask.bytes;
        }
    }
}

static void evaluation_fields(struct record *r, struct progress *progress)
{
    record_group(r, "evaluation", 6);
    record_u32(r, "count", &progress->count, 0, JOB_SCORED_MAX);
    record_u32(r, "correct", &progress->correct, 0, progress->count);
    record_u32(r, "kept", &progress->kept, 0, progress->correct);
    record_u32(r, "zero_gradient", &progress->zero_gradient, 0, progress->count);
    result_histogram_field(r, &progress->class_count, &progress->histogram);
    mask_field(r, progress);
    record_leave(r);
}

void progress_fields(struct record *r, struct progress *progress)
{
    record_open(r, 1, 9);
    record_u32(r, "phase", &progress->phase, PROGRESS_TRAIN, PROGRESS_DONE);
    job_class_field(r, progress->numeric_class);
    record_u64(r, "units", &progress->units, 0, UINT64_MAX);
    training_fields(r, progress);
    best_fields(r, progress);
    if (record_optional(r, "stop", &progress->stopped)) {
        record_u32(r, "stop", &progress->stop, RESULT_STOP_BUDGET, RESULT_STOP_SCORED);
    }
    evaluation_fields(r, progress);
    result_curve_field(r, &progress->epoch_count, &progress->curve);
    record_close(r);
}

enum nero_status progress_encode(const struct progress *progress, struct bytes *out,
                                 struct nero_err *err)
{
    struct progress copy = *progress;
    struct record r;

    record_write_begin(&r, "progress", out, PROGRESS_BYTES_MAX, err);
    progress_fields(&r, &copy);
    return record_end(&r);
}

enum nero_status progress_decode(struct bytes_view bytes, struct progress *out,
                                 struct nero_err *err)
{
    struct progress made;
    struct record r;

    progress_init(&made);
    record_read_begin(&r, "progress", bytes, PROGRESS_BYTES_MAX, err);
    progress_fields(&r, &made);
    if (record_end(&r) != NERO_OK) {
        progress_fini(&made);
        return r.status;
    }
    *out = made;
    return NERO_OK;
}
