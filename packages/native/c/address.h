/*
 * A socket address as fixed binary, 44 bytes or 11 words, so that a batch's addresses lie in one typed array and
 * compare word by word without becoming text. The first six words name the remote end, the last five the local one.
 *
 *    0  family          u8   4 or 6; 0: no address
 *    1  zero            u8
 *    2  port            u16  big-endian
 *    4  address         16   IPv4 in the first four, the rest zero
 *   20  scope           u32  interface index of a link-local address, host order; else 0
 *   24  local address   16   of the same family: where the datagram was sent to, or is to be sent from
 *   40  local interface u32  index, host order; with the local address zero: nothing known
 *
 * IPv4-mapped IPv6 addresses never appear: they are family 4, and a dual-stack socket maps them back.
 */
#ifndef SEIKAN_ADDRESS_H
#define SEIKAN_ADDRESS_H

#include "addon.h"

#include <netinet/in.h>
#include <sys/socket.h>

#define SEIKAN_ADDRESS_SIZE 44
#define SEIKAN_ADDRESS_LOCAL 24

/* A buffer for any control message of address.c: packet info of either family. */
#define SEIKAN_PACKET_INFO_SPACE CMSG_SPACE(sizeof(struct in6_pktinfo))

/* Writes the whole record; the local half is zeroed. */
void seikan_address_from(uint8_t *record, const struct sockaddr_storage *address);

/*
 * The remote half for a socket of `domain`: AF_INET6 maps family 4. Returns the length, 0 when the record
 * has no such address. The record is read once.
 */
socklen_t seikan_address_to(const uint8_t *record, int domain, struct sockaddr_storage *address);

/* The local half of a received message, from its IP_PKTINFO or IPV6_PKTINFO. */
void seikan_address_local_from(uint8_t *record, struct msghdr *message);

/* Adds packet info to a message to send when the record has a local half. `control`: SEIKAN_PACKET_INFO_SPACE bytes, aligned. */
void seikan_address_local_to(const uint8_t *record, int domain, struct msghdr *message, void *control);

#endif
