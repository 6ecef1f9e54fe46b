/*
 * CBC and HMAC (RFC 2104), encrypt then authenticate:
 *
 *   | HMAC( all behind it ) | IV | CBC( id | plaintext | padding as PKCS#7 has it ) |
 *
 * Nothing is decrypted before the HMAC was found right, in constant time.
 */
#include "cbc.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <string.h>

void seikan_cbc_wipe(struct seikan_cbc *cbc)
{
    /* EVP clears what it frees. */
    EVP_CIPHER_CTX_free(cbc->sealing);
    EVP_CIPHER_CTX_free(cbc->opening);
    EVP_MD_CTX_free(cbc->inner);
    EVP_MD_CTX_free(cbc->outer);
    EVP_MD_CTX_free(cbc->work);
    OPENSSL_cleanse(cbc, sizeof *cbc);
}

/* OpenSSL has names of what no provider gives. */
static bool provided_cipher(const EVP_CIPHER *cipher)
{
    EVP_CIPHER *found = EVP_CIPHER_fetch(NULL, EVP_CIPHER_get0_name(cipher), NULL);
    if (found == NULL) ERR_clear_error();
    EVP_CIPHER_free(found);
    return found != NULL;
}

static bool provided_digest(const EVP_MD *digest)
{
    EVP_MD *found = EVP_MD_fetch(NULL, EVP_MD_get0_name(digest), NULL);
    if (found == NULL) ERR_clear_error();
    EVP_MD_free(found);
    return found != NULL;
}

bool seikan_cbc_arguments(napi_env env, const napi_value *argv, struct seikan_cbc *cbc)
{
    char name[64];
    uint8_t *key, *mac_key;
    size_t key_length, mac_key_length;
    int64_t id_size;

    if (!seikan_string(env, argv[0], name, sizeof name, "cipher") || !seikan_bytes(env, argv[1], &key, &key_length))
        return false;
    const EVP_CIPHER *cipher = EVP_get_cipherbyname(name);
    if (cipher == NULL || EVP_CIPHER_get_mode(cipher) != EVP_CIPH_CBC_MODE || !provided_cipher(cipher)
        || EVP_CIPHER_get_iv_length(cipher) != EVP_CIPHER_get_block_size(cipher))
        return seikan_throw_range(env, "not a cipher in CBC mode") != NULL;
    if (key_length != (size_t)EVP_CIPHER_get_key_length(cipher) || key_length > SEIKAN_CBC_KEY)
        return seikan_throw_range(env, "the key's length is not the cipher's") != NULL;
    if (!seikan_is_undefined(env, argv[2])) {
        if (!seikan_string(env, argv[2], name, sizeof name, "digest")) return false;
        cbc->digest = EVP_get_digestbyname(name);
        int block = cbc->digest == NULL || !provided_digest(cbc->digest) ? 0 : EVP_MD_get_block_size(cbc->digest);
        if (block <= 0 || block > SEIKAN_HMAC_BLOCK || (EVP_MD_get_flags(cbc->digest) & EVP_MD_FLAG_XOF) != 0)
            return seikan_throw_range(env, "not a digest for an HMAC") != NULL;
        cbc->mac_size = (uint32_t)EVP_MD_get_size(cbc->digest);
    }
    if (!seikan_bytes(env, argv[3], &mac_key, &mac_key_length)) return false;
    /* A longer key than a block would be hashed first; OpenVPN's are as long as the digest. */
    if (mac_key_length > sizeof cbc->mac_key
        || (cbc->digest != NULL && mac_key_length > (size_t)EVP_MD_get_block_size(cbc->digest)))
        return seikan_throw_range(env, "the HMAC's key is too long") != NULL;
    if (!seikan_integer(env, argv[4], 4, 8, "id size", &id_size)) return false;
    if (id_size != 4 && id_size != 8) return seikan_throw_range(env, "an id has 4 or 8 bytes") != NULL;
    memcpy(cbc->key, key, key_length);
    memcpy(cbc->mac_key, mac_key, mac_key_length);
    cbc->mac_key_length = (uint32_t)mac_key_length;
    cbc->block_size = (uint32_t)EVP_CIPHER_get_block_size(cipher);
    cbc->id_size = (uint32_t)id_size;
    cbc->cipher = cipher;
    return true;
}

/* A context that has taken in the key under this padding. */
static EVP_MD_CTX *keyed(const struct seikan_cbc *cbc, uint8_t padding)
{
    uint8_t pad[SEIKAN_HMAC_BLOCK];
    EVP_MD_CTX *made = EVP_MD_CTX_new();

    memset(pad, padding, sizeof pad);
    for (uint32_t i = 0; i < cbc->mac_key_length; i++) pad[i] ^= cbc->mac_key[i];
    bool good = made != NULL && EVP_DigestInit_ex(made, cbc->digest, NULL) == 1
        && EVP_DigestUpdate(made, pad, (size_t)EVP_MD_get_block_size(cbc->digest)) == 1;
    OPENSSL_cleanse(pad, sizeof pad);
    if (good) return made;
    EVP_MD_CTX_free(made);
    return NULL;
}

