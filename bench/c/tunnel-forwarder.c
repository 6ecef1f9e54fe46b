/*
 * The ceiling: a tunnel without a key. IPv4 packets of a tun device travel in UDP datagrams behind 24 bytes that stand
 * for a data packet's header and tag, one packet a datagram, so that the wire carries what an encrypted tunnel's would.
 *
 *     tunnel-forwarder TUN LOCAL-ADDRESS REMOTE-ADDRESS PORT
 *
 * It takes every offload that a tunnel can take: superpackets from the tun (TSO, USO), UDP_SEGMENT out, UDP_GRO in,
 * superpackets into the tun. What a tunnel must do it does too: each datagram holds a whole packet with its checksums,
 * and checksums are verified before packets are coalesced, since the kernel will not look at them again.
 * Payload is never copied here: headers and payload are gathered and scattered by the kernel.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <netinet/udp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

enum {
  OVERHEAD = 24,
  BUFFER = 65536 + 512,
  TUN_BATCH = 64,       /* packets from the tun before they are sent */
  TUN_BYTES = 64 << 10,
  UDP_BATCH = 4,        /* messages of up to 64 KB from the socket */
  MESSAGES = 256,
  SEGMENTS = 64,        /* datagrams a message: what kernels before 6.9 allow */
  MESSAGE_BYTES = 65000,
  HEADERS = 128,        /* OVERHEAD and the longest IPv4 and TCP header */
  DATAGRAMS = 4096,
  FLOWS = 8,
};

struct message { int first, count; uint32_t bytes, segment; int closed; };
struct flow {
  uint8_t *packet;      /* the first packet; its header becomes the superpacket's */
  uint64_t ends;
  uint32_t ports, header, segment, bytes, next;
  int packets, closed, udp;
  struct iovec parts[SEGMENTS + 1];
};

static int tun, udp;
static struct sockaddr_in peer;
static uint8_t from_tun[TUN_BATCH][BUFFER] __attribute__((aligned(64)));
static uint8_t from_udp[UDP_BATCH][BUFFER] __attribute__((aligned(64)));
static uint8_t headers[DATAGRAMS][HEADERS];
static struct iovec gather[2 * DATAGRAMS];
static struct message messages[MESSAGES];
static int datagrams, parts, message_count;
static struct flow flows[FLOWS];
static int flow_count;
static volatile sig_atomic_t stopped;

static uint16_t be16(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }
static uint32_t be32(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return ntohl(v); }
static void put16(uint8_t *p, uint16_t v) { p[0] = v >> 8; p[1] = v; }
static void put32(uint8_t *p, uint32_t v) { v = htonl(v); memcpy(p, &v, 4); }

/* The Internet checksum (RFC 1071) as an unfolded sum in the machine's byte order. */
__attribute__((target_clones("avx512f", "avx2", "default"), optimize("O3")))
static uint64_t sum_blocks(const uint8_t *p, size_t blocks) {
  uint64_t sum = 0;
  for (size_t i = 0; i < blocks * 16; i++) { uint32_t v; memcpy(&v, p + 4 * i, 4); sum += v; }
  return sum;
}
static uint64_t sum(const uint8_t *p, size_t n) {
  uint64_t total = sum_blocks(p, n / 64);
  for (p += n & ~(size_t)63, n &= 63; n >= 4; p += 4, n -= 4) { uint32_t v; memcpy(&v, p, 4); total += v; }
  if (n & 2) { uint16_t v; memcpy(&v, p, 2); total += v; p += 2; }
  return n & 1 ? total + *p : total;
}
static uint16_t fold(uint64_t v) {
  v = (v & 0xffffffff) + (v >> 32);
  v = (v & 0xffffffff) + (v >> 32);
  for (int i = 0; i < 3; i++) v = (v & 0xffff) + (v >> 16);
  return (uint16_t)v;
}
static uint64_t pseudo_header(const uint8_t *ip, uint32_t length) {
  return sum(ip + 12, 8) + htons(ip[9]) + htons((uint16_t)length);
}
static void put_checksum(uint8_t *p, uint64_t total, int udp_packet) {
  uint16_t v = (uint16_t)~fold(total);
  if (udp_packet && v == 0) v = 0xffff;
  memcpy(p, &v, 2);
}

/* ---- tun to socket ---- */

