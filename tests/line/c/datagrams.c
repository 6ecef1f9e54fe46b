/*
 * UDP one way: groups of datagrams, one by one or cut by the kernel (UDP_SEGMENT), from 1 byte to what IP fragments,
 * each group with a TOS of its own (all ECN bits) and a TTL of its own. All of it follows from the seed, so the receiver
 * knows what comes next and compares it, in order.
 */
#include "line.h"

#include <errno.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LONGEST = 65000, LOOK_AHEAD = 4096, BUFFER = 4 << 20 };
/* A shorter one may look like another, so it does not say what was lost before it. */
enum { TELLING = 8 };

struct group {
    uint32_t count, size, last; /* datagrams; bytes of each, and of the last one */
    int tos, ttl;
};

static struct group group_at(const struct plan *plan, uint64_t n)
{
    uint64_t random = number(plan->seed, n), more = number(~plan->seed, n);
    uint32_t whole = plan->mtu - (plan->six ? 48 : 28) - (plan->options ? 8 : 0);
    struct group group = { .count = 1, .tos = (int)(random >> 56), .ttl = 2 + (int)((random >> 48) % 200) };

    if (random % 3 == 0) {
        /* A run that the kernel cuts, or that the tunnel does. */
        group.size = 1 + (uint32_t)(more % whole);
        if (random % 2 == 0 && whole > 16) group.size = whole - (uint32_t)(more % 16);
        group.count = 2 + (uint32_t)((more >> 32) % 38);
        while (group.count * group.size > LONGEST) group.count--;
        group.last = 1 + (uint32_t)((more >> 40) % group.size);
    } else {
        group.size = group.last = some_size(more, 1, random % 16 == 1 ? LONGEST : whole);
    }
    return group;
}

/* Where the receiver is: the next datagram that has not come. */
struct cursor {
    uint64_t n;
    uint32_t within;
    struct group group;
};

static uint32_t size_at(const struct cursor *cursor)
{
    return cursor->within + 1 == cursor->group.count ? cursor->group.last : cursor->group.size;
}

static void advance(const struct plan *plan, struct cursor *cursor)
{
    if (++cursor->within < cursor->group.count) return;
    cursor->within = 0;
    cursor->group = group_at(plan, ++cursor->n);
}

static uint64_t text_of(const struct plan *plan, uint64_t n) { return number(plan->seed + 7, n); }

static void add_control(struct msghdr *message, int level, int type, const void *value, size_t size)
{
    struct cmsghdr *control = (struct cmsghdr *)((uint8_t *)message->msg_control + message->msg_controllen);
    control->cmsg_level = level;
    control->cmsg_type = type;
    control->cmsg_len = CMSG_LEN(size);
    memcpy(CMSG_DATA(control), value, size);
    message->msg_controllen += CMSG_SPACE(size);
}

void *datagram_sender(void *given)
{
    const struct plan *plan = given;
    struct tally *tally = plan->tally;
    struct sockaddr_storage to;
    uint8_t *bytes = malloc(LONGEST);

    enter(plan->from);
    int socket = bound_socket(plan, plan->from, SOCK_DGRAM, plan->port, true);
    socklen_t length = address_of(plan, plan->to, plan->port, &to);
    for (uint64_t n = 0; goes_on(plan, n); n++) {
        struct group group = group_at(plan, n);
        uint32_t total = (group.count - 1) * group.size + group.last;
        uint16_t segment = (uint16_t)group.size;
        uint8_t controls[256] = { 0 };
        struct iovec part = { bytes, total };
        struct msghdr message = { .msg_name = &to, .msg_namelen = length, .msg_iov = &part, .msg_iovlen = 1, .msg_control = controls };

        wait_for_arrival(tally);
        fill(text_of(plan, n), 0, bytes, total);
        add_control(&message, plan->six ? IPPROTO_IPV6 : IPPROTO_IP, plan->six ? IPV6_TCLASS : IP_TOS, &group.tos, sizeof group.tos);
        add_control(&message, plan->six ? IPPROTO_IPV6 : IPPROTO_IP, plan->six ? IPV6_HOPLIMIT : IP_TTL, &group.ttl, sizeof group.ttl);
        bool cut = group.count > 1 && n % 2 == 0 && !plan->options;
        if (cut) add_control(&message, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof segment);
        for (uint32_t at = 0; at < total; at += (uint32_t)part.iov_len) {
            part.iov_base = bytes + at;
            part.iov_len = cut || total - at < group.size ? total - at : group.size;
            atomic_fetch_add(&tally->sent, part.iov_len);
            while (sendmsg(socket, &message, 0) == -1)
                if (errno != ENOBUFS && errno != EAGAIN && errno != EINTR) {
                    fail(tally, "sendmsg of %zu bytes: %s", part.iov_len, strerror(errno));
                    break;
                }
        }
    }
    close(socket);
    free(bytes);
    return NULL;
}

