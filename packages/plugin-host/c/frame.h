/*
 * Frames between processes, little-endian as the machines we run on:
 *
 *     u32 length of the rest │ u8 operation │ u32 id │ fields: u32, text (bytes and a NUL), vector (u32 count, texts),
 *                                                    │         blob (u32 length, bytes)
 *
 * One writer and one reader per direction; a stream socket, so descriptors ride on the first byte of a frame.
 * Every function is usable after fork in a single-threaded program. A frame that could not grow is `failed`.
 */
#ifndef SEIKAN_FRAME_H
#define SEIKAN_FRAME_H

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { FRAME_HEAD = 9, FRAME_MAX = 16 << 20, FRAME_FDS = 3 };

struct frame {
    uint8_t *data;
    size_t length, room, at;
    bool failed;
};

static inline void frame_bytes(struct frame *f, const void *bytes, size_t length)
{
    if (f->failed) return;
    if (f->room - f->length < length) {
        size_t room = (f->length + length) * 2 + 256;
        uint8_t *data = realloc(f->data, room);
        if (data == NULL) {
            f->failed = true;
            return;
        }
        f->data = data;
        f->room = room;
    }
    if (length > 0) memcpy(f->data + f->length, bytes, length);
    f->length += length;
}

static inline void frame_u32(struct frame *f, uint32_t value)
{
    frame_bytes(f, &value, sizeof value);
}

static inline void frame_start(struct frame *f, char operation, uint32_t id)
{
    f->length = 0;
    f->failed = false;
    frame_u32(f, 0);
    frame_bytes(f, &operation, 1);
    frame_u32(f, id);
}

static inline void frame_text(struct frame *f, const char *text)
{
    frame_bytes(f, text == NULL ? "" : text, text == NULL ? 1 : strlen(text) + 1);
}

static inline void frame_blob(struct frame *f, const void *bytes, uint32_t length)
{
    frame_u32(f, length);
    frame_bytes(f, bytes, length);
}

static inline void frame_vector(struct frame *f, const char *const *vector)
{
    uint32_t count = 0;
    while (vector != NULL && vector[count] != NULL) count++;
    frame_u32(f, count);
    for (uint32_t i = 0; i < count; i++) frame_text(f, vector[i]);
}

static inline void frame_free(struct frame *f)
{
    if (f->data != NULL) explicit_bzero(f->data, f->room);
    free(f->data);
    memset(f, 0, sizeof *f);
}

/* Writes all of a frame, descriptors with its first byte. Waits where the socket is full. False: the peer is gone. */
static inline bool frame_send(int socket, struct frame *f, const int *fds, int fd_count)
{
    if (f->failed) return false;
    uint32_t length = (uint32_t)(f->length - sizeof length);
    memcpy(f->data, &length, sizeof length);
    size_t sent = 0;
    while (sent < f->length) {
        struct iovec part = { f->data + sent, f->length - sent };
        union {
            char bytes[CMSG_SPACE(FRAME_FDS * sizeof(int))];
            struct cmsghdr align;
        } control = { 0 };
        struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
        if (sent == 0 && fd_count > 0) {
            message.msg_control = control.bytes;
            message.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
            struct cmsghdr *head = CMSG_FIRSTHDR(&message);
            head->cmsg_level = SOL_SOCKET;
            head->cmsg_type = SCM_RIGHTS;
            head->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
            memcpy(CMSG_DATA(head), fds, fd_count * sizeof(int));
        }
        ssize_t n = sendmsg(socket, &message, MSG_NOSIGNAL);
        if (n > 0) sent += (size_t)n;
        else if (errno == EAGAIN) {
            struct pollfd ready = { socket, POLLOUT, 0 };
            poll(&ready, 1, 1000);
        } else if (errno != EINTR) return false;
    }
    return true;
}