static void send_all(void) {
  static struct mmsghdr out[MESSAGES];
  static union { char bytes[CMSG_SPACE(2)]; struct cmsghdr align; } control[MESSAGES];
  for (int i = 0; i < message_count; i++) {
    struct msghdr *h = &out[i].msg_hdr;
    memset(h, 0, sizeof *h);
    h->msg_name = &peer;
    h->msg_namelen = sizeof peer;
    h->msg_iov = gather + messages[i].first;
    h->msg_iovlen = (size_t)messages[i].count;
    if (messages[i].bytes == messages[i].segment) continue;
    h->msg_control = control[i].bytes;
    h->msg_controllen = sizeof control[i].bytes;
    struct cmsghdr *c = CMSG_FIRSTHDR(h);
    c->cmsg_level = IPPROTO_UDP;
    c->cmsg_type = UDP_SEGMENT;
    c->cmsg_len = CMSG_LEN(2);
    uint16_t size = (uint16_t)messages[i].segment;
    memcpy(CMSG_DATA(c), &size, 2);
  }
  for (int sent = 0; sent < message_count;) {
    int n = sendmmsg(udp, out + sent, (unsigned)(message_count - sent), 0);
    if (n > 0) sent += n;
    else if (errno == EAGAIN) poll(&(struct pollfd){udp, POLLOUT, 0}, 1, 1);
    else if (errno != EINTR) sent++; /* that message is lost, as on a wire */
  }
  message_count = datagrams = parts = 0;
}

/* Adds a datagram: `header` bytes already written behind OVERHEAD in headers[datagrams], then the payload. */
static void add_datagram(uint32_t header, uint8_t *payload, uint32_t length) {
  uint32_t size = OVERHEAD + header + length;
  struct message *m = message_count ? &messages[message_count - 1] : NULL;
  if (!m || m->closed || size > m->segment || m->count / 2 == SEGMENTS || m->bytes + size > MESSAGE_BYTES) {
    m = &messages[message_count++];
    *m = (struct message){.first = parts, .segment = size};
  } else if (size < m->segment) m->closed = 1;
  gather[parts++] = (struct iovec){headers[datagrams++], OVERHEAD + header};
  gather[parts++] = (struct iovec){payload, length};
  m->count += 2;
  m->bytes += size;
}

static void segment(const struct virtio_net_hdr *v, uint8_t *ip, uint32_t length) {
  uint32_t start = v->csum_start, size = v->gso_size;
  int is_udp = (v->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) == VIRTIO_NET_HDR_GSO_UDP_L4;
  uint32_t header = start + (is_udp ? 8 : (uint32_t)(ip[start + 12] >> 4) * 4);
  if (size == 0 || header > HEADERS - OVERHEAD || header >= length) return;
  uint32_t payload = length - header, sequence = be32(ip + start + 4);
  uint16_t id = be16(ip + 4);
  for (uint32_t at = 0, i = 0; at < payload; at += size, i++) {
    uint32_t n = payload - at < size ? payload - at : size;
    uint8_t *h = headers[datagrams] + OVERHEAD, *l4 = h + start;
    memcpy(h, ip, header);
    put16(h + 2, (uint16_t)(header + n));
    put16(h + 4, (uint16_t)(id + i));
    memset(h + 10, 0, 2);
    put_checksum(h + 10, sum(h, start), 0);
    if (is_udp) {
      put16(l4 + 4, (uint16_t)(8 + n));
    } else {
      put32(l4 + 4, sequence + at);
      if (at + n < payload) l4[13] &= (uint8_t)~0x09; /* FIN and PSH end the last one */
      if (i > 0) l4[13] &= (uint8_t)~0x80;            /* CWR stands in the first one */
    }
    uint8_t *check = l4 + (is_udp ? 6 : 16);
    memset(check, 0, 2);
    /* Headers are multiples of two bytes, so the two sums may be added. */
    put_checksum(check, pseudo_header(h, header - start + n) + sum(l4, header - start) + sum(ip + header + at, n), is_udp);
    add_datagram(header, ip + header + at, n);
  }
}

