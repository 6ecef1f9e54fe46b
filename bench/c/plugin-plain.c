/* The smallest compiled plugin: says yes to everything. What is measured is the way to it. */
#include <openvpn/openvpn-plugin.h>

OPENVPN_EXPORT int openvpn_plugin_open_v3(const int version, struct openvpn_plugin_args_open_in const *in, struct openvpn_plugin_args_open_return *out)
{
    static int handle;
    (void)version;
    (void)in;
    out->type_mask = OPENVPN_PLUGIN_MASK(OPENVPN_PLUGIN_TLS_FINAL) | OPENVPN_PLUGIN_MASK(OPENVPN_PLUGIN_AUTH_USER_PASS_VERIFY);
    out->handle = &handle;
    return OPENVPN_PLUGIN_FUNC_SUCCESS;
}

OPENVPN_EXPORT int openvpn_plugin_func_v3(const int version, struct openvpn_plugin_args_func_in const *in, struct openvpn_plugin_args_func_return *out)
{
    (void)version;
    (void)in;
    (void)out;
    return OPENVPN_PLUGIN_FUNC_SUCCESS;
}

OPENVPN_EXPORT void openvpn_plugin_close_v1(openvpn_plugin_handle_t handle)
{
    (void)handle;
}
