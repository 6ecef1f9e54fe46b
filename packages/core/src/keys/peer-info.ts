/**
 * What a peer says of itself in the key exchange: `KEY=value` lines (`IV_VER=2.6.14`, `IV_CIPHERS=…`, `UV_…`).
 *
 * Source: OpenVPN 2.6 `ssl.c` (`push_peer_info`), `misc.c` (`validate_peer_info_line`).
 */

/**
 * Reads the lines that are well-formed; of a key that comes twice the first counts.
 * Values end up in the environment of scripts: blanks, what does not print, and what a shell would expand become `_`.
 */
export function parsePeerInfo(text: string): Map<string, string> {
  const entries = new Map<string, string>();
  // That of most peers is well-formed as a whole.
  const plain = !/[^!-~\n]|[$(`]/.test(text);
  for (const line of text.split('\n')) {
    const end = line.indexOf('=');
    const key = line.slice(0, Math.max(0, end));
    if (!/^[A-Za-z0-9_]+$/.test(key) || entries.has(key)) continue;
    const value = line.slice(end + 1);
    entries.set(key, plain ? value : value.replace(/\r+$/, '').replace(/[^!-~]|[$(`]/g, '_'));
  }
  return entries;
}

/** One line for each entry, in their order. A line break in a value would forge a line: that is the caller's error. */
export function encodePeerInfo(entries: Iterable<readonly [key: string, value: string]>): string {
  let text = '';
  for (const [key, value] of entries) {
    if (!/^[A-Za-z0-9_]+$/.test(key) || /[\r\n\0]/.test(value)) throw new RangeError(`no peer info line: ${key}`);
    text += `${key}=${value}\n`;
  }
  return text;
}
