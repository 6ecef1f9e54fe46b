/*
 * Keys by number: one call seals, or opens, packets of a table each under its own key.
 *
 * Sealing cuts superpackets on the way: a segment's header is written just ahead of its payload, over bytes of the
 * segment before, which is sealed already, so that the AEAD reads header and payload as one and nothing is copied:
 *
 *   superpacket  | header | payload 0 | payload 1 | payload 2 |
 *   in turn      |=== plaintext 0 ====|
 *                            | header |=payload 1=|
 *                                        | header |=payload 2=|
 *   outbox       |head|tag| ciphertext 0 |head|tag| ciphertext 1 |head|tag| ciphertext 2 |
 */
#include "aead.h"
#include "cbc.h"
#include "checksum.h"
#include "superpacket.h"
#include "table-io.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdlib.h>

#define MOST_SLOTS 65536
#define MOST_HEADER 16
/* Bytes of IVs that are drawn at once: a draw costs more than what it gives. */
#define IVS 1024

static const char ring_kind[] = "key ring";

struct ring_key {
    enum { AEAD, CBC } kind;
    union {
        struct seikan_aead aead;
        struct seikan_cbc cbc;
    };
    uint8_t header[MOST_HEADER];
    uint32_t header_length, head; /* what datagrams begin with when sealed; bytes of it when opened */
};

struct ring {
    uint8_t ivs[IVS];
    uint32_t ivs_left, slots;
    struct ring_key *keys[];
};

static void wipe(struct ring_key *key)
{
    if (key->kind == AEAD) seikan_aead_wipe(&key->aead);
    else seikan_cbc_wipe(&key->cbc);
}

static void drop(struct ring *ring, uint32_t slot)
{
    struct ring_key *key = ring->keys[slot];
    if (key == NULL) return;
    ring->keys[slot] = NULL;
    wipe(key);
    free(key);
}

static void destroy(void *data)
{
    struct ring *ring = data;
    for (uint32_t i = 0; i < ring->slots; i++) drop(ring, i);
    OPENSSL_cleanse(ring->ivs, sizeof ring->ivs);
    free(ring);
}

/* (slots) → handle */
static napi_value key_ring_create(napi_env env, napi_callback_info info)
{
    napi_value argv[1];
    int64_t slots;

    if (!seikan_arguments(env, info, argv, 1) || !seikan_integer(env, argv[0], 1, MOST_SLOTS, "slots", &slots)) return NULL;
    struct ring *ring = calloc(1, sizeof *ring + (size_t)slots * sizeof ring->keys[0]);
    if (ring == NULL) {
        napi_throw_error(env, "ENOMEM", "out of memory");
        return NULL;
    }
    ring->slots = (uint32_t)slots;
    return seikan_handle_new(env, ring_kind, ring, destroy);
}

/* Reads (ring, slot) from argv. */
static struct ring *slot_arguments(napi_env env, const napi_value *argv, uint32_t *slot)
{
    struct ring *ring = seikan_handle(env, argv[0], ring_kind);
    int64_t number;
    if (ring == NULL || !seikan_integer(env, argv[1], 0, ring->slots - 1, "slot", &number)) return NULL;
    *slot = (uint32_t)number;
    return ring;
}

static bool set_header(napi_env env, napi_value value, struct ring_key *key)
{
    uint8_t *header;
    size_t length;

    if (!seikan_bytes(env, value, &header, &length)) return false;
    if (length > MOST_HEADER || (length != 0 && length != key->head))
        return seikan_throw_range(env, "a datagram's header ends where its counter or HMAC begins") != NULL;
    memcpy(key->header, header, length);
    key->header_length = (uint32_t)length;
    return true;
}

/* Puts a key, of which `good` says whether it is one, into its slot, or gives it up. */
static void put(struct ring *ring, uint32_t slot, struct ring_key *key, bool good)
{
    if (good) {
        drop(ring, slot);
        ring->keys[slot] = key;
        return;
    }
    wipe(key);
    free(key);
}

static struct ring_key *new_key(napi_env env)
{
    struct ring_key *key = calloc(1, sizeof *key);
    if (key == NULL) napi_throw_error(env, "ENOMEM", "out of memory");
    return key;
}

