/* AEAD keys inside the addon: what a key of aead.c and a slot of key-ring.c hold. */
#ifndef SEIKAN_AEAD_H
#define SEIKAN_AEAD_H

#include "addon.h"

#include <openssl/evp.h>
#include <string.h>

#define SEIKAN_NONCE_SIZE 12
#define SEIKAN_TAG_SIZE 16
#define SEIKAN_MOST_KEY 32
/* No part of a packet's head lies further in than this. */
#define SEIKAN_MOST_HEAD 256

struct seikan_aead {
    const EVP_CIPHER *cipher; /* NULL: wiped */
    EVP_CIPHER_CTX *sealing;  /* each made at its first use */
    EVP_CIPHER_CTX *opening;
    uint8_t key[SEIKAN_MOST_KEY];
    uint8_t iv[SEIKAN_NONCE_SIZE];
    uint32_t aad_offset, aad_length, counter_offset, counter_length, tag_offset, body_offset;
    bool packets, tag_behind;
    bool quick; /* its contexts take a nonce without an Init */
};

/*
 * Reads (cipher, key, iv, aadOffset, aadLength, counterOffset, counterLength, tagOffset, bodyOffset), or only the first
 * two where `iv` is undefined, into a zeroed key. Throws and returns false when they are wrong.
 */
bool seikan_aead_arguments(napi_env env, const napi_value *argv, struct seikan_aead *aead);

/* Idempotent. */
void seikan_aead_wipe(struct seikan_aead *aead);

/* The context of one direction, or NULL with an exception pending. */
EVP_CIPHER_CTX *seikan_aead_context(napi_env env, struct seikan_aead *aead, bool sealing);

/* One packet of a packet key, head and all, at `packet`, its body read from `body` (which may be in place). */
bool seikan_aead_seal_packet(
    const struct seikan_aead *aead, EVP_CIPHER_CTX *ctx, uint8_t *packet, uint32_t length, const uint8_t *body);

/* In place. False: forged or too short; the body is cleared. */
bool seikan_aead_open_packet(const struct seikan_aead *aead, EVP_CIPHER_CTX *ctx, uint8_t *packet, uint32_t length);

/* Bytes of a packet around its body. */
static inline uint32_t seikan_aead_overhead(const struct seikan_aead *aead)
{
    return aead->body_offset + (aead->tag_behind ? SEIKAN_TAG_SIZE : 0);
}

#endif
