/* What we show a peer: certificate, chain and private key, of PEM texts or of a PKCS #12 archive. */
#include "openssl.h"

#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <stdlib.h>
#include <string.h>

/* PEM reading ends with "no start line"; anything else in the queue is damage. */
bool seikan_pem_ended(void)
{
    unsigned long error = ERR_peek_last_error();
    bool clean = ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;

    if (clean) ERR_clear_error();
    return clean;
}

/* Certificates of PEM text that are sent after our own and trusted by nobody for that: false when fewer than `least` are there. */
static bool add_extra_certificates(SSL_CTX *ssl, BIO *bio, int least)
{
    struct seikan_passphrase none = { NULL, false };
    X509 *extra;
    int added = 0;

    while ((extra = PEM_read_bio_X509(bio, NULL, seikan_offer_passphrase, &none)) != NULL) {
        if (SSL_CTX_add_extra_chain_cert(ssl, extra) != 1) {
            X509_free(extra);
            return false;
        }
        added += 1;
    }
    return added >= least && seikan_pem_ended();
}

static bool load_certificates(napi_env env, SSL_CTX *ssl, const char *pem, const char *extras)
{
    struct seikan_passphrase none = { NULL, false };
    bool loaded = true;

    if (pem != NULL) {
        BIO *bio = BIO_new_mem_buf(pem, -1);
        X509 *own = PEM_read_bio_X509_AUX(bio, NULL, seikan_offer_passphrase, &none);

        loaded = own != NULL && SSL_CTX_use_certificate(ssl, own) == 1 && add_extra_certificates(ssl, bio, 0);
        X509_free(own);
        BIO_free(bio);
        if (!loaded) seikan_throw_openssl(env, "cert");
    }
    if (loaded && extras != NULL) {
        BIO *bio = BIO_new_mem_buf(extras, -1);

        loaded = add_extra_certificates(ssl, bio, 1);
        BIO_free(bio);
        if (!loaded) seikan_throw_openssl(env, "extra-certs");
    }
    return loaded;
}

static bool load_key(napi_env env, SSL_CTX *ssl, const char *pem, const char *passphrase)
{
    struct seikan_passphrase offered = { passphrase, false };
    BIO *bio = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, seikan_offer_passphrase, &offered);
    X509 *own = SSL_CTX_get0_certificate(ssl);
    const char *failed = NULL;

    BIO_free(bio);
    if (key == NULL) failed = !offered.asked ? "key" : passphrase == NULL ? "passphrase-needed" : "passphrase-wrong";
    /* OpenSSL itself compares only a key of the certificate's own kind. */
    else if (own != NULL && X509_check_private_key(own, key) != 1) failed = "key-mismatch";
    else if (SSL_CTX_use_PrivateKey(ssl, key) != 1) failed = "key";
    EVP_PKEY_free(key);
    if (failed != NULL) seikan_throw_openssl(env, failed);
    return failed == NULL;
}

/* Text of all these certificates, for the store; NULL when memory fails. */
static char *to_pem(STACK_OF(X509) *certificates)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *data, *text;
    long length;

    for (int i = 0; i < sk_X509_num(certificates); i += 1) PEM_write_bio_X509(bio, sk_X509_value(certificates, i));
    length = BIO_get_mem_data(bio, &data);
    text = strndup(data, (size_t)length);
    BIO_free(bio);
    return text;
}

/* The archive's authorities become `trusted` where that is given; otherwise they only complete our chain. */
static bool load_pkcs12(napi_env env, SSL_CTX *ssl, napi_value options, const char *passphrase, char **trusted)
{
    napi_value archive;
    bool given = false;
    uint8_t *bytes;
    size_t length;
    const unsigned char *der;
    PKCS12 *parsed;
    EVP_PKEY *key = NULL;
    X509 *own = NULL;
    STACK_OF(X509) *others = NULL;
    const char *failed = NULL;

    napi_has_named_property(env, options, "pkcs12", &given);
    if (!given) return true;
    napi_get_named_property(env, options, "pkcs12", &archive);
    if (!seikan_bytes(env, archive, &bytes, &length)) return false;
    der = bytes;
    parsed = d2i_PKCS12(NULL, &der, (long)length);
    if (parsed == NULL) {
        seikan_throw_openssl(env, "pkcs12");
        return false;
    }
    if (PKCS12_parse(parsed, passphrase == NULL ? "" : passphrase, &key, &own, &others) != 1) {
        if (ERR_GET_REASON(ERR_peek_last_error()) != PKCS12_R_MAC_VERIFY_FAILURE) failed = "pkcs12";
        else failed = passphrase == NULL ? "passphrase-needed" : "passphrase-wrong";
    } else if (own == NULL || SSL_CTX_use_certificate(ssl, own) != 1) failed = "pkcs12";
    else if (key == NULL || SSL_CTX_use_PrivateKey(ssl, key) != 1) failed = "pkcs12";
    else if (sk_X509_num(others) > 0) {
        if (trusted != NULL) *trusted = to_pem(others);
        else
            for (int i = 0; i < sk_X509_num(others); i += 1) {
                if (SSL_CTX_add1_chain_cert(ssl, sk_X509_value(others, i)) != 1) failed = "pkcs12";
            }
    }
    PKCS12_free(parsed);
    EVP_PKEY_free(key);
    X509_free(own);
    sk_X509_pop_free(others, X509_free);
    if (failed != NULL) seikan_throw_openssl(env, failed);
    else ERR_clear_error();
    return failed == NULL;
}

bool seikan_load_credentials(napi_env env, SSL_CTX *ssl, napi_value options, char **trusted)
{
    char *passphrase = seikan_text(env, options, "passphrase");
    char *certificates = seikan_text(env, options, "cert");
    char *extras = seikan_text(env, options, "extraCerts");
    char *key = seikan_text(env, options, "key");
    bool loaded = load_pkcs12(env, ssl, options, passphrase, trusted)
        && load_certificates(env, ssl, certificates, extras)
        && (key == NULL || load_key(env, ssl, key, passphrase));

    seikan_free_secret(passphrase);
    seikan_free_secret(key);
    free(certificates);
    free(extras);
    return loaded;
}

/*
 * Above our own certificate OpenSSL sends those that it finds in the store, and looks for them, signatures and all, in
 * each handshake. Once is enough where the store is ours; a directory is another's.
 */
void seikan_build_own_chain(SSL_CTX *ssl)
{
    STACK_OF(X509) *given = NULL;

    if (SSL_CTX_get0_certificate(ssl) == NULL) return;
    SSL_CTX_get_extra_chain_certs(ssl, &given);
    if (given == NULL
        && SSL_CTX_build_cert_chain(ssl, SSL_BUILD_CHAIN_FLAG_IGNORE_ERROR | SSL_BUILD_CHAIN_FLAG_CLEAR_ERROR) > 0)
        SSL_CTX_set_mode(ssl, SSL_MODE_NO_AUTO_CHAIN);
    ERR_clear_error();
}
