/*
 * The addon's rooms. Each room is one C file with one function that adds its exports;
 * nothing is static state: everything lives in objects that JavaScript owns (the addon is loaded by several threads).
 */
#ifndef SEIKAN_ADDON_H
#define SEIKAN_ADDON_H

#define NAPI_VERSION 8
#include <node_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Returns false with a pending JavaScript exception when a Node-API call fails. */
bool seikan_export(napi_env env, napi_value exports, const char *name, napi_callback function);

/* Throws an Error whose `code` is the errno name (ENODEV ...), `errno` its number and `syscall` the call. Returns NULL. */
napi_value seikan_throw_errno(napi_env env, const char *syscall, int error);

/* The bytes of a Uint8Array argument; throws a TypeError and returns false for anything else. */
bool seikan_bytes(napi_env env, napi_value value, uint8_t **data, size_t *length);

#endif
