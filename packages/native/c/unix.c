/*
 * Unix sockets that carry file descriptors beside bytes (SCM_RIGHTS), and say who the peer is (SO_PEERCRED).
 *
 * Received descriptors are close-on-exec from the start. When the kernel could not deliver all of them (MSG_CTRUNC: no
 * room, or this process may open no more), those that came are closed and the message says so: half a set is no set.
 */
#include "addon.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* The kernel's SCM_MAX_FD: the most descriptors that one message carries. */
#define MOST_DESCRIPTORS 253

union control {
    struct cmsghdr alignment;
    uint8_t bytes[CMSG_SPACE(MOST_DESCRIPTORS * sizeof(int))];
};

static bool type_argument(napi_env env, napi_value value, int *type)
{
    char name[16];
    if (!seikan_string(env, value, name, sizeof name, "socket type")) return false;
    *type = strcmp(name, "stream") == 0 ? SOCK_STREAM
        : strcmp(name, "seqpacket") == 0 ? SOCK_SEQPACKET
        : strcmp(name, "datagram") == 0 ? SOCK_DGRAM
                                        : -1;
    if (*type == -1) seikan_throw_range(env, "a Unix socket is stream, seqpacket or datagram");
    *type |= SOCK_NONBLOCK | SOCK_CLOEXEC;
    return *type != -1;
}

static napi_value unix_create(napi_env env, napi_callback_info info)
{
    napi_value argv[1];
    int type;

    if (!seikan_arguments(env, info, argv, 1) || !type_argument(env, argv[0], &type)) return NULL;
    int fd = socket(AF_UNIX, type, 0);
    return fd == -1 ? seikan_throw_errno(env, "socket", errno) : seikan_make_number(env, fd);
}

/* (type, ends: Int32Array) writes two connected descriptors. */
static napi_value unix_pair(napi_env env, napi_callback_info info)
{
    napi_value argv[2];
    int type, ends[2];
    int32_t *out;
    size_t room;

    if (!seikan_arguments(env, info, argv, 2) || !type_argument(env, argv[0], &type)
        || !seikan_signed_words(env, argv[1], &out, &room))
        return NULL;
    if (room < 2) return seikan_throw_range(env, "a pair needs room for two descriptors");
    if (socketpair(AF_UNIX, type, 0, ends) == -1) return seikan_throw_errno(env, "socketpair", errno);
    memcpy(out, ends, sizeof ends);
    return NULL;
}

/* Reads (fd, name, abstract); returns the address's length or 0 with an exception pending. */
static socklen_t address_arguments(napi_env env, napi_callback_info info, int *fd, struct sockaddr_un *address)
{
    napi_value argv[3];
    bool abstract;

    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    if (!seikan_arguments(env, info, argv, 3) || !seikan_fd(env, argv[0], fd) || !seikan_flag(env, argv[2], &abstract)
        || !seikan_string(env, argv[1], address->sun_path + abstract, sizeof address->sun_path - abstract, "socket name"))
        return 0;
    size_t length = strlen(address->sun_path + abstract);
    if (length == 0) {
        seikan_throw_range(env, "a socket's name is not empty");
        return 0;
    }
    /* An abstract name ends with the address, a path with a NUL. */
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + 1);
}

static napi_value unix_connect(napi_env env, napi_callback_info info)
{
    int fd;
    struct sockaddr_un address;
    socklen_t length = address_arguments(env, info, &fd, &address);

    if (length == 0) return NULL;
    return connect(fd, (void *)&address, length) == -1 ? seikan_throw_errno(env, "connect", errno) : NULL;
}

static napi_value unix_bind(napi_env env, napi_callback_info info)
{
    int fd;
    struct sockaddr_un address;
    socklen_t length = address_arguments(env, info, &fd, &address);

    if (length == 0) return NULL;
    return bind(fd, (void *)&address, length) == -1 ? seikan_throw_errno(env, "bind", errno) : NULL;
}

/* (fd) → fd of the next connection, or a negative errno. */
static napi_value unix_accept(napi_env env, napi_callback_info info)
{
    napi_value argv[1];
    int fd, accepted;

    if (!seikan_arguments(env, info, argv, 1) || !seikan_fd(env, argv[0], &fd)) return NULL;
    do
        accepted = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    while (accepted == -1 && errno == EINTR);
    return seikan_result(env, accepted);
}

