/*
 * What the files that stand on OpenSSL share. The symbols come from the node binary itself (3.0 on Node 20, 3.5 on
 * Node 24); the headers are Debian's 3.0. OpenSSL's error queue belongs to the thread and node reads it too:
 * every function here that may fill it empties it before it returns to JavaScript.
 */
#ifndef SEIKAN_OPENSSL_H
#define SEIKAN_OPENSSL_H

#include "addon.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

/* Writes the queue's most telling error as `error:0A000086:SSL routines::certificate verify failed` and empties the queue. */
void seikan_openssl_reason(char *into, size_t size);

/* Throws an Error with `code` and OpenSSL's oldest reason as message, and empties the queue. Returns NULL. */
napi_value seikan_throw_openssl(napi_env env, const char *code);

/* A property as a zero-terminated copy that the caller frees; NULL where it is undefined. */
char *seikan_text(napi_env env, napi_value object, const char *name);

/* A property that must be a number; `otherwise` where it is undefined. */
int32_t seikan_number(napi_env env, napi_value object, const char *name, int32_t otherwise);

/* A new Uint8Array with a copy of these bytes. */
napi_value seikan_copy_bytes(napi_env env, const void *data, size_t length);

void seikan_set(napi_env env, napi_value object, const char *name, napi_value value);
void seikan_set_text(napi_env env, napi_value object, const char *name, const char *text, size_t length);
void seikan_set_number(napi_env env, napi_value object, const char *name, double value);

/* Wipes and frees text that may hold a secret; NULL is fine. */
void seikan_free_secret(char *text);

/* A private key's passphrase, offered to OpenSSL instead of its own prompt on the terminal; notes whether it was asked for. */
struct seikan_passphrase {
    const char *text;
    bool asked;
};
int seikan_offer_passphrase(char *into, int size, int writing, void *passphrase);

/* A certificate as the PeerCertificate of core/tls (x509.c). */
napi_value seikan_certificate(napi_env env, X509 *certificate, int depth);

/* The same for a certificate above the peer's own, made once for those that come with every peer (tls-context.c). */
napi_value seikan_issuer_certificate(napi_env env, SSL *ssl, X509 *certificate, int depth);

/* `2048 bits RSA`, `256 bits ECprime256v1`, `253 bits X25519` (x509.c). */
void seikan_describe_key(EVP_PKEY *key, char *into, size_t size);

/* The connection's side of verification and the observer of alerts, set on every context (tls-connection.c). */
int seikan_tls_verify(X509_STORE_CTX *chain, void *unused);
void seikan_tls_observe(const SSL *ssl, int where, int value);

/* The library context that TLS connections use; NULL when it could not be made (tls-library.c). */
OSSL_LIB_CTX *seikan_tls_library(void);

/* PEM reading ends with "no start line"; anything else in the queue is damage (tls-credentials.c). */
bool seikan_pem_ended(void);

/*
 * Loads `cert`, `extraCerts`, `key` and `pkcs12` of `options`, with their `passphrase`. `trusted` (if any) takes the
 * archive's authorities as PEM text that the caller frees. Throws with the option's name (tls-credentials.c).
 */
bool seikan_load_credentials(napi_env env, SSL_CTX *ssl, napi_value options, char **trusted);
void seikan_build_own_chain(SSL_CTX *ssl);

/* The SSL_CTX inside a context object; throws and returns NULL when it is closed (tls-context.c). */
SSL_CTX *seikan_tls_context(napi_env env, napi_value value);

bool seikan_register_tls_context(napi_env env, napi_value exports);
bool seikan_register_tls_offer(napi_env env, napi_value exports);
bool seikan_register_tls_connection(napi_env env, napi_value exports);
bool seikan_register_x509(napi_env env, napi_value exports);

#endif
