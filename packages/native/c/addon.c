/* Registration and the helpers that every room uses. */
#include "addon.h"
#include "openssl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

bool seikan_export(napi_env env, napi_value exports, const char *name, napi_callback function)
{
    napi_value value;
    return napi_create_function(env, name, NAPI_AUTO_LENGTH, function, NULL, &value) == napi_ok
        && napi_set_named_property(env, exports, name, value) == napi_ok;
}

napi_value seikan_throw_errno(napi_env env, const char *syscall, int error)
{
    char text[256];
    napi_value code, message, object, number, call;
    const char *name = strerrorname_np(error);

    snprintf(text, sizeof text, "%s: %s", syscall, strerror(error));
    napi_create_string_utf8(env, name != NULL ? name : "EUNKNOWN", NAPI_AUTO_LENGTH, &code);
    napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &message);
    napi_create_error(env, code, message, &object);
    napi_create_int32(env, error, &number);
    napi_set_named_property(env, object, "errno", number);
    napi_create_string_utf8(env, syscall, NAPI_AUTO_LENGTH, &call);
    napi_set_named_property(env, object, "syscall", call);
    napi_throw(env, object);
    return NULL;
}

bool seikan_bytes(napi_env env, napi_value value, uint8_t **data, size_t *length)
{
    bool typed = false;
    napi_typedarray_type type;
    void *memory = NULL;

    if (napi_is_typedarray(env, value, &typed) != napi_ok || !typed
        || napi_get_typedarray_info(env, value, &type, length, &memory, NULL, NULL) != napi_ok
        || type != napi_uint8_array) {
        napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "expected a Uint8Array");
        return false;
    }
    *data = memory;
    return true;
}

NAPI_MODULE_INIT()
{
    bool complete = seikan_register_tls_context(env, exports) && seikan_register_tls_connection(env, exports)
        && seikan_register_x509(env, exports);

    return complete ? exports : NULL;
}
