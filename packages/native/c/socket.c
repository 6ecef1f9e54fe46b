/*
 * Internet sockets: making them step by step (create, set options, bind, connect or listen) and moving a stream's
 * bytes. TypeScript puts the steps together (src/socket.ts), so that an error names the step that failed.
 */
#include "address.h"
#include "batch.h"

#include <errno.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/uio.h>

static const struct option {
    const char *name;
    int level;
    int number;
} options[] = {
    { "SO_REUSEADDR", SOL_SOCKET, SO_REUSEADDR },
    { "SO_REUSEPORT", SOL_SOCKET, SO_REUSEPORT },
    { "SO_MARK", SOL_SOCKET, SO_MARK },
    { "SO_SNDBUF", SOL_SOCKET, SO_SNDBUF },
    { "SO_RCVBUF", SOL_SOCKET, SO_RCVBUF },
    { "SO_SNDBUFFORCE", SOL_SOCKET, SO_SNDBUFFORCE },
    { "SO_RCVBUFFORCE", SOL_SOCKET, SO_RCVBUFFORCE },
    { "SO_ERROR", SOL_SOCKET, SO_ERROR },
    { "SO_PROTOCOL", SOL_SOCKET, SO_PROTOCOL },
    { "IP_TOS", IPPROTO_IP, IP_TOS },
    { "IP_MTU_DISCOVER", IPPROTO_IP, IP_MTU_DISCOVER },
    { "IP_RECVERR", IPPROTO_IP, IP_RECVERR },
    { "IP_PKTINFO", IPPROTO_IP, IP_PKTINFO },
    { "IPV6_V6ONLY", IPPROTO_IPV6, IPV6_V6ONLY },
    { "IPV6_TCLASS", IPPROTO_IPV6, IPV6_TCLASS },
    { "IPV6_MTU_DISCOVER", IPPROTO_IPV6, IPV6_MTU_DISCOVER },
    { "IPV6_RECVERR", IPPROTO_IPV6, IPV6_RECVERR },
    { "IPV6_RECVPKTINFO", IPPROTO_IPV6, IPV6_RECVPKTINFO },
    { "UDP_SEGMENT", IPPROTO_UDP, UDP_SEGMENT },
    { "UDP_GRO", IPPROTO_UDP, UDP_GRO },
    { "TCP_NODELAY", IPPROTO_TCP, TCP_NODELAY },
};

static const struct option *option_argument(napi_env env, napi_value value)
{
    char name[32];
    if (!seikan_string(env, value, name, sizeof name, "socket option")) return NULL;
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        if (strcmp(options[i].name, name) == 0) return &options[i];
    seikan_throw_range(env, "not a socket option that this addon knows");
    return NULL;
}

/* (family: 4 | 6, stream) → fd, non-blocking and close-on-exec. */
static napi_value socket_create(napi_env env, napi_callback_info info)
{
    napi_value argv[2];
    int64_t family;
    bool stream;

    if (!seikan_arguments(env, info, argv, 2) || !seikan_integer(env, argv[0], 4, 6, "address family", &family)
        || !seikan_flag(env, argv[1], &stream))
        return NULL;
    int type = (stream ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK | SOCK_CLOEXEC;
    int fd = socket(family == 4 ? AF_INET : AF_INET6, type, 0);
    return fd == -1 ? seikan_throw_errno(env, "socket", errno) : seikan_make_number(env, fd);
}

/* (fd, option, value) */
static napi_value socket_set_option(napi_env env, napi_callback_info info)
{
    napi_value argv[3];
    int fd;
    int64_t number;
    const struct option *option;

    if (!seikan_arguments(env, info, argv, 3) || !seikan_fd(env, argv[0], &fd)
        || (option = option_argument(env, argv[1])) == NULL
        || !seikan_integer(env, argv[2], INT_MIN, UINT32_MAX, option->name, &number))
        return NULL;
    int value = (int)(uint32_t)number;
    if (setsockopt(fd, option->level, option->number, &value, sizeof value) == -1)
        return seikan_throw_errno(env, option->name, errno);
    return NULL;
}

/* (fd, option) → value */
static napi_value socket_get_option(napi_env env, napi_callback_info info)
{
    napi_value argv[2];
    int fd, value = 0;
    socklen_t length = sizeof value;
    const struct option *option;

    if (!seikan_arguments(env, info, argv, 2) || !seikan_fd(env, argv[0], &fd)
        || (option = option_argument(env, argv[1])) == NULL)
        return NULL;
    if (getsockopt(fd, option->level, option->number, &value, &length) == -1)
        return seikan_throw_errno(env, option->name, errno);
    return seikan_make_number(env, value);
}

/* (fd, device): the interface that the socket is tied to (a VRF, too). */
static napi_value socket_bind_device(napi_env env, napi_callback_info info)
{
    napi_value argv[2];
    int fd;
    char device[16];

    if (!seikan_arguments(env, info, argv, 2) || !seikan_fd(env, argv[0], &fd)
        || !seikan_string(env, argv[1], device, sizeof device, "device name"))
        return NULL;
    if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, (socklen_t)strlen(device)) == -1)
        return seikan_throw_errno(env, "SO_BINDTODEVICE", errno);
    return NULL;
}