/* (ring, slot, cipher … bodyOffset as aeadCreate, header): what was in the slot is wiped. */
static napi_value key_ring_set(napi_env env, napi_callback_info info)
{
    napi_value argv[12];
    uint32_t slot;
    struct ring *ring;
    struct ring_key *key;

    if (!seikan_arguments(env, info, argv, 12) || (ring = slot_arguments(env, argv, &slot)) == NULL
        || (key = new_key(env)) == NULL)
        return NULL;
    key->kind = AEAD;
    bool good = seikan_aead_arguments(env, argv + 2, &key->aead);
    if (good && (!key->aead.packets || (key->aead.counter_length != 4 && key->aead.counter_length != 8)))
        good = seikan_throw_range(env, "a key of a ring counts in 4 or 8 bytes") != NULL;
    key->head = key->aead.counter_offset;
    put(ring, slot, key, good && set_header(env, argv[11], key));
    return NULL;
}

/* (ring, slot, cipher, key, digest | undefined, macKey, idSize, headerSize, header): the same with a key for CBC and HMAC. */
static napi_value key_ring_set_cbc(napi_env env, napi_callback_info info)
{
    napi_value argv[9];
    uint32_t slot;
    int64_t head;
    struct ring *ring;
    struct ring_key *key;

    if (!seikan_arguments(env, info, argv, 9) || (ring = slot_arguments(env, argv, &slot)) == NULL
        || !seikan_integer(env, argv[7], 0, MOST_HEADER, "header size", &head) || (key = new_key(env)) == NULL)
        return NULL;
    key->kind = CBC;
    key->head = (uint32_t)head;
    bool good = seikan_cbc_arguments(env, argv + 2, &key->cbc);
    put(ring, slot, key, good && set_header(env, argv[8], key));
    return NULL;
}

/* (ring, slot, header) */
static napi_value key_ring_set_header(napi_env env, napi_callback_info info)
{
    napi_value argv[3];
    uint32_t slot;
    struct ring *ring;

    if (!seikan_arguments(env, info, argv, 3) || (ring = slot_arguments(env, argv, &slot)) == NULL) return NULL;
    if (ring->keys[slot] == NULL) return seikan_throw_range(env, "the slot has no key");
    set_header(env, argv[2], ring->keys[slot]);
    return NULL;
}

/* (ring, slot): idempotent. */
static napi_value key_ring_clear(napi_env env, napi_callback_info info)
{
    napi_value argv[2];
    uint32_t slot;
    struct ring *ring;

    if (!seikan_arguments(env, info, argv, 2) || (ring = slot_arguments(env, argv, &slot)) == NULL) return NULL;
    drop(ring, slot);
    return NULL;
}

/* The key that packet `at` chooses, or NULL with an exception pending. */
static struct ring_key *chosen(napi_env env, const struct ring *ring, const struct seikan_table *table, uint32_t at)
{
    uint32_t slot = seikan_table_get(table, SEIKAN_SLOT, at);
    struct ring_key *key = slot < ring->slots ? ring->keys[slot] : NULL;
    if (key == NULL) seikan_throw_range(env, "a packet chooses a slot that has no key");
    return key;
}

/* Whether ids from `id` on are enough for `count` packets: the counter, 32 or 48 bits of the id, must not wrap. */
static bool ids_suffice(const struct ring_key *key, uint64_t id, uint32_t count)
{
    uint64_t last = key->kind == AEAD && key->aead.counter_length == 8 ? 0xffffffffffff : 0xffffffff;
    return (id & last) <= last - (count - 1);
}

static bool ready(napi_env env, struct ring_key *key, bool sealing)
{
    if (key->kind == AEAD) return seikan_aead_context(env, &key->aead, sealing) != NULL;
    return seikan_cbc_ready(env, &key->cbc, sealing);
}

static uint32_t datagram_size(const struct ring_key *key, uint32_t length)
{
    if (key->kind == AEAD) return length + seikan_aead_overhead(&key->aead);
    return key->head + seikan_cbc_size(&key->cbc, length);
}

