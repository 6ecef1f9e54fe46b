/**
 * A time-based one-time code as second factor, asked for by the client's `static-challenge`. The password itself is
 * for another plugin (auth-pam, say): both must say yes. Its argument is a JSON file: `{ "ada": "BASE32SECRET" }`.
 *
 * Source: RFC 6238 (TOTP, 30 s, SHA-1, 6 digits), RFC 4226 (truncation). A code is good for one login, and one step
 * early or late is forgiven.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { definePlugin, failure, success } from '@seikan/plugin-sdk';

interface Handle {
  readonly secrets: ReadonlyMap<string, Uint8Array>;
  /** The step of the last code that let somebody in. */
  readonly used: Map<string, number>;
  readonly now: () => number;
}

export default definePlugin<Handle>({
  name: 'totp',
  open({ argv }) {
    const [, path] = argv;
    if (path === undefined) throw new Error('usage: plugin totp.so SECRETS.json');
    const file = JSON.parse(readFileSync(path, 'utf8')) as Record<string, string>;
    const secrets = new Map(Object.entries(file).map(([user, secret]) => [user, base32(secret)]));
    return { events: ['auth-user-pass-verify'], handle: { secrets, used: new Map(), now: Date.now } };
  },
  event(event, { secrets, used, now }) {
    if (event.type !== 'auth-user-pass-verify') return success();
    const secret = secrets.get(event.username);
    if (event.response === undefined)
      return failure('This server asks for a code: add static-challenge "Code" 1 to your profile');
    const step = Math.floor(now() / 30_000);
    const last = used.get(event.username) ?? -1;
    // An unknown user costs the same time as a wrong code.
    const found = [step, step - 1, step + 1].find((at) =>
      equal(code(secret ?? new Uint8Array(20), at), event.response ?? ''),
    );
    if (secret === undefined || found === undefined || found <= last) return failure('Wrong code');
    used.set(event.username, found);
    return success();
  },
});

/** The code of a step (seconds since 1970 divided by 30). */
export function code(secret: Uint8Array, step: number, digits = 6): string {
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(step));
  const mac = createHmac('sha1', secret).update(counter).digest();
  const offset = mac.readUInt8(19) & 0x0f;
  return String((mac.readUInt32BE(offset) & 0x7fff_ffff) % 10 ** digits).padStart(digits, '0');
}

/** RFC 4648 without padding, as in otpauth: links. Throws a TypeError on anything else. */
export function base32(text: string): Uint8Array {
  const bytes: number[] = [];
  let held = 0;
  let bits = 0;
  for (const character of text.replaceAll(/[\s=]/g, '').toUpperCase()) {
    const value = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(character);
    if (value < 0) throw new TypeError(`not a base32 secret: ${character}`);
    held = ((held << 5) | value) & 0xfff;
    bits += 5;
    if (bits < 8) continue;
    bits -= 8;
    bytes.push((held >> bits) & 0xff);
  }
  return Uint8Array.from(bytes);
}

function equal(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}