static bool ready_mac(struct seikan_cbc *cbc)
{
    if (cbc->digest == NULL || cbc->work != NULL) return true;
    if (cbc->inner == NULL) cbc->inner = keyed(cbc, 0x36);
    if (cbc->outer == NULL) cbc->outer = keyed(cbc, 0x5c);
    if (cbc->inner != NULL && cbc->outer != NULL) cbc->work = EVP_MD_CTX_new();
    return cbc->work != NULL;
}

bool seikan_cbc_ready(napi_env env, struct seikan_cbc *cbc, bool sealing)
{
    EVP_CIPHER_CTX **slot = sealing ? &cbc->sealing : &cbc->opening;
    if (*slot != NULL && (cbc->digest == NULL || cbc->work != NULL)) return true;
    const uint8_t iv[EVP_MAX_IV_LENGTH] = { 0 };
    EVP_CIPHER_CTX *made = *slot != NULL ? *slot : EVP_CIPHER_CTX_new();
    *slot = made;
    /* Opening looks at the padding itself, so that it stays where its length can be read. */
    if (made != NULL && EVP_CipherInit_ex(made, cbc->cipher, NULL, cbc->key, iv, sealing) == 1
        && EVP_CIPHER_CTX_set_padding(made, sealing) == 1 && ready_mac(cbc))
        return true;
    ERR_clear_error();
    EVP_CIPHER_CTX_free(made);
    *slot = NULL;
    napi_throw_error(env, "ERR_CRYPTO", "OpenSSL refuses the cipher or the digest");
    return false;
}

static bool hmac(struct seikan_cbc *cbc, const uint8_t *bytes, size_t length, uint8_t *mac)
{
    uint8_t inner[EVP_MAX_MD_SIZE];
    return EVP_MD_CTX_copy_ex(cbc->work, cbc->inner) == 1 && EVP_DigestUpdate(cbc->work, bytes, length) == 1
        && EVP_DigestFinal_ex(cbc->work, inner, NULL) == 1 && EVP_MD_CTX_copy_ex(cbc->work, cbc->outer) == 1
        && EVP_DigestUpdate(cbc->work, inner, cbc->mac_size) == 1 && EVP_DigestFinal_ex(cbc->work, mac, NULL) == 1;
}

bool seikan_cbc_seal(struct seikan_cbc *cbc, const uint8_t *iv, const uint8_t *id, const uint8_t *plain, uint32_t length,
    uint8_t *into)
{
    uint8_t *covered = into + cbc->mac_size, *text = covered + cbc->block_size;
    int first = 0, middle = 0, last = 0;

    memcpy(covered, iv, cbc->block_size);
    if (EVP_EncryptInit_ex(cbc->sealing, NULL, NULL, NULL, iv) != 1
        || EVP_EncryptUpdate(cbc->sealing, text, &first, id, (int)cbc->id_size) != 1
        || EVP_EncryptUpdate(cbc->sealing, text + first, &middle, plain, (int)length) != 1
        || EVP_EncryptFinal_ex(cbc->sealing, text + first + middle, &last) != 1)
        return false;
    size_t size = cbc->block_size + (size_t)(first + middle + last);
    return cbc->digest == NULL || hmac(cbc, covered, size, into);
}

static bool padding_right(const uint8_t *end, uint32_t block_size)
{
    uint8_t padding = end[-1];
    if (padding == 0 || padding > block_size) return false;
    for (uint32_t i = 2; i <= padding; i++)
        if (*(end - i) != padding) return false;
    return true;
}

bool seikan_cbc_open(struct seikan_cbc *cbc, uint8_t *bytes, uint32_t length)
{
    uint8_t mac[EVP_MAX_MD_SIZE], *iv = bytes + cbc->mac_size, *text = iv + cbc->block_size;
    uint32_t head = cbc->mac_size + cbc->block_size;
    int written = 0;

    if (length <= head || (length - head) % cbc->block_size != 0 || length > INT32_MAX) return false;
    uint32_t size = length - head;
    if (cbc->digest != NULL
        && (!hmac(cbc, iv, length - cbc->mac_size, mac) || CRYPTO_memcmp(mac, bytes, cbc->mac_size) != 0))
        return false;
    if (EVP_DecryptInit_ex(cbc->opening, NULL, NULL, NULL, iv) == 1
        && EVP_DecryptUpdate(cbc->opening, text, &written, text, (int)size) == 1 && (uint32_t)written == size
        && padding_right(text + size, cbc->block_size))
        return true;
    ERR_clear_error();
    memset(text, 0, size);
    return false;
}
