/*
 * One TLS configuration: credentials, what is trusted, which versions and ciphers. Every connection made from it shares
 * the parsed certificates. Settings as upstream's ssl_openssl.c (2.6.14) makes them; material comes as text, so reading
 * files, inline blocks and asking for passphrases stay outside.
 *
 * The store of what is trusted is rebuilt as a whole when the CRL changes: connections look it up when they verify.
 */
#include "openssl.h"

#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

static const napi_type_tag context_tag = { 0x7365696b616e746c, 0x73636f6e74657874 };

/* Certificates above a peer's own are the same for most peers: the last few are told with the object made before. */
#define ISSUERS 4

struct issuer {
    X509 *certificate;
    int depth;
    napi_ref told;
};

struct tls_context {
    SSL_CTX *ssl;
    char *authorities; /* PEM text */
    char *directory;
    struct issuer issuers[ISSUERS];
    unsigned next_issuer;
};

static void forget_issuer(napi_env env, struct issuer *issuer)
{
    if (issuer->told != NULL) napi_delete_reference(env, issuer->told);
    X509_free(issuer->certificate);
    *issuer = (struct issuer){ NULL, 0, NULL };
}

napi_value seikan_issuer_certificate(napi_env env, SSL *ssl, X509 *certificate, int depth)
{
    struct tls_context *context = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    struct issuer *issuer;
    napi_value told = NULL;

    if (context == NULL) return seikan_certificate(env, certificate, depth);
    for (int i = 0; i < ISSUERS; i += 1) {
        issuer = &context->issuers[i];
        /* What the store holds is one object for all connections, and an X509 does not change. */
        if (issuer->certificate == certificate && issuer->depth == depth
            && napi_get_reference_value(env, issuer->told, &told) == napi_ok && told != NULL)
            return told;
    }
    told = seikan_certificate(env, certificate, depth);
    issuer = &context->issuers[context->next_issuer++ % ISSUERS];
    forget_issuer(env, issuer);
    if (told == NULL || napi_create_reference(env, told, 1, &issuer->told) != napi_ok) return told;
    X509_up_ref(certificate);
    issuer->certificate = certificate;
    issuer->depth = depth;
    return told;
}

static void free_context(napi_env env, struct tls_context *context)
{
    /* Connections that stand keep the SSL_CTX. */
    if (context->ssl != NULL) SSL_CTX_set_app_data(context->ssl, NULL);
    SSL_CTX_free(context->ssl);
    context->ssl = NULL;
    for (int i = 0; i < ISSUERS; i += 1) forget_issuer(env, &context->issuers[i]);
    free(context->authorities);
    context->authorities = NULL;
    free(context->directory);
    context->directory = NULL;
}

static void finalize_context(napi_env env, void *data, void *hint)
{
    (void)hint;
    free_context(env, data);
    free(data);
}

/* Certificates and CRLs of PEM text into a store; `names` (if any) collects the subjects for a server's request. */
static bool add_authorities(X509_STORE *store, const char *pem, STACK_OF(X509_NAME) *names)
{
    struct seikan_passphrase none = { NULL, false };
    BIO *bio = BIO_new_mem_buf(pem, -1);
    STACK_OF(X509_INFO) *entries = PEM_X509_INFO_read_bio(bio, NULL, seikan_offer_passphrase, &none);
    int added = 0;

    BIO_free(bio);
    for (int i = 0; i < sk_X509_INFO_num(entries); i += 1) {
        X509_INFO *entry = sk_X509_INFO_value(entries, i);

        if (entry->crl != NULL) X509_STORE_add_crl(store, entry->crl);
        if (entry->x509 == NULL || X509_STORE_add_cert(store, entry->x509) != 1) continue;
        added += 1;
        if (names != NULL) {
            X509_NAME *name = X509_NAME_dup(X509_get_subject_name(entry->x509));

            if (name != NULL && (sk_X509_NAME_find(names, name) >= 0 || sk_X509_NAME_push(names, name) == 0))
                X509_NAME_free(name);
        }
    }
    if (entries != NULL && added == 0) ERR_raise(ERR_LIB_PEM, PEM_R_NO_START_LINE);
    sk_X509_INFO_pop_free(entries, X509_INFO_free);
    if (added > 0) ERR_clear_error();
    return added > 0;
}

