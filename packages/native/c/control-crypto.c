/*
 * What tls-crypt needs of each control packet, in one call. A stream of node:crypto costs some microseconds for each,
 * and so does every small array that comes from V8's heap; a handshake needs dozens.
 *
 *   HMAC(K, m) = H(K ^ opad, H(K ^ ipad, m)), K padded with zeros to a block of 64 bytes (RFC 2104)
 *
 *   packet   | head 17 | tag 32: HMAC-SHA256(head, body) | body: AES-256-CTR, IV: the tag's first 16 bytes |
 *   half     | cipher key 64, 32 of them used | HMAC key 64, 32 of them used |
 */
#define OPENSSL_SUPPRESS_DEPRECATED

#include <pthread.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/sha.h>

#include "addon.h"

enum { BLOCK = 64, KEY_SIZE = 32, IV_SIZE = 16 };

static void hmac(const uint8_t *key, size_t key_length, const uint8_t *first, size_t first_length,
                 const uint8_t *second, size_t second_length, uint8_t out[SHA256_DIGEST_LENGTH])
{
    uint8_t inner[SHA256_DIGEST_LENGTH], pad[BLOCK];
    SHA256_CTX hash;

    memset(pad, 0x36, BLOCK);
    for (size_t i = 0; i < key_length; i++) pad[i] ^= key[i];
    SHA256_Init(&hash);
    SHA256_Update(&hash, pad, BLOCK);
    SHA256_Update(&hash, first, first_length);
    SHA256_Update(&hash, second, second_length);
    SHA256_Final(inner, &hash);

    for (size_t i = 0; i < BLOCK; i++) pad[i] ^= 0x36 ^ 0x5c;
    SHA256_Init(&hash);
    SHA256_Update(&hash, pad, BLOCK);
    SHA256_Update(&hash, inner, sizeof inner);
    SHA256_Final(out, &hash);
    OPENSSL_cleanse(pad, sizeof pad);
    OPENSSL_cleanse(&hash, sizeof hash);
}

/* (key, first, second, out): key up to 64 bytes, out 32. */
static napi_value hmac_sha256(napi_env env, napi_callback_info info)
{
    napi_value argv[4];
    uint8_t *key, *first, *second, *out;
    size_t key_length, first_length, second_length, room;

    if (!seikan_arguments(env, info, argv, 4) || !seikan_bytes(env, argv[0], &key, &key_length)
        || !seikan_bytes(env, argv[1], &first, &first_length) || !seikan_bytes(env, argv[2], &second, &second_length)
        || !seikan_bytes(env, argv[3], &out, &room))
        return NULL;
    if (key_length > BLOCK) return seikan_throw_range(env, "a key has at most 64 bytes");
    if (room != SHA256_DIGEST_LENGTH) return seikan_throw_range(env, "the output has 32 bytes");
    hmac(key, key_length, first, first_length, second, second_length, out);
    return NULL;
}

/* Looking a cipher up costs OpenSSL 3 more than using it on a short packet. */
static EVP_CIPHER *aes_ctr;
static pthread_once_t fetched = PTHREAD_ONCE_INIT;

static void fetch(void)
{
    aes_ctr = EVP_CIPHER_fetch(NULL, "AES-256-CTR", NULL);
}

static bool ctr(const uint8_t *key, const uint8_t *iv, const uint8_t *in, size_t length, uint8_t *out)
{
    EVP_CIPHER_CTX *ctx;
    int written = 0;

    pthread_once(&fetched, fetch);
    ctx = EVP_CIPHER_CTX_new();
    bool good = ctx != NULL && aes_ctr != NULL && EVP_EncryptInit_ex2(ctx, aes_ctr, key, iv, NULL) == 1
        && EVP_EncryptUpdate(ctx, out, &written, in, (int)length) == 1 && (size_t)written == length;
    EVP_CIPHER_CTX_free(ctx);
    return good;
}

