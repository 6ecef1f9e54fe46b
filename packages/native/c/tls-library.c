/*
 * The OpenSSL library context of all TLS connections: what the process's own context offers, as far as TLS uses it.
 *
 * For the public key of each certificate that arrives, OpenSSL 3.0 walks over all algorithms that its context knows and
 * tries how all decoders (of PEM, PKCS #8, MSBLOB and more, forty in all) could follow one another, which takes nearly
 * half of a server's time for a handshake. Here are only those decoders that a certificate's key can need, DER of the
 * structure SubjectPublicKeyInfo straight to a key, and only those algorithms that TLS can name. Our own key and
 * certificates are read in the process's context.
 *
 * Each provider that is active there has one here that relays it: implementations, their context, capabilities.
 */
#include "openssl.h"

#include <openssl/core_dispatch.h>
#include <openssl/provider.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RELAYS 8

/* The operations of OpenSSL 3.0; what a newer one adds is relayed as it is. */
#define OPERATIONS (OSSL_OP__HIGHEST + 1)

struct relay {
    OSSL_PROVIDER *of;
    void *context;
    OSSL_ALGORITHM *algorithms[OPERATIONS];
};

static struct relay relays[RELAYS];
static unsigned count;
static OSSL_LIB_CTX *library;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* Modes, digests and derivations that neither a suite nor a certificate names. */
static bool is_for_tls(const OSSL_ALGORITHM *algorithm)
{
    static const char *const others[] = {
        "-192-", "ARGON2", "BLAKE2", "CFB", "CMAC", "CTR", "CTS", "ECB", "GMAC", "KBKDF", "KECCAK", "KRB5KDF", "OCB",
        "OFB", "PBKDF1", "PBKDF2", "PKCS12KDF", "POLY1305", "SCRYPT", "SHAKE", "SIPHASH", "SIV", "SM4", "SSHKDF",
        "SSKDF", "WRAP", "X942KDF", "X963KDF", "XTS",
    };

    for (size_t i = 0; i < sizeof others / sizeof others[0]; i += 1)
        if (strstr(algorithm->algorithm_names, others[i]) != NULL) return false;
    return true;
}

/* Not those of keys that cannot sign, and not DER, which only takes such a structure apart for decoders of its parts. */
static bool is_for_peers(const OSSL_ALGORITHM *decoder)
{
    static const char *const others[] = { "DER", "DH", "DHX", "X25519", "X448" };
    size_t length = strcspn(decoder->algorithm_names, ":");

    for (size_t i = 0; i < sizeof others / sizeof others[0]; i += 1)
        if (strlen(others[i]) == length && strncmp(decoder->algorithm_names, others[i], length) == 0) return false;
    return strstr(decoder->property_definition, "structure=SubjectPublicKeyInfo") != NULL;
}

static bool is_wanted(int operation, const OSSL_ALGORITHM *algorithm)
{
    switch (operation) {
    case OSSL_OP_ENCODER:
    case OSSL_OP_STORE:
        return false;
    case OSSL_OP_DECODER:
        return is_for_peers(algorithm);
    case OSSL_OP_RAND:
        return true;
    default:
        return is_for_tls(algorithm);
    }
}

static OSSL_ALGORITHM *filter(OSSL_PROVIDER *provider, int operation)
{
    int no_cache = 0;
    const OSSL_ALGORITHM *all = OSSL_PROVIDER_query_operation(provider, operation, &no_cache);
    OSSL_ALGORITHM *some;
    size_t length = 0, kept = 0;

    while (all != NULL && all[length].algorithm_names != NULL) length += 1;
    some = calloc(length + 1, sizeof *some);
    for (size_t i = 0; some != NULL && i < length; i += 1)
        if (is_wanted(operation, &all[i])) some[kept++] = all[i];
    return some;
}

static struct relay *relay_of(const void *context)
{
    for (unsigned i = 0; i < count; i += 1)
        if (relays[i].context == context) return &relays[i];
    return NULL;
}

static const OSSL_ALGORITHM *query(void *context, int operation, int *no_cache)
{
    struct relay *relay = relay_of(context);

    if (relay == NULL) return NULL;
    if (operation < 0 || operation >= OPERATIONS) return OSSL_PROVIDER_query_operation(relay->of, operation, no_cache);
    *no_cache = 0;
    return relay->algorithms[operation];
}

static int get_capabilities(void *context, const char *capability, OSSL_CALLBACK *take, void *argument)
{
    struct relay *relay = relay_of(context);

    return relay != NULL && OSSL_PROVIDER_get_capabilities(relay->of, capability, take, argument);
}

static const OSSL_DISPATCH functions[] = {
    { OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void))query },
    { OSSL_FUNC_PROVIDER_GET_CAPABILITIES, (void (*)(void))get_capabilities },
    { 0, NULL },
};

/* Runs inside OSSL_PROVIDER_load, for the relay that was added last. */
static int begin(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in, const OSSL_DISPATCH **out, void **context)
{
    (void)handle;
    (void)in;
    *out = functions;
    *context = relays[count - 1].context;
    return 1;
}

/* Stops the walk over the providers with 0 when one cannot be relayed. */
static int relay_provider(OSSL_PROVIDER *provider, void *unused)
{
    const char *name = OSSL_PROVIDER_get0_name(provider);
    struct relay *relay = &relays[count];
    char relayed[64];

    (void)unused;
    /* `null` has nothing, and no context. */
    if (OSSL_PROVIDER_get0_provider_ctx(provider) == NULL) return 1;
    if (count == RELAYS) return 0;
    /* Held for good. */
    relay->of = OSSL_PROVIDER_try_load(NULL, name, 1);
    if (relay->of == NULL) return 0;
    relay->context = OSSL_PROVIDER_get0_provider_ctx(relay->of);
    for (int operation = 0; operation < OPERATIONS; operation += 1)
        if ((relay->algorithms[operation] = filter(relay->of, operation)) == NULL) return 0;
    count += 1;
    /* OpenSSL prefers its own under a name that it knows. */
    snprintf(relayed, sizeof relayed, "seikan-%s", name);
    return OSSL_PROVIDER_add_builtin(library, relayed, begin) == 1 && OSSL_PROVIDER_load(library, relayed) != NULL;
}

static void open_library(void)
{
    library = OSSL_LIB_CTX_new();
    if (library == NULL) return;
    if (OSSL_PROVIDER_do_all(NULL, relay_provider, NULL) == 1 && count > 0
        && (EVP_default_properties_is_fips_enabled(NULL) == 0 || EVP_default_properties_enable_fips(library, 1) == 1))
        return;
    OSSL_LIB_CTX_free(library);
    library = NULL;
}

OSSL_LIB_CTX *seikan_tls_library(void)
{
    pthread_once(&once, open_library);
    return library;
}
