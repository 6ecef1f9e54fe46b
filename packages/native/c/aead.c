/*
 * Keyed AEAD contexts: AES-GCM and ChaCha20-Poly1305 (RFC 5116, RFC 8439), nonce 12 bytes, tag 16, through EVP with
 * a context that is initialised once per key and direction and then only takes nonces.
 *
 * A packet key knows also where a packet keeps its parts, so that a batch is sealed or opened in place:
 *
 *   aad        [aadOffset, aadOffset + aadLength)        authenticated, not encrypted
 *   counter    [counterOffset, + counterLength)          nonce = iv XOR (counter || 00 ...)
 *   tag        at tagOffset, or the packet's last 16 bytes (tagOffset -1)
 *   body       from bodyOffset to the end, or to the tag behind it
 */
#include "aead.h"
#include "batch.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <stdlib.h>

static const char aead_kind[] = "AEAD key";

static const EVP_CIPHER *cipher_named(const char *name)
{
    if (strcmp(name, "AES-128-GCM") == 0) return EVP_aes_128_gcm();
    if (strcmp(name, "AES-192-GCM") == 0) return EVP_aes_192_gcm();
    if (strcmp(name, "AES-256-GCM") == 0) return EVP_aes_256_gcm();
    if (strcmp(name, "CHACHA20-POLY1305") == 0) return EVP_chacha20_poly1305();
    return NULL;
}

void seikan_aead_wipe(struct seikan_aead *aead)
{
    /* EVP clears the key schedules that it frees. */
    EVP_CIPHER_CTX_free(aead->sealing);
    EVP_CIPHER_CTX_free(aead->opening);
    OPENSSL_cleanse(aead, sizeof *aead);
}

static void destroy(void *data)
{
    seikan_aead_wipe(data);
    free(data);
}

static OSSL_PARAM tag_parameter(uint8_t *tag)
{
    return OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, tag, SEIKAN_TAG_SIZE);
}

/*
 * What each packet begins with: its nonce and, when it is to be opened, its tag. `quick` is a parameter of GCM that takes a
 * nonce without what EVP's Init does around it (in OpenSSL 3.0 it asks the provider for the nonce's length each time).
 */
static bool begin_packet(EVP_CIPHER_CTX *ctx, bool quick, const uint8_t *nonce, uint8_t *tag)
{
    OSSL_PARAM params[3];
    size_t count = 0;
    const size_t whole = (size_t)-1;

    if (quick) params[count++] = OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TLS1_IV_FIXED, (void *)nonce, whole);
    else if (EVP_CipherInit_ex(ctx, NULL, NULL, NULL, nonce, -1) != 1) return false;
    if (tag != NULL) params[count++] = tag_parameter(tag);
    params[count] = OSSL_PARAM_construct_end();
    return count == 0 || EVP_CIPHER_CTX_set_params(ctx, params) == 1;
}

/* Whether this OpenSSL's cipher takes a nonce the quick way: the same keystream comes out of it. */
static bool takes_quick_nonce(EVP_CIPHER_CTX *ctx)
{
    const uint8_t nonce[SEIKAN_NONCE_SIZE] = { 1, 2, 3 }, zeros[16] = { 0 };
    uint8_t usual[16], quick[16];
    int written;
    bool same = begin_packet(ctx, false, nonce, NULL) && EVP_CipherUpdate(ctx, usual, &written, zeros, sizeof zeros) == 1
        && begin_packet(ctx, false, zeros, NULL) && begin_packet(ctx, true, nonce, NULL)
        && EVP_CipherUpdate(ctx, quick, &written, zeros, sizeof zeros) == 1 && memcmp(usual, quick, sizeof usual) == 0;
    if (!same) ERR_clear_error();
    OPENSSL_cleanse(usual, sizeof usual);
    return same;
}

