/**
 * Control datagrams on their way between the channel's thread and the control thread, one ring for each direction: of
 * fixed size in shared memory, with one writer and one reader, so that a flood of them costs a bounded amount of memory
 * and no message each.
 *
 *   memory   | written u32 | read u32 | … 64 | capacity bytes, used round and round |
 *   record   | size u32 | link i32 | scope u32 | packet size u32 | port u16 | family u8 | address size u8 | address | packet | 0-3 |
 *
 * Positions count bytes and wrap at 2^32. A record never crosses the end: a size of 0 there means "go on at the start".
 * The reader sees records when they are published. Strangers may fill the ring to a half only: who has a peer gets
 * through while others flood.
 */
import type { Endpoint, LinkId } from '@seikan/core';

const WRITTEN = 0;
const READ = 1;
const FIRST = 64;
const HEAD = 20;
const CAPACITY = 2 ** 18;
/** The longest datagram that is taken, whatever the capacity of a link is. */
const LONGEST = 0xffff;

type ScopedEndpoint = Endpoint & { readonly scope?: number };

export class ControlRing {
  readonly #positions: Uint32Array;
  readonly #view: DataView;
  readonly #bytes: Uint8Array;
  /** The same bytes, for the text of addresses. */
  readonly #text: Buffer;
  /** The reader's: packets are lent from here and not from memory that the writer reuses. */
  readonly #packet = new Uint8Array(LONGEST);
  /** The writer's: where the next record will begin. */
  #position = 0;

  /** Both threads make one, over the same memory of `ControlRing.bytes`. */
  constructor(memory: SharedArrayBuffer) {
    this.#positions = new Uint32Array(memory, 0, 2);
    this.#view = new DataView(memory, FIRST, CAPACITY);
    this.#bytes = new Uint8Array(memory, FIRST, CAPACITY);
    this.#text = Buffer.from(memory, FIRST, CAPACITY);
  }

  static readonly bytes: number = FIRST + CAPACITY;

  /** The writer's: what was written before has been read when `readTo` has come here. */
  get position(): number {
    return this.#position;
  }

  /** The reader's: up to here everything is published. */
  get published(): number {
    return Atomics.load(this.#positions, WRITTEN);
  }

  /** The writer's: what was written becomes visible. */
  publish(): void {
    Atomics.store(this.#positions, WRITTEN, this.#position);
  }

  /** The writer's. False: there is no room for it. */
  write(link: LinkId, from: ScopedEndpoint, packet: Uint8Array, known: boolean): boolean {
    const { address, family, port, scope = 0 } = from;
    const size = (HEAD + address.length + packet.length + 3) & ~3;
    if (packet.length > LONGEST) return false;
    const written = this.#position;
    const used = (written - Atomics.load(this.#positions, READ)) >>> 0;
    let at = written % CAPACITY;
    const skipped = at + size > CAPACITY ? CAPACITY - at : 0;
    if (used + skipped + size > (known ? CAPACITY : CAPACITY / 2)) return false;
    if (skipped > 0) {
      this.#view.setUint32(at, 0);
      at = 0;
    }
    const view = this.#view;
    view.setUint32(at, size);
    view.setInt32(at + 4, link);
    view.setUint32(at + 8, scope);
    view.setUint32(at + 12, packet.length);
    view.setUint16(at + 16, port);
    view.setUint8(at + 18, family);
    view.setUint8(at + 19, address.length);
    for (let i = 0; i < address.length; i += 1) this.#bytes[at + HEAD + i] = address.charCodeAt(i);
    this.#bytes.set(packet, at + HEAD + address.length);
    this.#position = (written + skipped + size) >>> 0;
    return true;
  }

  /** The reader's. Takes what was written before `position`; packets are lent until `take` returns. */
  readTo(position: number, take: (link: LinkId, from: Endpoint, packet: Uint8Array) => void): void {
    for (;;) {
      const read = Atomics.load(this.#positions, READ);
      if (((position - read) | 0) <= 0) return;
      const at = read % CAPACITY;
      const size = this.#view.getUint32(at);
      if (size === 0) {
        Atomics.store(this.#positions, READ, read + CAPACITY - at);
        continue;
      }
      const view = this.#view;
      const length = view.getUint32(at + 12);
      const addressAt = at + HEAD;
      const packetAt = addressAt + view.getUint8(at + 19);
      const from = this.#endpoint(at, this.#text.toString('latin1', addressAt, packetAt));
      const link = view.getInt32(at + 4);
      this.#packet.set(this.#bytes.subarray(packetAt, packetAt + length));
      Atomics.store(this.#positions, READ, read + size);
      take(link, from, this.#packet.subarray(0, length));
    }
  }

  #endpoint(at: number, address: string): ScopedEndpoint {
    const scope = this.#view.getUint32(at + 8);
    const endpoint = {
      family: this.#view.getUint8(at + 18) === 6 ? 6 : 4,
      address,
      port: this.#view.getUint16(at + 16),
    } as const;
    return scope === 0 ? endpoint : { ...endpoint, scope };
  }
}
