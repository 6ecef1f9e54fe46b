/**
 * The keys of a channel by number, so that one native call seals or opens packets of many peers (native's KeyRing), and
 * the `Crypto` that numbers every AEAD key, and every key of CBC and HMAC, that it makes.
 *
 * A key that is wiped while packets wait to be sealed under it stays until they are: it is given up by `reap`.
 */
import type { Crypto } from '@seikan/core';
import { KeyRing, nativeAead } from '@seikan/native';

/** With more keys than that the later ones have no number, and their packets go one by one. */
const MOST = 65_536;
const NO_HEADER = new Uint8Array(0);

export class KeyNumbers {
  readonly ring = new KeyRing(MOST);
  #next = 0;
  readonly #free: number[] = [];
  readonly #retired: number[] = [];
  readonly #headers: Uint8Array[] = [];

  /** A number for each of `shapes`; `undefined`: there are too many. */
  #add<Shape>(shapes: readonly Shape[], set: (number: number, shape: Shape) => void): number[] | undefined {
    if (this.#next - this.#free.length + shapes.length > MOST) return undefined;
    return shapes.map((shape) => {
      let number = this.#free.pop();
      if (number === undefined) {
        number = this.#next;
        this.#next += 1;
      }
      set(number, shape);
      this.#headers[number] = NO_HEADER;
      return number;
    });
  }

  /** What is sealed under the key from now on begins with `header`: compared by identity, so it costs nothing when it stays. */
  useHeader(number: number, header: Uint8Array): void {
    if (this.#headers[number] === header) return;
    this.#headers[number] = header;
    this.ring.setHeader(number, header);
  }

  retire(numbers: readonly number[]): void {
    this.#retired.push(...numbers);
  }

  /** Wipes what was retired. No packet may wait for it. */
  reap(): void {
    if (this.#retired.length === 0) return;
    for (let number = this.#retired.pop(); number !== undefined; number = this.#retired.pop()) {
      this.ring.clear(number);
      this.#free.push(number);
    }
  }

  /** `crypto`, whose keys of packets have numbers here. */
  crypto(crypto: Crypto): Crypto {
    return {
      ...crypto,
      aeadKey: (cipher, key, packets) => {
        const single = crypto.aeadKey(cipher, key);
        if (packets === undefined || !nativeAead(cipher.name)) return single;
        const { iv, layouts } = packets;
        return this.#numbered(
          single,
          this.#add(layouts, (number, layout) => this.ring.set(number, { cipher: cipher.name, key, iv, layout })),
        );
      },
      blockKey: (cipher, key, packets) => {
        const single = crypto.blockKey(cipher, key);
        if (packets === undefined) return single;
        const { headerSizes, ...form } = packets;
        return this.#numbered(
          single,
          this.#add(headerSizes, (number, headerSize) =>
            this.ring.setCbc(number, { cipher: cipher.name, key, headerSize, ...form }),
          ),
        );
      },
    };
  }

  #numbered<Key extends { wipe(): void }>(single: Key, slots: number[] | undefined): Key {
    if (slots === undefined) return single;
    const wipe = (): void => {
      single.wipe();
      this.retire(slots);
    };
    return { ...single, slots, wipe };
  }
}
