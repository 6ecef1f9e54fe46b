/*
 * What every file descriptor can: be closed, copied, inherited or not; and the names of errors.
 * node:fs's close is no use here: in a worker thread it warns about every descriptor that it did not open.
 */
#include "addon.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static napi_value descriptor_close(napi_env env, napi_callback_info info)
{
    napi_value argv[1];
    int fd;

    if (!seikan_arguments(env, info, argv, 1) || !seikan_fd(env, argv[0], &fd)) return NULL;
    /* Never repeated: on Linux the descriptor is gone even after EINTR. */
    if (close(fd) == -1 && errno != EINTR) return seikan_throw_errno(env, "close", errno);
    return NULL;
}

static napi_value descriptor_duplicate(napi_env env, napi_callback_info info)
{
    napi_value argv[1];
    int fd;

    if (!seikan_arguments(env, info, argv, 1) || !seikan_fd(env, argv[0], &fd)) return NULL;
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    return copy == -1 ? seikan_throw_errno(env, "fcntl", errno) : seikan_make_number(env, copy);
}

static napi_value descriptor_set_close_on_exec(napi_env env, napi_callback_info info)
{
    napi_value argv[2];
    int fd;
    bool on;

    if (!seikan_arguments(env, info, argv, 2) || !seikan_fd(env, argv[0], &fd) || !seikan_flag(env, argv[1], &on))
        return NULL;
    return fcntl(fd, F_SETFD, on ? FD_CLOEXEC : 0) == -1 ? seikan_throw_errno(env, "fcntl", errno) : NULL;
}

static napi_value descriptor_set_non_blocking(napi_env env, napi_callback_info info)
{
    napi_value argv[2];
    int fd, flags;
    bool on;

    if (!seikan_arguments(env, info, argv, 2) || !seikan_fd(env, argv[0], &fd) || !seikan_flag(env, argv[1], &on))
        return NULL;
    if ((flags = fcntl(fd, F_GETFL)) == -1
        || fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK) == -1)
        return seikan_throw_errno(env, "fcntl", errno);
    return NULL;
}

/* (errno) → its name, or EUNKNOWN. */
static napi_value error_name(napi_env env, napi_callback_info info)
{
    napi_value argv[1], value;
    int64_t error;

    if (!seikan_arguments(env, info, argv, 1) || !seikan_integer(env, argv[0], 0, INT32_MAX, "errno", &error))
        return NULL;
    const char *name = strerrorname_np((int)error);
    return napi_create_string_utf8(env, name != NULL ? name : "EUNKNOWN", NAPI_AUTO_LENGTH, &value) == napi_ok ? value
                                                                                                          : NULL;
}

/* (errno) → what libc says of it. */
static napi_value error_text(napi_env env, napi_callback_info info)
{
    napi_value argv[1], value;
    int64_t error;

    if (!seikan_arguments(env, info, argv, 1) || !seikan_integer(env, argv[0], 0, INT32_MAX, "errno", &error))
        return NULL;
    return napi_create_string_utf8(env, strerror((int)error), NAPI_AUTO_LENGTH, &value) == napi_ok ? value : NULL;
}

bool seikan_register_descriptor(napi_env env, napi_value exports)
{
    static const struct seikan_function functions[] = {
        { "descriptorClose", descriptor_close },
        { "descriptorDuplicate", descriptor_duplicate },
        { "descriptorSetCloseOnExec", descriptor_set_close_on_exec },
        { "descriptorSetNonBlocking", descriptor_set_non_blocking },
        { "errorName", error_name },
        { "errorText", error_text },
        { NULL, NULL },
    };
    return seikan_export_all(env, exports, functions);
}
