/*
 * TCP, both ways at once over one connection: writes of 1 byte to 64 KiB, every byte compared where it arrives. The
 * kernel cuts, the tunnel cuts and merges; what it must not merge (options) is among it.
 */
#include "line.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CHUNK = 65536, PATIENCE_S = 60 };

/* The texts of the two directions. */
static uint64_t text_of(const struct plan *plan, bool from_server) { return plan->seed * 2 + from_server; }

struct writer {
    const struct plan *plan;
    int socket;
    uint64_t text;
};

static void *write_all(void *given)
{
    struct writer *writer = given;
    const struct plan *plan = writer->plan;
    uint8_t chunk[CHUNK];

    for (uint64_t at = 0, n = 0; at < plan->quota && plan->tally->failure[0] == '\0'; n++) {
        uint64_t random = number(writer->text, n);
        uint32_t size = some_size(random, 1, CHUNK);
        /* Tiny writes alone would be a test of the processor. */
        if (size < 512 && (random >> 40) % 8 != 0) size = CHUNK;
        if (size > plan->quota - at) size = (uint32_t)(plan->quota - at);
        /* Small segments leave at once now and then. */
        int now = (random >> 32) % 4 == 0;
        setsockopt(writer->socket, IPPROTO_TCP, TCP_NODELAY, &now, sizeof now);
        fill(writer->text, at, chunk, size);
        for (uint32_t written = 0; written < size;) {
            ssize_t result = send(writer->socket, chunk + written, size - written, MSG_NOSIGNAL);
            if (result <= 0) {
                fail(plan->tally, "send: %s", strerror(errno));
                return NULL;
            }
            written += (uint32_t)result;
        }
        at += size;
    }
    shutdown(writer->socket, SHUT_WR);
    return NULL;
}

/* Writes one text and compares the other. */
static void exchange(const struct plan *plan, int socket, bool server)
{
    struct tally *tally = plan->tally;
    struct writer writer = { plan, socket, text_of(plan, server) };
    struct timeval patience = { PATIENCE_S, 0 };
    pthread_t thread;
    uint8_t *chunk = malloc(CHUNK);
    uint64_t at = 0;

    setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    pthread_create(&thread, NULL, write_all, &writer);
    for (uint64_t n = 0;; n++) {
        uint32_t wanted = some_size(number(~writer.text, n), 1024, CHUNK);
        ssize_t length = recv(socket, chunk, wanted, 0);
        if (length < 0) fail(tally, "recv after %lu bytes: %s", at, strerror(errno));
        if (length <= 0) break;
        size_t wrong = differs(text_of(plan, !server), at, chunk, (size_t)length);
        if (wrong < (size_t)length) {
            fail(tally, "byte %lu of a stream is wrong", at + wrong);
            break;
        }
        at += (uint64_t)length;
    }
    if (at != plan->quota) fail(tally, "a stream ended after %lu of %lu bytes", at, plan->quota);
    pthread_join(thread, NULL);
    atomic_fetch_add(&tally->seen, at);
    close(socket);
    free(chunk);
}

void *stream_server(void *given)
{
    const struct plan *plan = given;
    struct timeval patience = { PATIENCE_S, 0 };

    enter(plan->to);
    int listener = bound_socket(plan, plan->to, SOCK_STREAM, plan->port, false);
    setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    listen(listener, 1);
    atomic_fetch_add(&ready, 1);
    int socket = accept(listener, NULL, NULL);
    if (socket == -1) fail(plan->tally, "accept: %s", strerror(errno));
    else exchange(plan, socket, true);
    close(listener);
    return NULL;
}

void *stream_client(void *given)
{
    const struct plan *plan = given;
    struct sockaddr_storage server;

    enter(plan->from);
    int socket = bound_socket(plan, plan->from, SOCK_STREAM, 0, true);
    if (connect(socket, (struct sockaddr *)&server, address_of(plan, plan->to, plan->port, &server)) == -1)
        fail(plan->tally, "connect: %s", strerror(errno));
    else exchange(plan, socket, false);
    atomic_fetch_sub(&streaming, 1);
    return NULL;
}
