/*
 * TLS on a connection to Redis. Built where CMake finds hiredis_ssl (hiredis >= 1.0) and OpenSSL;
 * NERO_QUEUE_TLS is then defined.
 */
#ifndef NERO_QUEUE_TLS_H
#define NERO_QUEUE_TLS_H

#include <hiredis/hiredis.h>

#include "nero/err.h"

/*
 * The server's certificate must be for `host` and lead to a root of the system's store, or of the
 * file that SSL_CERT_FILE names. Errors: denied (certificate), unavailable.
 */
enum nero_status queue_tls_start(redisContext *context, const char *host, struct nero_err *err);

#endif
