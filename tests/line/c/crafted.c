/*
 * Whole IP packets, put into one tun and taken from the other as they are: groups of consecutive packets of one flow
 * that could be merged, were it not that now and then one differs: TOS, TTL, DF, id, flags, a gap, acknowledgement,
 * window, options, a wrong checksum, its size. Also IPv4 options, IPv6 extension headers, fragments, another protocol.
 *
 * What arrives is either the next packet, byte for byte, or several in one, which must then be alike in all that the
 * kernel's own receive offload wants alike (packages/native/c/coalesce.h has the list; here it is stated again).
 */
#include "line.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { GROUP = 16, MOST = 2048, RECEIVED = 70000, LOOK_AHEAD = 8 * GROUP, BUFFER = 4 << 20, SHOWN = 64 };
enum { FROM_PORT = 10001, TO_PORT = 10002, OTHER = 253, FRAGMENTED = 254, DESTINATION = 60, FRAGMENT = 44 };
enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16, URG = 32, ECE = 64, CWR = 128 };
enum { TIMESTAMPS = 12 };

struct packet {
    uint8_t bytes[MOST];
    uint32_t length, ip, header; /* bytes in all, of IP with its options, and of IP and transport */
    bool sound;                  /* its checksum is right */
};

struct group {
    uint8_t protocol;
    bool options;
    struct packet packets[GROUP];
};

static void put16(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static void put32(uint8_t *at, uint32_t value)
{
    put16(at, value >> 16);
    put16(at + 2, value);
}

static uint32_t get16(const uint8_t *at) { return (uint32_t)at[0] << 8 | at[1]; }
static uint32_t get32(const uint8_t *at) { return get16(at) << 16 | get16(at + 2); }

static uint32_t sum(uint32_t so_far, const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) so_far += i % 2 == 0 ? (uint32_t)bytes[i] << 8 : bytes[i];
    return so_far;
}

static uint32_t folded(uint32_t value)
{
    while (value > 0xffff) value = (value & 0xffff) + (value >> 16);
    return ~value & 0xffff;
}

/* What the packets of a group have in common until one changes it. */
struct flow {
    uint8_t tos, ttl;
    bool df;
    uint32_t id, label, sequence, acknowledgement, window, timestamp, size;
};

static uint32_t put_ip(const struct plan *plan, const struct group *group, const struct flow *flow, uint32_t inside, uint8_t *b)
{
    uint32_t extra = group->protocol == FRAGMENTED ? (plan->six ? 8 : 0) : !group->options ? 0 : plan->six ? 8 : 4;

    if (!plan->six) {
        uint32_t fragment = group->protocol == FRAGMENTED ? 0x2000 | flow->window % 0x1000 : flow->df ? 0x4000 : 0;
        b[0] = (uint8_t)(0x45 + extra / 4);
        b[1] = flow->tos;
        put16(b + 2, 20 + extra + inside);
        put16(b + 4, flow->id);
        put16(b + 6, fragment);
        b[8] = flow->ttl;
        b[9] = group->protocol;
        put16(b + 10, 0);
        memcpy(b + 12, &plan->from->v4, 4);
        memcpy(b + 16, &plan->to->v4, 4);
        /* Stream identifier. */
        if (extra > 0) memcpy(b + 20, "\x88\x04\x12\x34", 4);
        put16(b + 10, folded(sum(0, b, 20 + extra)));
        return 20 + extra;
    }
    put32(b, 6u << 28 | (uint32_t)flow->tos << 20 | flow->label);
    put16(b + 4, extra + inside);
    b[6] = group->protocol == FRAGMENTED ? FRAGMENT : extra > 0 ? DESTINATION : group->protocol;
    b[7] = flow->ttl;
    memcpy(b + 8, &plan->from->v6, 16);
    memcpy(b + 24, &plan->to->v6, 16);
    if (extra == 0) return 40;
    memset(b + 40, 0, 8);
    b[40] = group->protocol;
    if (group->protocol == FRAGMENTED) {
        put16(b + 42, flow->window << 3 | 1);
        put32(b + 44, flow->sequence);
    } else memcpy(b + 42, "\x01\x04", 2); /* PadN */
    return 48;
}

static uint32_t transport_checksum(const struct plan *plan, const struct packet *packet, uint8_t protocol)
{
    const uint8_t *transport = packet->bytes + packet->ip;
    uint32_t length = packet->length - packet->ip;
    uint32_t addresses = plan->six ? sum(0, packet->bytes + 8, 32) : sum(0, packet->bytes + 12, 8);
    return folded(sum(addresses + protocol + length, transport, length));
}

