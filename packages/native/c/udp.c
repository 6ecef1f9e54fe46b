/*
 * Datagrams in batches: recvmmsg and sendmmsg over one slab, addresses as records of address.h.
 *
 * An ICMP error that the kernel holds for the socket (ECONNREFUSED, EHOSTUNREACH ...) is the result of one call and
 * is cleared by it: the socket lives on and the next call moves packets again.
 */
#include "address.h"
#include "batch.h"

#include <errno.h>
#include <string.h>

/* How many are taken at once. */
#define MOST_ERRORS 256

union control {
    struct cmsghdr alignment;
    uint8_t bytes[SEIKAN_PACKET_INFO_SPACE];
};

static bool address_table(napi_env env, napi_value value, uint8_t **records, size_t *count)
{
    size_t length;
    if (!seikan_bytes(env, value, records, &length)) return false;
    *count = length / SEIKAN_ADDRESS_SIZE;
    return true;
}

static bool domain_of(napi_env env, napi_value value, int *domain)
{
    int64_t family;
    if (!seikan_integer(env, value, 4, 6, "address family", &family)) return false;
    *domain = family == 4 ? AF_INET : AF_INET6;
    return true;
}

/*
 * (fd, slab, offsets, lengths, first, count, capacity, addresses) → datagrams received, 0 when none waits,
 * or a negative errno. Record i of `addresses` belongs to packet i. A datagram that is longer than its slot
 * comes out with length 0.
 */
static napi_value udp_receive_batch(napi_env env, napi_callback_info info)
{
    napi_value argv[8];
    int fd;
    struct seikan_batch batch;
    int64_t capacity;
    uint8_t *records;
    size_t record_count;
    struct mmsghdr messages[SEIKAN_BATCH];
    struct iovec vectors[SEIKAN_BATCH];
    struct sockaddr_storage names[SEIKAN_BATCH];
    union control controls[SEIKAN_BATCH];

    if (!seikan_arguments(env, info, argv, 8) || !seikan_fd(env, argv[0], &fd) || !seikan_batch(env, argv + 1, &batch)
        || !seikan_integer(env, argv[6], 1, UINT32_MAX, "capacity", &capacity)
        || !address_table(env, argv[7], &records, &record_count))
        return NULL;
    if ((size_t)batch.first + batch.count > record_count)
        return seikan_throw_range(env, "the run of packets is longer than its address records");

    uint32_t wanted = batch.count < SEIKAN_BATCH ? batch.count : SEIKAN_BATCH;
    for (uint32_t i = 0; i < wanted; i++) {
        uint8_t *slot;
        if (!seikan_batch_slot(&batch, batch.first + i, (uint32_t)capacity, &slot)) return seikan_batch_outside(env);
        vectors[i] = (struct iovec){ slot, (size_t)capacity };
        messages[i].msg_hdr = (struct msghdr){
            .msg_name = &names[i],
            .msg_namelen = sizeof names[i],
            .msg_iov = &vectors[i],
            .msg_iovlen = 1,
            .msg_control = &controls[i],
            .msg_controllen = sizeof controls[i],
        };
    }

    int received;
    do
        received = recvmmsg(fd, messages, wanted, MSG_DONTWAIT, NULL);
    while (received == -1 && errno == EINTR);
    if (received == -1) return seikan_make_number(env, errno == EAGAIN ? 0 : -errno);

    for (uint32_t i = 0; i < (uint32_t)received; i++) {
        struct msghdr *header = &messages[i].msg_hdr;
        uint8_t *record = records + (size_t)(batch.first + i) * SEIKAN_ADDRESS_SIZE;
        batch.lengths[batch.first + i] = header->msg_flags & MSG_TRUNC ? 0 : messages[i].msg_len;
        /* A connected socket or one of another kind may leave no name. */
        if (header->msg_namelen == 0) names[i].ss_family = AF_UNSPEC;
        seikan_address_from(record, &names[i]);
        seikan_address_local_from(record, header);
    }
    return seikan_make_number(env, received);
}

