#include "sim_plant.h"

#include <string.h>

#include "fiber.h"
#include "nero/chain.h"
#include "sim_store.h"

enum { LATE_MAX = 64 };

/* A blob that was said to be stored. */
struct late {
    struct chain *chain;
    struct bytes body;
};

static bool manifest_first;
static struct late late[LATE_MAX];
static uint32_t late_count;

bool sim_plant(const char *name)
{
    if (strcmp(name, "fencing") == 0) {
        sim_store_break_create();
        return true;
    }
    manifest_first = strcmp(name, "manifest") == 0;
    return manifest_first;
}

enum nero_status __real_chain_put_blob(struct chain *chain, struct bytes_view body,
                                       struct hash *out, struct nero_err *err);
enum nero_status __wrap_chain_put_blob(struct chain *chain, struct bytes_view body,
                                       struct hash *out, struct nero_err *err);
enum nero_status __real_chain_append(struct chain *chain, const struct slot *slot,
                                     const struct key_pair *signer, const struct chain_entry **out,
                                     struct nero_err *err);
enum nero_status __wrap_chain_append(struct chain *chain, const struct slot *slot,
                                     const struct key_pair *signer, const struct chain_entry **out,
                                     struct nero_err *err);

enum nero_status __wrap_chain_put_blob(struct chain *chain, struct bytes_view body,
                                       struct hash *out, struct nero_err *err)
{
    if (!manifest_first || late_count == LATE_MAX) {
        return __real_chain_put_blob(chain, body, out, err);
    }
    late[late_count].chain = chain;
    bytes_init(&late[late_count].body, SIZE_MAX);
    *out = hash_of(body);
    return bytes_append(&late[late_count++].body, body.data, body.bytes, err);
}

enum nero_status __wrap_chain_append(struct chain *chain, const struct slot *slot,
                                     const struct key_pair *signer, const struct chain_entry **out,
                                     struct nero_err *err)
{
    enum nero_status status = __real_chain_append(chain, slot, signer, out, err);

    for (uint32_t i = 0; i < late_count;) {
        struct late one = late[i];
        struct hash hash;
        struct nero_err ignored;

        if (one.chain != chain) {
            i++;
            continue;
        }
        late[i] = late[--late_count];
        (void)__real_chain_put_blob(chain, bytes_as_view(&one.body), &hash, &ignored);
        bytes_fini(&one.body);
    }
    return status;
}