static bool add_revocations(X509_STORE *store, const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509_CRL *crl;
    int added = 0;

    while ((crl = PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL)) != NULL) {
        added += X509_STORE_add_crl(store, crl);
        X509_CRL_free(crl);
    }
    BIO_free(bio);
    return added > 0 && seikan_pem_ended();
}

/* Replaces what the context trusts. Throws and changes nothing when a part cannot be read. */
static bool build_store(napi_env env, struct tls_context *context, const char *revocations, STACK_OF(X509_NAME) *names)
{
    X509_STORE *store = X509_STORE_new();
    const char *failed = NULL;

    if (store == NULL) failed = "ca";
    else if (context->authorities != NULL && !add_authorities(store, context->authorities, names)) failed = "ca";
    else if (revocations != NULL && !add_revocations(store, revocations)) failed = "crl";
    else if (context->directory != NULL) {
        X509_LOOKUP *lookup = X509_STORE_add_lookup(store, X509_LOOKUP_hash_dir());

        if (lookup == NULL || X509_LOOKUP_add_dir(lookup, context->directory, X509_FILETYPE_PEM) != 1) failed = "capath";
    }
    if (failed != NULL) {
        X509_STORE_free(store);
        seikan_throw_openssl(env, failed);
        return false;
    }
    /* A directory of authorities holds their CRLs too (upstream tls_ctx_load_ca). */
    if (revocations != NULL || context->directory != NULL)
        X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
    SSL_CTX_set_cert_store(context->ssl, store);
    return true;
}

static bool load_trust(napi_env env, struct tls_context *context, napi_value options, bool server)
{
    STACK_OF(X509_NAME) *names = server ? sk_X509_NAME_new_null() : NULL;
    char *revocations = seikan_text(env, options, "crl");
    bool built = build_store(env, context, revocations, names);

    free(revocations);
    if (built && names != NULL) SSL_CTX_set_client_CA_list(context->ssl, names);
    else sk_X509_NAME_pop_free(names, X509_NAME_free);
    return built;
}

/* Options that hold one text and one call of OpenSSL. */
static bool apply_text(napi_env env, SSL_CTX *ssl, napi_value options, const char *name, int (*apply)(SSL_CTX *, const char *))
{
    char *text = seikan_text(env, options, name);
    bool applied = text == NULL || apply(ssl, text) == 1;

    free(text);
    if (!applied) seikan_throw_openssl(env, name);
    return applied;
}

static int set_groups(SSL_CTX *ssl, const char *list)
{
    return (int)SSL_CTX_set1_groups_list(ssl, list);
}

static int set_dh(SSL_CTX *ssl, const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *parameters = PEM_read_bio_Parameters(bio, NULL);

    BIO_free(bio);
    if (parameters == NULL) return 0;
    if (SSL_CTX_set0_tmp_dh_pkey(ssl, parameters) == 1) return 1;
    EVP_PKEY_free(parameters);
    return 0;
}

static bool configure(napi_env env, struct tls_context *context, napi_value options, bool server)
{
    SSL_CTX *ssl = context->ssl;
    bool is_trusting = context->authorities != NULL || context->directory != NULL;

    SSL_CTX_set_options(ssl, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION
                                 | SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_CLEANSE_PLAINTEXT);
    SSL_CTX_set_num_tickets(ssl, 0);
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_verify(ssl, seikan_number(env, options, "verifyMode", SSL_VERIFY_PEER), NULL);
    SSL_CTX_set_cert_verify_callback(ssl, seikan_tls_verify, NULL);
    SSL_CTX_set_info_callback(ssl, seikan_tls_observe);
    /* The level decides which certificates may be loaded: before them. */
    SSL_CTX_set_security_level(ssl, seikan_number(env, options, "securityLevel", 1));
    if (SSL_CTX_set_min_proto_version(ssl, seikan_number(env, options, "versionMin", TLS1_2_VERSION)) != 1
        || SSL_CTX_set_max_proto_version(ssl, seikan_number(env, options, "versionMax", 0)) != 1) {
        seikan_throw_openssl(env, "version");
        return false;
    }
    if (!apply_text(env, ssl, options, "cipherList", SSL_CTX_set_cipher_list)
        || !apply_text(env, ssl, options, "cipherSuites", SSL_CTX_set_ciphersuites)
        || !apply_text(env, ssl, options, "groups", set_groups) || !apply_text(env, ssl, options, "dh", set_dh)
        || !seikan_load_credentials(env, ssl, options, is_trusting ? NULL : &context->authorities)
        || !load_trust(env, context, options, server))
        return false;
    /* A directory is another's, and may change. */
    if (context->directory == NULL) seikan_build_own_chain(ssl);
    return true;
}

