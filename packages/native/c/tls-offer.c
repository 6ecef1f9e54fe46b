/* What this OpenSSL has to offer: cipher suites and their names, providers that can be loaded. */
#include "openssl.h"

#include <openssl/provider.h>
#include <string.h>

/* loadProvider(name): into the process's library context, for good; twice is once. */
static napi_value load_provider(napi_env env, napi_callback_info info)
{
    napi_value argument;
    size_t count = 1, length;
    char name[64];

    if (napi_get_cb_info(env, info, &count, &argument, NULL, NULL) != napi_ok
        || napi_get_value_string_utf8(env, argument, name, sizeof name, &length) != napi_ok)
        return NULL;
    if (OSSL_PROVIDER_available(NULL, name) != 1 && OSSL_PROVIDER_load(NULL, name) == NULL)
        return seikan_throw_openssl(env, "provider");
    return NULL;
}

/* listTlsCiphers(context): { name, standardName, version } of all that a connection could agree on, in order. */
static napi_value list_ciphers(napi_env env, napi_callback_info info)
{
    napi_value argument, list;
    size_t count = 1;
    SSL_CTX *context;
    SSL *ssl;
    STACK_OF(SSL_CIPHER) *ciphers;

    if (napi_get_cb_info(env, info, &count, &argument, NULL, NULL) != napi_ok
        || (context = seikan_tls_context(env, argument)) == NULL)
        return NULL;
    ssl = SSL_new(context);
    if (ssl == NULL) return seikan_throw_openssl(env, "memory");
    ciphers = SSL_get1_supported_ciphers(ssl);
    napi_create_array(env, &list);
    for (int i = 0; i < sk_SSL_CIPHER_num(ciphers); i += 1) {
        const SSL_CIPHER *cipher = sk_SSL_CIPHER_value(ciphers, i);
        const char *standard = SSL_CIPHER_standard_name(cipher);
        napi_value entry;

        napi_create_object(env, &entry);
        seikan_set_text(env, entry, "name", SSL_CIPHER_get_name(cipher), NAPI_AUTO_LENGTH);
        seikan_set_text(env, entry, "standardName", standard == NULL ? "" : standard, NAPI_AUTO_LENGTH);
        seikan_set_text(env, entry, "version", SSL_CIPHER_get_version(cipher), NAPI_AUTO_LENGTH);
        napi_set_element(env, list, (uint32_t)i, entry);
    }
    sk_SSL_CIPHER_free(ciphers);
    SSL_free(ssl);
    ERR_clear_error();
    return list;
}

/* opensslCipherName(standardName): undefined where OpenSSL knows no such cipher */
static napi_value cipher_name(napi_env env, napi_callback_info info)
{
    napi_value argument, result = NULL;
    size_t count = 1, length;
    char standard[128];
    const char *name;

    if (napi_get_cb_info(env, info, &count, &argument, NULL, NULL) != napi_ok
        || napi_get_value_string_utf8(env, argument, standard, sizeof standard, &length) != napi_ok)
        return NULL;
    name = OPENSSL_cipher_name(standard);
    if (strcmp(name, "(NONE)") != 0) napi_create_string_utf8(env, name, NAPI_AUTO_LENGTH, &result);
    return result;
}

bool seikan_register_tls_offer(napi_env env, napi_value exports)
{
    return seikan_export(env, exports, "loadProvider", load_provider)
        && seikan_export(env, exports, "listTlsCiphers", list_ciphers)
        && seikan_export(env, exports, "opensslCipherName", cipher_name);
}