static const uint8_t *next_iv(struct ring *ring, uint32_t size)
{
    if (ring->ivs_left < size) {
        if (RAND_bytes(ring->ivs, IVS) != 1) return NULL;
        ring->ivs_left = IVS;
    }
    ring->ivs_left -= size;
    return ring->ivs + ring->ivs_left;
}

/* One datagram, appended to the outbox. The key is ready. */
static bool seal_datagram(struct ring *ring, struct ring_key *key, uint64_t id, const uint8_t *plain, uint32_t length,
    struct seikan_outbox *box, uint32_t address)
{
    uint32_t size = datagram_size(key, length);
    uint8_t *datagram = seikan_outbox_add(box, size, address);

    memcpy(datagram, key->header, key->header_length);
    if (key->kind == AEAD) {
        uint8_t *counter = datagram + key->head;
        if (key->aead.counter_length == 8) {
            seikan_put32(counter, (uint32_t)(id >> 32));
            counter += 4;
        }
        seikan_put32(counter, (uint32_t)id);
        return seikan_aead_seal_packet(&key->aead, key->aead.sealing, datagram, size, plain);
    }
    /* The long form has the sender's time behind the id. */
    uint8_t ids[8];
    seikan_put32(ids, (uint32_t)id);
    seikan_put32(ids + 4, (uint32_t)(id >> 32));
    const uint8_t *iv = next_iv(ring, key->cbc.block_size);
    return iv != NULL && seikan_cbc_seal(&key->cbc, iv, ids, plain, length, datagram + key->head);
}

enum outcome { TAKEN, FULL, THROWN };

static enum outcome seal_packet(napi_env env, struct ring *ring, const struct seikan_table *table, uint32_t at,
    uint8_t *packet, uint32_t length, struct seikan_outbox *box)
{
    struct seikan_superpacket super;
    bool plain = seikan_table_get(table, SEIKAN_KIND, at) == SEIKAN_PLAIN;
    struct ring_key *key = chosen(env, ring, table, at);
    if (key == NULL || !ready(env, key, true)) return THROWN;

    const char *wrong = NULL;
    uint64_t id = (uint64_t)seikan_table_get(table, SEIKAN_ID_HIGH, at) << 32 | seikan_table_get(table, SEIKAN_ID, at);
    uint32_t longest = length, segments = 1, address = seikan_table_get(table, SEIKAN_ADDRESS, at);
    if (key->header_length != key->head) wrong = "a key without a header only opens";
    else if (plain) {
        if (length > 2 * 0xffff) wrong = "a packet longer than any";
    } else if (!seikan_superpacket_open(&super, table, at, packet, length)) wrong = "not a sound superpacket";
    else {
        segments = super.segments;
        longest = super.header_size + seikan_superpacket_payload(&super, 0);
    }
    if (wrong == NULL && !ids_suffice(key, id, segments)) wrong = "the packet ids would wrap";
    if (wrong != NULL) {
        seikan_throw_range(env, wrong);
        return THROWN;
    }
    if (!seikan_outbox_room(box, segments, datagram_size(key, longest))) return FULL;

    bool sealed = true;
    if (plain) sealed = seal_datagram(ring, key, id, packet, length, box, address);
    for (uint32_t i = 0; !plain && sealed && i < segments; i++) {
        uint8_t *header = packet + (size_t)i * super.segment_size;
        uint32_t size = seikan_superpacket_payload(&super, i);
        seikan_superpacket_header(&super, i, header + super.header_size, size, header);
        sealed = seal_datagram(ring, key, id + i, header, super.header_size + size, box, address);
    }
    if (sealed) return TAKEN;
    napi_throw_error(env, "ERR_CRYPTO", "OpenSSL could not seal");
    return THROWN;
}

