/**
 * The addresses that a server hands out. One handle is one place: an IPv4 address (or a /30 in net30 topology) and the
 * IPv6 address of the same number. A common name gets its old place back while nobody else needed it.
 *
 *   free, never used ─▶ taken ─▶ free, remembered for its name ─▶ taken by that name, or by another when the pool is full
 *
 * upstream: pool.c (`ifconfig_pool_acquire`, `ifconfig_pool_list_persist`, 2.6).
 */
import type { Millis } from '@seikan/core';

import { addIpv6, formatIpv4, formatIpv6, parseIpv4, parseIpv6 } from '../options/address.js';
import type { Pool, Topology } from '../options/options.js';
import type { TunnelLog } from '../tunnel-log.js';

export interface PoolSettings {
  readonly ipv4: Pool | undefined;
  readonly ipv6: { readonly base: string; readonly bits: number } | undefined;
  /** `net30` uses four addresses a client; the others one. */
  readonly topology: Topology;
  readonly device: 'tun' | 'tap';
  readonly duplicateCn: boolean;
}

export interface Lease {
  readonly handle: number;
  /** The client's own address. */
  readonly ipv4: string | undefined;
  /** net30: the server's end of the client's /30. */
  readonly ipv4Peer: string | undefined;
  readonly ipv6: string | undefined;
}

interface Place {
  commonName: string | undefined;
  taken: boolean;
  /** For nobody but its name. */
  reserved: boolean;
  /** Undefined while nobody has left it. */
  releasedAt: Millis | undefined;
}

/** Upstream's IFCONFIG_POOL_MAX. */
const POOL_LIMIT = 65_536;

export class AddressPool {
  readonly #settings: PoolSettings;
  /** How many there would be of each kind alone. */
  readonly #sizes: { readonly ipv4: number | undefined; readonly ipv6: number | undefined };
  readonly #places: Place[];
  readonly #start: number | undefined;
  readonly #net30: boolean;
  readonly #ipv6Base: Uint8Array | undefined;
  readonly #duplicateCn: boolean;
  #unnamedFrom = 0;

