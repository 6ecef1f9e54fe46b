/**
 * The file of a shared secret: 2048 bits as hex between two marker lines, and how its quarters are used.
 *
 *   | key 0: cipher 64 | key 0: hmac 64 | key 1: cipher 64 | key 1: hmac 64 |
 *
 * Source: OpenVPN 2.6 `crypto.c` (`read_key_file`, `key_direction_state_init`).
 */
import { fromHex, toHex } from '../bytes/hex.js';

export const STATIC_KEY_SIZE = 256;

/** Two keys of 128 bytes. Whoever parsed it wipes it. */
export type StaticKey = Uint8Array;

/** `normal` (0) sends with key 0 and receives with key 1, `inverse` (1) the other way; `bidirectional` uses key 0 for both. */
export type KeyDirection = 'normal' | 'inverse' | 'bidirectional';

/** 64 bytes each; whoever uses them takes as many as the algorithm wants. */
export interface KeyHalf {
  readonly cipher: Uint8Array;
  readonly hmac: Uint8Array;
}

/** Borrowed views into a static key (or any 256 bytes of the same shape). */
export interface KeyHalves {
  readonly send: KeyHalf;
  readonly receive: KeyHalf;
}

const HEAD = '-----BEGIN OpenVPN Static key V1-----';
const FOOT = '-----END OpenVPN Static key V1-----';

/**
 * Reads the text of a key file, or of an inline block. `undefined` unless it holds exactly 256 bytes between the
 * markers; text around the markers, blank lines and spaces between the digits are allowed as upstream allows them.
 */
export function parseStaticKey(text: string): StaticKey | undefined {
  const start = text.indexOf(HEAD);
  const end = text.indexOf(FOOT, start);
  if (start < 0 || end < 0) return undefined;
  const bytes = fromHex(text.slice(start + HEAD.length, end).replace(/\s+/g, ''));
  return bytes?.length === STATIC_KEY_SIZE ? bytes : undefined;
}

/** The file as `--genkey secret` writes it, with its comment. */
export function encodeStaticKey(key: StaticKey): string {
  const lines = [];
  for (let at = 0; at < key.length; at += 16) lines.push(toHex(key.subarray(at, at + 16)));
  return `#\n# 2048 bit OpenVPN static key\n#\n${HEAD}\n${lines.join('\n')}\n${FOOT}\n`;
}

export function keyHalves(key: Uint8Array, direction: KeyDirection): KeyHalves {
  const half = (at: number): KeyHalf => ({ cipher: key.subarray(at, at + 64), hmac: key.subarray(at + 64, at + 128) });
  return {
    send: half(direction === 'inverse' ? 128 : 0),
    receive: half(direction === 'normal' ? 128 : 0),
  };
}
