#include "superpacket.h"

#include "batch.h"
#include "checksum.h"

#include <linux/virtio_net.h>
#include <netinet/in.h>

/* Of Linux 6.2; Debian 12's headers are older. */
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

#define TCP_SEQUENCE 4
#define TCP_FLAGS 13
#define TCP_CHECKSUM 16
#define UDP_LENGTH 4
#define UDP_CHECKSUM 6
#define FIN 0x01
#define PSH 0x08
#define CWR 0x80

static bool kind_is_tcp(uint32_t kind)
{
    return kind == SEIKAN_TCP4 || kind == SEIKAN_TCP6;
}

static bool kind_is_six(uint32_t kind)
{
    return kind == SEIKAN_TCP6 || kind == SEIKAN_UDP6;
}

/* Finds header size and segments of a superpacket whose kind, segment size and transport offset are given. */
static bool measure(struct seikan_superpacket *super, const uint8_t *packet, uint32_t length, uint32_t kind)
{
    uint32_t transport = super->transport;

    super->length = length;
    super->tcp = kind_is_tcp(kind);
    super->six = kind_is_six(kind);
    uint32_t least = super->tcp ? 20 : 8;
    if (kind == SEIKAN_PLAIN || kind >= SEIKAN_BAD || length > 40 + 0xffff || transport < 20
        || transport > SEIKAN_MOST_HEADER - 60 || length < transport + least || super->segment_size == 0)
        return false;
    uint8_t protocol = super->tcp ? IPPROTO_TCP : IPPROTO_UDP;
    if (super->six) {
        if (packet[0] >> 4 != 6 || transport < 40 || (transport == 40 && packet[6] != protocol)) return false;
    } else if (packet[0] >> 4 != 4 || (packet[0] & 0xf) * 4u != transport || packet[9] != protocol
        || (seikan_get16(packet + 6) & 0x3fff) != 0)
        return false;
    super->header_size = transport + (super->tcp ? (packet[transport + 12] >> 4) * 4u : 8);
    if (super->header_size < transport + least || super->header_size >= length) return false;
    uint32_t payload = length - super->header_size;
    super->segments = (payload - 1) / super->segment_size + 1;
    /* A segment must be a packet. */
    return super->segments <= SEIKAN_MOST_SEGMENTS
        && (super->segment_size < payload ? super->segment_size : payload) + super->header_size <= 0xffff;
}

static uint32_t kind_of(const struct virtio_net_hdr *header, uint8_t version)
{
    switch (header->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
    case VIRTIO_NET_HDR_GSO_NONE:
        return SEIKAN_PLAIN;
    case VIRTIO_NET_HDR_GSO_TCPV4:
        return SEIKAN_TCP4;
    case VIRTIO_NET_HDR_GSO_TCPV6:
        return SEIKAN_TCP6;
    case VIRTIO_NET_HDR_GSO_UDP_L4:
        return version == 6 ? SEIKAN_UDP6 : SEIKAN_UDP4;
    default:
        return SEIKAN_BAD;
    }
}

/* False when the header places the checksum outside the packet. */
static bool complete_checksum(const struct virtio_net_hdr *header, uint8_t *packet, uint32_t length)
{
    uint32_t start = header->csum_start, field = start + header->csum_offset;
    if (field + 2 > length || field < start) return false;
    uint16_t sum = (uint16_t)~seikan_fold(seikan_sum(packet + start, length - start));
    if (sum == 0 && header->csum_offset == UDP_CHECKSUM) sum = 0xffff;
    memcpy(packet + field, &sum, 2);
    return true;
}

/*
 * A superpacket that was received with its checksum verified (from a virtio network card) carries a whole checksum
 * and does not say where; it gets the sum of its pseudo header, which is what cutting begins with.
 */
