/*
 * A folder of a test's own, removed with everything in it.
 */
#ifndef NERO_TESTS_TEMP_FOLDER_H
#define NERO_TESTS_TEMP_FOLDER_H

enum { TEMP_FOLDER_BYTES = 256 };

/* Make a new folder below `parent` (NULL: $TMPDIR or /tmp). 0 or -1 with errno. */
int temp_folder_make(char path[TEMP_FOLDER_BYTES], const char *parent);
void temp_folder_remove(const char *path);

#endif
