#include "nero/job.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fields.h"
#include "nero/genotype.h"

static const char *const budget_names[] = {[JOB_SECONDS] = "seconds",
                                           [JOB_EPOCHS] = "epochs",
                                           [JOB_STEPS] = "steps",
                                           [JOB_FLOPS] = "flops"};

void job_spec_init(struct job_spec *spec)
{
    memset(spec, 0, sizeof *spec);
}

void job_spec_fini(struct job_spec *spec)
{
    phenotype_fini(&spec->phenotype);
    job_spec_init(spec);
}

void job_class_field(struct record *r, char numeric_class[JOB_CLASS_BYTES])
{
    record_text(r, "numeric_class", numeric_class, JOB_CLASS_BYTES);
    if (record_ok(r) && !record_text_is_clean(bytes_view_str(numeric_class), false)) {
        record_fail(r, "numeric_class", "is no UTF-8 without control characters");
    }
}

void job_budget_fields(struct record *r, const char *field, struct job_budget *budget)
{
    record_group(r, field, 2);
    record_u32(r, "kind", &budget->kind, JOB_SECONDS, JOB_FLOPS);
    record_u64(r, "amount", &budget->amount, 1, UINT64_MAX);
    record_leave(r);
}

static void attack_fields(struct record *r, struct job_attack *attack)
{
    record_group(r, "attack", 4);
    record_u32(r, "kind", &attack->kind, JOB_ATTACK_NONE, JOB_ATTACK_PGD);
    if (record_when(r, "epsilon", attack->kind != JOB_ATTACK_NONE)) {
        record_real(r, "epsilon", &attack->epsilon, DBL_MIN, 1.0);
    }
    if (record_when(r, "step_size", attack->kind == JOB_ATTACK_PGD)) {
        record_real(r, "step_size", &attack->step_size, DBL_MIN, 1.0);
    }
    if (record_when(r, "steps", attack->kind == JOB_ATTACK_PGD)) {
        record_u32(r, "steps", &attack->steps, 1, 10000);
    }
    record_leave(r);
}

void job_protocol_fields(struct record *r, struct job_protocol *protocol)
{
    record_group(r, "protocol", 17);
    record_hash(r, "dataset", &protocol->dataset);
    record_u64(r, "split_seed", &protocol->split_seed, 0, UINT64_MAX);
    record_u32(r, "train_count", &protocol->train_count, 1, JOB_IMAGES_MAX);
    record_u32(r, "control_count", &protocol->control_count, 1, JOB_IMAGES_MAX);
    record_u32(r, "fitness_count", &protocol->fitness_count, 1, JOB_SCORED_MAX);
    record_u32(r, "part", &protocol->part, JOB_PART_FITNESS, JOB_PART_TEST);
    attack_fields(r, &protocol->attack);
    record_u32(r, "eval_batch", &protocol->eval_batch, 1, JOB_SCORED_MAX);
    record_real(r, "l2", &protocol->l2, 0.0, 1.0);
    record_real(r, "bn_momentum", &protocol->bn_momentum, 0.0, RECORD_BELOW_ONE);
    record_bool(r, "augment", &protocol->augment);
    record_real(r, "ill_fitted_share", &protocol->ill_fitted_share, DBL_MIN, 1.0);
    record_u32(r, "on_timeout", &protocol->on_timeout, JOB_SCORE_LAST, JOB_SCORE_BEST);
    record_u32(r, "time_check", &protocol->time_check, JOB_CHECK_EPOCH, JOB_CHECK_STEP);
    record_u64(r, "max_parameters", &protocol->max_parameters, 0, UINT64_MAX);
    record_u64(r, "max_macs", &protocol->max_macs, 0, UINT64_MAX);
    record_u64(r, "max_plan_bytes", &protocol->max_plan_bytes, 0, UINT64_MAX);
    record_leave(r);
}

void job_spec_fields(struct record *r, struct job_spec *spec)
{
    record_open(r, 1, 8);
    record_u32(r, "kind", &spec->kind, JOB_TRAIN, JOB_SCORE);
    record_group(r, "phenotype", PHENOTYPE_FIELDS);
    phenotype_fields(r, &spec->phenotype);
    record_leave(r);
    record_u64(r, "seed", &spec->seed, 0, UINT64_MAX);
    if (record_when(r, "budget", spec->kind != JOB_SCORE)) {
        job_budget_fields(r, "budget", &spec->budget);
    }
    job_protocol_fields(r, &spec->protocol);
    job_class_field(r, spec->numeric_class);
    if (record_optional(r, "continue_from", &spec->has_continue_from)) {
        record_hash(r, "continue_from", &spec->continue_from);
    }
    if (record_ok(r) && spec->has_continue_from != (spec->kind != JOB_TRAIN)) {
        record_fail(r, "continue_from", "%s job %s it", job_kind_name(spec->kind),
                    spec->kind == JOB_TRAIN ? "may not have" : "needs");
    }
    record_close(r);
}

