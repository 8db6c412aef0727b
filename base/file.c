#include "nero/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { FILE_CHUNK_BYTES = 64 * 1024 };

enum nero_status file_read(const char *path, struct bytes *out, struct nero_err *err)
{
    bool standard_input = strcmp(path, "-") == 0;
    int fd = standard_input ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    enum nero_status status = NERO_OK;
    uint8_t chunk[FILE_CHUNK_BYTES];

    if (fd < 0) {
        return err_set(err, err_from_errno(errno), errno, "%s: %s", path, strerror(errno));
    }
    for (;;) {
        ssize_t got = read(fd, chunk, sizeof chunk);

        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            status = err_set(err, err_from_errno(errno), errno, "%s: %s", path, strerror(errno));
        }
        if (got <= 0) {
            break;
        }
        if (bytes_append(out, chunk, (size_t)got, err) != NERO_OK) {
            status = err_wrap(err, "%s", path);
            break;
        }
    }
    if (!standard_input) {
        (void)close(fd);
    }
    return status;
}
