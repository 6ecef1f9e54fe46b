/**
 * Text on the wire: UTF-8, and a byte that is none as one lone surrogate, U+DC80 + (byte − 0x80), which turns back into
 * that byte on the way out. So no two names or passwords become the same text. (PEP 383; the plugin SDK, which stands
 * alone, has the same scheme.)
 */
const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
/** Low surrogates of the escape without a high one before them. */
const escaped = /[\udc80-\udcff]/u;

export function encodeText(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i += 1) {
    const code = text.charCodeAt(i);
    if (code > 0x7f) return encodeWide(text);
    bytes[i] = code;
  }
  return bytes;
}

function encodeWide(text: string): Uint8Array {
  if (!escaped.test(text)) return encoder.encode(text);
  const bytes: number[] = [];
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    if (code >= 0xdc80 && code <= 0xdcff) bytes.push(code - 0xdc00);
    else bytes.push(...encoder.encode(character));
  }
  return Uint8Array.from(bytes);
}

/** Never throws. */
export function decodeText(bytes: Uint8Array): string {
  const whole = decodeStrict(bytes);
  if (whole !== undefined) return whole;
  let text = '';
  for (let at = 0; at < bytes.length; ) {
    const first = bytes[at] ?? 0;
    const length = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    const character = at + length <= bytes.length ? decodeStrict(bytes.subarray(at, at + length)) : undefined;
    text += character ?? String.fromCharCode(0xdc00 + first);
    at += character === undefined ? 1 : length;
  }
  return text;
}

function decodeStrict(bytes: Uint8Array): string | undefined {
  try {
    return decoder.decode(bytes);
  } catch {
    return undefined;
  }
}