/* Something about this packet is other than about the one before. */
static uint8_t change(struct flow *flow, uint64_t random, bool *sound, bool *timestamps)
{
    static const uint8_t odd[] = { URG, SYN, RST, FIN, ECE, CWR, 0 };
    uint32_t some = (uint32_t)(random >> 32);
    switch (random % 12) {
    case 0: flow->tos ^= 1 + some % 3; break;
    case 1: flow->ttl = (uint8_t)(2 + some % 200); break;
    case 2: flow->df = !flow->df; flow->label = some & 0xfffff; break;
    case 3: flow->id += some; break;
    case 4: return ACK | PSH;
    case 5: return (uint8_t)(ACK | odd[some % sizeof odd]);
    case 6: flow->sequence += some; break;
    case 7: flow->acknowledgement += some; break;
    case 8: flow->window = some & 0xffff; break;
    case 9: flow->timestamp++; *timestamps = !*timestamps; break;
    case 10: *sound = false; break;
    default: flow->size = some % 4 == 0 ? 0 : 1 + some % 1200; break;
    }
    return ACK;
}

static void build(const struct plan *plan, uint64_t n, struct group *group)
{
    static const uint8_t protocols[] = { IPPROTO_TCP, IPPROTO_TCP, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_UDP, OTHER, FRAGMENTED };
    uint64_t random = number(plan->seed, n), more = number(~plan->seed, n);
    struct flow flow = {
        .tos = (uint8_t)random, .ttl = 64, .df = random >> 8 & 1, .id = (uint32_t)(random >> 16) & 0xffff,
        .label = (uint32_t)(random >> 20) & 0xfffff, .sequence = (uint32_t)more, .acknowledgement = (uint32_t)(more >> 32),
        .window = (uint32_t)(more >> 16) & 0xffff, .size = some_size(more, 1, 1200),
    };
    bool timestamps = random >> 9 & 1;

    group->protocol = protocols[(random >> 40) % sizeof protocols];
    group->options = (random >> 50) % 4 == 0;
    for (uint32_t k = 0; k < GROUP; k++) {
        struct packet *packet = &group->packets[k];
        uint64_t own = number(random, k);
        uint8_t flags = ACK, transport[20 + TIMESTAMPS] = { 0 };
        bool tcp = group->protocol == IPPROTO_TCP, udp = group->protocol == IPPROTO_UDP;
        packet->sound = true;
        if (own % 3 == 0) flags = change(&flow, own / 3, &packet->sound, &timestamps);
        uint32_t head = tcp ? 20 + (timestamps ? TIMESTAMPS : 0) : udp ? 8 : 0, size = flow.size;

        put16(transport, FROM_PORT);
        put16(transport + 2, TO_PORT);
        if (tcp) {
            put32(transport + 4, flow.sequence);
            put32(transport + 8, flow.acknowledgement);
            put16(transport + 12, head / 4 << 12 | flags);
            put16(transport + 14, flow.window);
            put32(transport + 20, 0x0101080a);
            put32(transport + 24, flow.timestamp);
        } else put16(transport + 4, 8 + size);
        packet->ip = put_ip(plan, group, &flow, head + size, packet->bytes);
        packet->header = packet->ip + head;
        packet->length = packet->header + size;
        memcpy(packet->bytes + packet->ip, transport, head);
        fill(own, 0, packet->bytes + packet->header, size);
        if (tcp || udp) {
            uint8_t *checksum = packet->bytes + packet->ip + (tcp ? 16 : 6);
            uint32_t right = transport_checksum(plan, packet, group->protocol);
            put16(checksum, packet->sound ? (udp && right == 0 ? 0xffff : right) : right ^ 0x5555);
        }
        flow.sequence += size;
        flow.id++;
    }
}

/* Of the header of a packet, what must be alike in all that are merged: the rest becomes 0. */
static void common(const struct plan *plan, const struct packet *packet, const uint8_t *from, uint8_t *header, uint8_t protocol)
{
    uint8_t *transport = header + packet->ip;
    memcpy(header, from, packet->header);
    if (plan->six) put16(header + 4, 0);
    else {
        put32(header + 2, 0);
        put16(header + 10, 0);
    }
    if (protocol == IPPROTO_UDP) put32(transport + 4, 0);
    else {
        put32(transport + 4, 0);
        transport[13] &= (uint8_t)~(PSH | FIN);
        put16(transport + 16, 0);
    }
}

