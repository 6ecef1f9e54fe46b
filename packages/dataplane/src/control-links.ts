/**
 * Links of the `kernel` channel, connections that they accept among them: control packets in and out. What the kernel
 * has taken over it eats below them; data that comes up here belongs to nobody.
 */
import { type DataChannelEvent, type DataDrop, type Endpoint, type LinkId, Opcode, opcodeOf } from '@seikan/core';

import type { CounterRow } from './counters.js';
import type { PacketBatch, PacketLink } from './ports.js';

export interface ControlLinksOptions {
  readonly drops: CounterRow;
  /** Delivers the event before it returns: the bytes of a control packet are lent. */
  readonly report: (event: DataChannelEvent) => void;
  /** The link is about to be closed, by whoever. */
  readonly closing: (id: LinkId) => void;
}

export class ControlLinks {
  readonly #options: ControlLinksOptions;
  readonly #links = new Map<LinkId, PacketLink>();
  readonly #unflushed = new Set<PacketLink>();
  #lastAccepted: LinkId = 0;

  constructor(options: ControlLinksOptions) {
    this.#options = options;
  }

  get(id: LinkId): PacketLink | undefined {
    return this.#links.get(id);
  }

  open(id: LinkId, link: PacketLink): void {
    this.#links.set(id, link);
    this.#start(id, link);
  }

  close(id: LinkId): void {
    const link = this.#links.get(id);
    this.#links.delete(id);
    if (link === undefined) return;
    this.#unflushed.delete(link);
    this.#options.closing(id);
    link.close();
  }

  closeAll(): void {
    for (const id of this.#links.keys()) this.close(id);
  }

  send(id: LinkId, to: Endpoint, bytes: Uint8Array): void {
    const link = this.#links.get(id);
    if (link === undefined) this.#options.drops.addDrop('no-link');
    else if (link.send(bytes, 0, bytes.length, to)) this.#unflushed.add(link);
    else this.#options.drops.addDrop('link-full');
  }

  /** Lets out what was sent. */
  flush(): void {
    for (const link of this.#unflushed) this.flushLink(link);
  }

  flushLink(link: PacketLink): void {
    if (!this.#unflushed.delete(link)) return;
    const lost = link.flush();
    if (lost > 0) this.#options.drops.addDrop('link-full', lost);
  }

  #start(id: LinkId, link: PacketLink): void {
    const { report } = this.#options;
    link.start({
      datagrams: (batch, count, from) => this.#receive(id, link, { batch, count, from }),
      accepted: (connection, remote) => {
        if (this.#links.get(id) !== link) {
          connection.close();
          return;
        }
        this.#lastAccepted -= 1;
        const accepted = this.#lastAccepted;
        this.#links.set(accepted, connection);
        report({ event: 'linkUp', link: accepted, listener: id, remote });
        if (this.#links.get(accepted) === connection) this.#start(accepted, connection);
      },
      became: (other) => {
        if (this.#links.get(id) !== link) {
          other.close();
          return;
        }
        this.#links.set(id, other);
        this.#start(id, other);
      },
      foreign: (fd, begun) => {
        this.#links.delete(id);
        report({ event: 'linkForeign', link: id, fd, begun });
      },
      connected: (remote) => report({ event: 'linkUp', link: id, listener: undefined, remote }),
      failed: (text, unreachable) => report({ event: 'linkError', link: id, text, unreachable }),
      down: (reason) => {
        if (this.#links.get(id) !== link) return;
        this.close(id);
        report({ event: 'linkDown', link: id, reason });
      },
    });
  }

  #receive(
    id: LinkId,
    link: PacketLink,
    { batch, count, from }: { readonly batch: PacketBatch; readonly count: number; readonly from: readonly Endpoint[] },
  ): void {
    const { offsets, lengths, slab } = batch;
    for (let i = 0; i < count && this.#links.get(id) === link; i += 1) {
      const start = offsets[i] as number;
      const bytes = slab.subarray(start, start + (lengths[i] as number));
      const drop = dropOf(bytes);
      if (drop === undefined) this.#options.report({ event: 'control', link: id, from: from[i] as Endpoint, bytes });
      else this.#options.drops.addDrop(drop);
    }
  }
}

/** Why a datagram is nothing for control. */
function dropOf(bytes: Uint8Array): DataDrop | undefined {
  const [first] = bytes;
  if (first === undefined) return 'too-short';
  const opcode = opcodeOf(first);
  return opcode === Opcode.dataV1 || opcode === Opcode.dataV2 ? 'unknown-peer' : undefined;
}
