#include "backend/backend.h"

#include <stddef.h>
#include <string.h>

/* "auto": the fastest backend that this build has and this machine can run. */
enum nero_status backend_create(const char *name, struct backend **out, struct nero_err *err)
{
    if (strcmp(name, "ref") == 0) {
        return backend_ref_create(out, err);
    }
#if NERO_HAVE_DNNL
    if (strcmp(name, "cpu") == 0 || strcmp(name, "auto") == 0) {
        return backend_cpu_create(out, err);
    }
#else
    if (strcmp(name, "auto") == 0) {
        return backend_ref_create(out, err);
    }
    if (strcmp(name, "cpu") == 0) {
        return err_set(err, NERO_INVALID, 0,
                       "backend cpu: this build has none (oneDNN was not found); use ref");
    }
#endif
    if (strcmp(name, "cuda") == 0) {
        return err_set(err, NERO_INVALID, 0,
                       "backend cuda: this build has none; use cpu, ref or auto");
    }
    return err_set(err, NERO_INVALID, 0, "backend %s: unknown; known are cpu, ref, cuda and auto",
                   name);
}

void backend_destroy(struct backend *backend)
{
    if (backend != NULL) {
        backend->ops->destroy(backend);
    }
}
