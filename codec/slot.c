#include "nero/slot.h"

#include <string.h>

#include "fields.h"

static void skipped_field(struct record *r, struct slot *slot)
{
    record_list(r, "skipped", &slot->skipped_count, 0, SLOT_SKIPPED_MAX);
    for (uint32_t i = 0; record_ok(r) && i < slot->skipped_count; i++) {
        uint64_t least = i == 0 ? 0 : slot->skipped[i - 1] + 1;

        record_item(r, i);
        if (slot->number == 0) {
            record_fail(r, NULL, "nothing lies before slot 0");
        } else {
            record_u64(r, NULL, &slot->skipped[i], least, slot->number - 1);
        }
    }
    record_leave(r);
}

static void blobs_field(struct record *r, struct slot *slot)
{
    record_list(r, "blobs", &slot->blob_count, 0, SLOT_BLOBS_MAX);
    for (uint32_t i = 0; record_ok(r) && i < slot->blob_count; i++) {
        struct slot_blob *blob = &slot->blobs[i];

        record_item(r, i);
        record_group(r, "blob", 3);
        record_name(r, "role", blob->role, sizeof blob->role);
        record_hash(r, "hash", &blob->hash);
        record_u64(r, "bytes", &blob->bytes, 0, UINT64_MAX);
        for (uint32_t j = 0; record_ok(r) && j < i; j++) {
            if (strcmp(slot->blobs[j].role, blob->role) == 0) {
                record_fail(r, "role", "'%s' twice", blob->role);
            }
        }
        record_leave(r);
    }
    record_leave(r);
}

void slot_fields(struct record *r, struct slot *slot)
{
    bool has_body;

    record_open(r, 2, 16);
    layout_run_field(r, slot->run);
    record_hash(r, "job", &slot->job);
    record_u64(r, "number", &slot->number, 0, FIELDS_NUMBER_MAX);
    record_u32(r, "kind", &slot->kind, SLOT_TAKEOVER, SLOT_REOPENED);
    record_u64(r, "token", &slot->token, 0, UINT64_MAX);
    record_u64(r, "nonce", &slot->nonce, 0, UINT64_MAX);
    record_hash(r, "prev", &slot->prev);
    skipped_field(r, slot);
    if (record_optional(r, "restored_from", &slot->has_restored_from)) {
        record_hash(r, "restored_from", &slot->restored_from);
    }
    record_i64(r, "wall_ms", &slot->wall_ms, INT64_MIN, INT64_MAX);
    record_i64(r, "redis_ms", &slot->redis_ms, INT64_MIN, INT64_MAX);
    record_u32(r, "reason", &slot->reason, slot->kind == SLOT_CHECKPOINT ? SLOT_INTERVAL : 0,
               SLOT_END);
    record_text(r, "text", slot->text, sizeof slot->text);
    blobs_field(r, slot);
    has_body = slot->kind == SLOT_CHECKPOINT || slot->kind == SLOT_FINAL;
    record_bin(r, "body", &slot->body, has_body ? 1 : 0, has_body ? SLOT_BODY_MAX : 0);
    record_close(r);
}

enum nero_status slot_encode(const struct slot *slot, struct bytes *out, struct nero_err *err)
{
    struct slot copy = *slot;
    struct record r;

    record_write_begin(&r, "slot", out, SLOT_BYTES_MAX - ENVELOPE_OVERHEAD_MAX, err);
    slot_fields(&r, &copy);
    return record_end(&r);
}

enum nero_status slot_decode(struct bytes_view bytes, struct slot *out, struct nero_err *err)
{
    struct slot made;
    struct record r;

    memset(&made, 0, sizeof made);
    record_read_begin(&r, "slot", bytes, SLOT_BYTES_MAX - ENVELOPE_OVERHEAD_MAX, err);
    slot_fields(&r, &made);
    if (record_end(&r) == NERO_OK) {
        *out = made;
    }
    return r.status;
}

bool slot_is_terminal(enum slot_kind kind)
{
    return kind == SLOT_FINAL || kind == SLOT_FAILED || kind == SLOT_CANCELLED;
}

const char *slot_kind_name(enum slot_kind kind)
{
    static const char *const names[] = {
        [SLOT_TAKEOVER] = "takeover",   [SLOT_CHECKPOINT] = "checkpoint",
        [SLOT_FINAL] = "final",         [SLOT_FAILED] = "failed",
        [SLOT_CANCELLED] = "cancelled", [SLOT_REOPENED] = "reopened"};

    return kind >= SLOT_TAKEOVER && kind <= SLOT_REOPENED ? names[kind] : "undefined";
}

const char *slot_reason_name(enum slot_reason reason)
{
    static const char *const names[] = {"", "interval", "notice", "manual", "end"};

    return reason <= SLOT_END ? names[reason] : "undefined";
}
