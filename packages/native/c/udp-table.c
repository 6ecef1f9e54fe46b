/*
 * Datagrams by the table: UDP_GRO hands over runs of equal datagrams at once, UDP_SEGMENT takes them
 * (udp(7); Documentation/networking/segmentation-offloads.rst). Sockets without either work through the same calls.
 */
#include "address.h"
#include "table-io.h"

#include <errno.h>
#include <netinet/udp.h>
#include <string.h>

/*
 * Messages of one receiving call, each of 64 KiB at most; and when they are large, so that what is opened, merged and
 * written lies in the processor's cache meanwhile, and a small packet does not wait for much.
 */
#define MOST_RECEIVED 16
#define MOST_LARGE 2
#define LARGE 0x4000
/* Messages of one sending call. */
#define MOST_SENT 64
/* Datagrams of one message that the kernel would not cut, sent alone. */
#define MOST_PIECES 128
#define LONGEST 0x10000

union receive_control {
    struct cmsghdr alignment;
    uint8_t bytes[SEIKAN_PACKET_INFO_SPACE + CMSG_SPACE(sizeof(int))];
};

union send_control {
    struct cmsghdr alignment;
    uint8_t bytes[SEIKAN_PACKET_INFO_SPACE + CMSG_SPACE(sizeof(uint16_t))];
};

static uint32_t gro_size(struct msghdr *message, uint32_t length)
{
    for (struct cmsghdr *control = CMSG_FIRSTHDR(message); control != NULL; control = CMSG_NXTHDR(message, control))
        if (control->cmsg_level == IPPROTO_UDP && control->cmsg_type == UDP_GRO) {
            int size;
            memcpy(&size, CMSG_DATA(control), sizeof size);
            return size > 0 ? (uint32_t)size : length;
        }
    return length;
}