/* createTlsContext(options): an object whose memory goes with it. */
static napi_value create_context(napi_env env, napi_callback_info info)
{
    napi_value options, object;
    size_t count = 1;
    struct tls_context *context;
    OSSL_LIB_CTX *library = seikan_tls_library();
    bool server;

    if (napi_get_cb_info(env, info, &count, &options, NULL, NULL) != napi_ok) return NULL;
    server = seikan_number(env, options, "server", 0) == 1;
    context = calloc(1, sizeof *context);
    if (context == NULL) return seikan_throw_openssl(env, "memory");
    context->authorities = seikan_text(env, options, "ca");
    context->directory = seikan_text(env, options, "caPath");
    if (library != NULL) context->ssl = SSL_CTX_new_ex(library, NULL, server ? TLS_server_method() : TLS_client_method());
    if (context->ssl == NULL) seikan_throw_openssl(env, "memory");
    else SSL_CTX_set_app_data(context->ssl, context);
    if (context->ssl == NULL || !configure(env, context, options, server)
        || napi_create_object(env, &object) != napi_ok
        || napi_type_tag_object(env, object, &context_tag) != napi_ok
        || napi_wrap(env, object, context, finalize_context, NULL, NULL) != napi_ok) {
        finalize_context(env, context, NULL);
        return NULL;
    }
    return object;
}

static struct tls_context *unwrap(napi_env env, napi_value value)
{
    struct tls_context *context = NULL;
    bool tagged = false;

    if (napi_check_object_type_tag(env, value, &context_tag, &tagged) == napi_ok && tagged)
        napi_unwrap(env, value, (void **)&context);
    if (context == NULL || context->ssl == NULL) {
        napi_throw_error(env, NULL, "the TLS context is closed");
        return NULL;
    }
    return context;
}

SSL_CTX *seikan_tls_context(napi_env env, napi_value value)
{
    struct tls_context *context = unwrap(env, value);

    return context == NULL ? NULL : context->ssl;
}

/* setCrl(context, pem | undefined) */
static napi_value set_crl(napi_env env, napi_callback_info info)
{
    napi_value arguments[2], holder;
    size_t count = 2;
    struct tls_context *context;
    char *revocations;

    if (napi_get_cb_info(env, info, &count, arguments, NULL, NULL) != napi_ok
        || (context = unwrap(env, arguments[0])) == NULL || napi_create_object(env, &holder) != napi_ok)
        return NULL;
    seikan_set(env, holder, "crl", arguments[1]);
    revocations = seikan_text(env, holder, "crl");
    build_store(env, context, revocations, NULL);
    free(revocations);
    return NULL;
}

/* closeTlsContext(context): connections that stand keep what they need. */
static napi_value close_context(napi_env env, napi_callback_info info)
{
    napi_value argument;
    size_t count = 1;
    struct tls_context *context;

    if (napi_get_cb_info(env, info, &count, &argument, NULL, NULL) == napi_ok
        && (context = unwrap(env, argument)) != NULL)
        free_context(env, context);
    return NULL;
}

/* tlsOwnCertificate(context): as a PeerCertificate, or undefined */
static napi_value own_certificate(napi_env env, napi_callback_info info)
{
    napi_value argument;
    size_t count = 1;
    struct tls_context *context;
    X509 *own;

    if (napi_get_cb_info(env, info, &count, &argument, NULL, NULL) != napi_ok
        || (context = unwrap(env, argument)) == NULL || (own = SSL_CTX_get0_certificate(context->ssl)) == NULL)
        return NULL;
    return seikan_certificate(env, own, 0);
}

bool seikan_register_tls_context(napi_env env, napi_value exports)
{
    return seikan_export(env, exports, "createTlsContext", create_context)
        && seikan_export(env, exports, "setTlsCrl", set_crl)
        && seikan_export(env, exports, "closeTlsContext", close_context)
        && seikan_export(env, exports, "tlsOwnCertificate", own_certificate);
}
