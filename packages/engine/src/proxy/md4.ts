/**
 * MD4, which NTLM makes its keys with and OpenSSL 3 has put aside. It is broken: for nothing else.
 *
 *   message | 0x80 | zeros to 56 modulo 64 | bits 8, little-endian       three rounds of 16 steps for each 64 bytes
 *
 * Source: RFC 1320.
 */
const BLOCK = 64;
const START = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476] as const;

interface Round {
  readonly mix: (b: number, c: number, d: number) => number;
  readonly constant: number;
  /** Of the words of a block. */
  readonly order: readonly number[];
  readonly shifts: readonly number[];
}

const rounds: readonly Round[] = [
  {
    mix: (b, c, d) => (b & c) | (~b & d),
    constant: 0,
    order: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
    shifts: [3, 7, 11, 19],
  },
  {
    mix: (b, c, d) => (b & c) | (b & d) | (c & d),
    constant: 0x5a827999,
    order: [0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15],
    shifts: [3, 5, 9, 13],
  },
  {
    mix: (b, c, d) => b ^ c ^ d,
    constant: 0x6ed9eba1,
    order: [0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15],
    shifts: [3, 9, 11, 15],
  },
];

/** 16 bytes that the caller owns. */
export function md4(message: Uint8Array): Uint8Array {
  const padded = new Uint8Array(Math.ceil((message.length + 1 + 8) / BLOCK) * BLOCK);
  const view = new DataView(padded.buffer);
  padded.set(message);
  padded[message.length] = 0x80;
  view.setBigUint64(padded.length - 8, BigInt(message.length) * 8n, true);

  let [a, b, c, d]: [number, number, number, number] = [...START];
  for (let block = 0; block < padded.length; block += BLOCK) {
    const before = [a, b, c, d] as const;
    for (const { mix, constant, order, shifts } of rounds)
      for (const [step, word] of order.entries()) {
        const sum = (a + mix(b, c, d) + view.getUint32(block + word * 4, true) + constant) >>> 0;
        const shift = shifts[step % 4] ?? 0;
        [a, b, c, d] = [d, (sum << shift) | (sum >>> (32 - shift)), b, c];
      }
    a = (a + before[0]) >>> 0;
    b = (b + before[1]) >>> 0;
    c = (c + before[2]) >>> 0;
    d = (d + before[3]) >>> 0;
  }
  // It holds the message.
  padded.fill(0);
  const digest = new Uint8Array(16);
  const out = new DataView(digest.buffer);
  for (const [index, word] of [a, b, c, d].entries()) out.setUint32(index * 4, word, true);
  return digest;
}
