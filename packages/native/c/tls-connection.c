/*
 * One TLS connection between two memory BIOs. The handshake runs inside `receive`, and so does verification, as one
 * call into JavaScript per certificate.
 *
 * OpenSSL reports a chain's errors one by one and wants a yes or no to each before it goes on. Here all are collected
 * first, by certificate, and the chain is judged once it is complete: so a certificate that is revoked is reported as
 * revoked even where another error of the same chain (no CRL for the root) will be tolerated.
 */
#include "openssl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Longer chains are refused. Upstream: MAX_CERT_DEPTH. */
#define CHAIN_LIMIT 17
#define RECORD_LIMIT SSL3_RT_MAX_PLAIN_LENGTH
/* What one connection costs outside V8's heap, so that the collector sees forgotten ones. */
#define FOOTPRINT (32 * 1024)

static const napi_type_tag connection_tag = { 0x7365696b616e746c, 0x73636f6e6e656374 };

enum state { HANDSHAKING, SECURED, CLOSED, FAILED };
enum direction { NO_ALERT, ALERT_SENT, ALERT_RECEIVED };

struct connection {
    SSL *ssl;
    enum state state;
    enum direction alert_direction;
    int alert;
    char reason[256];
    /* Only while `receive` runs. */
    bool busy, doomed;
    napi_env env;
    napi_value verify;
    int *errors;
};

static void free_ssl(napi_env env, struct connection *connection)
{
    int64_t now;

    if (connection->ssl == NULL) return;
    SSL_free(connection->ssl);
    connection->ssl = NULL;
    ERR_clear_error();
    napi_adjust_external_memory(env, -FOOTPRINT, &now);
}

static void finalize_connection(napi_env env, void *data, void *hint)
{
    (void)hint;
    free_ssl(env, data);
    free(data);
}

/* Which of two errors of one certificate is told: revocation before all, a missing CRL after all. */
static bool is_worse(int error, int than)
{
    if (than == X509_V_OK) return true;
    if (than == X509_V_ERR_CERT_REVOKED) return false;
    return error == X509_V_ERR_CERT_REVOKED || than == X509_V_ERR_UNABLE_TO_GET_CRL;
}

static struct connection *connection_of(X509_STORE_CTX *chain)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(chain, SSL_get_ex_data_X509_STORE_CTX_idx());

    return ssl == NULL ? NULL : SSL_get_app_data(ssl);
}

static int collect_error(int good, X509_STORE_CTX *chain)
{
    struct connection *connection = connection_of(chain);
    int depth = X509_STORE_CTX_get_error_depth(chain);
    int error = X509_STORE_CTX_get_error(chain);

    if (good) return 1;
    if (connection == NULL || depth < 0 || depth >= CHAIN_LIMIT) return 0;
    if (is_worse(error, connection->errors[depth])) connection->errors[depth] = error;
    return 1;
}

static bool accepts(struct connection *connection, X509 *certificate, int depth)
{
    napi_env env = connection->env;
    napi_value undefined, answer, arguments[3];
    int error = connection->errors[depth];
    bool accepted = false;

    napi_get_undefined(env, &undefined);
    arguments[0] = depth > 0 ? seikan_issuer_certificate(env, connection->ssl, certificate, depth)
                             : seikan_certificate(env, certificate, depth);
    arguments[1] = arguments[2] = undefined;
    if (error != X509_V_OK) {
        napi_create_int32(env, error, &arguments[1]);
        napi_create_string_utf8(env, X509_verify_cert_error_string(error), NAPI_AUTO_LENGTH, &arguments[2]);
    }
    if (napi_call_function(env, undefined, connection->verify, 3, arguments, &answer) != napi_ok
        || napi_get_value_bool(env, answer, &accepted) != napi_ok) {
        bool pending = false;

        napi_is_exception_pending(env, &pending);
        if (pending) napi_get_and_clear_last_exception(env, &answer);
        return false;
    }
    return accepted;
}