  constructor(settings: PoolSettings) {
    const { ipv4, ipv6 } = settings;
    this.#settings = settings;
    this.#net30 = settings.topology === 'net30' && settings.device === 'tun';
    this.#duplicateCn = settings.duplicateCn;
    this.#ipv6Base = ipv6 === undefined ? undefined : parseIpv6(ipv6.base);
    let ofIpv4: number | undefined;
    if (ipv4 !== undefined) {
      const start = parseIpv4(ipv4.start) ?? 0;
      const end = parseIpv4(ipv4.end) ?? 0;
      this.#start = this.#net30 ? (start & ~3) >>> 0 : start;
      ofIpv4 = Math.min(POOL_LIMIT, this.#net30 ? (((end | 3) >>> 0) + 1 - this.#start) / 4 : end - start + 1);
    }
    const ofIpv6 =
      ipv6 === undefined ? undefined : ipv6.bits >= 112 ? Math.min(POOL_LIMIT, 2 ** (128 - ipv6.bits) - 2) : POOL_LIMIT;
    this.#sizes = { ipv4: ofIpv4, ipv6: ofIpv6 };
    const size =
      ofIpv4 === undefined && ofIpv6 === undefined ? 0 : Math.min(ofIpv4 ?? POOL_LIMIT, ofIpv6 ?? POOL_LIMIT);
    this.#places = Array.from({ length: size }, () => ({
      commonName: undefined,
      taken: false,
      reserved: false,
      releasedAt: undefined,
    }));
  }

  /** What it is, as OpenVPN logs it. */
  describe(log: TunnelLog): void {
    const { ipv4, ipv6 } = this.#sizes;
    const { ipv6: network } = this.#settings;
    if (ipv4 !== undefined) log.info(3, `IFCONFIG POOL IPv4: base=${formatIpv4(this.#start ?? 0)} size=${ipv4}`);
    if (ipv6 !== undefined && network !== undefined)
      log.info(3, `IFCONFIG POOL IPv6: base=${network.base} size=${ipv6} netbits=${network.bits}`);
    if (ipv4 === undefined || ipv6 === undefined || ipv4 === ipv6) return;
    const fewer = ipv4 < ipv6 ? 'IPv4' : 'IPv6';
    log.notice(
      `NOTE: IPv4 pool size is ${ipv4}, IPv6 pool size is ${ipv6}. ${fewer} pool size limits the number of clients that can be served from the pool`,
    );
  }

  get size(): number {
    return this.#places.length;
  }

  get hasIpv6(): boolean {
    return this.#ipv6Base !== undefined;
  }

  get taken(): number {
    return this.#places.reduce((count, place) => count + (place.taken ? 1 : 0), 0);
  }

  /** A place for a client; `undefined` when all are taken. Who has no name is not remembered. */
  acquire(commonName: string | undefined): Lease | undefined {
    const places = this.#places;
    const name = this.#duplicateCn ? undefined : commonName;
    let handle = name === undefined ? -1 : places.findIndex((place) => !place.taken && place.commonName === name);
    if (handle < 0) handle = this.#firstUnnamed();
    if (handle < 0) {
      // Full of memories: the one whose owner left longest ago.
      let oldest = Number.POSITIVE_INFINITY;
      for (const [index, place] of places.entries()) {
        const released = place.releasedAt ?? 0;
        if (!place.taken && !place.reserved && released < oldest) [handle, oldest] = [index, released];
      }
    }
    const place = places[handle];
    if (place === undefined) return undefined;
    place.taken = true;
    place.commonName = name;
    return this.#lease(handle);
  }

  /** The lowest free place without a name, or -1. Those below `#unnamedFrom` are none. */
  #firstUnnamed(): number {
    const places = this.#places;
    let handle = this.#unnamedFrom;
    while (handle < places.length && (places[handle]?.taken === true || places[handle]?.commonName !== undefined))
      handle += 1;
    this.#unnamedFrom = handle;
    return handle < places.length ? handle : -1;
  }

  release(handle: number, now: Millis): void {
    const place = this.#places[handle];
    if (place === undefined) return;
    this.#unnamedFrom = Math.min(this.#unnamedFrom, handle);
    place.taken = false;
    place.releasedAt = now;
  }

  /** The place was not needed after all: nobody's name stays with it. */
  forget(handle: number): void {
    const place = this.#places[handle];
    if (place === undefined) return;
    this.#unnamedFrom = Math.min(this.#unnamedFrom, handle);
    place.taken = false;
    place.commonName = undefined;
  }

  /** The lines of `ifconfig-pool-persist`: `common name,ipv4,ipv6`. */
  encode(): string {
    const lines: string[] = [];
    for (const [handle, { commonName }] of this.#places.entries()) {
      if (commonName === undefined) continue;
      const ipv4 = this.#start === undefined ? '' : formatIpv4(this.#start + (this.#net30 ? handle * 4 : handle));
      const ipv6 = this.#ipv6Base === undefined ? '' : formatIpv6(addIpv6(this.#ipv6Base, handle));
      lines.push(`${commonName},${ipv4},${ipv6}\n`);
    }
    return lines.join('');
  }

  /** Takes what an earlier run wrote down, or what the user did, who reserves it; says which lines it could not use. */
  restore(text: string, reserved = false): readonly string[] {
    const unusable: string[] = [];
    for (const line of text.split('\n')) {
      if (line.trim() === '' || line.startsWith('#') || line.startsWith(';')) continue;
      const [commonName, ipv4, ipv6] = line.split(',');
      const handle = this.#handleOf(ipv4?.trim() ?? '', ipv6?.trim() ?? '');
      const place = handle === undefined ? undefined : this.#places[handle];
      if (commonName === undefined || commonName === '' || place === undefined) unusable.push(line);
      else {
        place.commonName = commonName;
        place.reserved = reserved;
      }
    }
    return unusable;
  }

  #lease(handle: number): Lease {
    const ipv6 = this.#ipv6Base === undefined ? undefined : formatIpv6(addIpv6(this.#ipv6Base, handle));
    if (this.#start === undefined) return { handle, ipv4: undefined, ipv4Peer: undefined, ipv6 };
    if (!this.#net30) return { handle, ipv4: formatIpv4(this.#start + handle), ipv4Peer: undefined, ipv6 };
    const base = this.#start + handle * 4;
    return { handle, ipv4: formatIpv4(base + 2), ipv4Peer: formatIpv4(base + 1), ipv6 };
  }

  #handleOf(ipv4: string, ipv6: string): number | undefined {
    const address = parseIpv4(ipv4);
    if (address !== undefined && this.#start !== undefined) {
      const offset = address - this.#start;
      return this.#net30 ? Math.floor(offset / 4) : offset;
    }
    const wanted = parseIpv6(ipv6);
    if (wanted === undefined || this.#ipv6Base === undefined) return undefined;
    return lowWord(wanted) - lowWord(this.#ipv6Base);
  }
}

/** The last 32 bits of an IPv6 address. */
function lowWord(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(12);
}
