#include "address.h"

#include <string.h>

static const uint8_t mapped_prefix[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

static void put_address6(uint8_t *into, const struct in6_addr *address, bool mapped)
{
    if (mapped)
        memcpy(into, address->s6_addr + 12, 4);
    else
        memcpy(into, address->s6_addr, 16);
}

static void get_address6(const uint8_t *from, bool mapped, struct in6_addr *address)
{
    if (mapped) {
        memcpy(address->s6_addr, mapped_prefix, 12);
        memcpy(address->s6_addr + 12, from, 4);
    } else
        memcpy(address->s6_addr, from, 16);
}

void seikan_address_from(uint8_t *record, const struct sockaddr_storage *address)
{
    memset(record, 0, SEIKAN_ADDRESS_SIZE);
    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)address;
        record[0] = 4;
        memcpy(record + 2, &in->sin_port, 2);
        memcpy(record + 4, &in->sin_addr, 4);
    } else if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const void *)address;
        bool mapped = IN6_IS_ADDR_V4MAPPED(&in->sin6_addr);
        record[0] = mapped ? 4 : 6;
        memcpy(record + 2, &in->sin6_port, 2);
        put_address6(record + 4, &in->sin6_addr, mapped);
        if (!mapped) memcpy(record + 20, &in->sin6_scope_id, 4);
    }
}

socklen_t seikan_address_to(const uint8_t *shared, int domain, struct sockaddr_storage *address)
{
    uint8_t record[SEIKAN_ADDRESS_LOCAL];

    memcpy(record, shared, sizeof record);
    memset(address, 0, sizeof *address);
    if (record[0] == 4 && domain == AF_INET) {
        struct sockaddr_in *in = (void *)address;
        in->sin_family = AF_INET;
        memcpy(&in->sin_port, record + 2, 2);
        memcpy(&in->sin_addr, record + 4, 4);
        return sizeof *in;
    }
    if ((record[0] == 4 || record[0] == 6) && domain == AF_INET6) {
        struct sockaddr_in6 *in = (void *)address;
        in->sin6_family = AF_INET6;
        memcpy(&in->sin6_port, record + 2, 2);
        get_address6(record + 4, record[0] == 4, &in->sin6_addr);
        memcpy(&in->sin6_scope_id, record + 20, 4);
        return sizeof *in;
    }
    return 0;
}

void seikan_address_local_from(uint8_t *record, struct msghdr *message)
{
    for (struct cmsghdr *control = CMSG_FIRSTHDR(message); control != NULL; control = CMSG_NXTHDR(message, control)) {
        if (control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo packet;
            memcpy(&packet, CMSG_DATA(control), sizeof packet);
            memcpy(record + 24, &packet.ipi_addr, 4);
            memcpy(record + 40, &packet.ipi_ifindex, 4);
        } else if (control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo packet;
            memcpy(&packet, CMSG_DATA(control), sizeof packet);
            put_address6(record + 24, &packet.ipi6_addr, IN6_IS_ADDR_V4MAPPED(&packet.ipi6_addr));
            memcpy(record + 40, &packet.ipi6_ifindex, 4);
        }
    }
}

void seikan_address_local_to(const uint8_t *shared, int domain, struct msghdr *message, void *control)
{
    static const uint8_t nothing[SEIKAN_ADDRESS_SIZE - SEIKAN_ADDRESS_LOCAL];
    uint8_t record[SEIKAN_ADDRESS_SIZE];
    struct cmsghdr *header = control;

    memcpy(record, shared, sizeof record);
    if (memcmp(record + SEIKAN_ADDRESS_LOCAL, nothing, sizeof nothing) == 0) return;
    memset(control, 0, SEIKAN_PACKET_INFO_SPACE);
    message->msg_control = control;
    if (domain == AF_INET) {
        struct in_pktinfo packet = { 0 };
        memcpy(&packet.ipi_spec_dst, record + 24, 4);
        memcpy(&packet.ipi_ifindex, record + 40, 4);
        header->cmsg_level = IPPROTO_IP;
        header->cmsg_type = IP_PKTINFO;
        header->cmsg_len = CMSG_LEN(sizeof packet);
        message->msg_controllen = CMSG_SPACE(sizeof packet);
        memcpy(CMSG_DATA(header), &packet, sizeof packet);
    } else {
        struct in6_pktinfo packet = { 0 };
        get_address6(record + 24, record[0] == 4, &packet.ipi6_addr);
        memcpy(&packet.ipi6_ifindex, record + 40, 4);
        header->cmsg_level = IPPROTO_IPV6;
        header->cmsg_type = IPV6_PKTINFO;
        header->cmsg_len = CMSG_LEN(sizeof packet);
        message->msg_controllen = CMSG_SPACE(sizeof packet);
        memcpy(CMSG_DATA(header), &packet, sizeof packet);
    }
}