/* How many packets of the group, from `k` on, `bytes` are; 0 when they are none, with what is wrong. */
static uint32_t merged_at(const struct plan *plan, const struct group *group, uint32_t k, const uint8_t *bytes, uint32_t length,
    const char **wrong)
{
    const struct packet *first = &group->packets[k];
    uint8_t wanted[256], got[256], flags = 0;
    uint32_t done = first->header, count = 0, size = first->length - first->header;
    bool tcp = group->protocol == IPPROTO_TCP, counts = true, same = !plan->six && first->bytes[6] & 0x40;

    if (group->options || (!tcp && group->protocol != IPPROTO_UDP) || length <= first->length) return 0;
    common(plan, first, first->bytes, wanted, group->protocol);
    common(plan, first, bytes, got, group->protocol);
    if (memcmp(wanted, got, first->header) != 0) return 0;
    if (tcp && memcmp(first->bytes + first->ip + 4, bytes + first->ip + 4, 4) != 0) return 0;
    for (; done < length; count++) {
        if (k + count == GROUP) return 0;
        const struct packet *next = &group->packets[k + count];
        uint32_t own = next->length - next->header;
        if (next->header != first->header || own > length - done) return 0;
        if (memcmp(next->bytes + next->header, bytes + done, own) != 0) return 0;
        common(plan, next, next->bytes, got, group->protocol);
        if (memcmp(wanted, got, first->header) != 0) *wrong = "packets with different headers were merged";
        if (!next->sound) *wrong = "a packet with a wrong checksum was merged";
        if (own == 0 || own > size || (own < size && done + own < length)) *wrong = "packets of sizes that cannot be cut again were merged";
        if (tcp) {
            if (get32(next->bytes + next->ip + 4) != get32(first->bytes + first->ip + 4) + done - first->header)
                *wrong = "packets with a gap between them were merged";
            flags = next->bytes[next->ip + 13];
            if (flags & (SYN | RST | URG | CWR)) *wrong = "a packet with SYN, RST, URG or CWR was merged";
            if (flags & (PSH | FIN) && done + own < length) *wrong = "something was merged behind a packet with PSH or FIN";
        }
        if (!plan->six) {
            counts = counts && get16(next->bytes + 4) == ((get16(first->bytes + 4) + count) & 0xffff);
            same = same && get16(next->bytes + 4) == get16(first->bytes + 4);
        }
        done += own;
    }
    if (!counts && !same) *wrong = "packets with ids that do not count up were merged";
    if (tcp && bytes[first->ip + 13] != flags) *wrong = "the flags are not those of the last packet";
    if (!plan->six && get16(bytes + 4) != get16(first->bytes + 4)) *wrong = "the id is not that of the first packet";
    return count;
}

static void attach_filter(int socket, bool six);

/* A receiver filters before it is bound: what came in between would be other flows' packets. */
static int packet_socket(const struct plan *plan, const struct host *host, bool receives)
{
    struct sockaddr_ll address = { .sll_family = AF_PACKET, .sll_protocol = htons(plan->six ? ETH_P_IPV6 : ETH_P_IP) };
    int made = socket(AF_PACKET, SOCK_DGRAM, 0);
    address.sll_ifindex = (int)if_nametoindex(host->device);
    if (receives) attach_filter(made, plan->six);
    if (made == -1 || bind(made, (struct sockaddr *)&address, sizeof address) == -1)
        fail(plan->tally, "packet socket on %s: %s", host->device, strerror(errno));
    return made;
}

void *crafted_sender(void *given)
{
    const struct plan *plan = given;
    struct tally *tally = plan->tally;
    struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_protocol = htons(plan->six ? ETH_P_IPV6 : ETH_P_IP) };
    struct group *group = malloc(sizeof *group);
    const int yes = 1;

    enter(plan->from);
    int socket = packet_socket(plan, plan->from, false);
    to.sll_ifindex = (int)if_nametoindex(plan->from->device);
    /* Past the queue, which may change the order. */
    setsockopt(socket, SOL_PACKET, PACKET_QDISC_BYPASS, &yes, sizeof yes);
    for (uint64_t n = 0; goes_on(plan, n); n++) {
        build(plan, n, group);
        /* Packets of two flows may overtake each other. */
        wait_for_arrival(tally);
        for (uint32_t k = 0; k < GROUP; k++) {
            const struct packet *packet = &group->packets[k];
            atomic_fetch_add(&tally->sent, packet->length);
            if (sendto(socket, packet->bytes, packet->length, 0, (struct sockaddr *)&to, sizeof to) == -1 && errno != ENOBUFS && errno != EAGAIN)
                fail(tally, "sendto of a packet: %s", strerror(errno));
        }
    }
    close(socket);
    free(group);
    return NULL;
}

