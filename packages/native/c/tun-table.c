/*
 * A tun with offloads (IFF_VNET_HDR, TUNSETOFFLOAD): superpackets in and out, whole tables at a time. A tun without
 * moves plain packets through the same calls.
 */
#include "coalesce.h"
#include "superpacket.h"
#include "table-io.h"

#include <errno.h>
#include <linux/if_tun.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Of Linux 6.2; Debian 12's headers are older. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

/* The longest that a tun gives: a packet, or a superpacket behind an IPv6 header. */
#define LONGEST (0xffff + 40)
/* Bits of what a device has. */
#define HEADER 1
#define MERGE_TCP 2
#define MERGE_UDP 4
/* Where packets begin: on cache lines. */
#define ALIGN(number) (((number) + 63) & ~(size_t)63)

/* (fd) → bits of what the device may merge and leave uncut from now on, MERGE_TCP and MERGE_UDP. */
static napi_value tun_set_offloads(napi_env env, napi_callback_info info)
{
    napi_value argv[1];
    int fd;
    const unsigned long tcp = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN, udp = TUN_F_USO4 | TUN_F_USO6;

    if (!seikan_arguments(env, info, argv, 1) || !seikan_fd(env, argv[0], &fd)) return NULL;
    if (ioctl(fd, TUNSETOFFLOAD, tcp | udp) == 0) return seikan_make_number(env, MERGE_TCP | MERGE_UDP);
    if (ioctl(fd, TUNSETOFFLOAD, tcp) == 0) return seikan_make_number(env, MERGE_TCP);
    if (errno == EINVAL) return seikan_make_number(env, 0);
    return seikan_throw_errno(env, "TUNSETOFFLOAD", errno);
}

int64_t seikan_tun_read(int fd, bool header, const struct seikan_table *table, const struct seikan_intake *intake)
{
    uint32_t done = 0;
    size_t read_bytes = 0, from = 0, before = header ? SEIKAN_VIRTIO_HEADER : 0;
    uint32_t most = intake->most < table->packets ? intake->most : table->packets;

    if (intake->headroom < before || table->slab_length < intake->headroom + LONGEST + intake->tailroom)
        return SEIKAN_NO_ROOM;
    while (done < most && read_bytes < intake->bytes) {
        size_t offset = from + intake->headroom;
        if (offset + LONGEST + intake->tailroom > table->slab_length) break;
        ssize_t length = read(fd, table->slab + offset - before, LONGEST + before);
        if (length == -1) {
            if (errno == EINTR) continue;
            if (done == 0 && errno != EAGAIN) return -errno;
            break;
        }
        size_t packet = (size_t)length < before ? 0 : (size_t)length - before;
        if (header) seikan_superpacket_arrive(table, done, (uint32_t)offset, (uint32_t)packet);
        else seikan_table_set_plain(table, done, (uint32_t)offset, (uint32_t)packet, 0);
        from = ALIGN(offset + packet + intake->tailroom);
        read_bytes += packet;
        done++;
    }
    return done;
}

/*
 * (fd, virtioHeader, slab, columns, count, bytes, headroom, tailroom) → packets read into the table from its beginning
 * on, until `count` are there, or `bytes` or more, or none waits; or a negative errno.
 */
static napi_value tun_read_table(napi_env env, napi_callback_info info)
{
    napi_value argv[8];
    int fd;
    bool header;
    struct seikan_table table;
    int64_t count, bytes, headroom, tailroom;

    if (!seikan_arguments(env, info, argv, 8) || !seikan_fd(env, argv[0], &fd) || !seikan_flag(env, argv[1], &header)
        || !seikan_table(env, argv + 2, &table) || !seikan_integer(env, argv[4], 0, table.packets, "packet count", &count)
        || !seikan_integer(env, argv[5], 0, UINT32_MAX, "bytes", &bytes)
        || !seikan_integer(env, argv[6], SEIKAN_VIRTIO_HEADER, 4096, "headroom", &headroom)
        || !seikan_integer(env, argv[7], 0, 4096, "tailroom", &tailroom))
        return NULL;
    struct seikan_intake intake = { (uint32_t)count, (size_t)bytes, (size_t)headroom, (size_t)tailroom };
    int64_t read = seikan_tun_read(fd, header, &table, &intake);
    if (read == SEIKAN_NO_ROOM) return seikan_throw_range(env, "the table has no room for one packet of 64 KiB");
    return seikan_make_number(env, read);
}

/*
 * (fd, merge, slab, columns, order, first, count, counters) → packets that the kernel took, or a negative errno when
 * the device is gone. counters: write calls, packets merged, packets refused, the last refusal's errno.
 */
static napi_value tun_write_table(napi_env env, napi_callback_info info)
{
    napi_value argv[8];
    int fd;
    int64_t merge;
    struct seikan_table table;
    struct seikan_order order;
    uint32_t *counters;
    size_t counter_count;
    struct seikan_coalescer to;
    bool thrown = false;

    if (!seikan_arguments(env, info, argv, 8) || !seikan_fd(env, argv[0], &fd)
        || !seikan_integer(env, argv[1], 0, HEADER | MERGE_TCP | MERGE_UDP, "offloads", &merge)
        || !seikan_table(env, argv + 2, &table) || !seikan_order(env, argv + 4, &order)
        || !seikan_words(env, argv[7], &counters, &counter_count))
        return NULL;
    if (counter_count < 4) return seikan_throw_range(env, "counters are four words");
    seikan_coalesce_begin(&to, fd, &table);
    to.header = (merge & HEADER) != 0;
    to.tcp = to.header && (merge & MERGE_TCP) != 0;
    to.udp = to.tcp && (merge & MERGE_UDP) != 0;
    for (uint32_t k = 0; k < order.count && !thrown; k++) {
        uint32_t at, length;
        uint8_t *packet;
        if (seikan_order_packet(env, &order, k, &table, &at, &packet, &length)) seikan_coalesce(&to, at, packet, length);
        else thrown = true;
    }
    seikan_coalesce_finish(&to);
    counters[0] += to.writes;
    counters[1] += to.merged;
    counters[2] += to.refused;
    if (to.error != 0) counters[3] = (uint32_t)to.error;
    if (thrown) return NULL;
    return seikan_make_number(env, to.broken && to.accepted == 0 ? -to.error : (int64_t)to.accepted);
}

bool seikan_register_tun_table(napi_env env, napi_value exports)
{
    static const struct seikan_function functions[] = {
        { "tunSetOffloads", tun_set_offloads },
        { "tunReadTable", tun_read_table },
        { "tunWriteTable", tun_write_table },
        { NULL, NULL },
    };
    return seikan_export_all(env, exports, functions);
}
