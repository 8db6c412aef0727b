/*
 * A complete run without any training: outcomes are made up from the job's id and signed by test
 * runners, all else is done by the production functions: run_create, evolve_propose,
 * submission_publish, the chain, evolve_evaluate and evolve_close, generation_store_put. Every kind
 * of object that a run has is there: preempted and failed jobs, one with losses that were not
 * finite, two epochs, two runners. The store is a folder; its data set are a few tiny random
 * images.
 *
 * Every failure ends the program with the reason.
 */
#ifndef NERO_TESTS_FABRICATE_H
#define NERO_TESTS_FABRICATE_H

#include "nero/chain.h"
#include "nero/storage.h"
#include "nero/trust.h"

#include "evolve/evolve.h"
#include "lead.h"
#include "preset.h"
#include "submission.h"
#include "tests/support/temp_folder.h"

enum { FABRICATE_RUNNERS = 2, FABRICATE_TEXT_BYTES = 512 };

struct fabricate_options {
    uint32_t lineages;
    uint32_t generations; /* that the run is to have */
    uint32_t submitted;   /* that its record asks for; amendments raise it to the rest. 0: all */
    uint32_t step;        /* by which each amendment raises it; 0: one does */
    uint32_t close;       /* that are closed; the next one is proposed and then left */
    bool score_test;
    bool single;   /* one evaluation instead of a search */
    bool longer;   /* most children train longer, so that others have to train on */
    bool attempts; /* attempt mode */
    bool paper;    /* paper.yaml instead of smoke.yaml: its grammar, its seed, 4 children */
};

/* 1 lineage, 3 generations, finished, with a test score. */
struct fabricate_options fabricate_defaults(void);

struct fabricate {
    struct fabricate_options options;
    char folder[TEMP_FOLDER_BYTES]; /* of the caller's; keys lie in data/nero/keys */
    char store_path[FABRICATE_TEXT_BYTES];
    char url[FABRICATE_TEXT_BYTES];
    char root_key[FABRICATE_TEXT_BYTES]; /* public file */
    struct storage *store;
    char name[SLOT_RUN_BYTES];
    struct key_pair root;
    struct key_pair run_key;
    struct key_pair runners[FABRICATE_RUNNERS];
    struct preset preset;
    struct run_dataset dataset;
    struct hash dataset_id;
    struct trust *trust;
    struct lead lead;
    struct submission submission;
    struct grammar grammar;
    struct evolve_run run;
    uint64_t batches;
    uint64_t counter;    /* of tokens */
    uint32_t extensions; /* members that trained on */
    uint32_t scores;     /* of champions */
    uint32_t job_count;  /* made so far: decides what becomes of the next */
};

/* Make the run `name` below `folder`; XDG_DATA_HOME is set to folder/data. End: fabricate_fini. */
void fabricate_run(struct fabricate *fabricate, const char *folder, const char *name,
                   const struct fabricate_options *options);
void fabricate_fini(struct fabricate *fabricate);

/* Ends the program when status is not ok. */
void fabricate_check(enum nero_status status, const struct nero_err *err, const char *what);

/* Sign and put a record as the run would, over whatever is there. */
void fabricate_put(const struct fabricate *fabricate, const char *key, enum envelope_type type,
                   struct bytes_view payload, const struct key_pair *signer);

/* Make `slot` a checkpoint after `units` updates, or the final one: its blobs are put, `body` is
 * initialised and holds what the slot views. Token, nonce and a checkpoint's reason are the
 * caller's. */
void fabricate_checkpoint(struct chain *chain, const struct hash *job, uint32_t units,
                          struct slot *slot, struct bytes *body);
void fabricate_final(const struct fabricate *fabricate, struct chain *chain, const struct hash *job,
                     const struct job_spec *spec, const struct key_pair *runner, struct slot *slot,
                     struct bytes *body);

/* Certify a key as a runner of the run. */
void fabricate_certify(const struct fabricate *fabricate, const struct key_pair *key,
                       uint64_t epoch);

#endif