int seikan_tls_verify(X509_STORE_CTX *chain, void *unused)
{
    struct connection *connection = connection_of(chain);
    int errors[CHAIN_LIMIT] = { X509_V_OK };
    STACK_OF(X509) *certificates;
    int verdict;

    (void)unused;
    if (connection == NULL || !connection->busy) return 0;
    connection->errors = errors;
    X509_STORE_CTX_set_verify_cb(chain, collect_error);
    verdict = X509_verify_cert(chain) == 1;
    certificates = X509_STORE_CTX_get0_chain(chain);
    if (sk_X509_num(certificates) < 1 || sk_X509_num(certificates) > CHAIN_LIMIT) verdict = 0;
    /* The reasons of tolerated errors would otherwise look like those of a later one. */
    ERR_clear_error();
    for (int depth = sk_X509_num(certificates) - 1; verdict == 1 && depth >= 0; depth -= 1) {
        if (accepts(connection, sk_X509_value(certificates, depth), depth)) continue;
        verdict = 0;
        /* Decides the alert. A refusal by policy has no number of its own: X509_V_OK makes `certificate unknown`. */
        X509_STORE_CTX_set_error(chain, errors[depth]);
    }
    if (verdict == 1) X509_STORE_CTX_set_error(chain, X509_V_OK);
    connection->errors = NULL;
    return verdict;
}

void seikan_tls_observe(const SSL *ssl, int where, int value)
{
    struct connection *connection = SSL_get_app_data(ssl);
    int alert = value & 0xff;

    if ((where & SSL_CB_ALERT) == 0 || connection == NULL || alert == SSL_AD_CLOSE_NOTIFY
        || alert == SSL_AD_USER_CANCELLED || alert == SSL_AD_NO_RENEGOTIATION)
        return;
    connection->alert = alert;
    connection->alert_direction = (where & SSL_CB_READ) != 0 ? ALERT_RECEIVED : ALERT_SENT;
}