/* Only what crafted_sender makes: the streams beside it would fill the socket. */
static void attach_filter(int socket, bool six)
{
    struct sock_filter v4[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 9),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, OTHER, 5, 0),
        BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 6),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x1fff, 4, 0),
        BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0),
        BPF_STMT(BPF_LD | BPF_H | BPF_IND, 2),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TO_PORT, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0x40000),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct sock_filter v6[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 6),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, DESTINATION, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, FRAGMENT, 7, 0),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, OTHER, 8, 4),
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 40), /* behind options */
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, OTHER, 6, 0),
        BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 50),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TO_PORT, 4, 5),
        BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 42), /* no header between */
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TO_PORT, 2, 3),
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 40), /* in a fragment */
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, FRAGMENTED, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0x40000),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct sock_fprog program = { six ? sizeof v6 / sizeof *v6 : sizeof v4 / sizeof *v4, six ? v6 : v4 };
    setsockopt(socket, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}

/* The packets that have not come yet: two groups are enough to look ahead in. */
struct cursor {
    uint64_t n;
    uint32_t k;
    struct group *group;
};

void *crafted_receiver(void *given)
{
    const struct plan *plan = given;
    struct tally *tally = plan->tally;
    struct timeval pause = { 1, 0 };
    const int buffer = BUFFER;
    struct cursor next = { 0, 0, malloc(sizeof *next.group) }, found = { 0, 0, malloc(sizeof *found.group) };
    uint8_t *bytes = malloc(RECEIVED);

    enter(plan->to);
    int socket = packet_socket(plan, plan->to, true);
    setsockopt(socket, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
    setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &pause, sizeof pause);
    build(plan, 0, next.group);
    atomic_fetch_add(&ready, 1);
    while (next.n < atomic_load(&tally->groups) && tally->failure[0] == '\0') {
        bool last = atomic_load(&tally->done);
        ssize_t length = recv(socket, bytes, RECEIVED, 0);
        if (length == -1) {
            if (last) break;
            continue;
        }
        const char *wrong = NULL;
        struct group *spare = found.group;
        uint32_t skipped = 0, count = 0;
        uint64_t passed = 0;
        memcpy(spare, next.group, sizeof *spare);
        found = (struct cursor){ next.n, next.k, spare };
        for (; skipped < LOOK_AHEAD; skipped++) {
            const struct packet *packet = &found.group->packets[found.k];
            bool whole = packet->length == (uint32_t)length && memcmp(packet->bytes, bytes, packet->length) == 0;
            count = whole ? 1 : merged_at(plan, found.group, found.k, bytes, (uint32_t)length, &wrong);
            if (count > 0) break;
            passed += packet->length;
            if (++found.k == GROUP) {
                found.k = 0;
                build(plan, ++found.n, found.group);
            }
        }
        if (count == 0) wrong = "a packet that was not sent, or not now";
        if (wrong != NULL) {
            char text[2 * SHOWN + 1] = "";
            for (int i = 0; i < SHOWN && i < length; i++) sprintf(text + 2 * i, "%02x", bytes[i]);
            fail(tally, "%s: packet %u of group %lu is due, and %zd bytes came: %s...", wrong, next.k, next.n, length, text);
        }
        for (uint32_t k = 0; k < count; k++) passed += found.group->packets[found.k + k].length;
        tally->lost += skipped;
        tally->packets += skipped + count;
        tally->merged += count > 1 ? count : 0;
        tally->bytes += (uint64_t)length;
        atomic_fetch_add(&tally->seen, passed);
        found.k += count;
        if (found.k == GROUP) {
            found.k = 0;
            build(plan, ++found.n, found.group);
        }
        spare = next.group;
        next = found;
        found.group = spare;
    }
    if (next.n < atomic_load(&tally->groups)) {
        uint64_t missing = (atomic_load(&tally->groups) - next.n) * GROUP - next.k;
        tally->lost += missing;
        tally->packets += missing;
    }
    close(socket);
    free(next.group);
    free(found.group);
    free(bytes);
    return NULL;
}
