/*
 * The audit: everything that can be proved from the bucket and the root public key. Signatures,
 * certificates, hashes, chain links, blobs, exactly one terminal result a job, phenotype = decode of
 * the genotype, F from the integers, each generation's selection from its results.
 *
 * Anything missing, unreadable or wrong is a finding that names the artifact; the audit goes on after
 * it. Only a store that cannot be read at all ends it early.
 */
#ifndef NERO_AUDIT_H
#define NERO_AUDIT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "nero/envelope.h"
#include "nero/storage.h"

struct audit_finding {
    char artifact[256]; /* object key */
    char what[512];
};

struct audit_report {
    char run[64];
    uint32_t finding_count;
    struct audit_finding *findings; /* owned */
    uint64_t objects;      /* read and verified */
    uint64_t signatures;
    uint64_t blob_bytes;   /* hashed */
    uint32_t jobs, results, slots, generations, certificates, epochs;
    struct hash head; /* hash of the newest generation record: remember it to detect shortening */
    bool has_head;
    double seconds;
};

struct audit_options {
    struct key_public root;
    bool has_expected_head; /* --head: must be reached by the chain of generation records */
    struct hash expected_head;
    bool skip_blobs;        /* signatures and decisions only */
};

/* Owns: *out (audit_report_fini), on success also when there are findings. */
enum nero_status audit_run(struct storage *store, const char *run,
                           const struct audit_options *options, struct audit_report *out,
                           struct nero_err *err);
void audit_report_fini(struct audit_report *report);

/* "audit of RUN: clean ..." or the findings, one a line. */
void audit_print(const struct audit_report *report, bool json, FILE *out);

#endif
