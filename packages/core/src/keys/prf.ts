/**
 * Data keys from the randoms of both key exchange messages, through the PRF of TLS 1.0: what peers before 2.6 do,
 * and those that did not both announce the TLS exporter.
 *
 *   PRF(secret, seed) = P_MD5(first half of secret, seed) xor P_SHA1(second half, seed)
 *   master (48)       = PRF(pre-master, "OpenVPN master secret" + client random1 + server random1)
 *   keys (256)        = PRF(master, "OpenVPN key expansion" + client random2 + server random2 + client id + server id)
 *
 * Source: RFC 2246 section 5; OpenVPN 2.6 `ssl.c` (`generate_key_expansion_openvpn_prf`).
 */
import { concatBytes, xorBytes } from '../bytes/bytes.js';
import { encodeText } from '../bytes/text.js';
import type { Crypto } from '../crypto/crypto.js';
import type { SessionId } from '../wire/session-id.js';
import type { KeySource } from './key-method-2.js';

const MASTER_SIZE = 48;
const KEY_MATERIAL_SIZE = 256;

export interface PrfInputs {
  readonly crypto: Crypto;
  /** With its pre-master secret. */
  readonly client: KeySource;
  readonly server: KeySource;
  readonly clientSessionId: SessionId;
  readonly serverSessionId: SessionId;
}

/** 256 bytes in the shape of a static key; the caller wipes them. */
export function deriveKeysByPrf({ crypto, client, server, clientSessionId, serverSessionId }: PrfInputs): Uint8Array {
  if (client.preMaster === undefined) throw new TypeError("the client's key source has no pre-master secret");
  const masterSeed = concatBytes(encodeText('OpenVPN master secret'), client.random1, server.random1);
  const master = tls10Prf(crypto, client.preMaster, masterSeed, MASTER_SIZE);
  const keySeed = concatBytes(
    encodeText('OpenVPN key expansion'),
    client.random2,
    server.random2,
    clientSessionId,
    serverSessionId,
  );
  const keys = tls10Prf(crypto, master, keySeed, KEY_MATERIAL_SIZE);
  master.fill(0);
  return keys;
}

/** The label is part of `seed`. The halves share the middle byte of a secret of odd length. */
export function tls10Prf(crypto: Crypto, secret: Uint8Array, seed: Uint8Array, length: number): Uint8Array {
  const half = Math.ceil(secret.length / 2);
  const md5 = expand(crypto, 'MD5', secret.subarray(0, half), seed, length);
  const sha1 = expand(crypto, 'SHA1', secret.subarray(secret.length - half), seed, length);
  const out = xorBytes(md5, sha1);
  md5.fill(0);
  sha1.fill(0);
  return out;
}

/** P_hash of RFC 2246. */
function expand(crypto: Crypto, digest: string, secret: Uint8Array, seed: Uint8Array, length: number): Uint8Array {
  const out = new Uint8Array(length);
  let a = seed;
  for (let at = 0; at < length; ) {
    a = crypto.hmac(digest, secret, a);
    const block = crypto.hmac(digest, secret, a, seed);
    out.set(block.subarray(0, length - at), at);
    at += block.length;
    block.fill(0);
  }
  return out;
}