/* Reads what is there and says whether a whole frame stands at the front. -1: the peer is gone or talks nonsense. */
static inline int frame_receive(int socket, struct frame *f, int *fds, int *fd_count)
{
    uint8_t chunk[65536];
    struct iovec part = { chunk, sizeof chunk };
    union {
        char bytes[CMSG_SPACE(FRAME_FDS * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control };
    ssize_t n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
    if (n <= 0) return -1;
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    if (head != NULL && head->cmsg_type == SCM_RIGHTS && fds != NULL) {
        int count = (int)((head->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        if (count > FRAME_FDS) count = FRAME_FDS;
        memcpy(fds, CMSG_DATA(head), (size_t)count * sizeof(int));
        *fd_count = count;
    }
    frame_bytes(f, chunk, (size_t)n);
    explicit_bzero(chunk, (size_t)n);
    return f->failed ? -1 : 1;
}

/* The length of the whole frame at the front, head included; 0: not all of it is here; negative: too long, too short. */
static inline long frame_front(const struct frame *f)
{
    uint32_t length;
    if (f->length < sizeof length) return 0;
    memcpy(&length, f->data, sizeof length);
    if (length > FRAME_MAX || length < FRAME_HEAD - sizeof length) return -1;
    return f->length < sizeof length + length ? 0 : (long)(sizeof length + length);
}

static inline void frame_drop(struct frame *f, size_t length)
{
    memmove(f->data, f->data + length, f->length - length);
    explicit_bzero(f->data + f->length - length, length);
    f->length -= length;
}

static inline char frame_operation(const struct frame *f)
{
    return (char)f->data[4];
}

static inline uint32_t frame_id(const struct frame *f)
{
    uint32_t id;
    memcpy(&id, f->data + 5, sizeof id);
    return id;
}

/* Reading fields of a frame that is known to be whole: `end` bounds it; what is not there reads as nothing. */
struct reader {
    const uint8_t *at, *end;
    bool failed;
};

static inline struct reader frame_read(const struct frame *f, long length)
{
    return (struct reader){ f->data + FRAME_HEAD, f->data + length, false };
}

static inline uint32_t read_u32(struct reader *r)
{
    uint32_t value = 0;
    if (r->end - r->at < (ptrdiff_t)sizeof value) r->failed = true;
    else {
        memcpy(&value, r->at, sizeof value);
        r->at += sizeof value;
    }
    return value;
}

static inline const char *read_text(struct reader *r)
{
    const uint8_t *nul = r->at == r->end ? NULL : memchr(r->at, 0, (size_t)(r->end - r->at));
    if (nul == NULL) {
        r->failed = true;
        return "";
    }
    const char *text = (const char *)r->at;
    r->at = nul + 1;
    return text;
}

static inline const uint8_t *read_blob(struct reader *r, uint32_t *length)
{
    *length = read_u32(r);
    if (r->failed || (size_t)(r->end - r->at) < *length) {
        r->failed = true;
        *length = 0;
        return NULL;
    }
    const uint8_t *bytes = r->at;
    r->at += *length;
    return bytes;
}

static inline int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static inline int64_t now_ms(void)
{
    return now_us() / 1000;
}

/*
 * poll(), which looks for a moment before it sleeps: waking a core that sleeps takes longer than a whole call of a plugin,
 * and a login's calls follow one another. Who else wants this core gets it. As in wakefulness.ts: each moment in which
 * nothing came is followed by 1, 3, 7 … 63 without a try, until something comes in time; and with one core there is none.
 */
enum { ANSWER_SOON_US = 200, CALL_SOON_US = 100, MOST_SKIPPED = 63 };

static inline int poll_awake(struct pollfd *fds, nfds_t count, int timeout_ms, int look_us)
{
    static int cores, skips, skipped;
    cpu_set_t ours;
    if (cores == 0) cores = sched_getaffinity(0, sizeof ours, &ours) == 0 ? CPU_COUNT(&ours) : 1;
    int n = poll(fds, count, 0);
    if (n != 0 || timeout_ms == 0) return n;
    if (cores > 1 && skips-- <= 0) {
        int64_t end = now_us() + look_us;
        while (n == 0 && now_us() < end) {
            sched_yield();
            n = poll(fds, count, 0);
        }
        skipped = n != 0 ? 0 : skipped * 2 + 1 > MOST_SKIPPED ? MOST_SKIPPED : skipped * 2 + 1;
        skips = skipped;
        if (n != 0) return n;
    }
    return poll(fds, count, timeout_ms);
}

#endif
