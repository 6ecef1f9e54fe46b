/*
 * Calls a plugin as OpenVPN's process does, many times, and prints each call's nanoseconds: what a plugin adds to a
 * stock OpenVPN, without the tunnel around it.
 *     caller PLUGIN.so WARMUP CALLS
 */
#define OPENVPN_PLUGIN_H /* gives the types of the functions instead of their declarations */
#include <dlfcn.h>
#include <openvpn/openvpn-plugin.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void log_nothing(openvpn_plugin_log_flags_t flags, const char *name, const char *format, ...)
{
    (void)flags;
    (void)name;
    (void)format;
}

int main(int argc, char **argv)
{
    if (argc < 4) return 2;
    void *object = dlopen(argv[1], RTLD_NOW);
    if (object == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    openvpn_plugin_open_v3 open = dlsym(object, "openvpn_plugin_open_v3");
    openvpn_plugin_func_v3 func = dlsym(object, "openvpn_plugin_func_v3");
    openvpn_plugin_close_v1 close = dlsym(object, "openvpn_plugin_close_v1");
    struct openvpn_plugin_callbacks callbacks = { .plugin_log = log_nothing };
    const char *words[] = { argv[1], NULL };
    static char text[62][64];
    const char *env[63] = { NULL };
    for (int i = 0; i < 62; i++) {
        snprintf(text[i], sizeof text[i], "variable_name_%d=some value number %d", i, i);
        env[i] = text[i];
    }
    struct openvpn_plugin_string_list *list = NULL;
    struct openvpn_plugin_args_open_in in = { 0xffff, words, env, &callbacks, SSLAPI_OPENSSL, "2.6.14", 2, 6, ".14" };
    struct openvpn_plugin_args_open_return out = { .return_list = &list };
    if (open(OPENVPN_PLUGINv3_STRUCTVER, &in, &out) != OPENVPN_PLUGIN_FUNC_SUCCESS) return 1;
    int warmup = atoi(argv[2]), calls = atoi(argv[3]);
    for (int i = -warmup; i < calls; i++) {
        struct timespec before, after;
        struct openvpn_plugin_args_func_in call = { OPENVPN_PLUGIN_TLS_FINAL, words, env, out.handle, NULL, -1, NULL };
        struct openvpn_plugin_args_func_return result = { &list };
        clock_gettime(CLOCK_MONOTONIC, &before);
        if (func(OPENVPN_PLUGINv3_STRUCTVER, &call, &result) != OPENVPN_PLUGIN_FUNC_SUCCESS) return 1;
        clock_gettime(CLOCK_MONOTONIC, &after);
        if (i >= 0) printf("%ld\n", (after.tv_sec - before.tv_sec) * 1000000000L + after.tv_nsec - before.tv_nsec);
    }
    close(out.handle);
    return 0;
}
