/*
 * One fabricated run for a test program, files of its store to tamper with, and audits of it.
 * Objects are changed as files, behind the store's back, and put back afterwards.
 */
#ifndef NERO_AUDIT_WORLD_H
#define NERO_AUDIT_WORLD_H

#include "audit.h"
#include "nero/layout.h"
#include "tests/support/fabricate.h"

enum { WORLD_OBJECTS_MAX = 1024, WORLD_OBJECT_BYTES_MAX = 1 << 20 };

struct audit_world {
    char folder[TEMP_FOLDER_BYTES];
    struct fabricate run;
    uint32_t key_count; /* of all objects of the store */
    char keys[WORLD_OBJECTS_MAX][LAYOUT_KEY_BYTES];
};

extern struct audit_world world;

/* cmocka group fixtures. */
int audit_world_setup(void **state);
int audit_world_setup_extended(void **state); /* submitted with fewer generations */
int audit_world_setup_attempts(void **state); /* in attempt mode */
int audit_world_teardown(void **state);

/* Audit the run; the report is the caller's. Fails the test when the store cannot be read. */
struct audit_report audit_world_audit(void);
/* As above, and fail unless there is no finding. */
void audit_world_clean(void);
/* Findings that name `key`. */
uint32_t audit_world_named(const struct audit_report *report, const char *key);
/* Audit; fail unless something is found and `key` is named. `what` says what was done. */
void audit_world_found(const char *key, const char *what);

/* An object's bytes. Owns: bytes_fini. */
struct bytes audit_world_read(const char *key);
/* Make its bytes these; folders are made. */
void audit_world_write(const char *key, struct bytes_view body);
void audit_world_remove(const char *key);

#endif