/* Reads (fd, family, record); returns the address's length or 0 with an exception pending. */
static socklen_t address_arguments(napi_env env, napi_callback_info info, int *fd, struct sockaddr_storage *address)
{
    napi_value argv[3];
    int64_t family;
    uint8_t *record;
    size_t length;

    if (!seikan_arguments(env, info, argv, 3) || !seikan_fd(env, argv[0], fd)
        || !seikan_integer(env, argv[1], 4, 6, "address family", &family)
        || !seikan_bytes(env, argv[2], &record, &length))
        return 0;
    socklen_t size = length < SEIKAN_ADDRESS_SIZE
        ? 0
        : seikan_address_to(record, family == 4 ? AF_INET : AF_INET6, address);
    if (size == 0) seikan_throw_range(env, "the address record is empty or of the wrong family");
    return size;
}

static napi_value socket_bind(napi_env env, napi_callback_info info)
{
    int fd;
    struct sockaddr_storage address;
    socklen_t length = address_arguments(env, info, &fd, &address);

    if (length == 0) return NULL;
    return bind(fd, (void *)&address, length) == -1 ? seikan_throw_errno(env, "bind", errno) : NULL;
}

/* → true: connected; false: in progress, writable when it is decided (then SO_ERROR tells). */
static napi_value socket_connect(napi_env env, napi_callback_info info)
{
    int fd;
    struct sockaddr_storage address;
    socklen_t length = address_arguments(env, info, &fd, &address);
    napi_value value;

    if (length == 0) return NULL;
    bool done = connect(fd, (void *)&address, length) == 0;
    if (!done && errno != EINPROGRESS && errno != EINTR) return seikan_throw_errno(env, "connect", errno);
    return napi_get_boolean(env, done, &value) == napi_ok ? value : NULL;
}

static napi_value socket_listen(napi_env env, napi_callback_info info)
{
    napi_value argv[2];
    int fd;
    int64_t backlog;

    if (!seikan_arguments(env, info, argv, 2) || !seikan_fd(env, argv[0], &fd)
        || !seikan_integer(env, argv[1], 1, 65535, "backlog", &backlog))
        return NULL;
    return listen(fd, (int)backlog) == -1 ? seikan_throw_errno(env, "listen", errno) : NULL;
}

/* Writes an address into the record argument; false with an exception pending when that is too short. */
static bool put_address(napi_env env, napi_value value, const struct sockaddr_storage *address)
{
    uint8_t *record;
    size_t length;

    if (!seikan_bytes(env, value, &record, &length)) return false;
    if (length < SEIKAN_ADDRESS_SIZE) {
        seikan_throw_range(env, "an address record has 44 bytes");
        return false;
    }
    seikan_address_from(record, address);
    return true;
}

/* (fd, peer, record): the socket's own address, or its peer's. */
static napi_value socket_name(napi_env env, napi_callback_info info)
{
    napi_value argv[3];
    int fd;
    bool peer;
    struct sockaddr_storage address = { 0 };
    socklen_t length = sizeof address;

    if (!seikan_arguments(env, info, argv, 3) || !seikan_fd(env, argv[0], &fd) || !seikan_flag(env, argv[1], &peer))
        return NULL;
    if ((peer ? getpeername : getsockname)(fd, (void *)&address, &length) == -1)
        return seikan_throw_errno(env, peer ? "getpeername" : "getsockname", errno);
    put_address(env, argv[2], &address);
    return NULL;
}

