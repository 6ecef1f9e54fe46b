/** Netlink sockets: whole datagrams to and from the kernel, non-blocking. What is in them is netconf's to write and read. */
import { loadAddon } from './addon.js';
import { Descriptor } from './descriptor.js';

interface NetlinkAddon {
  netlinkOpen(protocol: number, strict: boolean): number;
  netlinkMembership(fd: number, group: number, member: boolean): void;
  netlinkPort(fd: number): number;
  netlinkSend(fd: number, datagram: Uint8Array): void;
  netlinkReceive(fd: number, into: Uint8Array): number;
}

const PROTOCOLS = { route: 0, generic: 16 } as const;

/** A receive buffer of this size lets the kernel fill its largest dump datagrams; with a smaller one it sends more of them. */
export const NETLINK_BUFFER = 32_768;

export interface NetlinkOptions {
  readonly protocol: keyof typeof PROTOCOLS;
  /** The kernel checks dump requests and filters them (NETLINK_GET_STRICT_CHK). Default true. */
  readonly strict?: boolean;
  /** Multicast groups by number (RTNLGRP_*, or as a generic family's mcast groups say). */
  readonly groups?: readonly number[];
}

export class NetlinkSocket {
  readonly #native = loadAddon() as NetlinkAddon;
  readonly descriptor: Descriptor;

  private constructor(fd: number) {
    this.descriptor = new Descriptor(fd, 'netlink socket');
  }

  /** Errors of the kernel come with words (extended acknowledgements), and without the request copied back. */
  static open({ protocol, strict = true, groups = [] }: NetlinkOptions): NetlinkSocket {
    const native = loadAddon() as NetlinkAddon;
    const socket = new NetlinkSocket(native.netlinkOpen(PROTOCOLS[protocol], strict));
    try {
      for (const group of groups) socket.join(group);
    } catch (error) {
      socket.close();
      throw error;
    }
    return socket;
  }

  /** The port id that answers are addressed to. */
  get port(): number {
    return this.#native.netlinkPort(this.descriptor.fd);
  }

  /** Throws EINVAL or ENOENT for a group that does not exist, EPERM for one that needs privilege. */
  join(group: number): void {
    this.#native.netlinkMembership(this.descriptor.fd, group, true);
  }

  leave(group: number): void {
    this.#native.netlinkMembership(this.descriptor.fd, group, false);
  }

  /** Sends one datagram to the kernel. Throws a system error when the socket refuses it. */
  send(datagram: Uint8Array): void {
    this.#native.netlinkSend(this.descriptor.fd, datagram);
  }

  /**
   * Receives the next datagram of the kernel to the start of `into` (see NETLINK_BUFFER). Returns its length, 0 when
   * none waits (or it was another process's, which is dropped), or a negative errno: ENOBUFS when the kernel dropped some (what is known must be asked for again),
   * EMSGSIZE for one longer than `into`, which is lost.
   */
  receive(into: Uint8Array): number {
    return this.#native.netlinkReceive(this.descriptor.fd, into);
  }

  close(): void {
    this.descriptor.close();
  }
}