/* (fd, ids: Uint32Array) writes the peer's process, user and group ids as they were when it connected. */
static napi_value unix_peer(napi_env env, napi_callback_info info)
{
    napi_value argv[2];
    int fd;
    uint32_t *ids;
    size_t room;
    struct ucred peer;
    socklen_t length = sizeof peer;

    if (!seikan_arguments(env, info, argv, 2) || !seikan_fd(env, argv[0], &fd)
        || !seikan_words(env, argv[1], &ids, &room))
        return NULL;
    if (room < 3) return seikan_throw_range(env, "credentials are three ids");
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == -1)
        return seikan_throw_errno(env, "SO_PEERCRED", errno);
    ids[0] = (uint32_t)peer.pid;
    ids[1] = peer.uid;
    ids[2] = peer.gid;
    return NULL;
}

/* Reads (…, bytes, offset, length) from argv. */
static bool span_arguments(napi_env env, const napi_value *argv, struct iovec *vector)
{
    uint8_t *bytes;
    size_t size;
    int64_t offset, length;

    if (!seikan_bytes(env, argv[0], &bytes, &size) || !seikan_integer(env, argv[1], 0, (int64_t)size, "offset", &offset)
        || !seikan_integer(env, argv[2], 0, (int64_t)size - offset, "length", &length))
        return false;
    *vector = (struct iovec){ bytes + offset, (size_t)length };
    return true;
}

/* (fd, bytes, offset, length, descriptors: Int32Array) → bytes sent or a negative errno. The descriptors stay the caller's. */
static napi_value unix_send(napi_env env, napi_callback_info info)
{
    napi_value argv[5];
    int fd;
    struct iovec vector;
    int32_t *descriptors;
    size_t count;
    union control control;
    ssize_t result;

    if (!seikan_arguments(env, info, argv, 5) || !seikan_fd(env, argv[0], &fd) || !span_arguments(env, argv + 1, &vector)
        || !seikan_signed_words(env, argv[4], &descriptors, &count))
        return NULL;
    if (count > MOST_DESCRIPTORS) return seikan_throw_range(env, "a message carries at most 253 descriptors");

    struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1 };
    if (count > 0) {
        size_t size = count * sizeof(int);
        memset(&control, 0, sizeof control);
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(size);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(size);
        memcpy(CMSG_DATA(header), descriptors, size);
    }
    do
        result = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (result == -1 && errno == EINTR);
    return seikan_result(env, result);
}

/*
 * (fd, bytes, offset, length, descriptors: Int32Array, details: Uint32Array) → bytes received, 0 at the end of a stream,
 * or a negative errno. details[0]: how many descriptors came; details[1]: 1 when some were lost and all closed,
 * 2 when the message was longer than `length`, or both.
 */
static napi_value unix_receive(napi_env env, napi_callback_info info)
{
    napi_value argv[6];
    int fd;
    struct iovec vector;
    int32_t *descriptors;
    uint32_t *details;
    size_t room, detail_count;
    union control control;
    ssize_t result;

    if (!seikan_arguments(env, info, argv, 6) || !seikan_fd(env, argv[0], &fd) || !span_arguments(env, argv + 1, &vector)
        || !seikan_signed_words(env, argv[4], &descriptors, &room)
        || !seikan_words(env, argv[5], &details, &detail_count))
        return NULL;
    if (detail_count < 2) return seikan_throw_range(env, "details are two words");
    if (room > MOST_DESCRIPTORS) room = MOST_DESCRIPTORS;

    /* CMSG_LEN, not CMSG_SPACE: the padding of the latter would let one more in than there is room for. */
    struct msghdr message = {
        .msg_iov = &vector,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = room == 0 ? 0 : CMSG_LEN(room * sizeof(int)),
    };
    do
        result = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (result == -1 && errno == EINTR);
    if (result == -1) return seikan_make_number(env, -errno);

    bool lost = (message.msg_flags & MSG_CTRUNC) != 0;
    uint32_t came = 0;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header != NULL; header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
        size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int received;
            memcpy(&received, CMSG_DATA(header) + i * sizeof received, sizeof received);
            if (lost || came == room)
                close(received);
            else
                descriptors[came++] = received;
        }
    }
    details[0] = came;
    details[1] = (lost ? 1 : 0) | (message.msg_flags & MSG_TRUNC ? 2 : 0);
    return seikan_make_number(env, result);
}

bool seikan_register_unix(napi_env env, napi_value exports)
{
    static const struct seikan_function functions[] = {
        { "unixCreate", unix_create },
        { "unixPair", unix_pair },
        { "unixConnect", unix_connect },
        { "unixBind", unix_bind },
        { "unixAccept", unix_accept },
        { "unixPeer", unix_peer },
        { "unixSend", unix_send },
        { "unixReceive", unix_receive },
        { NULL, NULL },
    };
    return seikan_export_all(env, exports, functions);
}