/* (fd, record) → fd of the next connection, whose peer is written to the record; or a negative errno (-EAGAIN: none). */
static napi_value stream_accept(napi_env env, napi_callback_info info)
{
    napi_value argv[2];
    int fd, accepted;
    uint8_t *record;
    size_t length;
    struct sockaddr_storage address = { 0 };
    socklen_t size = sizeof address;

    if (!seikan_arguments(env, info, argv, 2) || !seikan_fd(env, argv[0], &fd)
        || !seikan_bytes(env, argv[1], &record, &length))
        return NULL;
    if (length < SEIKAN_ADDRESS_SIZE) return seikan_throw_range(env, "an address record has 44 bytes");
    do
        accepted = accept4(fd, (void *)&address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    while (accepted == -1 && errno == EINTR);
    if (accepted != -1) seikan_address_from(record, &address);
    return seikan_result(env, accepted);
}

/* (fd, bytes, offset, length) → bytes read, 0 at the end of the stream, or a negative errno (-EAGAIN: nothing yet). */
static napi_value stream_read(napi_env env, napi_callback_info info)
{
    napi_value argv[4];
    int fd;
    uint8_t *bytes;
    size_t size;
    int64_t offset, length;
    ssize_t result;

    if (!seikan_arguments(env, info, argv, 4) || !seikan_fd(env, argv[0], &fd)
        || !seikan_bytes(env, argv[1], &bytes, &size)
        || !seikan_integer(env, argv[2], 0, (int64_t)size, "offset", &offset)
        || !seikan_integer(env, argv[3], 0, (int64_t)size - offset, "length", &length))
        return NULL;
    do
        result = recv(fd, bytes + offset, (size_t)length, MSG_DONTWAIT);
    while (result == -1 && errno == EINTR);
    return seikan_result(env, result);
}

/*
 * (fd, slab, offsets, lengths, first, count) → bytes written in all, which may end inside a packet,
 * or a negative errno (-EAGAIN: the socket takes nothing now).
 */
static napi_value stream_write(napi_env env, napi_callback_info info)
{
    napi_value argv[6];
    int fd;
    struct seikan_batch batch;
    struct iovec vectors[SEIKAN_BATCH];
    ssize_t result;

    if (!seikan_arguments(env, info, argv, 6) || !seikan_fd(env, argv[0], &fd) || !seikan_batch(env, argv + 1, &batch))
        return NULL;
    uint32_t wanted = batch.count < SEIKAN_BATCH ? batch.count : SEIKAN_BATCH;
    for (uint32_t i = 0; i < wanted; i++) {
        uint8_t *packet;
        uint32_t length;
        if (!seikan_batch_packet(&batch, batch.first + i, &packet, &length)) return seikan_batch_outside(env);
        vectors[i] = (struct iovec){ packet, length };
    }
    struct msghdr message = { .msg_iov = vectors, .msg_iovlen = wanted };
    do
        result = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (result == -1 && errno == EINTR);
    return seikan_result(env, result);
}

/* (fd): no more will be written; the peer reads the end of the stream. */
static napi_value stream_end(napi_env env, napi_callback_info info)
{
    napi_value argv[1];
    int fd;

    if (!seikan_arguments(env, info, argv, 1) || !seikan_fd(env, argv[0], &fd)) return NULL;
    return shutdown(fd, SHUT_WR) == -1 ? seikan_throw_errno(env, "shutdown", errno) : NULL;
}

bool seikan_register_socket(napi_env env, napi_value exports)
{
    static const struct seikan_function functions[] = {
        { "socketCreate", socket_create },
        { "socketSetOption", socket_set_option },
        { "socketGetOption", socket_get_option },
        { "socketBindDevice", socket_bind_device },
        { "socketBind", socket_bind },
        { "socketConnect", socket_connect },
        { "socketListen", socket_listen },
        { "socketName", socket_name },
        { "streamAccept", stream_accept },
        { "streamRead", stream_read },
        { "streamWrite", stream_write },
        { "streamEnd", stream_end },
        { NULL, NULL },
    };
    return seikan_export_all(env, exports, functions);
}
