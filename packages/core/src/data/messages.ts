/**
 * Plaintexts that never reach a tun: the ping, and OCC messages (16 bytes of magic, a type, a payload).
 *
 * Source: OpenVPN 2.6 `ping.c` (ping_string), `occ.c` (occ_magic).
 */
export const pingPayload: Uint8Array = new Uint8Array([
  0x2a, 0x18, 0x7b, 0xf3, 0x64, 0x1e, 0xb4, 0xcb, 0x07, 0xed, 0x2d, 0x0a, 0x98, 0x1f, 0xc7, 0x48,
]);

export const occMagic: Uint8Array = new Uint8Array([
  0x28, 0x7f, 0x34, 0x6b, 0xd4, 0xef, 0x7a, 0x81, 0x2d, 0x56, 0xb8, 0xd3, 0xaf, 0xc5, 0x45, 0x9c,
]);

/** The byte after the magic. */
export const OccType = {
  request: 0,
  reply: 1,
  mtuLoadRequest: 2,
  mtuLoad: 3,
  mtuRequest: 4,
  mtuReply: 5,
  exit: 6,
} as const;

const MAGIC_SIZE = 16;
/** No IP packet begins so: most packets are looked at no further. */
const PING_FIRST = 0x2a;
const OCC_FIRST = 0x28;

export function isPing(bytes: Uint8Array, start: number, end: number): boolean {
  return bytes[start] === PING_FIRST && end - start === MAGIC_SIZE && beginsWith(bytes, start, pingPayload);
}

export function isOcc(bytes: Uint8Array, start: number, end: number): boolean {
  return bytes[start] === OCC_FIRST && end - start > MAGIC_SIZE && beginsWith(bytes, start, occMagic);
}

function beginsWith(bytes: Uint8Array, start: number, magic: Uint8Array): boolean {
  for (let i = 0; i < MAGIC_SIZE; i += 1) if (bytes[start + i] !== magic[i]) return false;
  return true;
}