static void tun_to_socket(void) {
  int packets = 0;
  for (size_t bytes = 0; packets < TUN_BATCH && bytes < TUN_BYTES && datagrams < DATAGRAMS - 1400; packets++) {
    uint8_t *buffer = from_tun[packets];
    ssize_t n = read(tun, buffer, BUFFER);
    if (n <= (ssize_t)sizeof(struct virtio_net_hdr)) break;
    bytes += (size_t)n;
    struct virtio_net_hdr v;
    memcpy(&v, buffer, sizeof v);
    uint8_t *ip = buffer + sizeof v;
    uint32_t length = (uint32_t)n - sizeof v;
    if (ip[0] >> 4 != 4) continue;
    if (v.gso_type != VIRTIO_NET_HDR_GSO_NONE) {
      if (message_count > MESSAGES - 32) send_all();
      segment(&v, ip, length);
      continue;
    }
    if (v.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
      put_checksum(ip + v.csum_start + v.csum_offset, sum(ip + v.csum_start, length - v.csum_start), v.csum_offset == 6);
    add_datagram(0, ip, length);
    if (message_count > MESSAGES - 32) send_all();
  }
  if (message_count) send_all();
}

/* ---- socket to tun ---- */

static void write_tun(struct iovec *v, int count) {
  while (writev(tun, v, count) < 0 && (errno == EINTR || errno == EAGAIN))
    if (errno == EAGAIN) poll(&(struct pollfd){tun, POLLOUT, 0}, 1, 1);
}

static void flush_flow(struct flow *f) {
  struct virtio_net_hdr v = {.flags = VIRTIO_NET_HDR_F_DATA_VALID};
  if (f->packets > 1) {
    uint8_t *ip = f->packet;
    v = (struct virtio_net_hdr){
      .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
      .gso_type = f->udp ? VIRTIO_NET_HDR_GSO_UDP_L4 : VIRTIO_NET_HDR_GSO_TCPV4,
      .hdr_len = (uint16_t)f->header, .gso_size = (uint16_t)f->segment,
      .csum_start = 20, .csum_offset = f->udp ? 6 : 16,
    };
    put16(ip + 2, (uint16_t)(f->header + f->bytes));
    memset(ip + 10, 0, 2);
    put_checksum(ip + 10, sum(ip, 20), 0);
    if (f->udp) put16(ip + 24, (uint16_t)(8 + f->bytes));
    uint16_t partial = fold(pseudo_header(ip, f->header - 20 + f->bytes));
    memcpy(ip + 20 + v.csum_offset, &partial, 2);
  }
  f->parts[0] = (struct iovec){&v, sizeof v};
  if (f->packets) write_tun(f->parts, 1 + f->packets);
  f->packets = 0;
}

static void flush_flows(void) {
  for (int i = 0; i < flow_count; i++) flush_flow(&flows[i]);
  flow_count = 0;
}

static struct flow *find_flow(const uint8_t *p) {
  uint64_t ends;
  uint32_t ports;
  memcpy(&ends, p + 12, 8);
  memcpy(&ports, p + 20, 4);
  for (int i = 0; i < flow_count; i++)
    if (flows[i].ends == ends && flows[i].ports == ports && flows[i].udp == (p[9] == 17)) return &flows[i];
  if (flow_count == FLOWS) flush_flows();
  struct flow *f = &flows[flow_count++];
  f->packets = 0;
  f->ends = ends;
  f->ports = ports;
  f->udp = p[9] == 17;
  return f;
}

/* Same type of service, time to live, acknowledgement, window and options; the window may not be told otherwise. */
static int continues(const struct flow *f, const uint8_t *p, uint32_t header, uint32_t n) {
  const uint8_t *q = f->packet;
  if (f->closed || header != f->header || n > f->segment || f->packets == SEGMENTS) return 0;
  if (f->header + f->bytes + n > MESSAGE_BYTES || p[1] != q[1] || p[8] != q[8]) return 0;
  if (f->udp) return 1;
  return be32(p + 24) == f->next && !memcmp(p + 28, q + 28, 4) && !memcmp(p + 34, q + 34, 2) &&
         !memcmp(p + 40, q + 40, header - 40);
}

static void packet_to_tun(uint8_t *p, uint32_t length) {
  static struct virtio_net_hdr plain;
  int is_tcp = length >= 40 && p[9] == 6, is_udp = length >= 28 && p[9] == 17;
  if (p[0] == 0x45 && be16(p + 2) == length && !(be16(p + 6) & 0x3fff) && (is_tcp || is_udp)) {
    uint32_t header = is_udp ? 28 : 20 + (uint32_t)(p[32] >> 4) * 4, n = length - header;
    struct flow *f = find_flow(p);
    int plain_data = header >= (is_udp ? 28 : 40) && header < length &&
                     (is_udp ? be16(p + 24) == 8 + n && be16(p + 26) : (p[33] & ~0x08) == 0x10);
    if (plain_data && fold(pseudo_header(p, length - 20) + sum(p + 20, length - 20)) == 0xffff) {
      if (f->packets && continues(f, p, header, n)) {
        f->packets++;
        f->parts[f->packets] = (struct iovec){p + header, n};
        f->bytes += n;
        f->packet[33] |= is_tcp ? p[33] & 0x08 : 0;
      } else {
        flush_flow(f);
        f->packet = p;
        f->header = header;
        f->segment = f->bytes = n;
        f->packets = 1;
        f->closed = 0;
        f->parts[1] = (struct iovec){p, length};
      }
      if (is_tcp) f->next = be32(p + 24) + n;
      if (n < f->segment || (is_tcp && p[33] & 0x08)) f->closed = 1;
      return;
    }
    flush_flow(f); /* order within the flow */
  }
  struct iovec v[2] = {{&plain, sizeof plain}, {p, length}};
  write_tun(v, 2);
}

static void socket_to_tun(void) {
  static struct mmsghdr in[UDP_BATCH];
  static struct iovec buffers[UDP_BATCH];
  static union { char bytes[CMSG_SPACE(sizeof(int))]; struct cmsghdr align; } control[UDP_BATCH];
  for (int i = 0; i < UDP_BATCH; i++) {
    buffers[i] = (struct iovec){from_udp[i], 65536};
    in[i].msg_hdr = (struct msghdr){.msg_iov = &buffers[i], .msg_iovlen = 1,
                                    .msg_control = control[i].bytes, .msg_controllen = sizeof control[i].bytes};
  }
  int n = recvmmsg(udp, in, UDP_BATCH, MSG_DONTWAIT, NULL);
  for (int i = 0; i < n; i++) {
    uint32_t length = in[i].msg_len, size = length;
    struct msghdr *h = &in[i].msg_hdr;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c))
      if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) { int v; memcpy(&v, CMSG_DATA(c), sizeof v); size = (uint32_t)v; }
    for (uint32_t at = 0; at < length; at += size) {
      uint32_t bytes = length - at < size ? length - at : size;
      if (bytes > OVERHEAD + 20) packet_to_tun(from_udp[i] + at + OVERHEAD, bytes - OVERHEAD);
    }
  }
  flush_flows();
}