int64_t seikan_udp_receive(int fd, const struct seikan_table *table, const struct seikan_intake *intake, uint8_t *records,
    size_t record_bytes)
{
    struct mmsghdr messages[MOST_RECEIVED];
    struct iovec vectors[MOST_RECEIVED];
    struct sockaddr_storage names[MOST_RECEIVED];
    union receive_control controls[MOST_RECEIVED];

    size_t stride = (intake->headroom + LONGEST + intake->tailroom + 63) & ~(size_t)63;
    size_t wanted = table->state[SEIKAN_TABLE_LARGE] != 0 ? MOST_LARGE : MOST_RECEIVED;
    if (wanted > intake->most) wanted = intake->most;
    if (wanted > table->slab_length / stride) wanted = table->slab_length / stride;
    if (wanted > record_bytes / SEIKAN_ADDRESS_SIZE) wanted = record_bytes / SEIKAN_ADDRESS_SIZE;
    if (wanted == 0) return SEIKAN_NO_ROOM;
    for (size_t i = 0; i < wanted; i++) {
        vectors[i] = (struct iovec){ table->slab + i * stride + intake->headroom, LONGEST };
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
        received = recvmmsg(fd, messages, (unsigned)wanted, MSG_DONTWAIT, NULL);
    while (received == -1 && errno == EINTR);
    if (received == -1) return errno == EAGAIN ? 0 : -errno;

    uint32_t count = 0;
    size_t bytes = 0;
    for (uint32_t i = 0; i < (uint32_t)received; i++) {
        struct msghdr *header = &messages[i].msg_hdr;
        uint8_t *record = records + (size_t)i * SEIKAN_ADDRESS_SIZE;
        uint32_t offset = (uint32_t)(i * stride + intake->headroom), length = messages[i].msg_len;
        /* A connected socket or one of another kind may leave no name. */
        if (header->msg_namelen == 0) names[i].ss_family = AF_UNSPEC;
        seikan_address_from(record, &names[i]);
        seikan_address_local_from(record, header);
        uint32_t size = gro_size(header, length), at = 0;
        do {
            uint32_t piece = length - at < size ? length - at : size;
            if (count < table->packets) seikan_table_set_plain(table, count++, offset + at, piece, i);
            else table->state[SEIKAN_TABLE_LOST]++;
            at += piece;
        } while (at < length);
        bytes += length;
    }
    table->state[SEIKAN_TABLE_LARGE] = bytes > (size_t)received * LARGE;
    return count;
}

/*
 * (fd, slab, columns, messages, headroom, tailroom, addresses) → datagrams received, 0 when none waits, or a negative
 * errno. Record i of `addresses` is the sender of message i; SEIKAN_ADDRESS of each datagram names it.
 */
static napi_value udp_receive_table(napi_env env, napi_callback_info info)
{
    napi_value argv[7];
    int fd;
    struct seikan_table table;
    int64_t most, headroom, tailroom;
    uint8_t *records;
    size_t record_bytes;

    if (!seikan_arguments(env, info, argv, 7) || !seikan_fd(env, argv[0], &fd) || !seikan_table(env, argv + 1, &table)
        || !seikan_integer(env, argv[3], 1, UINT32_MAX, "messages", &most)
        || !seikan_integer(env, argv[4], 0, 4096, "headroom", &headroom)
        || !seikan_integer(env, argv[5], 0, 4096, "tailroom", &tailroom)
        || !seikan_bytes(env, argv[6], &records, &record_bytes))
        return NULL;
    struct seikan_intake intake = { (uint32_t)most, 0, (size_t)headroom, (size_t)tailroom };
    int64_t received = seikan_udp_receive(fd, &table, &intake, records, record_bytes);
    if (received == SEIKAN_NO_ROOM) return seikan_throw_range(env, "no room for a message of 64 KiB and its address");
    return seikan_make_number(env, received);
}

/* What the kernel says to a message that it will not cut: the route's MTU, its limits, a device or option that is not there. */
static bool will_not_cut(int error)
{
    return error == EINVAL || error == EMSGSIZE || error == EIO || error == EOPNOTSUPP || error == ENOPROTOOPT;
}

/* Sends a message datagram by datagram. Returns false, with errno set, when not even the first goes. */
static bool send_pieces(int fd, const struct msghdr *whole, uint32_t size, struct seikan_outbox *box)
{
    struct mmsghdr pieces[MOST_PIECES];
    struct iovec vectors[MOST_PIECES];
    uint8_t *bytes = whole->msg_iov->iov_base;
    size_t length = whole->msg_iov->iov_len;
    uint32_t count = 0, sent = 0;

    for (size_t at = 0; at < length && count < MOST_PIECES; at += size, count++) {
        vectors[count] = (struct iovec){ bytes + at, length - at < size ? length - at : size };
        pieces[count].msg_hdr = *whole;
        pieces[count].msg_hdr.msg_iov = &vectors[count];
    }
    while (sent < count) {
        int result = sendmmsg(fd, pieces + sent, count - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (result > 0) sent += (uint32_t)result;
        else if (errno != EINTR) break;
    }
    if (sent == 0) return false;
    box->state[SEIKAN_BOX_FALLBACKS]++;
    box->state[SEIKAN_BOX_LOST] += count - sent;
    if (count > 64 && box->most_segments > 64) box->state[SEIKAN_BOX_MOST_SEGMENTS] = 64;
    else if (size - 1 < box->largest_segment) box->state[SEIKAN_BOX_LARGEST_SEGMENT] = size - 1;
    return true;
}

/* Adds UDP_SEGMENT behind what the message's control bytes hold. */
static void add_segment_size(struct msghdr *message, union send_control *control, uint16_t size)
{
    size_t used = message->msg_control == NULL ? 0 : message->msg_controllen;
    struct cmsghdr *header = (struct cmsghdr *)(control->bytes + used);

    memset(header, 0, CMSG_SPACE(sizeof size));
    header->cmsg_level = IPPROTO_UDP;
    header->cmsg_type = UDP_SEGMENT;
    header->cmsg_len = CMSG_LEN(sizeof size);
    memcpy(CMSG_DATA(header), &size, sizeof size);
    message->msg_control = control;
    message->msg_controllen = used + CMSG_SPACE(sizeof size);
}

int64_t seikan_udp_send(napi_env env, const struct seikan_receivers *to, struct seikan_outbox *box, uint32_t first, uint32_t count)
{
    struct mmsghdr messages[MOST_SENT];
    struct iovec vectors[MOST_SENT];
    struct sockaddr_storage names[MOST_SENT];
    union send_control controls[MOST_SENT];
    uint32_t sizes[MOST_SENT];
    uint32_t wanted = count < MOST_SENT ? count : MOST_SENT;
    const char *wrong = NULL;

    for (uint32_t i = 0; i < wanted && wrong == NULL; i++) {
        uint32_t at = first + i;
        uint32_t offset = seikan_outbox_get(box, SEIKAN_BOX_OFFSET, at), length = seikan_outbox_get(box, SEIKAN_BOX_LENGTH, at);
        struct msghdr *header = &messages[i].msg_hdr;
        sizes[i] = seikan_outbox_get(box, SEIKAN_BOX_SEGMENT, at);
        if (offset > box->slab_length || length > box->slab_length - offset) {
            wrong = "a message reaches outside the outbox";
            break;
        }
        vectors[i] = (struct iovec){ box->slab + offset, length };
        *header = (struct msghdr){ .msg_iov = &vectors[i], .msg_iovlen = 1 };
        if (to->records != NULL) {
            uint32_t choice = seikan_outbox_get(box, SEIKAN_BOX_ADDRESS, at);
            if (choice >= to->record_bytes / SEIKAN_ADDRESS_SIZE) {
                wrong = "a message chooses an address outside the table";
                break;
            }
            const uint8_t *record = to->records + (size_t)choice * SEIKAN_ADDRESS_SIZE;
            header->msg_name = &names[i];
            header->msg_namelen = seikan_address_to(record, to->domain, &names[i]);
            if (header->msg_namelen == 0) wrong = "a message's address record is empty or of the wrong family";
            seikan_address_local_to(record, to->domain, header, &controls[i]);
        }
        if (length > sizes[i]) {
            if (sizes[i] == 0 || sizes[i] > UINT16_MAX || (length - 1) / sizes[i] >= MOST_PIECES)
                wrong = "a message has more datagrams than the kernel takes";
            else add_segment_size(header, &controls[i], (uint16_t)sizes[i]);
        }
    }
    if (wrong != NULL) {
        seikan_throw_range(env, wrong);
        return SEIKAN_THROWN;
    }

    uint32_t sent = 0;
    int error = 0;
    while (sent < wanted && error == 0) {
        int result = sendmmsg(to->fd, messages + sent, wanted - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (result > 0) {
            sent += (uint32_t)result;
            continue;
        }
        if (errno == EINTR) continue;
        struct msghdr *header = &messages[sent].msg_hdr;
        bool cut = vectors[sent].iov_len > sizes[sent];
        if (cut && will_not_cut(errno)) {
            /* The segment size is the last of the control messages. */
            header->msg_controllen -= CMSG_SPACE(sizeof(uint16_t));
            if (header->msg_controllen == 0) header->msg_control = NULL;
            if (send_pieces(to->fd, header, sizes[sent], box)) {
                sent++;
                continue;
            }
        }
        error = errno;
    }
    return sent > 0 || error == 0 || error == EAGAIN ? (int64_t)sent : -error;
}

bool seikan_receivers(napi_env env, napi_value fd, napi_value family, napi_value addresses, struct seikan_receivers *to)
{
    int64_t number;

    *to = (struct seikan_receivers){ 0 };
    if (!seikan_fd(env, fd, &to->fd) || !seikan_integer(env, family, 4, 6, "address family", &number)
        || (!seikan_is_undefined(env, addresses) && !seikan_bytes(env, addresses, &to->records, &to->record_bytes)))
        return false;
    to->domain = number == 4 ? AF_INET : AF_INET6;
    return true;
}

/*
 * (fd, family, slab, columns, first, count, addresses | undefined) → messages sent (0: would block), or the negative
 * errno of the first. Without `addresses` the socket is connected.
 */
static napi_value udp_send_outbox(napi_env env, napi_callback_info info)
{
    napi_value argv[7];
    int64_t first, count;
    struct seikan_receivers to;
    struct seikan_outbox box;

    if (!seikan_arguments(env, info, argv, 7) || !seikan_receivers(env, argv[0], argv[1], argv[6], &to)
        || !seikan_outbox(env, argv + 2, &box) || !seikan_integer(env, argv[4], 0, box.messages, "first message", &first)
        || !seikan_integer(env, argv[5], 0, box.messages - first, "message count", &count))
        return NULL;
    int64_t sent = seikan_udp_send(env, &to, &box, (uint32_t)first, (uint32_t)count);
    return sent == SEIKAN_THROWN ? NULL : seikan_make_number(env, sent);
}

bool seikan_register_udp_table(napi_env env, napi_value exports)
{
    static const struct seikan_function functions[] = {
        { "udpReceiveTable", udp_receive_table },
        { "udpSendOutbox", udp_send_outbox },
        { NULL, NULL },
    };
    return seikan_export_all(env, exports, functions);
}