EVP_CIPHER_CTX *seikan_aead_context(napi_env env, struct seikan_aead *aead, bool sealing)
{
    EVP_CIPHER_CTX **slot = sealing ? &aead->sealing : &aead->opening;
    if (aead->cipher == NULL) {
        napi_throw_error(env, "ERR_CLOSED", "the key was wiped");
        return NULL;
    }
    if (*slot == NULL) {
        const uint8_t nonce[SEIKAN_NONCE_SIZE] = { 0 };
        EVP_CIPHER_CTX *made = EVP_CIPHER_CTX_new();
        if (made == NULL || EVP_CipherInit_ex(made, aead->cipher, NULL, aead->key, nonce, sealing) != 1) {
            EVP_CIPHER_CTX_free(made);
            napi_throw_error(env, "ERR_CRYPTO", "OpenSSL refuses the cipher");
            return NULL;
        }
        *slot = made;
        aead->quick = EVP_CIPHER_get_mode(aead->cipher) == EVP_CIPH_GCM_MODE && takes_quick_nonce(made);
    }
    return *slot;
}

static bool seal_one(const struct seikan_aead *aead, EVP_CIPHER_CTX *ctx, const uint8_t *nonce, const uint8_t *aad,
    int aad_length, const uint8_t *in, uint8_t *out, int length, uint8_t *tag)
{
    int written;
    uint8_t rest[SEIKAN_TAG_SIZE]; /* an AEAD's Final writes nothing, but wants somewhere to write it */
    OSSL_PARAM wanted[] = { tag_parameter(tag), OSSL_PARAM_END };
    return begin_packet(ctx, aead->quick, nonce, NULL)
        && (aad_length == 0 || EVP_EncryptUpdate(ctx, NULL, &written, aad, aad_length) == 1)
        && (length == 0 || EVP_EncryptUpdate(ctx, out, &written, in, length) == 1)
        && EVP_EncryptFinal_ex(ctx, rest, &written) == 1
        && EVP_CIPHER_CTX_get_params(ctx, wanted) == 1;
}

/* False: forged; `out` is cleared, so that nothing unauthenticated stays where a packet was. */
static bool open_one(const struct seikan_aead *aead, EVP_CIPHER_CTX *ctx, const uint8_t *nonce, const uint8_t *aad,
    int aad_length, const uint8_t *in, uint8_t *out, int length, const uint8_t *tag)
{
    int written;
    uint8_t expected[SEIKAN_TAG_SIZE], rest[SEIKAN_TAG_SIZE];

    memcpy(expected, tag, SEIKAN_TAG_SIZE);
    if (begin_packet(ctx, aead->quick, nonce, expected)
        && (aad_length == 0 || EVP_DecryptUpdate(ctx, NULL, &written, aad, aad_length) == 1)
        && (length == 0 || EVP_DecryptUpdate(ctx, out, &written, in, length) == 1)
        && EVP_DecryptFinal_ex(ctx, rest, &written) == 1)
        return true;
    ERR_clear_error();
    if (length != 0) memset(out, 0, (size_t)length);
    return false;
}

static void nonce_of(const struct seikan_aead *aead, const uint8_t *packet, uint8_t *nonce)
{
    memcpy(nonce, aead->iv, SEIKAN_NONCE_SIZE);
    for (uint32_t k = 0; k < aead->counter_length; k++) nonce[k] ^= packet[aead->counter_offset + k];
}

bool seikan_aead_seal_packet(
    const struct seikan_aead *aead, EVP_CIPHER_CTX *ctx, uint8_t *packet, uint32_t length, const uint8_t *body)
{
    uint8_t nonce[SEIKAN_NONCE_SIZE];
    uint8_t *tag = packet + (aead->tag_behind ? length - SEIKAN_TAG_SIZE : aead->tag_offset);

    nonce_of(aead, packet, nonce);
    return seal_one(aead, ctx, nonce, packet + aead->aad_offset, (int)aead->aad_length, body, packet + aead->body_offset,
        (int)(length - seikan_aead_overhead(aead)), tag);
}

bool seikan_aead_open_packet(const struct seikan_aead *aead, EVP_CIPHER_CTX *ctx, uint8_t *packet, uint32_t length)
{
    uint8_t nonce[SEIKAN_NONCE_SIZE], *body = packet + aead->body_offset;
    const uint8_t *tag = packet + (aead->tag_behind ? length - SEIKAN_TAG_SIZE : aead->tag_offset);

    if (length < seikan_aead_overhead(aead) || length > INT32_MAX) return false;
    nonce_of(aead, packet, nonce);
    return open_one(aead, ctx, nonce, packet + aead->aad_offset, (int)aead->aad_length, body, body,
        (int)(length - seikan_aead_overhead(aead)), tag);
}

