/*
 * What a thread blocks on: a set of descriptors (epoll) and a counter that other threads raise to wake it (eventfd).
 * Both are plain descriptors, so a number posted to another thread is enough to wake this one.
 */
#include "addon.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define MOST_EVENTS 64

static napi_value poll_set_create(napi_env env, napi_callback_info info)
{
    (void)info;
    int fd = epoll_create1(EPOLL_CLOEXEC);
    return fd == -1 ? seikan_throw_errno(env, "epoll_create1", errno) : seikan_make_number(env, fd);
}

static napi_value wake_create(napi_env env, napi_callback_info info)
{
    (void)info;
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return fd == -1 ? seikan_throw_errno(env, "eventfd", errno) : seikan_make_number(env, fd);
}

/* (set, fd, readable, writable): adds the descriptor or changes what it waits for. Errors and hang-ups always count. */
static napi_value poll_set_watch(napi_env env, napi_callback_info info)
{
    napi_value argv[4];
    int set, fd;
    bool readable, writable;

    if (!seikan_arguments(env, info, argv, 4) || !seikan_fd(env, argv[0], &set) || !seikan_fd(env, argv[1], &fd)
        || !seikan_flag(env, argv[2], &readable) || !seikan_flag(env, argv[3], &writable))
        return NULL;
    struct epoll_event event = { .events = (readable ? EPOLLIN : 0) | (writable ? EPOLLOUT : 0), .data.fd = fd };
    if (epoll_ctl(set, EPOLL_CTL_MOD, fd, &event) == -1
        && (errno != ENOENT || epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) == -1))
        return seikan_throw_errno(env, "epoll_ctl", errno);
    return NULL;
}

static napi_value poll_set_forget(napi_env env, napi_callback_info info)
{
    napi_value argv[2];
    int set, fd;

    if (!seikan_arguments(env, info, argv, 2) || !seikan_fd(env, argv[0], &set) || !seikan_fd(env, argv[1], &fd))
        return NULL;
    if (epoll_ctl(set, EPOLL_CTL_DEL, fd, NULL) == -1 && errno != ENOENT)
        return seikan_throw_errno(env, "epoll_ctl", errno);
    return NULL;
}

/*
 * (set, ready: Int32Array, milliseconds) → when the wait was over, in milliseconds of the monotonic clock. Blocks the
 * thread; -1 waits for ever. ready: how many are ready, then of each its descriptor and its state, 1 readable,
 * 2 writable, 3 both; an error or hang-up counts as both.
 */
static napi_value poll_set_wait(napi_env env, napi_callback_info info)
{
    napi_value argv[3], now;
    int set;
    int32_t *out;
    size_t words;
    int64_t timeout;
    struct epoll_event events[MOST_EVENTS];
    struct timespec time;

    if (!seikan_arguments(env, info, argv, 3) || !seikan_fd(env, argv[0], &set)
        || !seikan_signed_words(env, argv[1], &out, &words)
        || !seikan_integer(env, argv[2], -1, INT32_MAX, "milliseconds", &timeout))
        return NULL;
    if (words < 3) return seikan_throw_range(env, "no room for a ready descriptor");
    size_t room = (words - 1) / 2;
    int ready = epoll_wait(set, events, room < MOST_EVENTS ? (int)room : MOST_EVENTS, (int)timeout);
    if (ready == -1) {
        if (errno != EINTR) return seikan_throw_errno(env, "epoll_wait", errno);
        ready = 0;
    }
    out[0] = ready;
    for (int i = 0; i < ready; i++) {
        bool failed = (events[i].events & (EPOLLERR | EPOLLHUP)) != 0;
        out[1 + 2 * i] = events[i].data.fd;
        out[2 + 2 * i] = (events[i].events & EPOLLIN || failed ? 1 : 0) | (events[i].events & EPOLLOUT || failed ? 2 : 0);
    }
    clock_gettime(CLOCK_MONOTONIC, &time);
    return napi_create_double(env, (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6, &now) == napi_ok ? now : NULL;
}

/* (wake): makes the descriptor readable until wakeClear. From any thread. */
static napi_value wake_raise(napi_env env, napi_callback_info info)
{
    napi_value argv[1];
    int fd;
    const uint64_t one = 1;

    if (!seikan_arguments(env, info, argv, 1) || !seikan_fd(env, argv[0], &fd)) return NULL;
    /* EAGAIN: the counter is at its limit, so it is raised already. */
    if (write(fd, &one, sizeof one) == -1 && errno != EAGAIN) return seikan_throw_errno(env, "write", errno);
    return NULL;
}

static napi_value wake_clear(napi_env env, napi_callback_info info)
{
    napi_value argv[1];
    int fd;
    uint64_t count;

    if (!seikan_arguments(env, info, argv, 1) || !seikan_fd(env, argv[0], &fd)) return NULL;
    if (read(fd, &count, sizeof count) == -1 && errno != EAGAIN) return seikan_throw_errno(env, "read", errno);
    return NULL;
}

bool seikan_register_poll_set(napi_env env, napi_value exports)
{
    static const struct seikan_function functions[] = {
        { "pollSetCreate", poll_set_create },
        { "pollSetWatch", poll_set_watch },
        { "pollSetForget", poll_set_forget },
        { "pollSetWait", poll_set_wait },
        { "wakeCreate", wake_create },
        { "wakeRaise", wake_raise },
        { "wakeClear", wake_clear },
        { NULL, NULL },
    };
    return seikan_export_all(env, exports, functions);
}
