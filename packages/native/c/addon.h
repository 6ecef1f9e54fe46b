/*
 * The addon's rooms. Each room is one C file with one function that adds its exports;
 * nothing is static state: everything lives in objects that JavaScript owns (the addon is loaded by several threads).
 *
 * Rules of every room: arguments are flat (numbers, strings, typed arrays, handles), so that no JavaScript runs
 * between the moment a pointer is fetched and its last use; a wrong argument throws and touches nothing;
 * a system call that fails while something is set up throws (seikan_throw_errno), one that fails on the packet path
 * returns its errno as a negative number.
 */
#ifndef SEIKAN_ADDON_H
#define SEIKAN_ADDON_H

#define NAPI_VERSION 8
#include <node_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The rooms. Each returns false with a pending JavaScript exception when a Node-API call fails. */
bool seikan_register_aead(napi_env env, napi_value exports);
bool seikan_register_control_crypto(napi_env env, napi_value exports);
bool seikan_register_descriptor(napi_env env, napi_value exports);
bool seikan_register_key_ring(napi_env env, napi_value exports);
bool seikan_register_netlink(napi_env env, napi_value exports);
bool seikan_register_poll(napi_env env, napi_value exports);
bool seikan_register_poll_set(napi_env env, napi_value exports);
bool seikan_register_process(napi_env env, napi_value exports);
bool seikan_register_socket(napi_env env, napi_value exports);
bool seikan_register_superpacket(napi_env env, napi_value exports);
bool seikan_register_tun(napi_env env, napi_value exports);
bool seikan_register_tun_table(napi_env env, napi_value exports);
bool seikan_register_udp(napi_env env, napi_value exports);
bool seikan_register_udp_table(napi_env env, napi_value exports);
bool seikan_register_unix(napi_env env, napi_value exports);

struct seikan_function {
    const char *name;
    napi_callback call;
};

/* Adds one function, or a table of them, its end marked by a NULL name. */
bool seikan_export(napi_env env, napi_value exports, const char *name, napi_callback function);
bool seikan_export_all(napi_env env, napi_value exports, const struct seikan_function *functions);

/* Throws an Error whose `code` is the errno name (ENODEV ...), `errno` its number and `syscall` the call. Returns NULL. */
napi_value seikan_throw_errno(napi_env env, const char *syscall, int error);

/* Throws a RangeError. Returns NULL. */
napi_value seikan_throw_range(napi_env env, const char *message);

/* Arguments. Each of these throws and returns false when the value is not what it must be. */

/* Fills argv with exactly `count` values; missing ones are undefined. */
bool seikan_arguments(napi_env env, napi_callback_info info, napi_value *argv, size_t count);
/* A whole number from `least` to `most`; `what` names it in the error. */
bool seikan_integer(napi_env env, napi_value value, int64_t least, int64_t most, const char *what, int64_t *out);
/* A file descriptor: a whole number from 0. Whether it is open is the kernel's to say (EBADF). */
bool seikan_fd(napi_env env, napi_value value, int *fd);
/* A boolean. */
bool seikan_flag(napi_env env, napi_value value, bool *out);
/* Text of less than `size` bytes without NUL; writes the closing NUL. */
bool seikan_string(napi_env env, napi_value value, char *out, size_t size, const char *what);
/* The bytes of a Uint8Array, or of a whole ArrayBuffer, which is quicker. */
bool seikan_bytes(napi_env env, napi_value value, uint8_t **data, size_t *length);
/* The words of a Uint32Array (or a whole ArrayBuffer) or Int32Array; `length` counts words. */
bool seikan_words(napi_env env, napi_value value, uint32_t **data, size_t *length);
bool seikan_signed_words(napi_env env, napi_value value, int32_t **data, size_t *length);
bool seikan_is_undefined(napi_env env, napi_value value);

/* Results. */
napi_value seikan_make_number(napi_env env, int64_t number);
/* What the packet path returns: `result`, or the negative errno when it is -1. */
napi_value seikan_result(napi_env env, int64_t result);

/*
 * Handles: JavaScript externals that carry a C structure of a `kind` (compared by address). Each thread's addon knows the
 * handles that it has made, so that any other external, of node's or of another kind, is refused without a look into it.
 * `destroy` runs when the handle is collected or its thread ends.
 */
napi_value seikan_handle_new(napi_env env, const char *kind, void *data, void (*destroy)(void *data));
void *seikan_handle(napi_env env, napi_value value, const char *kind);

#endif