enum nero_status job_spec_check(const struct job_spec *spec, struct nero_err *err)
{
    struct job_spec copy = *spec;
    struct record r;

    record_check_begin(&r, "job spec", err);
    job_spec_fields(&r, &copy);
    return record_end(&r);
}

enum nero_status job_spec_encode(const struct job_spec *spec, struct bytes *out,
                                 struct nero_err *err)
{
    struct job_spec copy = *spec;
    struct record r;

    record_write_begin(&r, "job spec", out, JOB_SPEC_BYTES_MAX, err);
    job_spec_fields(&r, &copy);
    return record_end(&r);
}

enum nero_status job_spec_decode(struct bytes_view bytes, struct job_spec *out,
                                 struct nero_err *err)
{
    struct job_spec made;
    struct record r;

    job_spec_init(&made);
    record_read_begin(&r, "job spec", bytes, JOB_SPEC_BYTES_MAX, err);
    job_spec_fields(&r, &made);
    if (record_end(&r) != NERO_OK) {
        job_spec_fini(&made);
        return r.status;
    }
    *out = made;
    return NERO_OK;
}

struct hash job_id(struct bytes_view spec_bytes)
{
    return hash_tagged("nero.job.v1", spec_bytes);
}

void job_record_fields(struct record *r, struct job_record *job)
{
    record_open(r, 1, 3);
    record_bin(r, "spec", &job->spec, 1, JOB_SPEC_BYTES_MAX);
    record_bin(r, "genotype", &job->genotype, 0, GENOTYPE_BYTES_MAX);
    record_close(r);
}

enum nero_status job_record_encode(struct bytes_view spec, struct bytes_view genotype,
                                   struct bytes *out, struct nero_err *err)
{
    struct job_record job = {.spec = spec, .genotype = genotype};
    struct record r;

    record_write_begin(&r, "job", out, JOB_BYTES_MAX, err);
    job_record_fields(&r, &job);
    return record_end(&r);
}

enum nero_status job_record_decode(struct bytes_view bytes, struct job_record *out,
                                   struct nero_err *err)
{
    struct job_record made = {.spec = {NULL, 0}, .genotype = {NULL, 0}};
    struct record r;

    record_read_begin(&r, "job", bytes, JOB_BYTES_MAX, err);
    job_record_fields(&r, &made);
    if (record_end(&r) == NERO_OK) {
        *out = made;
    }
    return r.status;
}

const char *job_kind_name(enum job_kind kind)
{
    static const char *const names[] = {
        [JOB_TRAIN] = "train", [JOB_EXTEND] = "extend", [JOB_SCORE] = "score"};

    return kind >= JOB_TRAIN && kind <= JOB_SCORE ? names[kind] : "undefined";
}

const char *job_budget_name(enum job_budget_kind kind)
{
    return kind >= JOB_SECONDS && kind <= JOB_FLOPS ? budget_names[kind] : "undefined";
}

/* Digits, or for FLOPs also "1e15": a whole number from 1 that a uint64_t holds. */
static bool budget_amount(const char *text, bool exponent, uint64_t *out)
{
    char *end;
    double value;

    if (text[0] < '0' || text[0] > '9') {
        return false;
    }
    errno = 0;
    *out = strtoull(text, &end, 10);
    if (*end == 0) {
        return errno == 0 && *out > 0;
    }
    value = exponent && text[strspn(text, "0123456789.e+")] == 0 ? strtod(text, &end) : 0.0;
    if (*end != 0 || !(value >= 1.0 && value < 0x1p64) || value != floor(value)) {
        return false;
    }
    *out = (uint64_t)value;
    return true;
}

enum nero_status job_budget_parse(const char *text, struct job_budget *out, struct nero_err *err)
{
    const char *colon = strchr(text, ':');

    for (uint32_t kind = JOB_SECONDS; colon != NULL && kind <= JOB_FLOPS; kind++) {
        size_t length = strlen(budget_names[kind]);
        uint64_t amount;

        if ((size_t)(colon - text) != length || strncmp(text, budget_names[kind], length) != 0) {
            continue;
        }
        if (!budget_amount(colon + 1, kind == JOB_FLOPS, &amount)) {
            break;
        }
        *out = (struct job_budget){.kind = kind, .amount = amount};
        return NERO_OK;
    }
    return err_set(err, NERO_INVALID, 0,
                   "budget '%.80s': expected seconds:N, epochs:N, steps:N or flops:N, N a whole "
                   "number from 1 (flops also as 1e15)",
                   text);
}
