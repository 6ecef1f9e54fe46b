/*
 * A descriptor watched on the event loop of the thread that calls (uv_poll), with a direct callback.
 *
 *   pollOpen ──▶ open ──pollClose or the end of the thread──▶ closing ──libuv's close callback──▶ closed
 *
 * While open, the watch keeps itself and its callback alive, as a timer does. The structure has two owners, libuv
 * and the JavaScript handle; the last one frees it. Two watches of one descriptor in one thread are EEXIST.
 *
 * libuv stops a watch when the kernel reports POLLERR, which for a UDP socket is only an ICMP error to be fetched and
 * for TCP a failed connection: the watch goes on and reports what it waits for, so that the next read gives the errno.
 */
#include "addon.h"

#include <errno.h>
#include <stdlib.h>
#include <uv.h>

static const char poll_kind[] = "watch";

struct watch {
    uv_poll_t *poll;
    napi_env env;
    napi_ref self;
    napi_ref callback;
    napi_async_context context;
    napi_async_cleanup_hook_handle cleanup;
    int events;
    int owners;
};

static void release(struct watch *watch)
{
    if (--watch->owners == 0) {
        free(watch->poll);
        free(watch);
    }
}

static void destroy(void *data)
{
    release(data);
}

static void on_closed(uv_handle_t *handle)
{
    struct watch *watch = uv_handle_get_data(handle);
    napi_remove_async_cleanup_hook(watch->cleanup);
    release(watch);
}

static void close_watch(struct watch *watch)
{
    if (uv_is_closing((uv_handle_t *)watch->poll)) return;
    napi_delete_reference(watch->env, watch->callback);
    napi_delete_reference(watch->env, watch->self);
    napi_async_destroy(watch->env, watch->context);
    uv_close((uv_handle_t *)watch->poll, on_closed);
}

/* The thread ends: Node waits until on_closed has taken the hook away. */
static void on_thread_end(napi_async_cleanup_hook_handle hook, void *data)
{
    (void)hook;
    close_watch(data);
}

static void on_event(uv_poll_t *poll, int status, int events)
{
    struct watch *watch = uv_handle_get_data((uv_handle_t *)poll);
    napi_env env = watch->env;
    napi_handle_scope scope;
    napi_value callback, receiver, argv[2], error;

    if (status != 0) {
        events = watch->events;
        uv_poll_start(poll, events, on_event);
    }
    if (napi_open_handle_scope(env, &scope) != napi_ok) return;
    if (napi_get_reference_value(env, watch->callback, &callback) == napi_ok
        && napi_get_global(env, &receiver) == napi_ok
        && napi_get_boolean(env, (events & UV_READABLE) != 0, &argv[0]) == napi_ok
        && napi_get_boolean(env, (events & UV_WRITABLE) != 0, &argv[1]) == napi_ok
        && napi_make_callback(env, watch->context, receiver, callback, 2, argv, NULL) == napi_pending_exception
        && napi_get_and_clear_last_exception(env, &error) == napi_ok)
        napi_fatal_exception(env, error);
    napi_close_handle_scope(env, scope);
}

/* (fd, callback(readable, writable)) → handle. Watches nothing until pollSetEvents. */
static napi_value poll_open(napi_env env, napi_callback_info info)
{
    napi_value argv[2], name, self;
    int fd;
    napi_valuetype type;
    uv_loop_t *loop;

    if (!seikan_arguments(env, info, argv, 2) || !seikan_fd(env, argv[0], &fd)) return NULL;
    if (napi_typeof(env, argv[1], &type) != napi_ok || type != napi_function) {
        napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "expected a function");
        return NULL;
    }
    if (napi_get_uv_event_loop(env, &loop) != napi_ok) return NULL;

    struct watch *watch = calloc(1, sizeof *watch);
    /* The size is the running libuv's, whichever header compiled this. */
    uv_poll_t *poll = calloc(1, uv_handle_size(UV_POLL));
    if (watch == NULL || poll == NULL) {
        free(watch);
        free(poll);
        return seikan_throw_errno(env, "malloc", ENOMEM);
    }
    int error = uv_poll_init(loop, poll, fd);
    if (error != 0) {
        free(watch);
        free(poll);
        return seikan_throw_errno(env, "uv_poll_init", -error);
    }
    *watch = (struct watch){ .poll = poll, .env = env, .owners = 2 };
    uv_handle_set_data((uv_handle_t *)poll, watch);
    self = seikan_handle_new(env, poll_kind, watch, destroy);
    if (self == NULL || napi_create_reference(env, self, 1, &watch->self) != napi_ok
        || napi_create_reference(env, argv[1], 1, &watch->callback) != napi_ok
        || napi_create_string_utf8(env, "seikan.poll", NAPI_AUTO_LENGTH, &name) != napi_ok
        || napi_async_init(env, self, name, &watch->context) != napi_ok
        || napi_add_async_cleanup_hook(env, on_thread_end, watch, &watch->cleanup) != napi_ok)
        napi_fatal_error("seikan.poll", NAPI_AUTO_LENGTH, "out of memory", NAPI_AUTO_LENGTH);
    return self;
}

static struct watch *open_watch(napi_env env, napi_value value)
{
    struct watch *watch = seikan_handle(env, value, poll_kind);
    if (watch != NULL && uv_is_closing((uv_handle_t *)watch->poll)) {
        napi_throw_error(env, "ERR_CLOSED", "the watch is closed");
        return NULL;
    }
    return watch;
}

/* (handle, readable, writable): both false pauses. */
static napi_value poll_set_events(napi_env env, napi_callback_info info)
{
    napi_value argv[3];
    struct watch *watch;
    bool readable, writable;

    if (!seikan_arguments(env, info, argv, 3) || !seikan_flag(env, argv[1], &readable)
        || !seikan_flag(env, argv[2], &writable) || (watch = open_watch(env, argv[0])) == NULL)
        return NULL;
    watch->events = (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0);
    int error = watch->events == 0 ? uv_poll_stop(watch->poll) : uv_poll_start(watch->poll, watch->events, on_event);
    return error == 0 ? NULL : seikan_throw_errno(env, "uv_poll_start", -error);
}

/* (handle, on): whether the watch keeps the process running. */
static napi_value poll_keep_running(napi_env env, napi_callback_info info)
{
    napi_value argv[2];
    struct watch *watch;
    bool on;

    if (!seikan_arguments(env, info, argv, 2) || !seikan_flag(env, argv[1], &on)
        || (watch = open_watch(env, argv[0])) == NULL)
        return NULL;
    (on ? uv_ref : uv_unref)((uv_handle_t *)watch->poll);
    return NULL;
}

/* (handle): no callback comes after this. Idempotent. The descriptor may be closed from now on. */
static napi_value poll_close(napi_env env, napi_callback_info info)
{
    napi_value argv[1];
    struct watch *watch;

    if (!seikan_arguments(env, info, argv, 1) || (watch = seikan_handle(env, argv[0], poll_kind)) == NULL) return NULL;
    close_watch(watch);
    return NULL;
}

bool seikan_register_poll(napi_env env, napi_value exports)
{
    static const struct seikan_function functions[] = {
        { "pollOpen", poll_open },
        { "pollSetEvents", poll_set_events },
        { "pollKeepRunning", poll_keep_running },
        { "pollClose", poll_close },
        { NULL, NULL },
    };
    return seikan_export_all(env, exports, functions);
}
