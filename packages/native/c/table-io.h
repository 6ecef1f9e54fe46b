/*
 * Receiving tables and sending outboxes, for the calls of sockets and devices, for the wait of a poll set (poll-set.c) and
 * for a ring that sends what it seals (key-ring.c).
 */
#ifndef SEIKAN_TABLE_IO_H
#define SEIKAN_TABLE_IO_H

#include "outbox.h"
#include "packet-table.h"

/* How much is received at once, and the room kept around each packet. */
struct seikan_intake {
    uint32_t most; /* messages of a socket, packets of a tun */
    size_t bytes;  /* of a tun: no more packets from there on */
    size_t headroom, tailroom;
};

/* Not even one packet of 64 KiB has room: nothing was received. */
#define SEIKAN_NO_ROOM INT64_MIN

/* What udpReceiveTable says: datagrams, or a negative errno. `records` of `record_bytes` bytes are for the senders. */
int64_t seikan_udp_receive(int fd, const struct seikan_table *table, const struct seikan_intake *intake, uint8_t *records,
    size_t record_bytes);

/* What tunReadTable says: packets, or a negative errno. `header`: the device puts virtio headers before them. */
int64_t seikan_tun_read(int fd, bool header, const struct seikan_table *table, const struct seikan_intake *intake);

/* A socket and its receivers; none: it is connected. */
struct seikan_receivers {
    int fd, domain;
    uint8_t *records;
    size_t record_bytes;
};

/* Reads three arguments; throws and returns false when they are not what they must be. */
bool seikan_receivers(napi_env env, napi_value fd, napi_value family, napi_value addresses, struct seikan_receivers *to);

/* An exception is pending, and nothing was sent. */
#define SEIKAN_THROWN INT64_MIN

/* What udpSendOutbox says: messages sent of `count` from `first` on, which the outbox has, or a negative errno. */
int64_t seikan_udp_send(napi_env env, const struct seikan_receivers *to, struct seikan_outbox *box, uint32_t first, uint32_t count);

#endif
