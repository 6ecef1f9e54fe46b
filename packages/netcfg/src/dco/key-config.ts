/**
 * `DcoKeyConfig`, the protobuf message (proto2) in which clients hand over a key.
 *
 *   DcoKeyConfig  1 key_id int32 · 2 remote_peer_id int32 · 3 cipher_alg uint32 · 4 encrypt · 5 decrypt   all required
 *   KeyDirection  1 cipher_key bytes, required · 2 hmac_key bytes · 3 nonce_tail bytes · 4 cipher_key_size uint32, required
 *
 * Source: openvpn3-linux src/netcfg/dco-keyconfig.proto (field numbers); protobuf encoding.
 */
import type { KeySlotName, OffloadCipher, OffloadKey, OffloadKeyHalf } from '@seikan/dco';

const ciphers: Readonly<Record<number, OffloadCipher>> = { 1: 'aes-gcm', 2: 'chacha20-poly1305' };
const NONCE_TAIL_SIZE = 8;
const LARGEST_KEY_ID = 7;
const LARGEST_PEER_ID = 0xff_ffff;
const WireType = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const;
const LONGEST_VARINT = 10;

/** A message that is none, or a key that the kernel could not use. */
export class KeyConfigError extends Error {
  override readonly name = 'KeyConfigError';
}

/** The key's bytes are views of `message`, which the caller wipes when the key is installed. */
export function parseKeyConfig(message: Uint8Array, slot: KeySlotName): OffloadKey {
  const fields = parseFields(message);
  const cipher = ciphers[numberOf(fields, 3, 'cipher_alg')];
  const keyId = numberOf(fields, 1, 'key_id');
  const peerId = numberOf(fields, 2, 'remote_peer_id');
  if (cipher === undefined) throw new KeyConfigError('a cipher_alg that the kernel does not know');
  if (keyId > LARGEST_KEY_ID) throw new KeyConfigError(`key_id ${keyId}`);
  if (peerId > LARGEST_PEER_ID) throw new KeyConfigError(`remote_peer_id ${peerId}`);
  return {
    peerId,
    slot,
    keyId,
    cipher,
    encrypt: parseDirection(bytesOf(fields, 4, 'encrypt')),
    decrypt: parseDirection(bytesOf(fields, 5, 'decrypt')),
  };
}

function parseDirection(message: Uint8Array): OffloadKeyHalf {
  const fields = parseFields(message);
  const key = bytesOf(fields, 1, 'cipher_key');
  const nonce = bytesOf(fields, 3, 'nonce_tail');
  const size = numberOf(fields, 4, 'cipher_key_size');
  if (size === 0 || size > key.length)
    throw new KeyConfigError(`a cipher_key of ${key.length} bytes, said to be ${size}`);
  if (nonce.length < NONCE_TAIL_SIZE) throw new KeyConfigError(`a nonce_tail of ${nonce.length} bytes`);
  return { cipher: key.subarray(0, size), nonceTail: nonce.subarray(0, NONCE_TAIL_SIZE) };
}

type Fields = ReadonlyMap<number, number | Uint8Array>;

/** The last of several fields of one number counts, as protobuf has it. */
function parseFields(message: Uint8Array): Fields {
  const fields = new Map<number, number | Uint8Array>();
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let i = 0; i < LONGEST_VARINT; i += 1) {
      const byte = message[at];
      if (byte === undefined) break;
      at += 1;
      // Exact for what is allowed here; anything larger is refused by its range.
      value += (byte & 0x7f) * 2 ** (7 * i);
      if ((byte & 0x80) === 0) return value;
    }
    throw new KeyConfigError('a number without an end');
  };
  const take = (size: number): Uint8Array => {
    if (size > message.length - at)
      throw new KeyConfigError(`a field of ${size} bytes where ${message.length - at} are left`);
    at += size;
    return message.subarray(at - size, at);
  };
  while (at < message.length) {
    const tag = varint();
    const number = Math.floor(tag / 8);
    switch (tag % 8) {
      case WireType.varint:
        fields.set(number, varint());
        break;
      case WireType.bytes:
        fields.set(number, take(varint()));
        break;
      case WireType.fixed64:
        take(8);
        break;
      case WireType.fixed32:
        take(4);
        break;
      default:
        throw new KeyConfigError(`wire type ${tag % 8}`);
    }
  }
  return fields;
}

function numberOf(fields: Fields, number: number, name: string): number {
  const value = fields.get(number);
  if (typeof value !== 'number') throw new KeyConfigError(`no ${name}`);
  return value;
}

function bytesOf(fields: Fields, number: number, name: string): Uint8Array {
  const value = fields.get(number);
  if (!(value instanceof Uint8Array)) throw new KeyConfigError(`no ${name}`);
  return value;
}
