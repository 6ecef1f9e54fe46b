/**
 * Longest-prefix match whose cost does not grow with the number of routes: one hash table of (prefix, length), asked
 * once for each prefix length in use, longest first. Host routes are the longest length, so they are found first.
 *
 * Open addressing with linear probing in one Uint32Array: `words` of prefix, then length + 1 (0: the cell is free).
 * See docs/decisions/0021-route-lookup.md.
 */
const MAX_BITS = 128;
const FIRST_CAPACITY = 64;

export class PrefixTable<Value> {
  /** 1 for IPv4, 4 for IPv6. */
  readonly #words: number;
  #capacity = FIRST_CAPACITY;
  #cells: Uint32Array;
  #values: (Value | undefined)[];
  #size = 0;
  readonly #routesOfLength = new Uint32Array(MAX_BITS + 1);
  /** The prefix lengths in use, longest first. */
  #lengths: number[] = [];
  /** The address asked for, masked. */
  readonly #key = new Uint32Array(4);
  /** The IPv4 address asked for last and its value, while no route has changed: packets come in runs. */
  #asked = 0;
  #answer: Value | undefined;
  #answered = false;

  constructor(family: 4 | 6) {
    this.#words = family === 4 ? 1 : 4;
    this.#cells = this.#newCells();
    this.#values = Array.from({ length: this.#capacity });
  }

  get size(): number {
    return this.#size;
  }

