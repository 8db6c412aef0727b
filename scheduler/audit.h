/*
 * The audit: everything that can be proved from the bucket and the root public key. Signatures,
 * certificates, hashes, chain links, blobs, exactly one terminal result a job, phenotype = decode
 * of the genotype, every proposal and selection computed again from the signed results.
 *
 * Anything missing, unreadable or wrong is a finding that names the artifact; the audit goes on
 * after it. Only a store that cannot be read at all ends it early.
 *
 * What it cannot prove: that nothing was cut off at the end of the run. The heads of a report are
 * the hashes with which a later audit can.
 */
#ifndef NERO_AUDIT_H
#define NERO_AUDIT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "nero/chain.h"
#include "nero/envelope.h"
#include "nero/job.h"
#include "nero/storage.h"

enum { AUDIT_FINDINGS_MAX = 10000, AUDIT_STANDING_BYTES = 160 };

/*
 * FULL: everything that lies in the store. REPLAY: the decisions of the search, computed again from
 * the run record and the signed outcomes; blobs are not asked for, so that a copy of the records
 * alone can be replayed, and objects that belong to nothing are not told.
 */
enum audit_level { AUDIT_FULL = 0, AUDIT_REPLAY = 1 };

struct audit_finding {
    char artifact[256]; /* object key */
    char what[512];
};

struct audit_report {
    char run[64];
    uint32_t finding_count;         /* all of them; only the first AUDIT_FINDINGS_MAX are listed */
    struct audit_finding *findings; /* owned */
    uint32_t note_count;            /* what is legal and worth telling: forks of attempt mode */
    struct audit_finding *notes;    /* owned */
    uint64_t objects;               /* of the run, and of its data set */
    uint64_t signatures;            /* verified */
    uint64_t blob_bytes;            /* hashed */
    uint64_t blobs_collected;       /* gone, as a signed record says; named by old checkpoints */
    uint64_t blobs_unnamed;         /* left by attempts that died before their slot; harmless */
    uint32_t jobs, results, slots, generations, certificates, epochs, batches;
    uint32_t head_count; /* one a lineage with records, and one for the run's last job */
    struct hash *heads;  /* of the newest generation record, of the terminal slot; owned */
    bool finished;       /* nothing that the run record asks for is missing; open is no finding */
    char standing[AUDIT_STANDING_BYTES]; /* "3 of 5 generations closed" */
    enum audit_level level;
    bool blobs_skipped;
    bool heads_checked; /* heads were given */
    double seconds;
};

/*
 * A chain that has been verified, good or bad, and what it belongs to; all is borrowed. `record`:
 * the payload of the job's envelope.
 */
struct audit_chain {
    const struct hash *job;
    struct job_record record;
    const struct job_spec *spec;
    const struct chain *chain;
};
typedef enum nero_status audit_chain_fn(void *context, const struct audit_chain *chain,
                                        struct nero_err *err);

struct audit_options {
    struct key_public root;
    const struct hash *expected_heads; /* --head: each must be one of the run's records; borrowed */
    uint32_t expected_head_count;
    enum audit_level level;
    bool skip_blobs; /* of FULL: they must be there, but are not read */
    /* NULL: the whole run. Else this job alone, with what its chain rests on: run record, epochs,
     * certificates, batches, records of collection; no images, no generation records. */
    const struct hash *job;
    audit_chain_fn *chain; /* called for each chain; NULL: nobody asks */
    /* Called now and then; NULL: nobody asks. total 0: not known. */
    void (*progress)(void *context, const char *what, uint64_t done, uint64_t total);
    void *context;
};

/*
 * Owns: *out (audit_report_fini), on success also when there are findings.
 * Errors: not_found (the store holds nothing of this run), unavailable, denied (by the store).
 */
enum nero_status audit_run(struct storage *store, const char *run,
                           const struct audit_options *options, struct audit_report *out,
                           struct nero_err *err);
void audit_report_fini(struct audit_report *report);

/* "audit of RUN: clean ..." or the findings, one a line; or one JSON object. */
void audit_print(const struct audit_report *report, bool json, FILE *out);

#endif