/* ---- set-up ---- */

static void die(const char *what) { perror(what); exit(1); }
static void stop(int signal) { (void)signal; stopped = 1; }

static void open_tun(const char *name) {
  struct ifreq r = {.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR};
  strncpy(r.ifr_name, name, IFNAMSIZ - 1);
  tun = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (tun < 0 || ioctl(tun, TUNSETIFF, &r) < 0) die("tun");
  unsigned offloads = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;
  if (ioctl(tun, TUNSETOFFLOAD, offloads | TUN_F_USO4 | TUN_F_USO6) < 0 && ioctl(tun, TUNSETOFFLOAD, offloads) < 0)
    die("TUNSETOFFLOAD");
}

static void open_socket(const char *local, const char *remote, int port) {
  struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  peer = here;
  int bytes = 4 << 20, on = 1;
  if (inet_pton(AF_INET, local, &here.sin_addr) != 1 || inet_pton(AF_INET, remote, &peer.sin_addr) != 1) die("address");
  udp = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (udp < 0 || bind(udp, (struct sockaddr *)&here, sizeof here) < 0) die("socket");
  setsockopt(udp, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
  setsockopt(udp, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes);
  if (setsockopt(udp, IPPROTO_UDP, UDP_GRO, &on, sizeof on) < 0) die("UDP_GRO");
}

int main(int count, char **words) {
  if (count != 5) return fprintf(stderr, "usage: tunnel-forwarder TUN LOCAL REMOTE PORT\n"), 2;
  open_tun(words[1]);
  open_socket(words[2], words[3], atoi(words[4]));
  signal(SIGTERM, stop);
  signal(SIGINT, stop);
  puts("ready");
  fflush(stdout);
  struct pollfd both[2] = {{tun, POLLIN, 0}, {udp, POLLIN, 0}};
  while (!stopped && (poll(both, 2, 1000) >= 0 || errno == EINTR)) {
    if (both[0].revents) tun_to_socket();
    if (both[1].revents) socket_to_tun();
  }
  return 0;
}
