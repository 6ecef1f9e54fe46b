/* Errors, options and small values between OpenSSL and JavaScript. */
#include "openssl.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void seikan_openssl_reason(char *into, size_t size)
{
    unsigned long code;
    const char *data = NULL;
    int flags = 0;
    bool told = false;

    snprintf(into, size, "OpenSSL gives no reason");
    /* The oldest is the closest to the cause; only where a cipher failed, TLS's own word (bad record mac) says more. */
    while ((code = ERR_get_error_all(NULL, NULL, NULL, &data, &flags)) != 0) {
        size_t used;

        if (told && ERR_GET_LIB(code) != ERR_LIB_SSL) continue;
        ERR_error_string_n(code, into, size);
        used = strlen(into);
        if ((flags & ERR_TXT_STRING) != 0 && data != NULL && *data != '\0') snprintf(into + used, size - used, ":%s", data);
        if (ERR_GET_LIB(code) == ERR_LIB_SSL) break;
        told = true;
    }
    ERR_clear_error();
}

napi_value seikan_throw_openssl(napi_env env, const char *code)
{
    char reason[384];

    seikan_openssl_reason(reason, sizeof reason);
    napi_throw_error(env, code, reason);
    return NULL;
}

char *seikan_text(napi_env env, napi_value object, const char *name)
{
    napi_value value;
    size_t length = 0;
    char *text;

    if (napi_get_named_property(env, object, name, &value) != napi_ok
        || napi_get_value_string_utf8(env, value, NULL, 0, &length) != napi_ok)
        return NULL;
    text = malloc(length + 1);
    if (text != NULL) napi_get_value_string_utf8(env, value, text, length + 1, &length);
    return text;
}

int32_t seikan_number(napi_env env, napi_value object, const char *name, int32_t otherwise)
{
    napi_value value;
    int32_t number;

    if (napi_get_named_property(env, object, name, &value) != napi_ok
        || napi_get_value_int32(env, value, &number) != napi_ok)
        return otherwise;
    return number;
}

napi_value seikan_copy_bytes(napi_env env, const void *data, size_t length)
{
    void *memory = NULL;
    napi_value buffer, bytes = NULL;

    if (napi_create_arraybuffer(env, length, &memory, &buffer) != napi_ok) return NULL;
    if (length > 0) memcpy(memory, data, length);
    napi_create_typedarray(env, napi_uint8_array, length, buffer, 0, &bytes);
    return bytes;
}

void seikan_set(napi_env env, napi_value object, const char *name, napi_value value)
{
    napi_set_named_property(env, object, name, value);
}

void seikan_set_text(napi_env env, napi_value object, const char *name, const char *text, size_t length)
{
    napi_value value;

    if (napi_create_string_utf8(env, text, length, &value) == napi_ok) seikan_set(env, object, name, value);
}

void seikan_set_number(napi_env env, napi_value object, const char *name, double number)
{
    napi_value value;

    if (napi_create_double(env, number, &value) == napi_ok) seikan_set(env, object, name, value);
}

void seikan_free_secret(char *text)
{
    if (text == NULL) return;
    OPENSSL_cleanse(text, strlen(text));
    free(text);
}

int seikan_offer_passphrase(char *into, int size, int writing, void *passphrase)
{
    struct seikan_passphrase *offered = passphrase;
    size_t length;

    (void)writing;
    offered->asked = true;
    if (offered->text == NULL) return -1;
    length = strlen(offered->text);
    if (length > (size_t)size) return -1;
    memcpy(into, offered->text, length);
    return (int)length;
}
