/*
 * What tls-crypt needs of each control packet, in one call: HMAC-SHA256 over two pieces, AES-256-CTR. A stream of
 * node:crypto costs some microseconds for each; a handshake needs dozens.
 *
 *   HMAC(K, m) = H(K ^ opad, H(K ^ ipad, m)), K padded with zeros to a block of 64 bytes (RFC 2104)
 */
#define OPENSSL_SUPPRESS_DEPRECATED

#include <pthread.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/sha.h>

#include "addon.h"

enum { BLOCK = 64, KEY_SIZE = 32, IV_SIZE = 16 };

/* (key, first, second, out): key up to 64 bytes, out 32. */
static napi_value hmac_sha256(napi_env env, napi_callback_info info)
{
    napi_value argv[4];
    uint8_t *key, *first, *second, *out, pad[BLOCK], inner[SHA256_DIGEST_LENGTH];
    size_t key_length, first_length, second_length, room;
    SHA256_CTX hash;

    if (!seikan_arguments(env, info, argv, 4) || !seikan_bytes(env, argv[0], &key, &key_length)
        || !seikan_bytes(env, argv[1], &first, &first_length) || !seikan_bytes(env, argv[2], &second, &second_length)
        || !seikan_bytes(env, argv[3], &out, &room))
        return NULL;
    if (key_length > BLOCK) return seikan_throw_range(env, "a key has at most 64 bytes");
    if (room != SHA256_DIGEST_LENGTH) return seikan_throw_range(env, "the output has 32 bytes");

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
    return NULL;
}

/* Looking a cipher up costs OpenSSL 3 more than using it on a short packet. */
static EVP_CIPHER *aes_ctr;
static pthread_once_t fetched = PTHREAD_ONCE_INIT;

static void fetch(void)
{
    aes_ctr = EVP_CIPHER_fetch(NULL, "AES-256-CTR", NULL);
}

/* (key, iv, in, out): out is as long as in, and may be the same bytes. */
static napi_value aes_256_ctr(napi_env env, napi_callback_info info)
{
    napi_value argv[4];
    uint8_t *key, *iv, *in, *out;
    size_t key_length, iv_length, length, room;
    int written = 0;

    if (!seikan_arguments(env, info, argv, 4) || !seikan_bytes(env, argv[0], &key, &key_length)
        || !seikan_bytes(env, argv[1], &iv, &iv_length) || !seikan_bytes(env, argv[2], &in, &length)
        || !seikan_bytes(env, argv[3], &out, &room))
        return NULL;
    if (key_length != KEY_SIZE) return seikan_throw_range(env, "a key has 32 bytes");
    if (iv_length != IV_SIZE) return seikan_throw_range(env, "an iv has 16 bytes");
    if (room != length || length > INT32_MAX) return seikan_throw_range(env, "the output is as long as the input");
    if (out != in && out < in + length && in < out + length)
        return seikan_throw_range(env, "input and output overlap without being the same");

    pthread_once(&fetched, fetch);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    bool good = ctx != NULL && aes_ctr != NULL && EVP_EncryptInit_ex2(ctx, aes_ctr, key, iv, NULL) == 1
        && EVP_EncryptUpdate(ctx, out, &written, in, (int)length) == 1 && (size_t)written == length;
    EVP_CIPHER_CTX_free(ctx);
    if (!good) napi_throw_error(env, "ERR_CRYPTO", "OpenSSL could not encrypt");
    return NULL;
}

bool seikan_register_control_crypto(napi_env env, napi_value exports)
{
    return seikan_export(env, exports, "hmacSha256", hmac_sha256)
        && seikan_export(env, exports, "aes256Ctr", aes_256_ctr);
}
