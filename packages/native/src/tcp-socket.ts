/** TCP connections and listeners, non-blocking. Bytes only: OpenVPN's length prefix belongs to the data channel. */
import { loadAddon } from './addon.js';
import { Descriptor } from './descriptor.js';
import type { PacketRun } from './packet-batch.js';
import { AddressTable, type SocketAddress } from './socket-address.js';
import { addressRecord, createSocket, type SocketAddon, type SocketOptions, socketName } from './socket-options.js';

interface TcpAddon extends SocketAddon {
  streamAccept(fd: number, record: Uint8Array): number;
  streamRead(fd: number, bytes: Uint8Array, offset: number, length: number): number;
  streamWrite(
    fd: number,
    slab: Uint8Array,
    offsets: Uint32Array,
    lengths: Uint32Array,
    first: number,
    count: number,
  ): number;
  streamEnd(fd: number): void;
}

export interface TcpOptions extends SocketOptions {
  /** `tcp-nodelay`: default true, as OpenVPN has it since 2.7.6. */
  readonly noDelay?: boolean | undefined;
}

export class TcpSocket {
  readonly #native = loadAddon() as TcpAddon;
  readonly #oneOffset = new Uint32Array(1);
  readonly #oneLength = new Uint32Array(1);
  readonly descriptor: Descriptor;

  /** Takes over a connection's descriptor. */
  constructor(fd: number) {
    this.descriptor = new Descriptor(fd, 'TCP connection');
  }

  /**
   * Begins to connect. The socket becomes writable when it is decided; connectResult() then tells how.
   * Throws a system error when it fails at once (ENETUNREACH, EADDRINUSE ...).
   */
  static connect(to: SocketAddress, options: TcpOptions): TcpSocket {
    const native = loadAddon() as TcpAddon;
    const fd = createSocket(true, options, (made) => {
      if (options.noDelay ?? true) native.socketSetOption(made, 'TCP_NODELAY', 1);
      native.socketConnect(made, options.family, addressRecord(to));
    });
    return new TcpSocket(fd);
  }

  /** 0: connected; else the negative errno of the attempt. To be asked once, when the socket is writable. */
  connectResult(): number {
    return 0 - this.#native.socketGetOption(this.descriptor.fd, 'SO_ERROR');
  }

  get address(): SocketAddress {
    return socketName(this.#native, this.descriptor.fd, 'own');
  }

  get remoteAddress(): SocketAddress {
    return socketName(this.#native, this.descriptor.fd, 'peer');
  }

  setNoDelay(on: boolean): void {
    this.#native.socketSetOption(this.descriptor.fd, 'TCP_NODELAY', Number(on));
  }

  /** Reads at most `length` bytes to `into[offset]`. Returns how many, 0 at the end of the stream, WOULD_BLOCK, or another negative errno. */
  read(into: Uint8Array, offset: number, length: number): number {
    return this.#native.streamRead(this.descriptor.fd, into, offset, length);
  }

  /**
   * Writes packets `first` to `first + count - 1` (at most 256) one behind the other. Returns how many bytes of them the
   * socket took, which may end inside a packet; WOULD_BLOCK, or another negative errno.
   */
  write(batch: PacketRun, first: number, count: number): number {
    return this.#native.streamWrite(this.descriptor.fd, batch.slab, batch.offsets, batch.lengths, first, count);
  }

  /** The same for the bytes `[offset, offset + length)` of any array. */
  writeBytes(bytes: Uint8Array, offset: number, length: number): number {
    this.#oneOffset[0] = offset;
    this.#oneLength[0] = length;
    return this.#native.streamWrite(this.descriptor.fd, bytes, this.#oneOffset, this.#oneLength, 0, 1);
  }

  /** No more will be written; the peer reads the end of the stream. */
  end(): void {
    this.#native.streamEnd(this.descriptor.fd);
  }

  close(): void {
    this.descriptor.close();
  }
}

export class TcpListener {
  readonly #native = loadAddon() as TcpAddon;
  readonly #noDelay: boolean;
  readonly #remote = new AddressTable(1);
  readonly descriptor: Descriptor;

  /** Takes over a listening socket's descriptor. */
  constructor(fd: number, { noDelay = true }: { readonly noDelay?: boolean | undefined } = {}) {
    this.descriptor = new Descriptor(fd, 'TCP listener');
    this.#noDelay = noDelay;
  }

  /** Throws a system error that names the step. `backlog`: connections that wait to be accepted. */
  static open(options: TcpOptions, backlog = 128): TcpListener {
    const native = loadAddon() as TcpAddon;
    return new TcpListener(
      createSocket(true, options, (made) => native.socketListen(made, backlog)),
      options,
    );
  }

  get address(): SocketAddress {
    return socketName(this.#native, this.descriptor.fd, 'own');
  }

  /** The next connection and its peer, or a negative errno: WOULD_BLOCK when none waits; EMFILE and ECONNABORTED may pass. */
  accept(): { readonly socket: TcpSocket; readonly remote: SocketAddress } | number {
    const fd = this.#native.streamAccept(this.descriptor.fd, this.#remote.bytes);
    if (fd < 0) return fd;
    const socket = new TcpSocket(fd);
    const remote = this.#remote.remote(0);
    if (remote === undefined) {
      socket.close();
      throw new Error('accepted a connection without an internet address');
    }
    if (this.#noDelay) socket.setNoDelay(true);
    return { socket, remote };
  }

  close(): void {
    this.descriptor.close();
  }
}
