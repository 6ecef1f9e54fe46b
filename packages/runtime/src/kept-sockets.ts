/**
 * Second descriptors of a client's links, for what a server's push changes about their sockets: the first ones belong to
 * the data channel.
 */
import type { LinkId } from '@seikan/core';
import type { Options } from '@seikan/engine';
import { Descriptor, setBuffers } from '@seikan/native';

export class KeptSockets {
  readonly #sockets = new Map<LinkId, Descriptor>();

  /** `fd` stays its owner's; it is closed where there is no descriptor left, for then there is no link. */
  keep(link: LinkId, fd: number): void {
    const given = new Descriptor(fd, 'link');
    try {
      this.#sockets.set(link, given.duplicate());
    } catch (error) {
      given.close();
      throw error;
    }
    given.release();
  }

  /** 0 leaves a buffer as it is. */
  setBuffers(link: LinkId, { sendBuffer, receiveBuffer }: Options['socket']): void {
    const socket = this.#sockets.get(link);
    if (socket !== undefined) setBuffers(socket, { sendBuffer, receiveBuffer });
  }

  close(link: LinkId): void {
    this.#sockets.get(link)?.close();
    this.#sockets.delete(link);
  }

  closeAll(): void {
    for (const link of this.#sockets.keys()) this.close(link);
  }
}
