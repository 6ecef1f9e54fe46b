/**
 * Keys by number, so that one call seals or opens the packets of many peers, each under its own. A loop decides by
 * packet (`slots`, `ids`, `addresses` of the table), then hands over the list of those that are worth it.
 */
import { loadAddon } from './addon.js';
import type { PacketKeyOptions } from './aead.js';
import type { Outbox } from './outbox.js';
import type { PacketTable } from './packet-table.js';
import type { AddressTable } from './socket-address.js';
import type { UdpSocket } from './udp-socket.js';

declare const ringHandle: unique symbol;
type RingHandle = object & { readonly [ringHandle]: true };

interface KeyRingAddon {
  keyRingCreate(slots: number): RingHandle;
  keyRingSet(
    ring: RingHandle,
    slot: number,
    cipher: string,
    key: Uint8Array,
    iv: Uint8Array,
    aadOffset: number,
    aadLength: number,
    counterOffset: number,
    counterLength: number,
    tagOffset: number,
    bodyOffset: number,
    header: Uint8Array,
  ): void;
  keyRingSetCbc(
    ring: RingHandle,
    slot: number,
    cipher: string,
    key: Uint8Array,
    digest: string | undefined,
    macKey: Uint8Array,
    idSize: number,
    headerSize: number,
    header: Uint8Array,
  ): void;
  keyRingSetHeader(ring: RingHandle, slot: number, header: Uint8Array): void;
  keyRingClear(ring: RingHandle, slot: number): void;
  keyRingSeal(
    ring: RingHandle,
    slab: ArrayBuffer,
    columns: ArrayBuffer,
    order: Uint32Array,
    first: number,
    count: number,
    outSlab: ArrayBuffer,
    outColumns: ArrayBuffer,
    fd?: number,
    family?: 4 | 6,
    addresses?: ArrayBuffer,
  ): number;
  keyRingOpen(
    ring: RingHandle,
    slab: ArrayBuffer,
    columns: ArrayBuffer,
    order: Uint32Array,
    first: number,
    count: number,
  ): number;
}

export interface RingKeyOptions extends PacketKeyOptions {
  /**
   * What every datagram begins with: opcode and key id, with P_DATA_V2 the peer-id too; it ends before the layout's
   * counter. Copied. A key that only opens needs none.
   */
  readonly header?: Uint8Array;
}

/**
 * A key of a cipher in CBC mode with an HMAC. Datagrams under it are
 *
 *   | header | HMAC of all behind it | IV | CBC( id 4 or 8, plaintext, padding ) |
 */
export interface RingCbcOptions {
  /** OpenSSL's names: `AES-256-CBC`, `SHA256`; no digest is no HMAC. */
  readonly cipher: string;
  readonly digest: string | undefined;
  /** Both copied. */
  readonly key: Uint8Array;
  readonly macKey: Uint8Array;
  /** 8: the sender's time (`idsHigh`) stands behind the id. */
  readonly idSize: 4 | 8;
  readonly headerSize: number;
  /** As of `RingKeyOptions`, `headerSize` bytes long. */
  readonly header?: Uint8Array;
}

const NOTHING = new Uint8Array(0);

export class KeyRing {
  readonly #native = loadAddon() as KeyRingAddon;
  readonly #handle: RingHandle;
  readonly slots: number;

  /** `slots`: how many keys there may be, each in one direction. At most 65536, of which an empty one costs 8 bytes. */
  constructor(slots: number) {
    this.slots = slots;
    this.#handle = this.#native.keyRingCreate(slots);
  }

  /** Puts a key in a slot. What was there is wiped. Throws as PacketKey does, and on a header that reaches the counter. */
  set(slot: number, options: RingKeyOptions): void {
    const { cipher, key, iv, layout, header = NOTHING } = options;
    this.#native.keyRingSet(
      this.#handle,
      slot,
      cipher,
      key,
      iv,
      layout.aadOffset,
      layout.aadLength,
      layout.counterOffset,
      layout.counterLength,
      layout.tagOffset === 'end' ? -1 : layout.tagOffset,
      layout.bodyOffset,
      header,
    );
  }

  /** The same for CBC and HMAC. Throws a RangeError for what is no such cipher or digest, or keys of another length. */
  setCbc(slot: number, options: RingCbcOptions): void {
    const { cipher, key, digest, macKey, idSize, headerSize, header = NOTHING } = options;
    this.#native.keyRingSetCbc(this.#handle, slot, cipher, key, digest, macKey, idSize, headerSize, header);
  }

  /** A peer's id changed: what datagrams begin with from now on. */
  setHeader(slot: number, header: Uint8Array): void {
    this.#native.keyRingSetHeader(this.#handle, slot, header);
  }

  /** Wipes the slot's key. Idempotent. Using the slot afterwards throws. */
  clear(slot: number): void {
    this.#native.keyRingClear(this.#handle, slot);
  }

  /**
   * Cuts, completes and seals packets `order[first]` to `order[first + count - 1]` of `table`, in this order, under
   * `slots[i]`, and appends the datagrams to `outbox` for `addresses[i]`. A superpacket becomes `segments[i]` packets
   * with right lengths, checksums, IP ids, sequence numbers and flags. Packet ids count up from `ids[i]` (and
   * `idsHigh[i]`); the caller makes sure, before, that the key may still use `segments[i]` of them.
   *
   * Returns how many packets of the list were taken, all of each; fewer than `count` when the outbox is full: send it
   * and go on. Their bytes in the table are spoiled. Throws a RangeError, before anything is sealed, for a packet
   * outside the slab, an empty slot, a bad superpacket, or ids that would wrap.
   */
  seal(table: PacketTable, order: Uint32Array, first: number, count: number, outbox: Outbox): number {
    return this.#native.keyRingSeal(
      this.#handle,
      table.slabMemory,
      table.columnMemory,
      order,
      first,
      count,
      outbox.slabMemory,
      outbox.columnMemory,
    );
  }

  /**
   * `seal` into an empty outbox, and `socket.sendOutbox` of all of it, in one call. The outbox is empty again when all was
   * sent; otherwise `outbox.sent` says from where on it is to be sent, and `takeError` why it was not.
   */
  sealAndSend(
    table: PacketTable,
    order: Uint32Array,
    first: number,
    count: number,
    outbox: Outbox,
    socket: UdpSocket,
    addresses?: AddressTable,
  ): number {
    return this.#native.keyRingSeal(
      this.#handle,
      table.slabMemory,
      table.columnMemory,
      order,
      first,
      count,
      outbox.slabMemory,
      outbox.columnMemory,
      socket.descriptor.fd,
      socket.family,
      addresses?.memory,
    );
  }

  /**
   * Checks and decrypts datagrams `order[first]` to `order[first + count - 1]` in place, each under `slots[i]`.
   * `verdicts[i]` becomes 1, or 0 for one that is forged or too short: its body is zeroed. Returns how many are
   * authentic. Offsets and lengths stay the datagram's: the plaintext lies from the layout's bodyOffset to the end (or
   * the tag); under CBC the id, the plaintext and its padding, whose bytes say its length, from behind the IV to the end.
   * Replay is the caller's to check, afterwards. Throws a RangeError, before anything is opened, for a
   * datagram outside the slab or an empty slot.
   */
  open(table: PacketTable, order: Uint32Array, first: number, count: number): number {
    return this.#native.keyRingOpen(this.#handle, table.slabMemory, table.columnMemory, order, first, count);
  }
}