bool seikan_aead_arguments(napi_env env, const napi_value *argv, struct seikan_aead *aead)
{
    char name[32];
    uint8_t *key, *iv = NULL;
    size_t key_length, iv_length = SEIKAN_NONCE_SIZE;
    int64_t part[6] = { 0 };
    static const char *const names[6]
        = { "aadOffset", "aadLength", "counterOffset", "counterLength", "tagOffset", "bodyOffset" };

    if (!seikan_string(env, argv[0], name, sizeof name, "cipher") || !seikan_bytes(env, argv[1], &key, &key_length))
        return false;
    const EVP_CIPHER *cipher = cipher_named(name);
    if (cipher == NULL) return seikan_throw_range(env, "not an AEAD cipher of this addon") != NULL;
    if (key_length != (size_t)EVP_CIPHER_get_key_length(cipher))
        return seikan_throw_range(env, "the key's length is not the cipher's") != NULL;

    bool packets = !seikan_is_undefined(env, argv[2]);
    if (packets) {
        if (!seikan_bytes(env, argv[2], &iv, &iv_length)) return false;
        for (int i = 0; i < 6; i++)
            if (!seikan_integer(env, argv[3 + i], i == 4 ? -1 : 0, i == 3 ? SEIKAN_NONCE_SIZE : SEIKAN_MOST_HEAD,
                    names[i], &part[i]))
                return false;
        if (iv_length != SEIKAN_NONCE_SIZE) return seikan_throw_range(env, "the implicit iv has 12 bytes") != NULL;
        /* The whole head lies before the body, so that a packet with room for its body has room for its head. */
        if (part[0] + part[1] > part[5] || part[2] + part[3] > part[5]
            || (part[4] >= 0 && part[4] + SEIKAN_TAG_SIZE > part[5]))
            return seikan_throw_range(env, "aad, counter and tag lie before the body") != NULL;
        memcpy(aead->iv, iv, SEIKAN_NONCE_SIZE);
        aead->packets = true;
        aead->aad_offset = (uint32_t)part[0];
        aead->aad_length = (uint32_t)part[1];
        aead->counter_offset = (uint32_t)part[2];
        aead->counter_length = (uint32_t)part[3];
        aead->tag_behind = part[4] == -1;
        aead->tag_offset = aead->tag_behind ? 0 : (uint32_t)part[4];
        aead->body_offset = (uint32_t)part[5];
    }
    aead->cipher = cipher;
    memcpy(aead->key, key, key_length);
    return true;
}

/*
 * (cipher, key) → handle of a key for single packets, or
 * (cipher, key, iv, aadOffset, aadLength, counterOffset, counterLength, tagOffset, bodyOffset) of one for batches.
 */
static napi_value aead_create(napi_env env, napi_callback_info info)
{
    napi_value argv[9];
    struct seikan_aead *aead = calloc(1, sizeof *aead);

    if (aead == NULL) {
        napi_throw_error(env, "ENOMEM", "out of memory");
        return NULL;
    }
    if (!seikan_arguments(env, info, argv, 9) || !seikan_aead_arguments(env, argv, aead)) {
        free(aead);
        return NULL;
    }
    return seikan_handle_new(env, aead_kind, aead, destroy);
}

/* (handle): the key is gone from memory; every later use throws. Idempotent. */
static napi_value aead_wipe(napi_env env, napi_callback_info info)
{
    napi_value argv[1];
    struct seikan_aead *aead;

    if (!seikan_arguments(env, info, argv, 1) || (aead = seikan_handle(env, argv[0], aead_kind)) == NULL) return NULL;
    seikan_aead_wipe(aead);
    return NULL;
}

