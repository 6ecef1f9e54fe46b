/** Unix sockets that carry file descriptors beside bytes, non-blocking: D-Bus, systemd, and processes of ours. */
import { constants } from 'node:os';

import { loadAddon } from './addon.js';
import { Descriptor } from './descriptor.js';

interface UnixAddon {
  unixCreate(type: UnixType): number;
  unixPair(type: UnixType, ends: Int32Array): void;
  unixConnect(fd: number, name: string, abstract: boolean): void;
  unixBind(fd: number, name: string, abstract: boolean): void;
  unixAccept(fd: number): number;
  unixPeer(fd: number, ids: Uint32Array): void;
  unixSend(fd: number, bytes: Uint8Array, offset: number, length: number, descriptors: Int32Array): number;
  unixReceive(
    fd: number,
    bytes: Uint8Array,
    offset: number,
    length: number,
    descriptors: Int32Array,
    details: Uint32Array,
  ): number;
  socketListen(fd: number, backlog: number): void;
  streamEnd(fd: number): void;
}

export type UnixType = 'stream' | 'seqpacket' | 'datagram';

/** A path of at most 107 bytes, or a name in the abstract namespace (D-Bus's `unix:abstract=`, systemd's `@`). */
export type UnixAddress = { readonly path: string } | { readonly abstract: string };

/** The most descriptors that the kernel lets one message carry. */
export const MOST_DESCRIPTORS = 253;

const NO_DESCRIPTORS = new Int32Array(0);
/** Bits of the second detail of a received message; the other is 2, the message was cut. */
const DESCRIPTORS_LOST = 1;
/** ETOOMANYREFS, which node:os does not list. */
const LOST = -109;
const CUT = -constants.errno.EMSGSIZE;

export interface PeerCredentials {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

export class UnixSocket {
  readonly #native = loadAddon() as UnixAddon;
  readonly descriptor: Descriptor;
  readonly #descriptors: Int32Array;
  readonly #details = new Uint32Array(2);

  /** Takes over a connected socket's descriptor. `mostDescriptors`: how many one received message may bring. */
  constructor(fd: number, { mostDescriptors = 16 }: { readonly mostDescriptors?: number } = {}) {
    this.descriptor = new Descriptor(fd, 'Unix socket');
    this.#descriptors = new Int32Array(mostDescriptors);
  }

  /** Throws a system error: ENOENT, ECONNREFUSED, EACCES, EAGAIN when a stream listener's queue is full. */
  static connect(
    to: UnixAddress,
    { type = 'stream', mostDescriptors }: { readonly type?: UnixType; readonly mostDescriptors?: number } = {},
  ): UnixSocket {
    const native = loadAddon() as UnixAddon;
    const socket = new UnixSocket(native.unixCreate(type), mostDescriptors === undefined ? {} : { mostDescriptors });
    try {
      native.unixConnect(socket.descriptor.fd, ...nameOf(to));
    } catch (error) {
      socket.close();
      throw error;
    }
    return socket;
  }

  /** Two sockets connected to each other. One of them may be made inheritable and given to a child. */
  static pair(type: UnixType = 'stream'): [UnixSocket, UnixSocket] {
    const ends = new Int32Array(2);
    (loadAddon() as UnixAddon).unixPair(type, ends);
    return [new UnixSocket(ends[0] ?? -1), new UnixSocket(ends[1] ?? -1)];
  }

  /** Who connected, or listened, at the time of the connection (of a pair: who made it). */
  get peer(): PeerCredentials {
    const ids = new Uint32Array(3);
    this.#native.unixPeer(this.descriptor.fd, ids);
    const [pid = 0, uid = 0, gid = 0] = ids;
    return { pid, uid, gid };
  }

  /**
   * Sends `length` bytes from `bytes[offset]`, and copies of the descriptors with the first of them (a stream needs at
   * least one byte to carry them). Returns how many bytes went (a stream may take fewer, and then has taken the
   * descriptors), WOULD_BLOCK, or another negative errno.
   */
  send(bytes: Uint8Array, offset = 0, length: number = bytes.length - offset, fds?: readonly number[]): number {
    const descriptors = fds === undefined ? NO_DESCRIPTORS : Int32Array.from(fds);
    return this.#native.unixSend(this.descriptor.fd, bytes, offset, length, descriptors);
  }

  /**
   * Receives at most `length` bytes to `into[offset]`. Returns how many, 0 at the end of a stream, WOULD_BLOCK, or
   * another negative errno. Each descriptor that came is pushed to `descriptors`, the caller's to close.
   * `ETOOMANYREFS` (negative, like any errno): the message brought more descriptors than it may or than this process
   * can open; those that came are closed, the bytes are lost, and the connection is of no more use.
   * `EMSGSIZE`: a datagram or packet longer than `length`, lost with its descriptors.
   */
  receive(into: Uint8Array, offset: number, length: number, descriptors: Descriptor[]): number {
    const result = this.#native.unixReceive(this.descriptor.fd, into, offset, length, this.#descriptors, this.#details);
    if (result < 0) return result;
    const [came = 0, fate = 0] = this.#details;
    const received = Array.from(this.#descriptors.subarray(0, came), (fd) => new Descriptor(fd, 'received descriptor'));
    if (fate === 0) {
      descriptors.push(...received);
      return result;
    }
    for (const descriptor of received) descriptor.close();
    return (fate & DESCRIPTORS_LOST) === 0 ? CUT : LOST;
  }

  /** No more will be written; the peer reads the end of the stream. */
  end(): void {
    this.#native.streamEnd(this.descriptor.fd);
  }

  close(): void {
    this.descriptor.close();
  }
}

export class UnixListener {
  readonly #native = loadAddon() as UnixAddon;
  readonly descriptor: Descriptor;

  /** Takes over a listening socket's descriptor, one that systemd passed for instance. */
  constructor(fd: number) {
    this.descriptor = new Descriptor(fd, 'Unix listener');
  }

  /** A path must not exist; whoever made it removes it. Throws a system error: EADDRINUSE, EACCES, ENOENT. */
  static open(
    at: UnixAddress,
    { type = 'stream', backlog = 64 }: { type?: 'stream' | 'seqpacket'; backlog?: number } = {},
  ): UnixListener {
    const native = loadAddon() as UnixAddon;
    const listener = new UnixListener(native.unixCreate(type));
    try {
      native.unixBind(listener.descriptor.fd, ...nameOf(at));
      native.socketListen(listener.descriptor.fd, backlog);
    } catch (error) {
      listener.close();
      throw error;
    }
    return listener;
  }

  /** The next connection, or a negative errno: WOULD_BLOCK when none waits. */
  accept(): UnixSocket | number {
    const fd = this.#native.unixAccept(this.descriptor.fd);
    return fd < 0 ? fd : new UnixSocket(fd);
  }

  close(): void {
    this.descriptor.close();
  }
}

function nameOf(address: UnixAddress): [name: string, abstract: boolean] {
  return 'path' in address ? [address.path, false] : [address.abstract, true];
}