/* Sends what an outbox holds. What is left is its owner's: SEIKAN_BOX_SENT says from where on, SEIKAN_BOX_ERROR why. */
static bool send_all(napi_env env, const struct seikan_receivers *to, struct seikan_outbox *box)
{
    uint32_t sent = 0;
    int64_t result = 1;
    while (sent < box->messages && result > 0) {
        result = seikan_udp_send(env, to, box, sent, box->messages - sent);
        if (result == SEIKAN_THROWN) return false;
        if (result > 0) sent += (uint32_t)result;
    }
    box->state[SEIKAN_BOX_ERROR] = result < 0 ? (uint32_t)-result : 0;
    box->state[SEIKAN_BOX_SENT] = sent < box->messages ? sent : 0;
    if (sent < box->messages) return true;
    box->messages = box->bytes = box->datagrams = 0;
    seikan_outbox_store(box);
    return true;
}

/*
 * (ring, slab, columns, order, first, count, outSlab, outColumns, fd | undefined, family, addresses) → packets of the order
 * that were taken. With a descriptor the datagrams are sent, too, from an outbox that was empty.
 */
static napi_value key_ring_seal(napi_env env, napi_callback_info info)
{
    napi_value argv[11];
    struct ring *ring;
    struct seikan_table table;
    struct seikan_order order;
    struct seikan_outbox box;
    struct seikan_receivers to;
    enum outcome outcome = TAKEN;
    uint32_t done = 0;

    if (!seikan_arguments(env, info, argv, 11) || (ring = seikan_handle(env, argv[0], ring_kind)) == NULL
        || !seikan_table(env, argv + 1, &table) || !seikan_order(env, argv + 3, &order)
        || !seikan_outbox(env, argv + 6, &box))
        return NULL;
    bool sends = !seikan_is_undefined(env, argv[8]);
    if (sends && !seikan_receivers(env, argv[8], argv[9], argv[10], &to)) return NULL;
    bool empty = box.messages == 0 && box.bytes == 0;
    while (done < order.count) {
        uint32_t at, length;
        uint8_t *packet;
        if (!seikan_order_packet(env, &order, done, &table, &at, &packet, &length)) outcome = THROWN;
        else outcome = seal_packet(env, ring, &table, at, packet, length, &box);
        if (outcome != TAKEN) break;
        done++;
    }
    seikan_outbox_store(&box);
    if (outcome == THROWN) return NULL;
    if (outcome == FULL && empty && done == 0) return seikan_throw_range(env, "the outbox is too small for a packet");
    if (sends && empty && !send_all(env, &to, &box)) return NULL;
    return seikan_make_number(env, done);
}

/* (ring, slab, columns, order, first, count) → datagrams that are authentic; SEIKAN_VERDICT of each is set. */
static napi_value key_ring_open(napi_env env, napi_callback_info info)
{
    napi_value argv[6];
    struct ring *ring;
    struct seikan_table table;
    struct seikan_order order;
    uint32_t authentic = 0;

    if (!seikan_arguments(env, info, argv, 6) || (ring = seikan_handle(env, argv[0], ring_kind)) == NULL
        || !seikan_table(env, argv + 1, &table) || !seikan_order(env, argv + 3, &order))
        return NULL;
    for (uint32_t k = 0; k < order.count; k++) {
        uint32_t at, length;
        uint8_t *datagram;
        struct ring_key *key;
        if (!seikan_order_packet(env, &order, k, &table, &at, &datagram, &length)
            || (key = chosen(env, ring, &table, at)) == NULL || !ready(env, key, false))
            return NULL;
        bool good = key->kind == AEAD ? seikan_aead_open_packet(&key->aead, key->aead.opening, datagram, length)
            : length > key->head && seikan_cbc_open(&key->cbc, datagram + key->head, length - key->head);
        seikan_table_set(&table, SEIKAN_VERDICT, at, good ? SEIKAN_AUTHENTIC : SEIKAN_FORGED);
        authentic += good;
    }
    return seikan_make_number(env, authentic);
}

bool seikan_register_key_ring(napi_env env, napi_value exports)
{
    static const struct seikan_function functions[] = {
        { "keyRingCreate", key_ring_create },
        { "keyRingSet", key_ring_set },
        { "keyRingSetCbc", key_ring_set_cbc },
        { "keyRingSetHeader", key_ring_set_header },
        { "keyRingClear", key_ring_clear },
        { "keyRingSeal", key_ring_seal },
        { "keyRingOpen", key_ring_open },
        { NULL, NULL },
    };
    return seikan_export_all(env, exports, functions);
}
