/**
 * The synchronous cryptography that the protocol needs from outside. Pure code gets it as an argument;
 * `runtime` gives one over node:crypto, the native addon gives keyed objects that are faster.
 *
 * Every method borrows its arguments until it returns and gives back bytes that the caller owns.
 */
export interface Crypto {
  /** Digest names are OpenSSL's, in any case: `SHA1`, `SHA256`, `MD5`. `undefined`: the digest does not exist here. */
  digestSize(digest: string): number | undefined;
  hash(digest: string, ...parts: Uint8Array[]): Uint8Array;
  hmac(digest: string, key: Uint8Array, ...parts: Uint8Array[]): Uint8Array;
  /** AES-256 in counter mode: the same call encrypts and decrypts. `key` 32 bytes, `iv` 16. */
  aes256Ctr(key: Uint8Array, iv: Uint8Array, data: Uint8Array): Uint8Array;
  /**
   * tls-crypt on a control packet of 17 bytes of head, 32 of tag and a body, in place: the tag, HMAC-SHA256 over head and
   * body, is written, and the body encrypted by AES-256-CTR with the tag's first 16 bytes as IV. `half`: a cipher key and
   * an HMAC key of 64 bytes each, of which the first 32 are used.
   */
  sealTlsCrypt(half: Uint8Array, packet: Uint8Array): void;
  /** The body of such a packet, of 49 bytes or more; `undefined`: the tag is another. */
  openTlsCrypt(half: Uint8Array, packet: Uint8Array): Uint8Array | undefined;
  /** Compares in constant time; false when the lengths differ. */
  equal(a: Uint8Array, b: Uint8Array): boolean;
  /** What a data-channel cipher is, by OpenVPN's name in any case (`aes-256-gcm`); `undefined`: not available here. */
  cipher(name: string): CipherTraits | undefined;
  /**
   * One direction's AEAD key. `key` is copied. `packets` says how the packets under it are built, for implementers that
   * seal and open many of them in one call: see `AeadKey.slots`.
   */
  aeadKey(cipher: CipherTraits, key: Uint8Array, packets?: PacketForm): AeadKey;
  /**
   * One direction's key of a block or stream cipher that needs an HMAC beside it. `key` is copied. `packets` as for
   * `aeadKey`, of CBC alone.
   */
  blockKey(cipher: CipherTraits, key: Uint8Array, packets?: CbcForm): BlockKey;
}

export interface CipherTraits {
  /** OpenVPN's spelling, as it stands in `data-ciphers` and in a push reply: `AES-256-GCM`, `CHACHA20-POLY1305`, `AES-256-CBC`. */
  readonly name: string;
  readonly mode: 'aead' | 'cbc' | 'cfb' | 'ofb';
  /** Bytes of key material. */
  readonly keySize: number;
  /** Bytes of the IV or nonce. */
  readonly ivSize: number;
  /** Bytes of one block: 16 for AES, 8 for Blowfish and 3DES, 1 for a stream. */
  readonly blockSize: number;
}

/** By name, where `none` is allowed but has to be said. Undefined: it does not exist here. */
export function cipherOrNone(crypto: Crypto, name: string): CipherTraits | 'none' | undefined {
  return name === 'none' ? name : crypto.cipher(name);
}

/** An AEAD key with a 12-byte nonce and a 16-byte tag. The caller never uses a nonce twice. */
export interface AeadKey {
  /** Writes `plaintext.length` bytes to `out` (which may be the same memory) and 16 to `tag`. */
  seal(nonce: Uint8Array, aad: Uint8Array, plaintext: Uint8Array, out: Uint8Array, tag: Uint8Array): void;
  /** Writes `ciphertext.length` bytes to `out` (which may be the same memory). False: the tag is wrong, `out` holds nothing to use. */
  open(nonce: Uint8Array, aad: Uint8Array, ciphertext: Uint8Array, tag: Uint8Array, out: Uint8Array): boolean;
  wipe(): void;
  /** Numbers by which the implementer's calls for many packets know this key, one for each layout; none where it has no such calls. */
  readonly slots?: readonly number[];
}

/** How packets under a key are built. */
export interface PacketForm {
  /** 12 bytes, XORed with the packet's counter: with OpenVPN's 8-byte implicit IV, four zeros come first. Copied. */
  readonly iv: Uint8Array;
  readonly layouts: readonly PacketLayout[];
}

/**
 * Where a packet keeps its parts; offsets from the packet's first byte. Head parts lie before the body.
 *
 *   P_DATA_V2   opcode(1) peer-id(3) packet-id(4) tag(16) body            aad 0..8   counter 4..8   tag 8   body 24
 *   P_DATA_V1   opcode(1) packet-id(4) tag(16) body                       aad 1..5   counter 1..5   tag 5   body 21
 *   epoch       opcode(1) peer-id(3) epoch(2) counter(6) body tag(16)     aad 0..12  counter 4..12  tag end body 12
 */
export interface PacketLayout {
  readonly aadOffset: number;
  readonly aadLength: number;
  /** The part of the nonce that the packet carries: nonce = iv XOR (counter followed by zeros). At most 12 bytes. */
  readonly counterOffset: number;
  readonly counterLength: number;
  /** `end`: the packet's last 16 bytes. */
  readonly tagOffset: number | 'end';
  readonly bodyOffset: number;
}

export interface BlockKey {
  /** CBC pads as PKCS#7 does; CFB and OFB keep the length. */
  encrypt(iv: Uint8Array, plaintext: Uint8Array): Uint8Array;
  /** `undefined`: the length or the padding is wrong. */
  decrypt(iv: Uint8Array, ciphertext: Uint8Array): Uint8Array | undefined;
  wipe(): void;
  /** As of `AeadKey`: one for each size of a header. */
  readonly slots?: readonly number[];
}

/** How packets under a CBC key are built: header, HMAC of all behind it, IV, ciphertext of the id and the payload. */
export interface CbcForm {
  /** `undefined`: no HMAC. */
  readonly digest: string | undefined;
  /** Copied. */
  readonly macKey: Uint8Array;
  readonly idSize: 4 | 8;
  readonly headerSizes: readonly number[];
}

/** Fills `into` with random bytes; the runtime's is a CSPRNG, a simulator's is seeded. */
export type RandomFill = (into: Uint8Array) => void;
