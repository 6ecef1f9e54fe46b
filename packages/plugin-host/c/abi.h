/*
 * The C interface between OpenVPN and its plugins, as layouts and numbers: interface version 3, struct version 5.
 * Our own declarations of facts from OpenVPN's openvpn-plugin.h (2.6); a test compares every size and offset with the
 * installed header. Offsets on LP64:
 *
 *   open_in     type_mask 0 · argv 8 · envp 16 · callbacks 24 · ssl_api 32 · version 40 · major 48 · minor 52 · patch 56
 *   open_return type_mask 0 · handle 8 · return_list 16      func_return return_list 0      list next 0 · name 8 · value 16
 *   func_in     type 0 · argv 8 · envp 16 · handle 24 · client 32 · cert_depth 40 · cert 48
 *   callbacks   log 0 · vlog 8 · secure_memzero 16 · base64_encode 24 · base64_decode 32
 */
#ifndef SEIKAN_ABI_H
#define SEIKAN_ABI_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

enum { ABI_INTERFACE = 3, ABI_STRUCTS = 5, ABI_MASK = 0xffff };
enum { ABI_SUCCESS = 0, ABI_ERROR = 1, ABI_DEFERRED = 2 };
enum { ABI_LOG_ERR = 1, ABI_LOG_WARN = 2, ABI_LOG_NOTE = 4, ABI_LOG_DEBUG = 8, ABI_LOG_ERRNO = 0x100, ABI_LOG_NOMUTE = 0x200 };
enum { ABI_SSL_NONE = 0, ABI_SSL_OPENSSL = 1, ABI_SSL_MBEDTLS = 2 };
enum { ABI_INIT_CONFIG = 1, ABI_INIT_PRE_DAEMON = 2, ABI_INIT_POST_DAEMON = 3, ABI_INIT_POST_UID = 4 };
enum {
    ABI_UP = 0, ABI_DOWN = 1, ABI_ROUTE_UP = 2, ABI_IPCHANGE = 3, ABI_TLS_VERIFY = 4, ABI_AUTH = 5, ABI_CONNECT = 6,
    ABI_DISCONNECT = 7, ABI_LEARN = 8, ABI_CONNECT_V2 = 9, ABI_TLS_FINAL = 10, ABI_ROUTE_PREDOWN = 12,
    ABI_CONNECT_DEFER = 13, ABI_CONNECT_DEFER_V2 = 14, ABI_CRRESPONSE = 15,
};

struct abi_list {
    struct abi_list *next;
    char *name;
    char *value;
};

typedef void (*abi_log_fn)(int flags, const char *name, const char *format, ...) __attribute__((format(printf, 3, 4)));
typedef void (*abi_vlog_fn)(int flags, const char *name, const char *format, va_list arguments);

struct abi_callbacks {
    abi_log_fn log;
    abi_vlog_fn vlog;
    void (*secure_memzero)(void *data, size_t length);
    int (*base64_encode)(const void *data, int size, char **text);
    int (*base64_decode)(const char *text, void *data, int size);
};

struct abi_open_in {
    int type_mask;
    const char **argv;
    const char **envp;
    const struct abi_callbacks *callbacks;
    int ssl_api;
    const char *version;
    unsigned int major;
    unsigned int minor;
    const char *patch;
};

struct abi_open_return {
    int type_mask;
    void *handle;
    struct abi_list **return_list;
};

struct abi_func_in {
    int type;
    const char **argv;
    const char **envp;
    void *handle;
    void *client;
    int cert_depth;
    void *cert;
};

struct abi_func_return {
    struct abi_list **return_list;
};

typedef void *(*abi_open_v1)(unsigned int *mask, const char **argv, const char **envp);
typedef void *(*abi_open_v2)(unsigned int *mask, const char **argv, const char **envp, struct abi_list **list);
typedef int (*abi_open_v3)(int version, const struct abi_open_in *in, struct abi_open_return *out);
typedef int (*abi_func_v1)(void *handle, int type, const char **argv, const char **envp);
typedef int (*abi_func_v2)(void *handle, int type, const char **argv, const char **envp, void *client, struct abi_list **list);
typedef int (*abi_func_v3)(int version, const struct abi_func_in *in, struct abi_func_return *out);

#endif
