/**
 * NTLM version 2 at a proxy: three messages, of which the first two open and challenge, and the third proves the password.
 *
 *   "NTLMSSP\0" | 1 | flags 4                                                                     ours
 *   "NTLMSSP\0" | 2 | name 8 | flags 4 | challenge 8 | zeros 8 | target information 8 | …         theirs
 *   "NTLMSSP\0" | 3 | LM 8 | NT 8 | domain 8 | user 8 | workstation 8 | key 8 | flags 4 | NT response, user, domain
 *
 * Fields of 8 are: length 2, room 2, offset 4; all is little-endian. The NT response is a proof of 16 bytes and what it is
 * made over beside the challenge: 1 1 zeros 6 | time 8 | nonce 8 | zeros 4 | target information | zeros 4.
 *
 * Our messages are those of OpenVPN 2.6.14: no LM response, no workstation, no session key, names in OEM characters.
 * Differs from it: a name beyond ASCII goes as UTF-16, which OpenVPN sends and sums up as the bytes of its UTF-8; the time
 * is the proxy's where it tells one, so that a wrong clock here refuses nobody.
 * Source: MS-NLMP 2.2.1, 3.3.2; ntlm.c (2.6.14).
 */
import { type Crypto, concatBytes, encodeText, fromBase64, type Millis, toBase64 } from '@seikan/core';

import type { ProxyLogin } from './dialogue.js';
import { md4 } from './md4.js';

export interface NtlmRequest {
  readonly login: ProxyLogin;
  /** 8 bytes at random, drawn for this answer alone. */
  readonly nonce: Uint8Array;
  /** Since 1970. */
  readonly time: Millis;
  readonly crypto: Pick<Crypto, 'hmac'>;
}

const SIGNATURE = encodeText('NTLMSSP\0');
const TYPE = { negotiate: 1, challenge: 2, authenticate: 3 } as const;
const FLAG = { unicode: 0x1, oem: 0x2, ntlm: 0x200, targetInformation: 0x80_0000 } as const;
const CHALLENGE_SIZE = 48;
const HEAD_SIZE = 64;
/** The attribute of the target information that holds the proxy's time. */
const TIMESTAMP = 7;
/** From 1601 to 1970. */
const EPOCH_DIFFERENCE = 11_644_473_600_000;

/** The first message, as it stands in Proxy-Authorization. */
export function ntlmNegotiation({ username }: ProxyLogin): string {
  const message = new Uint8Array(16);
  message.set(SIGNATURE);
  const view = new DataView(message.buffer);
  view.setUint32(8, TYPE.negotiate, true);
  view.setUint32(12, flagsFor(username), true);
  return `NTLM ${toBase64(message)}`;
}

/** The third message, as it stands in Proxy-Authorization; undefined: `challenge` (in base64) is no second one. */
export function ntlmAuthorization({ login, nonce, time, crypto }: NtlmRequest, challenge: string): string | undefined {
  const told = readChallenge(challenge);
  if (told === undefined) return undefined;
  const flags = flagsFor(login.username);
  const encode = (flags & FLAG.unicode) === 0 ? encodeText : encodeUtf16;
  const [domain, user] = splitName(login.username);

  const secret = encodeUtf16(login.password);
  const hash = md4(secret);
  const key = crypto.hmac('MD5', hash, encodeUtf16(upperCase(user) + domain));
  const blob = concatBytes(
    Uint8Array.of(1, 1, 0, 0, 0, 0, 0, 0),
    told.time ?? fileTime(time),
    nonce,
    new Uint8Array(4),
    told.information,
    new Uint8Array(4),
  );
  const response = concatBytes(crypto.hmac('MD5', key, told.challenge, blob), blob);
  for (const bytes of [secret, hash, key]) bytes.fill(0);

  const [userBytes, domainBytes] = [encode(user), encode(domain)];
  const message = concatBytes(new Uint8Array(HEAD_SIZE), response, userBytes, domainBytes);
  message.set(SIGNATURE);
  const view = new DataView(message.buffer);
  view.setUint32(8, TYPE.authenticate, true);
  view.setUint32(60, flags, true);
  const end = message.length;
  const none = [0, end] as const;
  const fields = [
    none,
    [response.length, HEAD_SIZE],
    [domainBytes.length, end - domainBytes.length],
    [userBytes.length, HEAD_SIZE + response.length],
    none,
    none,
  ] as const;
  for (const [index, [size, offset]] of fields.entries()) {
    const at = 12 + index * 8;
    view.setUint16(at, size, true);
    view.setUint16(at + 2, size, true);
    view.setUint32(at + 4, offset, true);
  }
  return `NTLM ${toBase64(message)}`;
}

/** `domain\user`; a name without a domain is looked for in the proxy's own. */
function splitName(username: string): readonly [domain: string, user: string] {
  const at = username.indexOf('\\');
  return [username.slice(0, Math.max(at, 0)), username.slice(at + 1)];
}

/** As Windows does it, a letter for a letter: `ß` stays. */
function upperCase(text: string): string {
  return text.replace(/./gsu, (letter) => {
    const upper = letter.toUpperCase();
    return upper.length === letter.length ? upper : letter;
  });
}

/** What characters names are sent in is said before the proxy chooses: one that knows nothing but OEM is told so. */
function flagsFor(username: string): number {
  return FLAG.ntlm | (/^[ -~]*$/.test(username) ? FLAG.oem : FLAG.unicode);
}

interface NtlmChallenge {
  readonly challenge: Uint8Array;
  readonly information: Uint8Array;
  readonly time: Uint8Array | undefined;
}

function readChallenge(text: string): NtlmChallenge | undefined {
  const message = fromBase64(text);
  if (message === undefined || message.length < CHALLENGE_SIZE) return undefined;
  const view = new DataView(message.buffer, message.byteOffset, message.length);
  if (SIGNATURE.some((byte, index) => message[index] !== byte) || view.getUint32(8, true) !== TYPE.challenge)
    return undefined;
  const challenge = message.subarray(24, 32);
  if ((view.getUint32(20, true) & FLAG.targetInformation) === 0)
    return { challenge, information: new Uint8Array(0), time: undefined };
  const [size, offset] = [view.getUint16(40, true), view.getUint32(44, true)];
  if (offset + size > message.length) return undefined;
  const information = message.subarray(offset, offset + size);
  return { challenge, information, time: timeIn(information) };
}

/** Attributes: kind 2, length 2, value; kind 0 ends them. */
function timeIn(information: Uint8Array): Uint8Array | undefined {
  const view = new DataView(information.buffer, information.byteOffset, information.length);
  for (let at = 0; at + 4 <= information.length; ) {
    const [kind, size] = [view.getUint16(at, true), view.getUint16(at + 2, true)];
    const value = information.subarray(at + 4, at + 4 + size);
    if (kind === 0) return undefined;
    if (kind === TIMESTAMP) return value.length === 8 ? value : undefined;
    at += 4 + size;
  }
  return undefined;
}

/** Windows's: 100 ns since 1601. */
function fileTime(time: Millis): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(Math.floor(time) + EPOCH_DIFFERENCE) * 10_000n, true);
  return bytes;
}

function encodeUtf16(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length * 2);
  const view = new DataView(bytes.buffer);
  for (let index = 0; index < text.length; index += 1) view.setUint16(index * 2, text.charCodeAt(index), true);
  return bytes;
}
