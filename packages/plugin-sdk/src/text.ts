/**
 * Between bytes and strings without loss. Names and passwords arrive as bytes that are UTF-8 nearly always; a byte that
 * is not becomes one lone surrogate, U+DC80 + (byte − 0x80), and turns back into that byte on the way out.
 * (The scheme is PEP 383's "surrogateescape"; no well-formed UTF-8 decodes to a surrogate, so nothing is ambiguous.)
 */

const strictDecoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/** Bytes to text. Never throws; what is no UTF-8 is escaped byte by byte. */
export function decodeText(bytes: Uint8Array): string {
  return decodeStrict(bytes) ?? decodeEscaped(bytes);
}

/** Bytes to text, or `undefined` where they are no UTF-8. */
export function decodeStrict(bytes: Uint8Array): string | undefined {
  try {
    return strictDecoder.decode(bytes);
  } catch {
    return undefined;
  }
}

/** Text to bytes: the inverse of `decodeText`. Other lone surrogates become U+FFFD, as in any encoder. */
export function encodeText(text: string): Uint8Array {
  if (!escapePattern.test(text)) return encoder.encode(text);
  const parts: number[] = [];
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    if (code >= 0xdc80 && code <= 0xdcff) parts.push(code - 0xdc00);
    else parts.push(...encoder.encode(character));
  }
  return Uint8Array.from(parts);
}

/** Whether text came from bytes that were all UTF-8. */
export function isStrict(text: string): boolean {
  return !escapePattern.test(text);
}

/** The low surrogates of the escape, where no high surrogate stands before them. */
const escapePattern = /[\udc80-\udcff]/u;

function decodeEscaped(bytes: Uint8Array): string {
  let text = '';
  let at = 0;
  while (at < bytes.length) {
    const length = sequenceLength(bytes, at);
    if (length === 0) {
      text += String.fromCharCode(0xdc00 + (bytes[at] ?? 0));
      at += 1;
    } else {
      text += strictDecoder.decode(bytes.subarray(at, at + length));
      at += length;
    }
  }
  return text;
}

/** The length of the well-formed sequence at `at`, or 0. */
function sequenceLength(bytes: Uint8Array, at: number): number {
  const first = bytes[at] ?? 0;
  const length = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  if (length === 0 || at + length > bytes.length) return 0;
  return decodeStrict(bytes.subarray(at, at + length)) === undefined ? 0 : length;
}