/* TOS and TTL as they came. */
static void read_control(struct msghdr *message, int *tos, int *ttl)
{
    for (struct cmsghdr *control = CMSG_FIRSTHDR(message); control != NULL; control = CMSG_NXTHDR(message, control)) {
        bool v4 = control->cmsg_level == IPPROTO_IP;
        if (v4 && control->cmsg_type == IP_TOS) *tos = *CMSG_DATA(control);
        else if (v4 ? control->cmsg_type == IP_TTL : control->cmsg_type == IPV6_HOPLIMIT) memcpy(ttl, CMSG_DATA(control), sizeof *ttl);
        else if (!v4 && control->cmsg_type == IPV6_TCLASS) memcpy(tos, CMSG_DATA(control), sizeof *tos);
    }
}

static bool is_at(const struct plan *plan, const struct cursor *cursor, const uint8_t *bytes, uint32_t size)
{
    return size == size_at(cursor)
        && differs(text_of(plan, cursor->n), (uint64_t)cursor->within * cursor->group.size, bytes, size) == size;
}

void *datagram_receiver(void *given)
{
    const struct plan *plan = given;
    struct tally *tally = plan->tally;
    struct cursor next = { .group = group_at(plan, 0) };
    struct timeval pause = { 1, 0 };
    const int yes = 1, buffer = BUFFER;
    uint8_t *bytes = malloc(LONGEST + 1);

    enter(plan->to);
    int socket = bound_socket(plan, plan->to, SOCK_DGRAM, plan->port, false);
    setsockopt(socket, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
    setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &pause, sizeof pause);
    if (plan->six) {
        setsockopt(socket, IPPROTO_IPV6, IPV6_RECVTCLASS, &yes, sizeof yes);
        setsockopt(socket, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, &yes, sizeof yes);
    } else {
        setsockopt(socket, IPPROTO_IP, IP_RECVTOS, &yes, sizeof yes);
        setsockopt(socket, IPPROTO_IP, IP_RECVTTL, &yes, sizeof yes);
    }
    atomic_fetch_add(&ready, 1);
    while (next.n < atomic_load(&tally->groups) && tally->failure[0] == '\0') {
        uint8_t controls[256];
        struct iovec part = { bytes, LONGEST + 1 };
        struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = controls, .msg_controllen = sizeof controls };
        int tos = -1, ttl = -1;
        bool last = atomic_load(&tally->done);
        ssize_t length = recvmsg(socket, &message, 0);

        if (length == -1) {
            if (last) break;
            continue;
        }
        struct cursor found = next;
        if (length < TELLING && !is_at(plan, &next, bytes, (uint32_t)length)) continue;
        uint32_t skipped = 0;
        uint64_t passed = 0;
        while (!is_at(plan, &found, bytes, (uint32_t)length) && skipped < LOOK_AHEAD) {
            passed += size_at(&found);
            advance(plan, &found);
            skipped++;
        }
        read_control(&message, &tos, &ttl);
        if (skipped == LOOK_AHEAD) fail(tally, "a datagram of %zd bytes that was not sent, or not now; group %lu", length, next.n);
        else if (tos != found.group.tos || ttl != found.group.ttl)
            fail(tally, "TOS %d and TTL %d instead of %d and %d", tos, ttl, found.group.tos, found.group.ttl);
        tally->lost += skipped;
        tally->packets += skipped + 1;
        tally->bytes += (uint64_t)length;
        atomic_fetch_add(&tally->seen, passed + (uint64_t)length);
        next = found;
        advance(plan, &next);
    }
    for (; next.n < atomic_load(&tally->groups); advance(plan, &next)) {
        tally->lost++;
        tally->packets++;
    }
    close(socket);
    free(bytes);
    return NULL;
}
