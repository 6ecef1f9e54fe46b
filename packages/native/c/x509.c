/*
 * Certificates as scripts and logs see them. Formats follow upstream's ssl_verify_openssl.c (2.6.14): the subject as
 * x509_get_subject prints it, serials as backend_x509_get_serial(_hex), key and signature as print_cert_details.
 */
#include "openssl.h"

#include <arpa/inet.h>
#include <openssl/core_names.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Escapes control characters, keeps UTF-8, separates with ", ", short field names, the certificate's own order. */
#define NAME_FORMAT (XN_FLAG_SEP_CPLUS_SPC | XN_FLAG_FN_SN | ASN1_STRFLGS_UTF8_CONVERT | ASN1_STRFLGS_ESC_CTRL)

static void set_name(napi_env env, napi_value object, const char *property, const X509_NAME *name)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;
    long length;

    if (bio == NULL) return;
    X509_NAME_print_ex(bio, name, 0, NAME_FORMAT);
    length = BIO_get_mem_data(bio, &text);
    seikan_set_text(env, object, property, length > 0 ? text : "", length > 0 ? (size_t)length : 0);
    BIO_free(bio);
}

static void set_string(napi_env env, napi_value object, const char *property, const ASN1_STRING *string)
{
    unsigned char *text = NULL;
    int length = ASN1_STRING_to_UTF8(&text, string);

    seikan_set_text(env, object, property, length > 0 ? (char *)text : "", length > 0 ? (size_t)length : 0);
    OPENSSL_free(text);
}

static napi_value subject_fields(napi_env env, const X509_NAME *subject)
{
    napi_value fields;
    int count = X509_NAME_entry_count(subject);

    napi_create_array(env, &fields);
    for (int i = 0; i < count; i += 1) {
        const X509_NAME_ENTRY *entry = X509_NAME_get_entry(subject, i);
        const ASN1_OBJECT *object = X509_NAME_ENTRY_get_object(entry);
        int nid = OBJ_obj2nid(object);
        char oid[128];
        napi_value field;

        OBJ_obj2txt(oid, sizeof oid, object, 1);
        napi_create_object(env, &field);
        seikan_set_text(env, field, "name", nid == NID_undef ? oid : OBJ_nid2sn(nid), NAPI_AUTO_LENGTH);
        set_string(env, field, "value", X509_NAME_ENTRY_get_data(entry));
        napi_set_element(env, fields, (uint32_t)i, field);
    }
    return fields;
}

static void set_serial(napi_env env, napi_value object, X509 *certificate)
{
    const ASN1_INTEGER *serial = X509_get0_serialNumber(certificate);
    const unsigned char *bytes = ASN1_STRING_get0_data(serial);
    int length = ASN1_STRING_length(serial);
    BIGNUM *number = ASN1_INTEGER_to_BN(serial, NULL);
    char *decimal = number == NULL ? NULL : BN_bn2dec(number);
    char *hex = malloc((size_t)length * 3 + 1);

    seikan_set_text(env, object, "serialDecimal", decimal == NULL ? "" : decimal, NAPI_AUTO_LENGTH);
    if (hex != NULL) {
        hex[0] = '\0';
        for (int i = 0; i < length; i += 1) sprintf(hex + i * 3, i + 1 < length ? "%02x:" : "%02x", bytes[i]);
        seikan_set_text(env, object, "serialHex", hex, NAPI_AUTO_LENGTH);
    }
    free(hex);
    OPENSSL_free(decimal);
    BN_free(number);
}

static void set_digest(napi_env env, napi_value object, const char *property, X509 *certificate, const EVP_MD *digest)
{
    unsigned char value[EVP_MAX_MD_SIZE];
    unsigned int length = 0;

    if (X509_digest(certificate, digest, value, &length) != 1) length = 0;
    seikan_set(env, object, property, seikan_copy_bytes(env, value, length));
}

/* Purposes and masks stay undefined where the certificate has no such extension: upstream tells that from an empty one. */
static void set_usages(napi_env env, napi_value object, X509 *certificate)
{
    uint32_t usage = X509_get_key_usage(certificate);
    EXTENDED_KEY_USAGE *extended = X509_get_ext_d2i(certificate, NID_ext_key_usage, NULL, NULL);
    napi_value list;

    if (usage != UINT32_MAX) seikan_set_number(env, object, "keyUsage", usage);
    if (extended == NULL) return;
    napi_create_array(env, &list);
    for (int i = 0; i < sk_ASN1_OBJECT_num(extended); i += 1) {
        char oid[128];
        napi_value text;

        OBJ_obj2txt(oid, sizeof oid, sk_ASN1_OBJECT_value(extended, i), 1);
        napi_create_string_utf8(env, oid, NAPI_AUTO_LENGTH, &text);
        napi_set_element(env, list, (uint32_t)i, text);
    }
    seikan_set(env, object, "extendedKeyUsage", list);
    EXTENDED_KEY_USAGE_free(extended);
}