  /** Puts a route in and gives back the value it replaces. Bits of `network` beyond `bits` do not matter. */
  set(network: Uint8Array, bits: number, value: Value): Value | undefined {
    this.#answered = false;
    if ((this.#size + 1) * 2 > this.#capacity) this.#grow();
    this.#load(network, 0, bits);
    const cell = this.#find(bits);
    const before = this.#values[cell];
    if (before === undefined) {
      this.#store(cell, bits);
      this.#size += 1;
      this.#countLength(bits, 1);
    }
    this.#values[cell] = value;
    return before;
  }

  /** The value of exactly this route. */
  get(network: Uint8Array, bits: number): Value | undefined {
    this.#load(network, 0, bits);
    return this.#values[this.#find(bits)];
  }

  delete(network: Uint8Array, bits: number): void {
    this.#answered = false;
    this.#load(network, 0, bits);
    const cell = this.#find(bits);
    if (this.#values[cell] === undefined) return;
    this.#size -= 1;
    this.#countLength(bits, -1);
    this.#closeGap(cell);
  }

  /** The value of the longest route that holds the address at `bytes[at]`. */
  lookup(bytes: Uint8Array, at: number): Value | undefined {
    if (this.#words === 1) {
      const address = readInt32(bytes, at);
      if (address !== this.#asked || !this.#answered) {
        this.#asked = address;
        this.#answer = this.#lookupWord(address);
        this.#answered = true;
      }
      return this.#answer;
    }
    const lengths = this.#lengths;
    for (let i = 0; i < lengths.length; i += 1) {
      const bits = lengths[i] as number;
      this.#load(bytes, at, bits);
      const value = this.#values[this.#find(bits)];
      if (value !== undefined) return value;
    }
    return undefined;
  }

  /** The same for IPv4 without the detour over the key. */
  #lookupWord(address: number): Value | undefined {
    const cells = this.#cells;
    const lengths = this.#lengths;
    const last = this.#capacity - 1;
    for (let i = 0; i < lengths.length; i += 1) {
      const bits = lengths[i] as number;
      const key = (address & maskOf(bits)) >>> 0;
      let cell = mix(lengthSeed(bits), key) & last;
      for (let stored = cells[2 * cell + 1]; stored !== 0; stored = cells[2 * cell + 1]) {
        if (stored === bits + 1 && cells[2 * cell] === key) return this.#values[cell];
        cell = (cell + 1) & last;
      }
    }
    return undefined;
  }

  #load(bytes: Uint8Array, at: number, bits: number): void {
    for (let word = 0; word < this.#words; word += 1) {
      this.#key[word] = readInt32(bytes, at + word * 4) & maskOf(bits - word * 32);
    }
  }

  /** The cell of the loaded key, or the free one where it would go. */
  #find(bits: number): number {
    const words = this.#words;
    let cell = this.#hash(bits);
    for (;;) {
      const at = cell * (words + 1);
      const stored = this.#cells[at + words] as number;
      if (stored === 0) return cell;
      if (stored === bits + 1 && this.#holdsKey(at)) return cell;
      cell = (cell + 1) & (this.#capacity - 1);
    }
  }

  #holdsKey(at: number): boolean {
    for (let word = 0; word < this.#words; word += 1) if (this.#cells[at + word] !== this.#key[word]) return false;
    return true;
  }

  #hash(bits: number): number {
    let hash = lengthSeed(bits);
    for (let word = 0; word < this.#words; word += 1) hash = mix(hash, this.#key[word] as number);
    return hash & (this.#capacity - 1);
  }

  #store(cell: number, bits: number): void {
    const at = cell * (this.#words + 1);
    for (let word = 0; word < this.#words; word += 1) this.#cells[at + word] = this.#key[word] as number;
    this.#cells[at + this.#words] = bits + 1;
  }

  /** Moves later cells of the probe run back, so that no search stops early. */
  #closeGap(gap: number): void {
    const stride = this.#words + 1;
    let free = gap;
    for (let next = (gap + 1) & (this.#capacity - 1); ; next = (next + 1) & (this.#capacity - 1)) {
      const at = next * stride;
      const stored = this.#cells[at + this.#words] as number;
      if (stored === 0) break;
      for (let word = 0; word < this.#words; word += 1) this.#key[word] = this.#cells[at + word] as number;
      const home = this.#hash(stored - 1);
      // The cell may move when its home does not lie between the gap and itself, going round.
      const fromHome = (next - home) & (this.#capacity - 1);
      const fromFree = (next - free) & (this.#capacity - 1);
      if (fromHome < fromFree) continue;
      this.#cells.copyWithin(free * stride, at, at + stride);
      this.#values[free] = this.#values[next];
      free = next;
    }
    this.#cells.fill(0, free * stride, (free + 1) * stride);
    this.#values[free] = undefined;
  }

  #countLength(bits: number, change: 1 | -1): void {
    const count = (this.#routesOfLength[bits] as number) + change;
    this.#routesOfLength[bits] = count;
    if (change === 1 && count === 1) this.#lengths = [...this.#lengths, bits].toSorted((a, b) => b - a);
    if (count === 0) this.#lengths = this.#lengths.filter((length) => length !== bits);
  }

  #newCells(): Uint32Array {
    return new Uint32Array(this.#capacity * (this.#words + 1));
  }

  #grow(): void {
    const [cells, values, stride] = [this.#cells, this.#values, this.#words + 1];
    this.#capacity *= 2;
    this.#cells = this.#newCells();
    this.#values = Array.from({ length: this.#capacity });
    for (const [old, value] of values.entries()) {
      if (value === undefined) continue;
      for (let word = 0; word < this.#words; word += 1) this.#key[word] = cells[old * stride + word] as number;
      const bits = (cells[old * stride + this.#words] as number) - 1;
      const cell = this.#find(bits);
      this.#store(cell, bits);
      this.#values[cell] = value;
    }
  }
}

function readInt32(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] as number) << 24) |
    ((bytes[at + 1] as number) << 16) |
    ((bytes[at + 2] as number) << 8) |
    (bytes[at + 3] as number)
  );
}

/** The first `bits` bits of a word. */
function maskOf(bits: number): number {
  if (bits <= 0) return 0;
  return bits >= 32 ? -1 : -1 << (32 - bits);
}

function lengthSeed(bits: number): number {
  return Math.imul(bits + 1, 0x9e37_79b1);
}

function mix(hash: number, word: number): number {
  const mixed = Math.imul(hash ^ word, 0x85eb_ca6b);
  return mixed ^ (mixed >>> 15);
}