static void begin_checksum(struct seikan_superpacket *super, uint8_t *packet, uint32_t length, uint32_t kind)
{
    bool six = kind_is_six(kind), tcp = kind_is_tcp(kind);
    uint8_t protocol = tcp ? IPPROTO_TCP : IPPROTO_UDP;

    super->transport = six ? 40 : (packet[0] & 0xf) * 4u;
    if (!measure(super, packet, length, kind)) return;
    uint64_t sum = six ? seikan_sum_pseudo6(packet, protocol) : seikan_sum_pseudo4(packet, protocol);
    uint16_t partial = seikan_fold(sum + seikan_sum16(length - super->transport));
    memcpy(packet + super->transport + (tcp ? TCP_CHECKSUM : UDP_CHECKSUM), &partial, 2);
}

void seikan_superpacket_arrive(const struct seikan_table *table, uint32_t at, uint32_t offset, uint32_t length)
{
    uint8_t *packet = table->slab + offset;
    struct virtio_net_hdr header;
    struct seikan_superpacket super;

    memcpy(&header, packet - SEIKAN_VIRTIO_HEADER, SEIKAN_VIRTIO_HEADER);
    seikan_table_set_plain(table, at, offset, length, 0);
    uint32_t kind = length < 20 ? SEIKAN_BAD : kind_of(&header, packet[0] >> 4);
    bool open = (header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0;
    if (kind == SEIKAN_PLAIN) {
        if (!open || complete_checksum(&header, packet, length)) return;
        kind = SEIKAN_BAD;
    }
    super.segment_size = header.gso_size;
    super.transport = header.csum_start;
    if (!open && kind != SEIKAN_BAD) begin_checksum(&super, packet, length, kind);
    if (kind == SEIKAN_BAD || !measure(&super, packet, length, kind)) {
        seikan_table_set(table, SEIKAN_KIND, at, SEIKAN_BAD);
        seikan_table_set(table, SEIKAN_SEGMENTS, at, 0);
        return;
    }
    seikan_table_set(table, SEIKAN_KIND, at, kind);
    seikan_table_set(table, SEIKAN_SEGMENTS, at, super.segments);
    seikan_table_set(table, SEIKAN_SEGMENT_SIZE, at, super.segment_size);
    seikan_table_set(table, SEIKAN_HEADER_SIZE, at, super.header_size);
    seikan_table_set(table, SEIKAN_TRANSPORT, at, super.transport);
}

bool seikan_superpacket_open(
    struct seikan_superpacket *super, const struct seikan_table *table, uint32_t at, const uint8_t *packet, uint32_t length)
{
    uint32_t kind = seikan_table_get(table, SEIKAN_KIND, at);
    uint8_t *header = super->header;
    uint16_t partial;

    super->segment_size = seikan_table_get(table, SEIKAN_SEGMENT_SIZE, at);
    super->transport = seikan_table_get(table, SEIKAN_TRANSPORT, at);
    memcpy(header, packet, length < SEIKAN_MOST_HEADER ? length : SEIKAN_MOST_HEADER);
    if (!measure(super, header, length, kind) || super->segments != seikan_table_get(table, SEIKAN_SEGMENTS, at))
        return false;
    uint8_t *transport = header + super->transport, *checksum = transport + (super->tcp ? TCP_CHECKSUM : UDP_CHECKSUM);
    memcpy(&partial, checksum, 2);
    memset(checksum, 0, 2);
    if (super->tcp) {
        super->sequence = seikan_get32(transport + TCP_SEQUENCE);
        super->flags = transport[TCP_FLAGS];
        memset(transport + TCP_SEQUENCE, 0, 4);
        transport[TCP_FLAGS] = 0;
    } else
        memset(transport + UDP_LENGTH, 0, 2);
    /* The field holds the pseudo header's sum with the whole length, which is taken out again. */
    super->transport_sum = partial + (uint64_t)(uint16_t)~htons((uint16_t)(length - super->transport))
        + seikan_sum(transport, super->header_size - super->transport);
    if (!super->six) {
        super->id = seikan_get16(header + 4);
        memset(header + 2, 0, 4);
        memset(header + 10, 0, 2);
        super->ip_sum = seikan_sum(header, super->transport);
    }
    return true;
}

void seikan_superpacket_header(
    const struct seikan_superpacket *super, uint32_t i, const uint8_t *payload, uint32_t size, uint8_t *into)
{
    uint32_t transport_size = super->header_size - super->transport;
    uint8_t *transport = into + super->transport, *field;

    uint64_t sum = super->transport_sum + seikan_sum16(transport_size + size) + seikan_sum(payload, size);

    memcpy(into, super->header, super->header_size);
    if (super->six)
        seikan_put16(into + 4, super->header_size + size - 40);
    else {
        uint32_t length = super->header_size + size;
        uint16_t id = (uint16_t)(super->id + i);
        seikan_put16(into + 2, length);
        seikan_put16(into + 4, id);
        uint16_t ip_sum = (uint16_t)~seikan_fold(super->ip_sum + seikan_sum16(length) + seikan_sum16(id));
        memcpy(into + 10, &ip_sum, 2);
    }
    if (super->tcp) {
        uint8_t flags = super->flags;
        uint32_t sequence = super->sequence + i * super->segment_size;
        if (i + 1 < super->segments) flags &= (uint8_t)~(FIN | PSH);
        if (i > 0) flags &= (uint8_t)~CWR;
        seikan_put32(transport + TCP_SEQUENCE, sequence);
        transport[TCP_FLAGS] = flags;
        sum += (uint64_t)htonl(sequence) + seikan_sum16(flags);
        field = transport + TCP_CHECKSUM;
    } else {
        seikan_put16(transport + UDP_LENGTH, transport_size + size);
        sum += seikan_sum16(transport_size + size);
        field = transport + UDP_CHECKSUM;
    }
    uint16_t folded = (uint16_t)~seikan_fold(sum);
    if (folded == 0 && !super->tcp) folded = 0xffff;
    memcpy(field, &folded, 2);
}

/*
 * (slab, columns, packet, segment, outSlab, outOffsets, outLengths, first, count, capacity) → segments of `packet`
 * written, from number `segment` on, each into a slot of the batch. A plain packet is its own only segment.
 */
static napi_value superpacket_split(napi_env env, napi_callback_info info)
{
    napi_value argv[10];
    struct seikan_table table;
    struct seikan_batch out;
    int64_t number, from, capacity;
    struct seikan_superpacket super;

    if (!seikan_arguments(env, info, argv, 10) || !seikan_table(env, argv, &table)
        || !seikan_integer(env, argv[2], 0, (int64_t)table.packets - 1, "packet", &number)
        || !seikan_integer(env, argv[3], 0, SEIKAN_MOST_SEGMENTS, "segment", &from)
        || !seikan_batch(env, argv + 4, &out)
        || !seikan_integer(env, argv[9], 0, UINT32_MAX, "capacity", &capacity))
        return NULL;
    struct seikan_order only = { &(uint32_t){ (uint32_t)number }, 1 };
    uint32_t at, length, done = 0;
    uint8_t *packet, *slot;
    if (!seikan_order_packet(env, &only, 0, &table, &at, &packet, &length)) return NULL;

    bool plain = seikan_table_get(&table, SEIKAN_KIND, at) == SEIKAN_PLAIN;
    if (plain) super.segments = 1;
    else if (!seikan_superpacket_open(&super, &table, at, packet, length))
        return seikan_throw_range(env, "not a sound superpacket");
    uint32_t longest = plain ? length : super.header_size + seikan_superpacket_payload(&super, 0);
    if (longest > capacity) return seikan_throw_range(env, "a segment is longer than the slots that it is to go to");

    for (uint32_t i = (uint32_t)from; i < super.segments && done < out.count; i++, done++) {
        uint32_t to = out.first + done;
        if (!seikan_batch_slot(&out, to, (uint32_t)capacity, &slot)) return seikan_batch_outside(env);
        if (plain) {
            memmove(slot, packet, length);
            out.lengths[to] = length;
            continue;
        }
        const uint8_t *payload = packet + super.header_size + (size_t)i * super.segment_size;
        uint32_t size = seikan_superpacket_payload(&super, i);
        memmove(slot + super.header_size, payload, size);
        seikan_superpacket_header(&super, i, slot + super.header_size, size, slot);
        out.lengths[to] = super.header_size + size;
    }
    return seikan_make_number(env, done);
}

bool seikan_register_superpacket(napi_env env, napi_value exports)
{
    return seikan_export(env, exports, "superpacketSplit", superpacket_split);
}
