/*
 * Traffic between two hosts through a tunnel, all of it compared where it arrives.
 *
 *     checked-traffic SEED MTU STREAM-BYTES GROUPS HOST HOST       HOST: NETNS DEVICE IPV4 IPV6, the client first
 *
 * First GROUPS of datagrams and of whole packets of each flow; then the same beside eight TCP connections of
 * STREAM-BYTES each way, which fill the queues. Prints one JSON document for each flow and ends with 1 when a byte was
 * wrong, something came that must not have been merged or out of order, or too much was lost.
 */
#include "line.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MOST_FLOWS = 64, FIRST_PORT = 20000, BLOCK = 4096 };
/* Of how many datagrams a flow's loss says something: three that wait beside eight streams may well lose two. */
enum { ENOUGH = 50 };
/* What has not come when there was no news for so long is lost. */
enum { PAUSE_US = 50, PATIENCE_S = 3 };
/* Between groups beside streams, which would not get through otherwise: datagrams do not slow down for anybody. */
enum { REST_US = 5000 };

atomic_int ready, streaming;
static pthread_mutex_t failing = PTHREAD_MUTEX_INITIALIZER;

void fail(struct tally *tally, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    pthread_mutex_lock(&failing);
    if (tally->failure[0] == '\0') vsnprintf(tally->failure, sizeof tally->failure, format, arguments);
    pthread_mutex_unlock(&failing);
    va_end(arguments);
}

static void die(const char *what)
{
    perror(what);
    exit(2);
}

static void rest(long microseconds)
{
    struct timespec time = { microseconds / 1000000, microseconds % 1000000 * 1000 };
    nanosleep(&time, NULL);
}

void enter(const struct host *host)
{
    if (setns(host->netns, CLONE_NEWNET) == -1) die("setns");
}

socklen_t address_of(const struct plan *plan, const struct host *host, uint16_t port, struct sockaddr_storage *into)
{
    memset(into, 0, sizeof *into);
    if (plan->six) {
        *(struct sockaddr_in6 *)into = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = host->v6 };
        return sizeof(struct sockaddr_in6);
    }
    *(struct sockaddr_in *)into = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = host->v4 };
    return sizeof(struct sockaddr_in);
}