/* (handle, nonce, aad, in, out, tag) of one packet; sealing returns nothing, opening whether the tag is right. */
static napi_value single(napi_env env, napi_callback_info info, bool sealing)
{
    napi_value argv[6], verdict;
    struct seikan_aead *aead;
    uint8_t *nonce, *aad, *in, *out, *tag;
    size_t nonce_length, aad_length, length, room, tag_length;

    if (!seikan_arguments(env, info, argv, 6) || (aead = seikan_handle(env, argv[0], aead_kind)) == NULL
        || !seikan_bytes(env, argv[1], &nonce, &nonce_length) || !seikan_bytes(env, argv[2], &aad, &aad_length)
        || !seikan_bytes(env, argv[3], &in, &length) || !seikan_bytes(env, argv[4], &out, &room)
        || !seikan_bytes(env, argv[5], &tag, &tag_length))
        return NULL;
    if (nonce_length != SEIKAN_NONCE_SIZE) return seikan_throw_range(env, "a nonce has 12 bytes");
    if (sealing ? tag_length < SEIKAN_TAG_SIZE : tag_length != SEIKAN_TAG_SIZE) return seikan_throw_range(env, "a tag has 16 bytes");
    if (room < length) return seikan_throw_range(env, "the output is shorter than the input");
    if (length > INT32_MAX || aad_length > INT32_MAX) return seikan_throw_range(env, "longer than 2 GiB");
    if (out != in && out < in + length && in < out + length)
        return seikan_throw_range(env, "input and output overlap without being the same");

    EVP_CIPHER_CTX *ctx = seikan_aead_context(env, aead, sealing);
    if (ctx == NULL) return NULL;
    if (!sealing)
        return napi_get_boolean(env, open_one(aead, ctx, nonce, aad, (int)aad_length, in, out, (int)length, tag), &verdict)
                == napi_ok
            ? verdict
            : NULL;
    if (!seal_one(aead, ctx, nonce, aad, (int)aad_length, in, out, (int)length, tag))
        napi_throw_error(env, "ERR_CRYPTO", "OpenSSL could not seal");
    return NULL;
}

static napi_value aead_seal(napi_env env, napi_callback_info info)
{
    return single(env, info, true);
}

static napi_value aead_open(napi_env env, napi_callback_info info)
{
    return single(env, info, false);
}

/*
 * (handle, slab, offsets, lengths, first, count) seals, or with a seventh argument `results` (Uint8Array) opens, each
 * packet in place. results[i]: 1 authentic; 0 forged or too short, its body cleared. → how many were authentic.
 */
static napi_value packets(napi_env env, napi_callback_info info, bool sealing)
{
    napi_value argv[7];
    struct seikan_aead *aead;
    struct seikan_batch run;
    uint8_t *results = NULL;
    size_t result_count = 0;
    uint32_t authentic = 0;

    if (!seikan_arguments(env, info, argv, 7) || (aead = seikan_handle(env, argv[0], aead_kind)) == NULL
        || !seikan_batch(env, argv + 1, &run) || (!sealing && !seikan_bytes(env, argv[6], &results, &result_count)))
        return NULL;
    if (!sealing && (size_t)run.first + run.count > result_count)
        return seikan_throw_range(env, "the run of packets is longer than its results");
    EVP_CIPHER_CTX *ctx = seikan_aead_context(env, aead, sealing);
    if (ctx == NULL) return NULL;
    if (!aead->packets) return seikan_throw_range(env, "this key was made for single packets");

    for (uint32_t i = 0; i < run.count; i++) {
        uint32_t at = run.first + i, length;
        uint8_t *packet;
        if (!seikan_batch_packet(&run, at, &packet, &length)) return seikan_batch_outside(env);
        if (!sealing) {
            results[at] = seikan_aead_open_packet(aead, ctx, packet, length);
            authentic += results[at];
        } else if (length < seikan_aead_overhead(aead) || length > INT32_MAX) {
            return seikan_throw_range(env, "a packet is shorter than its head and tag");
        } else if (!seikan_aead_seal_packet(aead, ctx, packet, length, packet + aead->body_offset)) {
            napi_throw_error(env, "ERR_CRYPTO", "OpenSSL could not seal");
            return NULL;
        }
    }
    return sealing ? NULL : seikan_make_number(env, authentic);
}

static napi_value aead_seal_batch(napi_env env, napi_callback_info info)
{
    return packets(env, info, true);
}

static napi_value aead_open_batch(napi_env env, napi_callback_info info)
{
    return packets(env, info, false);
}

bool seikan_register_aead(napi_env env, napi_value exports)
{
    static const struct seikan_function functions[] = {
        { "aeadCreate", aead_create },
        { "aeadWipe", aead_wipe },
        { "aeadSeal", aead_seal },
        { "aeadOpen", aead_open },
        { "aeadSealBatch", aead_seal_batch },
        { "aeadOpenBatch", aead_open_batch },
        { NULL, NULL },
    };
    return seikan_export_all(env, exports, functions);
}
