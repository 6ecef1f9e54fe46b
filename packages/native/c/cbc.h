/* Keys of a block cipher in CBC mode with an HMAC beside it, inside the addon: what a slot of key-ring.c may hold. */
#ifndef SEIKAN_CBC_H
#define SEIKAN_CBC_H

#include "addon.h"

#include <openssl/evp.h>

/* Of every cipher and digest that OpenSSL has: keys, blocks, and the block that a digest works on. */
#define SEIKAN_CBC_KEY EVP_MAX_KEY_LENGTH
#define SEIKAN_CBC_BLOCK EVP_MAX_BLOCK_LENGTH
#define SEIKAN_HMAC_BLOCK 256

struct seikan_cbc {
    const EVP_CIPHER *cipher;    /* NULL: wiped */
    const EVP_MD *digest;        /* NULL: no HMAC */
    EVP_CIPHER_CTX *sealing;     /* this and all below: made at the first use */
    EVP_CIPHER_CTX *opening;
    EVP_MD_CTX *inner, *outer;   /* have taken in the key, padded: a copy of each begins an HMAC */
    EVP_MD_CTX *work;
    uint8_t key[SEIKAN_CBC_KEY], mac_key[EVP_MAX_MD_SIZE];
    uint32_t mac_key_length, mac_size, block_size, id_size;
};

/*
 * Reads (cipher, key, digest | undefined, macKey, idSize) into a zeroed key. Throws and returns false when they are
 * wrong, or when this OpenSSL does not have them.
 */
bool seikan_cbc_arguments(napi_env env, const napi_value *argv, struct seikan_cbc *cbc);

/* Idempotent. */
void seikan_cbc_wipe(struct seikan_cbc *cbc);

/* Makes ready for one direction; false with an exception pending. */
bool seikan_cbc_ready(napi_env env, struct seikan_cbc *cbc, bool sealing);

/* Bytes of a datagram behind its header, for a plaintext of so many. */
static inline uint32_t seikan_cbc_size(const struct seikan_cbc *cbc, uint32_t length)
{
    uint32_t blocks = (cbc->id_size + length) / cbc->block_size + 1;
    return cbc->mac_size + cbc->block_size + blocks * cbc->block_size;
}

/* Writes seikan_cbc_size bytes to `into`, which `plain` does not overlap. `id` has id_size bytes, `iv` block_size. */
bool seikan_cbc_seal(struct seikan_cbc *cbc, const uint8_t *iv, const uint8_t *id, const uint8_t *plain, uint32_t length,
    uint8_t *into);

/* In place: afterwards id, plaintext and padding stand where the ciphertext was. False: forged, or its length or padding is wrong. */
bool seikan_cbc_open(struct seikan_cbc *cbc, uint8_t *bytes, uint32_t length);

#endif