/* (key, iv, in, out): out is as long as in, and may be the same bytes. */
static napi_value aes_256_ctr(napi_env env, napi_callback_info info)
{
    napi_value argv[4];
    uint8_t *key, *iv, *in, *out;
    size_t key_length, iv_length, length, room;

    if (!seikan_arguments(env, info, argv, 4) || !seikan_bytes(env, argv[0], &key, &key_length)
        || !seikan_bytes(env, argv[1], &iv, &iv_length) || !seikan_bytes(env, argv[2], &in, &length)
        || !seikan_bytes(env, argv[3], &out, &room))
        return NULL;
    if (key_length != KEY_SIZE) return seikan_throw_range(env, "a key has 32 bytes");
    if (iv_length != IV_SIZE) return seikan_throw_range(env, "an iv has 16 bytes");
    if (room != length || length > INT32_MAX) return seikan_throw_range(env, "the output is as long as the input");
    if (out != in && out < in + length && in < out + length)
        return seikan_throw_range(env, "input and output overlap without being the same");

    if (!ctr(key, iv, in, length, out)) napi_throw_error(env, "ERR_CRYPTO", "OpenSSL could not encrypt");
    return NULL;
}

enum { TAG_AT = 17, BODY_AT = TAG_AT + SHA256_DIGEST_LENGTH, HMAC_KEY_AT = 64, HALF_SIZE = 128 };

static bool half_and_packet(napi_env env, napi_value argv[2], uint8_t **half, uint8_t **packet, size_t *length)
{
    size_t half_length;

    if (!seikan_bytes(env, argv[0], half, &half_length) || !seikan_bytes(env, argv[1], packet, length)) return false;
    if (half_length == HALF_SIZE && *length >= BODY_AT && *length <= INT32_MAX) return true;
    seikan_throw_range(env, "tls-crypt: half a key has 128 bytes, a packet 49 or more");
    return false;
}

/* (half, packet) */
static napi_value seal_tls_crypt(napi_env env, napi_callback_info info)
{
    napi_value argv[2];
    uint8_t *half, *packet, *body;
    size_t length;

    if (!seikan_arguments(env, info, argv, 2) || !half_and_packet(env, argv, &half, &packet, &length)) return NULL;
    body = packet + BODY_AT;
    hmac(half + HMAC_KEY_AT, KEY_SIZE, packet, TAG_AT, body, length - BODY_AT, packet + TAG_AT);
    if (!ctr(half, packet + TAG_AT, body, length - BODY_AT, body))
        napi_throw_error(env, "ERR_CRYPTO", "OpenSSL could not encrypt");
    return NULL;
}

/* (half, packet, body) → whether the tag is right. Body: as long as the packet's. */
static napi_value open_tls_crypt(napi_env env, napi_callback_info info)
{
    napi_value argv[3], good;
    uint8_t *half, *packet, *body, tag[SHA256_DIGEST_LENGTH];
    size_t length, room;

    if (!seikan_arguments(env, info, argv, 3) || !half_and_packet(env, argv, &half, &packet, &length)
        || !seikan_bytes(env, argv[2], &body, &room))
        return NULL;
    if (room != length - BODY_AT) return seikan_throw_range(env, "tls-crypt: the output is as long as the body");
    if (!ctr(half, packet + TAG_AT, packet + BODY_AT, room, body)) {
        napi_throw_error(env, "ERR_CRYPTO", "OpenSSL could not decrypt");
        return NULL;
    }
    hmac(half + HMAC_KEY_AT, KEY_SIZE, packet, TAG_AT, body, room, tag);
    napi_get_boolean(env, CRYPTO_memcmp(tag, packet + TAG_AT, sizeof tag) == 0, &good);
    return good;
}

bool seikan_register_control_crypto(napi_env env, napi_value exports)
{
    return seikan_export(env, exports, "hmacSha256", hmac_sha256)
        && seikan_export(env, exports, "aes256Ctr", aes_256_ctr)
        && seikan_export(env, exports, "sealTlsCrypt", seal_tls_crypt)
        && seikan_export(env, exports, "openTlsCrypt", open_tls_crypt);
}
