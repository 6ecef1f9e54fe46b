/* Netlink sockets (rtnetlink, generic netlink): whole datagrams to and from the kernel. The messages in them are TypeScript's. */
#include "addon.h"

#include <errno.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* (protocol: NETLINK_ROUTE 0 | NETLINK_GENERIC 16, strict) → fd, bound to a port of the kernel's choice, non-blocking. */
static napi_value netlink_open(napi_env env, napi_callback_info info)
{
    napi_value argv[2];
    int64_t protocol;
    bool strict;
    const int one = 1;
    const struct sockaddr_nl local = { .nl_family = AF_NETLINK };

    if (!seikan_arguments(env, info, argv, 2) || !seikan_integer(env, argv[0], 0, 31, "netlink protocol", &protocol)
        || !seikan_flag(env, argv[1], &strict))
        return NULL;
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, (int)protocol);
    if (fd == -1) return seikan_throw_errno(env, "socket", errno);

    const char *failed = NULL;
    /* Errors with words, and without the whole request copied back into them. */
    if (setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof one) == -1)
        failed = "NETLINK_EXT_ACK";
    else if (setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof one) == -1)
        failed = "NETLINK_CAP_ACK";
    else if (strict && setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &one, sizeof one) == -1)
        failed = "NETLINK_GET_STRICT_CHK";
    else if (bind(fd, (const void *)&local, sizeof local) == -1)
        failed = "bind";
    if (failed == NULL) return seikan_make_number(env, fd);
    int error = errno;
    close(fd);
    return seikan_throw_errno(env, failed, error);
}

/* (fd, group, member): joins or leaves a multicast group, by its number (not its bit). */
static napi_value netlink_membership(napi_env env, napi_callback_info info)
{
    napi_value argv[3];
    int fd;
    int64_t group;
    bool member;

    if (!seikan_arguments(env, info, argv, 3) || !seikan_fd(env, argv[0], &fd)
        || !seikan_integer(env, argv[1], 1, INT32_MAX, "multicast group", &group)
        || !seikan_flag(env, argv[2], &member))
        return NULL;
    int number = (int)group;
    if (setsockopt(fd, SOL_NETLINK, member ? NETLINK_ADD_MEMBERSHIP : NETLINK_DROP_MEMBERSHIP, &number, sizeof number)
        == -1)
        return seikan_throw_errno(env, member ? "NETLINK_ADD_MEMBERSHIP" : "NETLINK_DROP_MEMBERSHIP", errno);
    return NULL;
}

/* (fd) → the port id that the kernel answers to. */
static napi_value netlink_port(napi_env env, napi_callback_info info)
{
    napi_value argv[1];
    int fd;
    struct sockaddr_nl local = { 0 };
    socklen_t length = sizeof local;

    if (!seikan_arguments(env, info, argv, 1) || !seikan_fd(env, argv[0], &fd)) return NULL;
    if (getsockname(fd, (void *)&local, &length) == -1) return seikan_throw_errno(env, "getsockname", errno);
    return seikan_make_number(env, local.nl_pid);
}

/* (fd, datagram): to the kernel. */
static napi_value netlink_send(napi_env env, napi_callback_info info)
{
    napi_value argv[2];
    int fd;
    uint8_t *bytes;
    size_t length;
    ssize_t sent;
    const struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };

    if (!seikan_arguments(env, info, argv, 2) || !seikan_fd(env, argv[0], &fd)
        || !seikan_bytes(env, argv[1], &bytes, &length))
        return NULL;
    do
        sent = sendto(fd, bytes, length, MSG_DONTWAIT, (const void *)&kernel, sizeof kernel);
    while (sent == -1 && errno == EINTR);
    return sent == -1 ? seikan_throw_errno(env, "sendto", errno) : NULL;
}

/*
 * (fd, into) → the length of the next datagram, 0 when none waits, or a negative errno: ENOBUFS when the kernel had to
 * drop some, EMSGSIZE for one longer than `into` (it is lost), EPROTO for no netlink socket. What another process sent
 * is dropped and counts as none.
 */
static napi_value netlink_receive(napi_env env, napi_callback_info info)
{
    napi_value argv[2];
    int fd;
    uint8_t *bytes;
    size_t size;

    if (!seikan_arguments(env, info, argv, 2) || !seikan_fd(env, argv[0], &fd)
        || !seikan_bytes(env, argv[1], &bytes, &size))
        return NULL;
    struct sockaddr_nl sender = { 0 };
    struct iovec vector = { bytes, size };
    struct msghdr message = { .msg_name = &sender, .msg_namelen = sizeof sender, .msg_iov = &vector, .msg_iovlen = 1 };
    ssize_t length;
    do
        length = recvmsg(fd, &message, MSG_DONTWAIT);
    while (length == -1 && errno == EINTR);
    if (length == -1) return seikan_make_number(env, errno == EAGAIN ? 0 : -errno);
    if (message.msg_namelen != sizeof sender || sender.nl_family != AF_NETLINK) return seikan_make_number(env, -EPROTO);
    /* One datagram a call: somebody who keeps sending must not keep this thread. */
    if (sender.nl_pid != 0) return seikan_make_number(env, 0);
    return seikan_make_number(env, message.msg_flags & MSG_TRUNC ? -EMSGSIZE : length);
}

bool seikan_register_netlink(napi_env env, napi_value exports)
{
    static const struct seikan_function functions[] = {
        { "netlinkOpen", netlink_open },
        { "netlinkMembership", netlink_membership },
        { "netlinkPort", netlink_port },
        { "netlinkSend", netlink_send },
        { "netlinkReceive", netlink_receive },
        { NULL, NULL },
    };
    return seikan_export_all(env, exports, functions);
}