/*
 * (fd, family, slab, offsets, lengths, first, count, addresses | undefined, which | undefined) → datagrams sent
 * (0: would block), or the negative errno of the first. Packet i goes to record which[i]; without `addresses` the
 * socket is connected.
 */
static napi_value udp_send_batch(napi_env env, napi_callback_info info)
{
    napi_value argv[9];
    int fd, domain;
    struct seikan_batch batch;
    uint8_t *records = NULL;
    uint32_t *which = NULL;
    size_t record_count = 0, which_count = 0;
    struct mmsghdr messages[SEIKAN_BATCH];
    struct iovec vectors[SEIKAN_BATCH];
    struct sockaddr_storage names[SEIKAN_BATCH];
    union control controls[SEIKAN_BATCH];

    if (!seikan_arguments(env, info, argv, 9) || !seikan_fd(env, argv[0], &fd) || !domain_of(env, argv[1], &domain)
        || !seikan_batch(env, argv + 2, &batch))
        return NULL;
    if (!seikan_is_undefined(env, argv[7])) {
        if (!address_table(env, argv[7], &records, &record_count) || !seikan_words(env, argv[8], &which, &which_count))
            return NULL;
        if ((size_t)batch.first + batch.count > which_count)
            return seikan_throw_range(env, "the run of packets is longer than its choice of addresses");
    }

    uint32_t wanted = batch.count < SEIKAN_BATCH ? batch.count : SEIKAN_BATCH;
    for (uint32_t i = 0; i < wanted; i++) {
        uint32_t at = batch.first + i, length;
        uint8_t *packet;
        if (!seikan_batch_packet(&batch, at, &packet, &length)) return seikan_batch_outside(env);
        vectors[i] = (struct iovec){ packet, length };
        messages[i].msg_hdr = (struct msghdr){ .msg_iov = &vectors[i], .msg_iovlen = 1 };
        if (records == NULL) continue;
        uint32_t choice = __atomic_load_n(&which[at], __ATOMIC_RELAXED);
        if (choice >= record_count) return seikan_throw_range(env, "a packet chooses an address outside the table");
        const uint8_t *record = records + (size_t)choice * SEIKAN_ADDRESS_SIZE;
        messages[i].msg_hdr.msg_name = &names[i];
        messages[i].msg_hdr.msg_namelen = seikan_address_to(record, domain, &names[i]);
        if (messages[i].msg_hdr.msg_namelen == 0)
            return seikan_throw_range(env, "a packet's address record is empty or of the wrong family");
        seikan_address_local_to(record, domain, &messages[i].msg_hdr, &controls[i]);
    }

    int sent;
    do
        sent = sendmmsg(fd, messages, wanted, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (sent == -1 && errno == EINTR);
    return seikan_make_number(env, sent == -1 ? (errno == EAGAIN ? 0 : -errno) : sent);
}

/* (fd): empties the queue of ICMP errors. While something is in it, the socket counts as ready. */
static napi_value udp_forget_errors(napi_env env, napi_callback_info info)
{
    napi_value argv[1];
    int fd;
    char byte;
    struct iovec room = { &byte, sizeof byte };
    struct msghdr message = { .msg_iov = &room, .msg_iovlen = 1 };

    if (!seikan_arguments(env, info, argv, 1) || !seikan_fd(env, argv[0], &fd)) return NULL;
    /* Bounded: sockets of other kinds may have no end of nothing. */
    for (int i = 0; i < MOST_ERRORS && recvmsg(fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT) >= 0; i += 1) continue;
    return NULL;
}

bool seikan_register_udp(napi_env env, napi_value exports)
{
    static const struct seikan_function functions[] = {
        { "udpReceiveBatch", udp_receive_batch },
        { "udpSendBatch", udp_send_batch },
        { "udpForgetErrors", udp_forget_errors },
        { NULL, NULL },
    };
    return seikan_export_all(env, exports, functions);
}