int bound_socket(const struct plan *plan, const struct host *host, int type, uint16_t port, bool sending)
{
    /* IPv4: a stream identifier. IPv6: a destination options header that holds PadN. */
    static const uint8_t v4[4] = { 0x88, 4, 0x12, 0x34 }, v6[8] = { 0, 0, 1, 4 };
    struct sockaddr_storage own;
    const int yes = 1;
    int made = socket(plan->six ? AF_INET6 : AF_INET, type, 0);

    setsockopt(made, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (sending && plan->options
        && (plan->six ? setsockopt(made, IPPROTO_IPV6, IPV6_DSTOPTS, v6, sizeof v6) : setsockopt(made, IPPROTO_IP, IP_OPTIONS, v4, sizeof v4)) == -1)
        die("options");
    if (made == -1 || bind(made, (struct sockaddr *)&own, address_of(plan, host, port, &own)) == -1) die("bind");
    return made;
}

void wait_for_arrival(const struct tally *tally)
{
    uint64_t seen = atomic_load(&tally->seen);
    time_t news = time(NULL);
    while (atomic_load(&tally->sent) > seen && time(NULL) - news <= PATIENCE_S && tally->failure[0] == '\0') {
        rest(PAUSE_US);
        uint64_t now = atomic_load(&tally->seen);
        if (now != seen) news = time(NULL);
        seen = now;
    }
}

bool goes_on(const struct plan *plan, uint64_t n)
{
    struct tally *tally = plan->tally;
    if (plan->beside != NULL) rest(REST_US);
    if (n < plan->quota && (plan->beside == NULL || atomic_load(plan->beside) > 0) && tally->failure[0] == '\0') return true;
    atomic_store(&tally->groups, n);
    atomic_store(&tally->done, true);
    return false;
}

uint32_t some_size(uint64_t random, uint32_t least, uint32_t most)
{
    uint32_t bits = 32 - (uint32_t)__builtin_clz(most);
    uint32_t below = 1u << (1 + (random >> 8) % bits), size = (uint32_t)(random >> 16) % below;
    return size < least ? least : size > most ? most : size;
}

void fill(uint64_t seed, uint64_t position, uint8_t *into, size_t size)
{
    while (size > 0) {
        uint64_t word = number(seed, position / 8);
        size_t from = position % 8, here = 8 - from < size ? 8 - from : size;
        memcpy(into, (const uint8_t *)&word + from, here);
        into += here;
        position += here;
        size -= here;
    }
}

size_t differs(uint64_t seed, uint64_t position, const uint8_t *bytes, size_t size)
{
    uint8_t expected[BLOCK];
    for (size_t at = 0; at < size;) {
        size_t here = size - at < BLOCK ? size - at : BLOCK;
        fill(seed, position + at, expected, here);
        if (memcmp(expected, bytes + at, here) != 0)
            for (size_t i = 0; i < here; i++)
                if (expected[i] != bytes[at + i]) return at + i;
        at += here;
    }
    return size;
}

static struct host hosts[2];
static uint64_t seed, stream_bytes, groups;
static uint32_t mtu;

struct flow {
    struct plan plan;
    struct tally tally;
    pthread_t threads[2];
};

static struct flow flows[MOST_FLOWS];
static int count;

static void start(const char *name, void *(*first)(void *), void *(*second)(void *), struct plan plan)
{
    struct flow *flow = &flows[count];
    *flow = (struct flow){ .plan = plan };
    flow->tally.name = name;
    flow->plan.tally = &flow->tally;
    atomic_store(&flow->tally.groups, plan.quota);
    flow->plan.mtu = mtu;
    flow->plan.port = (uint16_t)(FIRST_PORT + count);
    flow->plan.seed = number(seed, (uint64_t)count);
    int before = atomic_load(&ready);
    if (pthread_create(&flow->threads[0], NULL, first, &flow->plan) != 0) die("pthread_create");
    while (atomic_load(&ready) == before) rest(1000);
    if (pthread_create(&flow->threads[1], NULL, second, &flow->plan) != 0) die("pthread_create");
    count++;
}

/* `beside`: for as long as this is not 0; else so many groups of each flow. */
static void start_packets(const atomic_int *beside)
{
    static const char *const names[2][2] = { { "udp", "udp-options" }, { "udp6", "udp6-options" } };
    for (int six = 0; six < 2; six++)
        for (int back = 0; back < 2; back++) {
            struct plan plan = { .from = &hosts[back], .to = &hosts[!back], .six = six, .beside = beside };
            plan.quota = beside == NULL ? groups : UINT64_MAX;
            start(six ? "packets6" : "packets", crafted_receiver, crafted_sender, plan);
            for (int options = 0; options < 2; options++) {
                plan.options = options;
                start(names[six][options], datagram_receiver, datagram_sender, plan);
            }
        }
}

static void start_streams(void)
{
    static const char *const names[2][2] = { { "tcp", "tcp-options" }, { "tcp6", "tcp6-options" } };
    for (int six = 0; six < 2; six++)
        for (int k = 0; k < 4; k++) {
            struct plan plan = { .from = &hosts[k % 2], .to = &hosts[!(k % 2)], .six = six, .options = k == 3, .quota = stream_bytes };
            atomic_fetch_add(&streaming, 1);
            start(names[six][k == 3], stream_server, stream_client, plan);
        }
}

/* Waits for all that were started. A busy machine loses datagrams, which is no fault; but most must have come. */
static bool finish(const char *phase)
{
    bool good = true;
    for (int i = 0; i < count; i++) {
        struct tally *tally = &flows[i].tally;
        for (int k = 0; k < 2; k++) pthread_join(flows[i].threads[k], NULL);
        if (tally->packets >= ENOUGH && tally->lost * 2 > tally->packets)
            fail(tally, "%lu of %lu datagrams were lost", tally->lost, tally->packets);
        uint64_t bytes = tally->bytes > 0 ? tally->bytes : atomic_load(&tally->seen);
        printf("{\"phase\":\"%s\",\"flow\":\"%s\",\"back\":%s,\"bytes\":%lu,\"packets\":%lu,\"lost\":%lu,\"merged\":%lu,\"failure\":\"%s\"}\n", phase,
            tally->name, flows[i].plan.from == &hosts[1] ? "true" : "false", bytes, tally->packets, tally->lost, tally->merged, tally->failure);
        good = good && tally->failure[0] == '\0';
    }
    count = 0;
    return good;
}

static void read_host(char **words, struct host *host)
{
    char path[256];
    snprintf(path, sizeof path, "/run/netns/%s", words[0]);
    host->netns = open(path, O_RDONLY | O_CLOEXEC);
    host->device = words[1];
    if (host->netns == -1) die(path);
    if (inet_pton(AF_INET, words[2], &host->v4) != 1 || inet_pton(AF_INET6, words[3], &host->v6) != 1) {
        fprintf(stderr, "not addresses: %s %s\n", words[2], words[3]);
        exit(2);
    }
}

int main(int words, char **word)
{
    if (words != 13) {
        fprintf(stderr, "usage: checked-traffic SEED MTU STREAM-BYTES GROUPS (NETNS DEVICE IPV4 IPV6) x 2\n");
        return 2;
    }
    seed = strtoull(word[1], NULL, 10);
    mtu = (uint32_t)strtoul(word[2], NULL, 10);
    stream_bytes = strtoull(word[3], NULL, 10);
    groups = strtoull(word[4], NULL, 10);
    read_host(word + 5, &hosts[0]);
    read_host(word + 9, &hosts[1]);
    start_packets(NULL);
    bool good = finish("alone");
    start_streams();
    start_packets(&streaming);
    return finish("beside streams") && good ? 0 : 1;
}
