/*
 * What a thread blocks on: a set of descriptors (epoll) and a counter that other threads raise to wake it (eventfd).
 * Both are plain descriptors, so a number posted to another thread is enough to wake this one.
 */
#include "table-io.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define MOST_EVENTS 64

/* Words of a source (src/poll-set.ts). SOURCE_LAST is what it gave last. */
enum {
    SOURCE_FD,
    SOURCE_KIND,
    SOURCE_MOST,
    SOURCE_BYTES,
    SOURCE_HEADROOM,
    SOURCE_TAILROOM,
    SOURCE_LAST,
    SOURCE_WORDS = 8,
};
enum { UDP_SOCKET = 1, TUN, TUN_WITH_HEADER };
#define SOURCES 2
/* Slab, columns, and addresses of a socket. */
#define SOURCE_ARRAYS 3
/* Nothing was received: there is no source for what is ready first. */
#define NOT_RECEIVED INT32_MIN
/*
 * After a rest as long as this, in milliseconds, a packet is taken for alone when the last one was: the read that finds none
 * behind it is spared. While there is much to do the thread does not rest, and all that waits is read.
 */
#define REST 0.1

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

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

/* Receives from the source of `fd`: what it gave, NOT_RECEIVED, or SEIKAN_NO_ROOM with an exception pending. */
static int64_t receive(napi_env env, int fd, bool rested, int32_t *words, const napi_value *arrays)
{
    struct seikan_table table;
    uint8_t *records = NULL;
    size_t record_bytes = 0, at = 0;

    while (at < SOURCES && (words[at * SOURCE_WORDS + SOURCE_KIND] == 0 || words[at * SOURCE_WORDS + SOURCE_FD] != fd)) at++;
    if (at == SOURCES) return NOT_RECEIVED;
    int32_t *source = words + at * SOURCE_WORDS, kind = source[SOURCE_KIND];
    arrays += at * SOURCE_ARRAYS;
    struct seikan_intake intake = { (uint32_t)source[SOURCE_MOST], (uint32_t)source[SOURCE_BYTES],
        (uint32_t)source[SOURCE_HEADROOM], (uint32_t)source[SOURCE_TAILROOM] };
    if (!seikan_table(env, arrays, &table) || (kind == UDP_SOCKET && !seikan_bytes(env, arrays[2], &records, &record_bytes)))
        return SEIKAN_NO_ROOM;
    int64_t received;
    if (intake.headroom > 4096 || intake.tailroom > 4096) received = SEIKAN_NO_ROOM;
    else if (kind == UDP_SOCKET) received = seikan_udp_receive(fd, &table, &intake, records, record_bytes);
    else {
        if (rested && source[SOURCE_LAST] == 1) intake.most = 1;
        received = seikan_tun_read(fd, kind == TUN_WITH_HEADER, &table, &intake);
    }
    if (received == SEIKAN_NO_ROOM) seikan_throw_range(env, "a source has no room for a packet of 64 KiB");
    source[SOURCE_LAST] = (int32_t)received;
    return received;
}

/*
 * (set, ready: Int32Array, milliseconds, sources: Int32Array, slab, columns, addresses, slab, columns, addresses) → when
 * the wait was over, in milliseconds of the monotonic clock. Blocks the thread; -1 waits for ever. ready: how many are
 * ready; what the source of the first of them gave, or NOT_RECEIVED; then of each its descriptor and its state, 1 readable,
 * 2 writable, 3 both; an error or hang-up counts as both.
 */
static napi_value poll_set_wait(napi_env env, napi_callback_info info)
{
    napi_value argv[4 + SOURCES * SOURCE_ARRAYS], over;
    int set;
    int32_t *out, *sources;
    size_t words, source_words;
    int64_t timeout, received = NOT_RECEIVED;
    struct epoll_event events[MOST_EVENTS];

    if (!seikan_arguments(env, info, argv, 4 + SOURCES * SOURCE_ARRAYS) || !seikan_fd(env, argv[0], &set)
        || !seikan_signed_words(env, argv[1], &out, &words)
        || !seikan_integer(env, argv[2], -1, INT32_MAX, "milliseconds", &timeout)
        || !seikan_signed_words(env, argv[3], &sources, &source_words))
        return NULL;
    if (words < 4) return seikan_throw_range(env, "no room for a ready descriptor");
    if (source_words < SOURCES * SOURCE_WORDS) return seikan_throw_range(env, "a poll set has two sources");
    size_t room = (words - 2) / 2;
    double began = now();
    int ready = epoll_wait(set, events, room < MOST_EVENTS ? (int)room : MOST_EVENTS, (int)timeout);
    if (ready == -1) {
        if (errno != EINTR) return seikan_throw_errno(env, "epoll_wait", errno);
        ready = 0;
    }
    double ended = now();
    if (ready > 0 && (events[0].events & EPOLLIN) != 0) {
        received = receive(env, events[0].data.fd, ended - began >= REST, sources, argv + 4);
        if (received == SEIKAN_NO_ROOM) return NULL;
    }
    out[0] = ready;
    out[1] = (int32_t)received;
    for (int i = 0; i < ready; i++) {
        bool failed = (events[i].events & (EPOLLERR | EPOLLHUP)) != 0;
        out[2 + 2 * i] = events[i].data.fd;
        out[3 + 2 * i] = (events[i].events & EPOLLIN || failed ? 1 : 0) | (events[i].events & EPOLLOUT || failed ? 2 : 0);
    }
    return napi_create_double(env, ended, &over) == napi_ok ? over : NULL;
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