static napi_value alternative_names(napi_env env, X509 *certificate)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    napi_value list;
    uint32_t count = 0;

    napi_create_array(env, &list);
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i += 1) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        const char *type = name->type == GEN_DNS ? "dns"
            : name->type == GEN_EMAIL             ? "email"
            : name->type == GEN_URI               ? "uri"
            : name->type == GEN_IPADD             ? "ip"
                                                  : NULL;
        napi_value entry;

        if (type == NULL) continue;
        napi_create_object(env, &entry);
        seikan_set_text(env, entry, "type", type, NAPI_AUTO_LENGTH);
        if (name->type == GEN_IPADD) {
            char text[INET6_ADDRSTRLEN] = "";
            int length = ASN1_STRING_length(name->d.iPAddress);

            if (length == 4 || length == 16)
                inet_ntop(length == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(name->d.iPAddress), text, sizeof text);
            seikan_set_text(env, entry, "value", text, NAPI_AUTO_LENGTH);
        } else {
            set_string(env, entry, "value", name->d.ia5);
        }
        napi_set_element(env, list, count, entry);
        count += 1;
    }
    GENERAL_NAMES_free(names);
    return list;
}

static void set_time(napi_env env, napi_value object, const char *property, const ASN1_TIME *time)
{
    struct tm parts;

    seikan_set_number(env, object, property, ASN1_TIME_to_tm(time, &parts) == 1 ? (double)timegm(&parts) : 0);
}

void seikan_describe_key(EVP_PKEY *key, char *into, size_t size)
{
    int id = key == NULL ? 0 : EVP_PKEY_get_id(key);
    char group[64] = "";
    const char *type;

    if (key == NULL) {
        snprintf(into, size, "unknown key");
        return;
    }
    if (id == EVP_PKEY_RSA) type = "RSA";
    else if (id == EVP_PKEY_DSA) type = "DSA";
    else if (id == EVP_PKEY_EC) {
        type = "EC";
        EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof group, NULL);
    } else {
        /* Keys that only a provider knows (ML-KEM) have no number. */
        type = id > 0 ? OBJ_nid2sn(id) : EVP_PKEY_get0_type_name(key);
    }
    snprintf(into, size, "%d bits %s%s", EVP_PKEY_get_bits(key), type == NULL ? "unknown" : type, group);
}

napi_value seikan_certificate(napi_env env, X509 *certificate, int depth)
{
    napi_value object;
    unsigned char *der = NULL;
    int length = i2d_X509(certificate, &der);
    char key[128];

    napi_create_object(env, &object);
    seikan_set_number(env, object, "depth", depth);
    seikan_set(env, object, "der", seikan_copy_bytes(env, der, length > 0 ? (size_t)length : 0));
    OPENSSL_free(der);
    set_name(env, object, "subject", X509_get_subject_name(certificate));
    set_name(env, object, "issuer", X509_get_issuer_name(certificate));
    seikan_set(env, object, "subjectFields", subject_fields(env, X509_get_subject_name(certificate)));
    set_serial(env, object, certificate);
    set_digest(env, object, "sha1", certificate, EVP_sha1());
    set_digest(env, object, "sha256", certificate, EVP_sha256());
    set_usages(env, object, certificate);
    seikan_set(env, object, "subjectAltNames", alternative_names(env, certificate));
    set_time(env, object, "notBefore", X509_get0_notBefore(certificate));
    set_time(env, object, "notAfter", X509_get0_notAfter(certificate));
    seikan_describe_key(X509_get0_pubkey(certificate), key, sizeof key);
    seikan_set_text(env, object, "keyDescription", key, NAPI_AUTO_LENGTH);
    seikan_set_text(env, object, "signatureAlgorithm", OBJ_nid2sn(X509_get_signature_nid(certificate)), NAPI_AUTO_LENGTH);
    /* A malformed extension leaves its error behind. */
    ERR_clear_error();
    return object;
}

/* readCertificate(bytes): the first certificate of PEM text, or one in DER. */
static napi_value read_certificate(napi_env env, napi_callback_info info)
{
    napi_value argument, object;
    size_t count = 1, length;
    uint8_t *bytes;
    const unsigned char *der;
    BIO *bio;
    X509 *certificate;

    if (napi_get_cb_info(env, info, &count, &argument, NULL, NULL) != napi_ok
        || !seikan_bytes(env, argument, &bytes, &length))
        return NULL;
    if (length > 0 && bytes[0] == 0x30) {
        der = bytes;
        certificate = d2i_X509(NULL, &der, (long)length);
    } else {
        struct seikan_passphrase none = { NULL, false };
        bio = BIO_new_mem_buf(bytes, (int)length);
        certificate = PEM_read_bio_X509_AUX(bio, NULL, seikan_offer_passphrase, &none);
        BIO_free(bio);
    }
    if (certificate == NULL) return seikan_throw_openssl(env, "cert");
    object = seikan_certificate(env, certificate, 0);
    X509_free(certificate);
    return object;
}

bool seikan_register_x509(napi_env env, napi_value exports)
{
    return seikan_export(env, exports, "readCertificate", read_certificate);
}
