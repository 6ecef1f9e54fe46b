/**
 * `passtos`: what leaves for the peer bears the TOS byte of the packet inside. The tun hands packets over in runs of one TOS,
 * each of which is sealed and sent before the next; the links set the option of their sockets when it has changed.
 *
 *   TosTun ── a run, its TOS noted ──▶ channel ── seal, send ──▶ TosLink ── IP_TOS ──▶ socket
 *
 * Both stand around the ends that other tunnels have, which know nothing of this. As in OpenVPN it is IPv4 in IPv4, and
 * what has no TOS of its own (control packets, pings, IPv6 inside) goes with the last one.
 *
 * Source: forward.c `process_ip_header`, socket.h `link_socket_set_tos` (2.6).
 */
import type { Endpoint } from '@seikan/core';
import { type AddressTable, setTypeOfService } from '@seikan/native';

import { ipStart, ipVersion } from './ip-packet.js';
import type { NatTun } from './nat-tun.js';
import type { SealRun } from './packet-lane.js';
import type { Peer } from './peer.js';
import type { LinkReceiver, PacketBatch, PacketLink, PacketTun, TunReceiver } from './ports.js';
import type { TunEnd } from './tun-end.js';

/** The TOS byte of what is sent now, which a tun says and its links read. */
export interface CurrentTos {
  value: number;
}

export class TosTun implements PacketTun {
  readonly #tun: TunEnd | NatTun;
  readonly #device: 'tun' | 'tap';
  readonly #current: CurrentTos;

  constructor(tun: TunEnd | NatTun, device: 'tun' | 'tap', current: CurrentTos) {
    this.#tun = tun;
    this.#device = device;
    this.#current = current;
  }

  start(receiver: TunReceiver): void {
    this.#tun.start({
      packets: (batch, count) => {
        let first = 0;
        for (let i = 0; i < count; i += 1) {
          const tos = this.#tosOf(batch, i);
          if (tos === this.#current.value) continue;
          if (i > first) receiver.packets(batch, i, first);
          first = i;
          this.#current.value = tos;
        }
        if (count > first) receiver.packets(batch, count, first);
      },
      down: (reason) => receiver.down(reason),
    });
  }

  write(bytes: Uint8Array, start: number, end: number): boolean {
    return this.#tun.write(bytes, start, end);
  }

  flush(): number {
    return this.#tun.flush();
  }

  writeTable(...run: Parameters<TunEnd['writeTable']>): number {
    return this.#tun.writeTable(...run);
  }

  pause(on: boolean): void {
    this.#tun.pause(on);
  }

  close(): void {
    this.#tun.close();
  }

  #tosOf({ slab, offsets, lengths }: PacketBatch, packet: number): number {
    const start = offsets[packet] as number;
    const end = start + (lengths[packet] as number);
    const ip = ipStart(this.#device, slab, start, end);
    return ipVersion(slab, ip, end) === 4 ? (slab[ip + 1] as number) : this.#current.value;
  }
}

export class TosLink implements PacketLink {
  readonly #link: PacketLink;
  readonly #current: CurrentTos;
  /** What its socket has. */
  #tos = 0;
  #closed = false;

  constructor(link: PacketLink, current: CurrentTos) {
    this.#link = link;
    this.#current = current;
  }

  get kind(): PacketLink['kind'] {
    return this.#link.kind;
  }

  /** Of a listener, the connections too. */
  start(receiver: LinkReceiver): void {
    this.#link.start({
      ...receiver,
      accepted: (connection, remote) => receiver.accepted(new TosLink(connection, this.#current), remote),
      became: (link) => receiver.became?.(new TosLink(link, this.#current)),
      down: (reason) => {
        this.#closed = true;
        receiver.down(reason);
      },
    });
  }

  send(bytes: Uint8Array, start: number, end: number, to: Endpoint): boolean {
    return this.#link.send(bytes, start, end, to);
  }

  flush(): number {
    this.#apply();
    return this.#link.flush();
  }

  address(peer: Peer, into: AddressTable): boolean {
    return this.#link.address?.(peer, into) ?? true;
  }

  localOf(remote: Endpoint): string | undefined {
    return this.#link.localOf?.(remote);
  }

  sendSealed(run: SealRun): number {
    this.#apply();
    return this.#link.sendSealed?.(run) ?? run.count;
  }

  get congested(): boolean {
    return this.#link.congested ?? false;
  }

  close(): void {
    this.#closed = true;
    this.#link.close();
  }

  #apply(): void {
    const { value } = this.#current;
    if (value === this.#tos || this.#closed) return;
    this.#tos = value;
    const fd = this.#link.socket?.fd;
    if (fd !== undefined) setTypeOfService(fd, value);
  }
}
