#include "run_list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nero/mem.h"

static enum nero_status append(struct run_list *list, const char *name, size_t length,
                               struct nero_err *err)
{
    char(*names)[SLOT_RUN_BYTES];

    if (list->count == RUN_LIST_MAX) {
        return err_set(err, NERO_TOO_BIG, 0, "the store holds more than %d runs", RUN_LIST_MAX);
    }
    names = mem_realloc_array(list->names, list->count + 1, sizeof *names);
    if (names == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for the list of runs");
    }
    list->names = names;
    (void)snprintf(names[list->count], sizeof names[0], "%.*s", (int)length, name);
    list->count++;
    return NERO_OK;
}

/*
 * The first key after "runs/<last>/~": '~' is greater than every character of a key, so that the
 * listing jumps over all objects of the last run found.
 */
enum nero_status run_list_read(struct storage *store, struct run_list *out, struct nero_err *err)
{
    static const char prefix[] = "runs/";
    char after[STORAGE_KEY_BYTES_MAX] = "";
    struct run_list list = {.count = 0};

    for (;;) {
        struct storage_list page;
        const char *name;
        size_t length;
        enum nero_status status =
            storage_list_page(store, prefix, after[0] != 0 ? after : NULL, 1, &page, err);

        if (status == NERO_OK && page.count == 0) {
            storage_list_fini(&page);
            *out = list;
            return NERO_OK;
        }
        if (status == NERO_OK) {
            name = page.entries[0].key + strlen(prefix);
            length = strcspn(name, "/");
            status = append(&list, name, length, err);
            (void)snprintf(after, sizeof after, "%s%.*s/~", prefix, (int)length, name);
            storage_list_fini(&page);
        }
        if (status != NERO_OK) {
            run_list_fini(&list);
            return err_wrap(err, "list runs");
        }
    }
}

void run_list_fini(struct run_list *list)
{
    free(list->names);
    list->names = NULL;
    list->count = 0;
}
