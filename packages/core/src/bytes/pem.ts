/** Binary data between `-----BEGIN name-----` and `-----END name-----`, as base64 in lines of 64. Source: RFC 7468. */
import { fromBase64, toBase64 } from './base64.js';

/** The first block of that name; text around it is allowed. `undefined`: there is none, or it is not whole. */
export function parsePem(name: string, text: string): Uint8Array | undefined {
  const head = `-----BEGIN ${name}-----`;
  const start = text.indexOf(head);
  const end = text.indexOf(`-----END ${name}-----`, start);
  if (start < 0 || end < 0) return undefined;
  return fromBase64(text.slice(start + head.length, end).replace(/\s+/g, ''));
}

export function encodePem(name: string, bytes: Uint8Array): string {
  const lines = toBase64(bytes).match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${name}-----\n${lines.join('\n')}\n-----END ${name}-----\n`;
}
