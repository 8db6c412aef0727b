/* hiredis can make the TLS session itself, but then checks no host name: any valid certificate
 * would pass. So the session is made here. */
#include "queue_tls.h"

#include <arpa/inet.h>
#include <hiredis/hiredis_ssl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

/* A certificate names a host or an address; an address is no server name indication. */
static bool expect_host(SSL *ssl, const char *host)
{
    unsigned char address[16];

    if (inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1) {
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
    }
    return SSL_set_tlsext_host_name(ssl, host) == 1 && SSL_set1_host(ssl, host) == 1;
}

static SSL *make_session(const char *host)
{
    SSL_CTX *settings = SSL_CTX_new(TLS_client_method());
    SSL *ssl = NULL;

    if (settings == NULL) {
        return NULL;
    }
    if (SSL_CTX_set_min_proto_version(settings, TLS1_2_VERSION) == 1 &&
        SSL_CTX_set_default_verify_paths(settings) == 1) {
        SSL_CTX_set_verify(settings, SSL_VERIFY_PEER, NULL);
        ssl = SSL_new(settings); /* keeps the settings alive */
    }
    SSL_CTX_free(settings);
    if (ssl != NULL && !expect_host(ssl, host)) {
        SSL_free(ssl);
        ssl = NULL;
    }
    return ssl;
}

enum nero_status queue_tls_start(redisContext *context, const char *host, struct nero_err *err)
{
    SSL *ssl = make_session(host);
    long verdict;

    if (ssl == NULL) {
        ERR_clear_error();
        return err_set(err, NERO_UNAVAILABLE, 0, "TLS to Redis at %s: no session", host);
    }
    if (redisInitiateSSL(context, ssl) == REDIS_OK) { /* takes it */
        return NERO_OK;
    }
    verdict = SSL_get_verify_result(ssl);
    SSL_free(ssl);
    ERR_clear_error();
    if (verdict != X509_V_OK) {
        return err_set(err, NERO_DENIED, 0, "TLS to Redis at %s: %s", host,
                       X509_verify_cert_error_string(verdict));
    }
    return err_set(err, NERO_UNAVAILABLE, 0, "TLS to Redis at %s: %s", host, context->errstr);
}
