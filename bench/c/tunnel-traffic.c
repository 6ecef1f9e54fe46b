/*
 * Small UDP traffic through a tunnel: round trips and paced datagrams.
 *
 *     tunnel-traffic answer ADDRESS PORT                       echoes 'E', counts 'D', tells the count on 'R'
 *     tunnel-traffic echo ADDRESS PORT SECONDS INTERVAL-US     prints {"p50":..,"p99":..,"sent":..,"lost":..}, times in us
 *     tunnel-traffic pace ADDRESS PORT BYTES RATE SECONDS      prints {"offered":..,"received":..}, datagrams
 *
 * `pace` sends RATE datagrams a second, each on its own (no segmentation offload), in bursts as short as the timer
 * allows. What the sender itself could not send in time counts as offered all the same: the sender shares the machine
 * with the tunnel.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 64, BUFFER = 2048, ECHO_BYTES = 64, MAX_ECHOES = 1 << 20, ANSWER_MS = 1000 };

static char buffers[BATCH][BUFFER];
static struct iovec vectors[BATCH];
static struct mmsghdr messages[BATCH];
static struct sockaddr_in from[BATCH];

static void die(const char *what) { perror(what); exit(1); }

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void rest(double seconds) {
  struct timespec t = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
  nanosleep(&t, NULL);
}

static void prepare(size_t bytes, int addresses) {
  for (int i = 0; i < BATCH; i++) {
    vectors[i] = (struct iovec){buffers[i], bytes};
    messages[i].msg_hdr = (struct msghdr){.msg_iov = &vectors[i], .msg_iovlen = 1};
    if (addresses) messages[i].msg_hdr.msg_name = &from[i];
  }
}

static void answer(int s) {
  uint64_t count = 0;
  for (;;) {
    prepare(BUFFER, 1);
    for (int i = 0; i < BATCH; i++) messages[i].msg_hdr.msg_namelen = sizeof from[i];
    int n = recvmmsg(s, messages, BATCH, MSG_WAITFORONE, NULL);
    for (int i = 0; i < n; i++) {
      size_t length = messages[i].msg_len;
      if (buffers[i][0] == 'D') {
        count++;
        continue;
      }
      if (buffers[i][0] == 'R') {
        memcpy(buffers[i] + 8, &count, 8);
        length = 16;
      }
      sendto(s, buffers[i], length, 0, (struct sockaddr *)&from[i], sizeof from[i]);
    }
  }
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static void echo(int s, double seconds, double interval) {
  double *times = malloc(MAX_ECHOES * sizeof *times);
  uint32_t sent = 0, came = 0;
  char *b = buffers[0];
  memset(b, 0, ECHO_BYTES);
  for (double end = now() + seconds; now() < end && came < MAX_ECHOES; sent++) {
    b[0] = 'E';
    memcpy(b + 4, &sent, 4);
    double began = now();
    if (send(s, b, ECHO_BYTES, 0) < 0 && errno != ENOBUFS) die("send");
    for (uint32_t number = sent + 1; number != sent;) {
      struct pollfd p = {s, POLLIN, 0};
      if (poll(&p, 1, ANSWER_MS) <= 0) break;
      if (recv(s, b, BUFFER, 0) < ECHO_BYTES) continue;
      memcpy(&number, b + 4, 4);
      if (number == sent) times[came++] = (now() - began) * 1e6;
    }
    rest(interval);
  }
  if (came == 0) {
    fprintf(stderr, "no echo of %u came back\n", sent);
    exit(1);
  }
  qsort(times, came, sizeof *times, by_value);
  printf("{\"p50\":%.1f,\"p99\":%.1f,\"sent\":%u,\"lost\":%u}\n", times[came / 2], times[(uint64_t)came * 99 / 100], sent,
         sent - came);
}

/* How many have arrived so far. */
static uint64_t arrived(int s) {
  for (int tries = 0; tries < 10; tries++) {
    char *b = buffers[0];
    memset(b, 0, 16);
    b[0] = 'R';
    send(s, b, 16, 0);
    struct pollfd p = {s, POLLIN, 0};
    if (poll(&p, 1, 500) > 0 && recv(s, b, BUFFER, 0) == 16) {
      uint64_t count;
      memcpy(&count, b + 8, 8);
      return count;
    }
  }
  fprintf(stderr, "no report came back\n");
  exit(1);
}

static void pace(int s, size_t bytes, double rate, double seconds) {
  uint64_t before = arrived(s);
  for (int i = 0; i < BATCH; i++) memset(buffers[i], 'D', bytes);
  prepare(bytes, 0);
  prctl(PR_SET_TIMERSLACK, 1);
  uint64_t sent = 0;
  double began = now(), passed;
  while ((passed = now() - began) < seconds) {
    uint64_t due = (uint64_t)(passed * rate);
    if (due <= sent) {
      rest(50e-6);
      continue;
    }
    uint64_t count = due - sent < BATCH ? due - sent : BATCH;
    int n = sendmmsg(s, messages, (unsigned)count, 0);
    /* A full queue of the tunnel's device is a loss, and blocking on it would hide it. */
    sent += n > 0 ? (uint64_t)n : 1;
  }
  rest(0.1); /* what is still in queues */
  uint64_t offered = (uint64_t)(seconds * rate);
  printf("{\"offered\":%lu,\"received\":%lu}\n", offered, arrived(s) - before);
}

int main(int count, char **words) {
  const char *what = count > 3 ? words[1] : "";
  struct sockaddr_in address = {.sin_family = AF_INET};
  int s = socket(AF_INET, SOCK_DGRAM, 0), bytes = 4 << 20;
  if (s < 0) die("socket");
  setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
  setsockopt(s, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes);
  if (count > 3) {
    address.sin_port = htons((uint16_t)atoi(words[3]));
    if (inet_pton(AF_INET, words[2], &address.sin_addr) != 1) die("address");
  }
  if (!strcmp(what, "answer") && count == 4) {
    if (bind(s, (struct sockaddr *)&address, sizeof address) < 0) die("bind");
    puts("ready");
    fflush(stdout);
    answer(s);
  }
  if (connect(s, (struct sockaddr *)&address, sizeof address) < 0) die("connect");
  if (!strcmp(what, "echo") && count == 6) echo(s, atof(words[4]), atof(words[5]) * 1e-6);
  else if (!strcmp(what, "pace") && count == 7 && atoi(words[4]) >= 16 && atoi(words[4]) <= BUFFER)
    pace(s, (size_t)atoi(words[4]), atof(words[5]), atof(words[6]));
  else return fprintf(stderr, "usage: see the head of tunnel-traffic.c\n"), 2;
  return 0;
}
