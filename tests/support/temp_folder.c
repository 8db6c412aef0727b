#include "temp_folder.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int temp_folder_make(char path[TEMP_FOLDER_BYTES], const char *parent)
{
    if (parent == NULL) {
        parent = getenv("TMPDIR");
    }
    (void)snprintf(path, TEMP_FOLDER_BYTES, "%s/nero-test-XXXXXX",
                   parent != NULL && parent[0] != 0 ? parent : "/tmp");
    return mkdtemp(path) != NULL ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *where)
{
    (void)info;
    (void)type;
    (void)where;
    return remove(path);
}

void temp_folder_remove(const char *path)
{
    (void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