/* After a call that returned `result`: waiting for more is no failure. */
static void judge(struct connection *connection, int result)
{
    switch (SSL_get_error(connection->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        break;
    case SSL_ERROR_ZERO_RETURN:
        connection->state = CLOSED;
        break;
    default:
        connection->state = FAILED;
        seikan_openssl_reason(connection->reason, sizeof connection->reason);
    }
    ERR_clear_error();
}

static void shake_hands(struct connection *connection)
{
    int result;

    ERR_clear_error();
    result = SSL_do_handshake(connection->ssl);
    if (result != 1) {
        judge(connection, result);
        return;
    }
    connection->state = SECURED;
    /* From here on it is mostly idle: no buffers between records. A handshake would allocate them for each of its own. */
    SSL_set_mode(connection->ssl, SSL_MODE_RELEASE_BUFFERS);
}

/* Every record that has arrived, to the end of `records`, each a Uint8Array. */
static void read_records(napi_env env, struct connection *connection, napi_value records)
{
    unsigned char record[RECORD_LIMIT];
    uint32_t count = 0;

    while (connection->state == SECURED) {
        int length;

        ERR_clear_error();
        length = SSL_read(connection->ssl, record, sizeof record);
        if (length <= 0) {
            judge(connection, length);
            break;
        }
        if (count == 0) napi_get_array_length(env, records, &count);
        napi_set_element(env, records, count, seikan_copy_bytes(env, record, (size_t)length));
        OPENSSL_cleanse(record, (size_t)length);
        count += 1;
    }
}

static struct connection *unwrap(napi_env env, napi_value value)
{
    struct connection *connection = NULL;
    bool tagged = false;

    if (napi_check_object_type_tag(env, value, &connection_tag, &tagged) == napi_ok && tagged)
        napi_unwrap(env, value, (void **)&connection);
    if (connection == NULL || connection->ssl == NULL || connection->doomed) {
        napi_throw_error(env, NULL, "the TLS connection is closed");
        return NULL;
    }
    if (connection->busy) {
        napi_throw_error(env, NULL, "the TLS connection is verifying its peer");
        return NULL;
    }
    return connection;
}

/* The connection and up to three more arguments; NULL with an exception pending. */
static struct connection *enter(napi_env env, napi_callback_info info, napi_value arguments[4])
{
    size_t count = 4;

    if (napi_get_cb_info(env, info, &count, arguments, NULL, NULL) != napi_ok) return NULL;
    return unwrap(env, arguments[0]);
}

static struct connection *enter_secured(napi_env env, napi_callback_info info, napi_value arguments[4])
{
    struct connection *connection = enter(env, info, arguments);

    if (connection == NULL || connection->state == SECURED) return connection;
    napi_throw_error(env, NULL, "the TLS connection is not secured");
    return NULL;
}

static napi_value number(napi_env env, size_t value)
{
    napi_value result = NULL;

    napi_create_double(env, (double)value, &result);
    return result;
}

/* What every call that moves a connection on gives back: state + 4 * bytes that wait to be sent. */
static napi_value standing(napi_env env, struct connection *connection)
{
    return number(env, (size_t)connection->state + 4 * BIO_ctrl_pending(SSL_get_wbio(connection->ssl)));
}

/* openTls(context, server) */
static napi_value open_connection(napi_env env, napi_callback_info info)
{
    napi_value arguments[2], object;
    size_t count = 2;
    bool server = false;
    SSL_CTX *context;
    struct connection *connection;
    BIO *from_peer, *to_peer;
    int64_t now;

    if (napi_get_cb_info(env, info, &count, arguments, NULL, NULL) != napi_ok
        || (context = seikan_tls_context(env, arguments[0])) == NULL)
        return NULL;
    napi_get_value_bool(env, arguments[1], &server);
    connection = calloc(1, sizeof *connection);
    if (connection == NULL) return seikan_throw_openssl(env, "memory");
    connection->ssl = SSL_new(context);
    from_peer = BIO_new(BIO_s_mem());
    to_peer = BIO_new(BIO_s_mem());
    if (connection->ssl == NULL || from_peer == NULL || to_peer == NULL) {
        SSL_free(connection->ssl);
        BIO_free(from_peer);
        BIO_free(to_peer);
        free(connection);
        return seikan_throw_openssl(env, "memory");
    }
    SSL_set_bio(connection->ssl, from_peer, to_peer);
    SSL_set_app_data(connection->ssl, connection);
    if (server) SSL_set_accept_state(connection->ssl);
    else SSL_set_connect_state(connection->ssl);
    napi_adjust_external_memory(env, FOOTPRINT, &now);
    if (napi_create_object(env, &object) != napi_ok
        || napi_type_tag_object(env, object, &connection_tag) != napi_ok
        || napi_wrap(env, object, connection, finalize_connection, NULL, NULL) != napi_ok) {
        finalize_connection(env, connection, NULL);
        return NULL;
    }
    return object;
}

/* startTls(connection): the client's first flight. The standing. */
static napi_value start(napi_env env, napi_callback_info info)
{
    napi_value arguments[4];
    struct connection *connection = enter(env, info, arguments);

    if (connection == NULL) return NULL;
    if (connection->state == HANDSHAKING) shake_hands(connection);
    return standing(env, connection);
}

/*
 * receiveTls(connection, ciphertext, verify(certificate, code, text) => boolean, records): the standing; what was
 * decrypted is added to the array `records`. Undefined when `verify` has closed the connection.
 */
static napi_value receive(napi_env env, napi_callback_info info)
{
    napi_value arguments[4];
    struct connection *connection = enter(env, info, arguments);
    uint8_t *ciphertext;
    size_t length;

    if (connection == NULL || !seikan_bytes(env, arguments[1], &ciphertext, &length)) return NULL;
    if (length == 0 || connection->state == CLOSED || connection->state == FAILED) return standing(env, connection);
    if (BIO_write(SSL_get_rbio(connection->ssl), ciphertext, (int)length) != (int)length) {
        connection->state = FAILED;
        snprintf(connection->reason, sizeof connection->reason, "out of memory");
        return standing(env, connection);
    }
    connection->busy = true;
    connection->env = env;
    connection->verify = arguments[2];
    if (connection->state == HANDSHAKING) shake_hands(connection);
    read_records(env, connection, arguments[3]);
    connection->busy = false;
    if (!connection->doomed) return standing(env, connection);
    free_ssl(env, connection);
    return NULL;
}

/* takeTls(connection, into) */
static napi_value take(napi_env env, napi_callback_info info)
{
    napi_value arguments[4];
    struct connection *connection = enter(env, info, arguments);
    uint8_t *into;
    size_t size;
    BIO *to_peer;
    int taken;

    if (connection == NULL || !seikan_bytes(env, arguments[1], &into, &size)) return NULL;
    to_peer = SSL_get_wbio(connection->ssl);
    taken = BIO_read(to_peer, into, (int)size);
    /* A handshake's flight leaves a buffer of several kilobytes behind: an idle connection does not keep it. */
    if (connection->state == SECURED && taken > 0 && BIO_ctrl_pending(to_peer) == 0) {
        BUF_MEM *memory = NULL;

        BIO_get_mem_ptr(to_peer, &memory);
        if (memory->max > 2048 && (to_peer = BIO_new(BIO_s_mem())) != NULL) SSL_set0_wbio(connection->ssl, to_peer);
    }
    return number(env, taken > 0 ? (size_t)taken : 0);
}

/* writeTls(connection, plaintext): one record. The standing. */
static napi_value write_record(napi_env env, napi_callback_info info)
{
    napi_value arguments[4];
    struct connection *connection = enter_secured(env, info, arguments);
    uint8_t *plaintext;
    size_t length;
    int result;

    if (connection == NULL || !seikan_bytes(env, arguments[1], &plaintext, &length)) return NULL;
    if (length == 0 || length > RECORD_LIMIT) {
        napi_throw_range_error(env, NULL, "a TLS record holds 1 to 16384 bytes");
        return NULL;
    }
    ERR_clear_error();
    result = SSL_write(connection->ssl, plaintext, (int)length);
    if (result <= 0) judge(connection, result);
    return standing(env, connection);
}

/* exportTlsKeyingMaterial(connection, label, length) */
static napi_value export_keying_material(napi_env env, napi_callback_info info)
{
    napi_value arguments[4], bytes;
    struct connection *connection = enter(env, info, arguments);
    char label[128];
    size_t label_length;
    uint32_t length;
    unsigned char material[4096];

    if (connection == NULL) return NULL;
    /* What was agreed on holds after the peer has closed too. */
    if (connection->state != SECURED && connection->state != CLOSED) {
        napi_throw_error(env, NULL, "the TLS connection is not secured");
        return NULL;
    }
    if (napi_get_value_string_utf8(env, arguments[1], label, sizeof label, &label_length) != napi_ok
        || napi_get_value_uint32(env, arguments[2], &length) != napi_ok || length > sizeof material) {
        napi_throw_range_error(env, NULL, "exported keying material: at most 4096 bytes");
        return NULL;
    }
    if (SSL_export_keying_material(connection->ssl, material, length, label, label_length, NULL, 0, 0) != 1)
        return seikan_throw_openssl(env, "export");
    bytes = seikan_copy_bytes(env, material, length);
    OPENSSL_cleanse(material, length);
    return bytes;
}

/* tlsPeerCertificate(connection) */
static napi_value peer_certificate(napi_env env, napi_callback_info info)
{
    napi_value arguments[4];
    struct connection *connection = enter(env, info, arguments);
    X509 *certificate = connection == NULL ? NULL : SSL_get0_peer_certificate(connection->ssl);

    return certificate == NULL ? NULL : seikan_certificate(env, certificate, 0);
}

/* describeTls(connection): upstream print_details, without its prefix */
static napi_value describe(napi_env env, napi_callback_info info)
{
    napi_value arguments[4], text = NULL;
    struct connection *connection = enter(env, info, arguments);
    const SSL_CIPHER *cipher;
    X509 *certificate;
    EVP_PKEY *temporary = NULL;
    char key[128], line[512];
    size_t used;

    if (connection == NULL) return NULL;
    cipher = SSL_get_current_cipher(connection->ssl);
    used = (size_t)snprintf(line, sizeof line, "%s, cipher %s %s", SSL_get_version(connection->ssl),
                            SSL_CIPHER_get_version(cipher), SSL_CIPHER_get_name(cipher));
    certificate = SSL_get0_peer_certificate(connection->ssl);
    if (certificate != NULL) {
        seikan_describe_key(X509_get0_pubkey(certificate), key, sizeof key);
        used += (size_t)snprintf(line + used, sizeof line - used, ", peer certificate: %s, signature: %s", key,
                                 OBJ_nid2sn(X509_get_signature_nid(certificate)));
    }
    if (SSL_get_peer_tmp_key(connection->ssl, &temporary) == 1) {
        seikan_describe_key(temporary, key, sizeof key);
        EVP_PKEY_free(temporary);
        snprintf(line + used, sizeof line - used, ", peer temporary key: %s", key);
    }
    ERR_clear_error();
    napi_create_string_utf8(env, line, NAPI_AUTO_LENGTH, &text);
    return text;
}

/* OpenSSL 3.0 has no text for those that came with TLS 1.3. */
static const char *alert_name(int alert)
{
    switch (alert) {
    case SSL_AD_MISSING_EXTENSION:
        return "missing extension";
    case SSL_AD_CERTIFICATE_REQUIRED:
        return "certificate required";
    case SSL_AD_INAPPROPRIATE_FALLBACK:
        return "inappropriate fallback";
    default:
        return SSL_alert_desc_string_long(alert);
    }
}

/* tlsFailure(connection): { reason, alert?, sent } */
static napi_value get_failure(napi_env env, napi_callback_info info)
{
    napi_value arguments[4], failure, sent;
    struct connection *connection = enter(env, info, arguments);

    if (connection == NULL || connection->state != FAILED) return NULL;
    napi_create_object(env, &failure);
    seikan_set_text(env, failure, "reason", connection->reason, NAPI_AUTO_LENGTH);
    if (connection->alert_direction != NO_ALERT) {
        seikan_set_text(env, failure, "alert", alert_name(connection->alert), NAPI_AUTO_LENGTH);
        napi_get_boolean(env, connection->alert_direction == ALERT_SENT, &sent);
        seikan_set(env, failure, "sent", sent);
    }
    return failure;
}

/* shutdownTls(connection): the standing */
static napi_value shut_down(napi_env env, napi_callback_info info)
{
    napi_value arguments[4];
    struct connection *connection = enter(env, info, arguments);

    if (connection == NULL) return NULL;
    if (connection->state == SECURED || connection->state == CLOSED) {
        SSL_shutdown(connection->ssl);
        ERR_clear_error();
        connection->state = CLOSED;
    }
    return standing(env, connection);
}

/* closeTls(connection): from inside its own verification it takes effect when that returns. */
static napi_value close_connection(napi_env env, napi_callback_info info)
{
    napi_value argument;
    size_t count = 1;
    struct connection *connection = NULL;
    bool tagged = false;

    if (napi_get_cb_info(env, info, &count, &argument, NULL, NULL) != napi_ok
        || napi_check_object_type_tag(env, argument, &connection_tag, &tagged) != napi_ok || !tagged
        || napi_unwrap(env, argument, (void **)&connection) != napi_ok)
        return NULL;
    if (connection->busy) connection->doomed = true;
    else free_ssl(env, connection);
    return NULL;
}

bool seikan_register_tls_connection(napi_env env, napi_value exports)
{
    return seikan_export(env, exports, "openTls", open_connection) && seikan_export(env, exports, "startTls", start)
        && seikan_export(env, exports, "receiveTls", receive) && seikan_export(env, exports, "takeTls", take) && seikan_export(env, exports, "writeTls", write_record)
        && seikan_export(env, exports, "exportTlsKeyingMaterial", export_keying_material)
        && seikan_export(env, exports, "tlsPeerCertificate", peer_certificate)
        && seikan_export(env, exports, "describeTls", describe)
        && seikan_export(env, exports, "tlsFailure", get_failure)
        && seikan_export(env, exports, "shutdownTls", shut_down)
        && seikan_export(env, exports, "closeTls", close_connection);
}
