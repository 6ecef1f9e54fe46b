/*
 * tun and tap devices (Documentation/networking/tuntap.rst).
 *
 * Always IFF_NO_PI: a packet is the bare IP packet (tun) or Ethernet frame (tap). With IFF_VNET_HDR the kernel puts
 * a virtio_net_hdr of 10 bytes before each packet, both ways.
 */
#include "batch.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* (kind: 'tun' | 'tap', name, multiQueue, virtioHeader) → fd. An empty name takes the next free one. */
static napi_value tun_open(napi_env env, napi_callback_info info)
{
    napi_value argv[4];
    char kind[4];
    bool multi_queue, virtio_header;
    struct ifreq request = { 0 };

    if (!seikan_arguments(env, info, argv, 4) || !seikan_string(env, argv[0], kind, sizeof kind, "device kind")
        || !seikan_string(env, argv[1], request.ifr_name, IFNAMSIZ, "device name")
        || !seikan_flag(env, argv[2], &multi_queue) || !seikan_flag(env, argv[3], &virtio_header))
        return NULL;
    request.ifr_flags = (short)((strcmp(kind, "tap") == 0 ? IFF_TAP : IFF_TUN) | IFF_NO_PI
        | (multi_queue ? IFF_MULTI_QUEUE : 0) | (virtio_header ? IFF_VNET_HDR : 0));

    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd == -1) return seikan_throw_errno(env, "open /dev/net/tun", errno);
    if (ioctl(fd, TUNSETIFF, &request) == -1) {
        int error = errno;
        close(fd);
        return seikan_throw_errno(env, "TUNSETIFF", error);
    }
    return seikan_make_number(env, fd);
}

/* (fd) → { name, kind, multiQueue, virtioHeader, persistent }: what the kernel knows of an attached descriptor. */
static napi_value tun_info(napi_env env, napi_callback_info info)
{
    napi_value argv[1], object, value;
    int fd;
    struct ifreq request = { 0 };

    if (!seikan_arguments(env, info, argv, 1) || !seikan_fd(env, argv[0], &fd)) return NULL;
    if (ioctl(fd, TUNGETIFF, &request) == -1) return seikan_throw_errno(env, "TUNGETIFF", errno);

    const struct {
        const char *name;
        int bit;
    } flags[] = { { "multiQueue", IFF_MULTI_QUEUE }, { "virtioHeader", IFF_VNET_HDR }, { "persistent", IFF_PERSIST } };
    if (napi_create_object(env, &object) != napi_ok
        || napi_create_string_utf8(env, request.ifr_name, strnlen(request.ifr_name, IFNAMSIZ), &value) != napi_ok
        || napi_set_named_property(env, object, "name", value) != napi_ok
        || napi_create_string_utf8(env, request.ifr_flags & IFF_TAP ? "tap" : "tun", 3, &value) != napi_ok
        || napi_set_named_property(env, object, "kind", value) != napi_ok)
        return NULL;
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (napi_get_boolean(env, (request.ifr_flags & flags[i].bit) != 0, &value) != napi_ok
            || napi_set_named_property(env, object, flags[i].name, value) != napi_ok)
            return NULL;
    return object;
}

/* (fd, persistent, owner, group): -1 leaves owner or group open to all who may use /dev/net/tun. */
static napi_value tun_persist(napi_env env, napi_callback_info info)
{
    napi_value argv[4];
    int fd;
    bool persistent;
    int64_t owner, group;

    if (!seikan_arguments(env, info, argv, 4) || !seikan_fd(env, argv[0], &fd)
        || !seikan_flag(env, argv[1], &persistent)
        || !seikan_integer(env, argv[2], -1, UINT32_MAX - 1, "owner", &owner)
        || !seikan_integer(env, argv[3], -1, UINT32_MAX - 1, "group", &group))
        return NULL;
    if (owner != -1 && ioctl(fd, TUNSETOWNER, (unsigned long)owner) == -1)
        return seikan_throw_errno(env, "TUNSETOWNER", errno);
    if (group != -1 && ioctl(fd, TUNSETGROUP, (unsigned long)group) == -1)
        return seikan_throw_errno(env, "TUNSETGROUP", errno);
    if (ioctl(fd, TUNSETPERSIST, (unsigned long)persistent) == -1)
        return seikan_throw_errno(env, "TUNSETPERSIST", errno);
    return NULL;
}

/* (fd, slab, offsets, lengths, first, count, capacity) → packets read, 0 when none waits, or a negative errno. */
static napi_value tun_read_batch(napi_env env, napi_callback_info info)
{
    napi_value argv[7];
    int fd;
    struct seikan_batch batch;
    int64_t capacity;
    uint32_t done = 0;

    if (!seikan_arguments(env, info, argv, 7) || !seikan_fd(env, argv[0], &fd) || !seikan_batch(env, argv + 1, &batch)
        || !seikan_integer(env, argv[6], 1, UINT32_MAX, "capacity", &capacity))
        return NULL;
    while (done < batch.count) {
        uint8_t *slot;
        uint32_t at = batch.first + done;
        if (!seikan_batch_slot(&batch, at, (uint32_t)capacity, &slot)) return seikan_batch_outside(env);
        ssize_t length = read(fd, slot, (size_t)capacity);
        if (length == -1) {
            if (errno == EINTR) continue;
            if (done == 0 && errno != EAGAIN) return seikan_make_number(env, -errno);
            break;
        }
        batch.lengths[at] = (uint32_t)length;
        done++;
    }
    return seikan_make_number(env, done);
}

/* (fd, slab, offsets, lengths, first, count) → packets written (0: would block), or the negative errno of the first. */
static napi_value tun_write_batch(napi_env env, napi_callback_info info)
{
    napi_value argv[6];
    int fd;
    struct seikan_batch batch;
    uint32_t done = 0;

    if (!seikan_arguments(env, info, argv, 6) || !seikan_fd(env, argv[0], &fd) || !seikan_batch(env, argv + 1, &batch))
        return NULL;
    while (done < batch.count) {
        uint8_t *packet;
        uint32_t length;
        if (!seikan_batch_packet(&batch, batch.first + done, &packet, &length)) return seikan_batch_outside(env);
        if (write(fd, packet, length) == -1) {
            if (errno == EINTR) continue;
            if (done == 0 && errno != EAGAIN) return seikan_make_number(env, -errno);
            break;
        }
        done++;
    }
    return seikan_make_number(env, done);
}

bool seikan_register_tun(napi_env env, napi_value exports)
{
    static const struct seikan_function functions[] = {
        { "tunOpen", tun_open },
        { "tunInfo", tun_info },
        { "tunPersist", tun_persist },
        { "tunReadBatch", tun_read_batch },
        { "tunWriteBatch", tun_write_batch },
        { NULL, NULL },
    };
    return seikan_export_all(env, exports, functions);
}
