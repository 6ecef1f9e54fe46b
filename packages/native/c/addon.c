/* Registration and the helpers that every room uses. */
#include "addon.h"
#include "openssl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool seikan_export(napi_env env, napi_value exports, const char *name, napi_callback function)
{
    napi_value value;
    return napi_create_function(env, name, NAPI_AUTO_LENGTH, function, NULL, &value) == napi_ok
        && napi_set_named_property(env, exports, name, value) == napi_ok;
}

bool seikan_export_all(napi_env env, napi_value exports, const struct seikan_function *functions)
{
    for (; functions->name != NULL; functions++)
        if (!seikan_export(env, exports, functions->name, functions->call)) return false;
    return true;
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

napi_value seikan_throw_range(napi_env env, const char *message)
{
    napi_throw_range_error(env, "ERR_OUT_OF_RANGE", message);
    return NULL;
}

static bool wrong_type(napi_env env, const char *message)
{
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", message);
    return false;
}

bool seikan_arguments(napi_env env, napi_callback_info info, napi_value *argv, size_t count)
{
    return napi_get_cb_info(env, info, &count, argv, NULL, NULL) == napi_ok;
}

bool seikan_integer(napi_env env, napi_value value, int64_t least, int64_t most, const char *what, int64_t *out)
{
    char text[128];
    double number;

    if (napi_get_value_double(env, value, &number) != napi_ok) {
        snprintf(text, sizeof text, "%s: expected a number", what);
        return wrong_type(env, text);
    }
    /* Written so that NaN fails too. Callers' bounds are far below 2^53. */
    if (!(number >= (double)least && number <= (double)most) || (double)(int64_t)number != number) {
        snprintf(text, sizeof text, "%s: expected a whole number from %lld to %lld", what, (long long)least,
            (long long)most);
        seikan_throw_range(env, text);
        return false;
    }
    *out = (int64_t)number;
    return true;
}

bool seikan_fd(napi_env env, napi_value value, int *fd)
{
    int64_t number;
    if (!seikan_integer(env, value, 0, INT32_MAX, "file descriptor", &number)) return false;
    *fd = (int)number;
    return true;
}

bool seikan_flag(napi_env env, napi_value value, bool *out)
{
    return napi_get_value_bool(env, value, out) == napi_ok || wrong_type(env, "expected a boolean");
}

bool seikan_string(napi_env env, napi_value value, char *out, size_t size, const char *what)
{
    char message[128];
    size_t whole = 0, written = 0;

    if (napi_get_value_string_utf8(env, value, NULL, 0, &whole) != napi_ok) {
        snprintf(message, sizeof message, "%s: expected a string", what);
        return wrong_type(env, message);
    }
    if (whole >= size || napi_get_value_string_utf8(env, value, out, size, &written) != napi_ok
        || memchr(out, '\0', written) != NULL) {
        snprintf(message, sizeof message, "%s: longer than %zu bytes or with a NUL inside", what, size - 1);
        seikan_throw_range(env, message);
        return false;
    }
    return true;
}

static bool typed_array(napi_env env, napi_value value, napi_typedarray_type wanted, void **data, size_t *length)
{
    napi_typedarray_type type;
    return napi_get_typedarray_info(env, value, &type, length, data, NULL, NULL) == napi_ok && type == wanted;
}

/* Of a typed array Node-API fetches much that nobody asked for: calls for each packet pass the memory under it. */
static bool array_buffer(napi_env env, napi_value value, void **data, size_t *bytes)
{
    return napi_get_arraybuffer_info(env, value, data, bytes) == napi_ok;
}

bool seikan_bytes(napi_env env, napi_value value, uint8_t **data, size_t *length)
{
    void *memory = NULL;
    if (!array_buffer(env, value, &memory, length) && !typed_array(env, value, napi_uint8_array, &memory, length)) return wrong_type(env, "expected a Uint8Array");
    *data = memory;
    return true;
}

bool seikan_words(napi_env env, napi_value value, uint32_t **data, size_t *length)
{
    void *memory = NULL;
    if (array_buffer(env, value, &memory, length)) *length /= sizeof **data;
    else if (!typed_array(env, value, napi_uint32_array, &memory, length)) return wrong_type(env, "expected a Uint32Array");
    *data = memory;
    return true;
}

bool seikan_signed_words(napi_env env, napi_value value, int32_t **data, size_t *length)
{
    void *memory = NULL;
    if (!typed_array(env, value, napi_int32_array, &memory, length)) return wrong_type(env, "expected an Int32Array");
    *data = memory;
    return true;
}

bool seikan_is_undefined(napi_env env, napi_value value)
{
    napi_valuetype type;
    return napi_typeof(env, value, &type) == napi_ok && type == napi_undefined;
}

napi_value seikan_make_number(napi_env env, int64_t number)
{
    napi_value value;
    return napi_create_int64(env, number, &value) == napi_ok ? value : NULL;
}

napi_value seikan_result(napi_env env, int64_t result)
{
    return seikan_make_number(env, result == -1 ? -errno : result);
}

struct handle {
    const char *kind;
    void *data;
    void (*destroy)(void *data);
    struct handles *known;
    struct handle *next; /* in its place */
};

/* The handles of one environment; it outlives the environment until the last of them is gone. */
struct handles {
    size_t count, size; /* of the places: a power of two */
    bool closed;
    struct handle **places;
};

static struct handle **place_of(const struct handles *known, const void *handle)
{
    return &known->places[((uintptr_t)handle * 0x9e3779b97f4a7c15u >> 32) & (known->size - 1)];
}

static struct handles *new_handles(void)
{
    struct handles *known = calloc(1, sizeof *known);
    if (known == NULL) return NULL;
    known->size = 256;
    known->places = calloc(known->size, sizeof *known->places);
    if (known->places != NULL) return known;
    free(known);
    return NULL;
}

static void free_handles(struct handles *known)
{
    free(known->places);
    free(known);
}

/* Keeps chains short, however many handles wait for the collector. Without memory they grow longer. */
static void widen(struct handles *known)
{
    struct handle **old = known->places;
    size_t size = known->size;
    struct handle **places = calloc(2 * size, sizeof *places);

    if (places == NULL) return;
    known->places = places;
    known->size = 2 * size;
    for (size_t i = 0; i < size; i++)
        for (struct handle *handle = old[i], *next; handle != NULL; handle = next) {
            struct handle **place = place_of(known, handle);
            next = handle->next;
            handle->next = *place;
            *place = handle;
        }
    free(old);
}

static void close_handles(napi_env env, void *data, void *hint)
{
    struct handles *known = data;
    (void)env;
    (void)hint;
    known->closed = true;
    if (known->count == 0) free_handles(known);
}

static void finalize_handle(napi_env env, void *data, void *hint)
{
    struct handle *handle = data;
    struct handles *known = handle->known;
    struct handle **from = place_of(known, handle);
    (void)env;
    (void)hint;
    while (*from != handle) from = &(*from)->next;
    *from = handle->next;
    handle->destroy(handle->data);
    free(handle);
    known->count--;
    if (known->closed && known->count == 0) free_handles(known);
}

napi_value seikan_handle_new(napi_env env, const char *kind, void *data, void (*destroy)(void *data))
{
    void *instance = NULL;
    napi_value value;
    struct handle *handle = malloc(sizeof *handle);
    if (handle == NULL || napi_get_instance_data(env, &instance) != napi_ok || instance == NULL
        || napi_create_external(env, handle, finalize_handle, NULL, &value) != napi_ok) {
        free(handle);
        destroy(data);
        return NULL;
    }
    struct handles *known = instance;
    if (known->count >= known->size) widen(known);
    struct handle **place = place_of(known, handle);
    *handle = (struct handle){ kind, data, destroy, known, *place };
    *place = handle;
    known->count++;
    return value;
}

void *seikan_handle(napi_env env, napi_value value, const char *kind)
{
    void *known = NULL, *carried = NULL;
    char message[64];

    if (napi_get_value_external(env, value, &carried) == napi_ok && napi_get_instance_data(env, &known) == napi_ok
        && known != NULL)
        for (struct handle *handle = *place_of(known, carried); handle != NULL; handle = handle->next)
            if (handle == carried && handle->kind == kind) return handle->data;
    snprintf(message, sizeof message, "expected a handle of this addon: %s", kind);
    wrong_type(env, message);
    return NULL;
}

NAPI_MODULE_INIT()
{
    static bool (*const rooms[])(napi_env, napi_value) = {
        seikan_register_aead,
        seikan_register_control_crypto,
        seikan_register_descriptor,
        seikan_register_key_ring,
        seikan_register_netlink,
        seikan_register_poll,
        seikan_register_poll_set,
        seikan_register_process,
        seikan_register_socket,
        seikan_register_superpacket,
        seikan_register_tls_connection,
        seikan_register_tls_context,
        seikan_register_tls_offer,
        seikan_register_tun,
        seikan_register_tun_table,
        seikan_register_udp,
        seikan_register_udp_table,
        seikan_register_unix,
        seikan_register_x509,
    };
    struct handles *known = new_handles();
    if (known == NULL || napi_set_instance_data(env, known, close_handles, NULL) != napi_ok) {
        if (known != NULL) free_handles(known);
        napi_throw_error(env, "ENOMEM", "out of memory");
        return NULL;
    }
    for (size_t i = 0; i < sizeof rooms / sizeof *rooms; i++)
        if (!rooms[i](env, exports)) return NULL;
    return exports;
}
