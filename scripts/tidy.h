/* Included before each source by `scripts/tidy --analyze`, which sees one file at a time: it would
 * follow what came of an err_set() that returned ok, which none does. */
#include "nero/err.h"

#undef err_set
#define err_set(err, status, system_code, ...) \
    (err_set_at((err), __FILE__, __LINE__, (status), (system_code), __VA_ARGS__), (status))
