/**
 * The links of a server: what it listens on, and the TCP connections that come in there. A connection on which no session
 * has begun is nobody's yet: it has the handshake's window to begin one, counts as a client, and ends at its first bad
 * packet, so that who has no key holds no descriptor for long.
 * upstream: mtcp.c, which makes a `multi_instance` of each connection at once (2.6).
 */
import type { Endpoint, LinkId, Millis } from '@seikan/core';

import type { Connection } from '../options/options.js';
import type { EngineOutput } from '../output.js';

export interface ServerLink {
  readonly link: LinkId;
  readonly transport: 'udp' | 'tcp';
  readonly connection: Connection;
}

interface Stranger {
  readonly remote: Endpoint;
  readonly until: Millis;
}

export class ServerLinks {
  readonly #emit: (output: EngineOutput) => void;
  readonly #window: Millis;
  readonly #links = new Map<LinkId, ServerLink>();
  /** In the order of their ends, since all have the same time. */
  readonly #strangers = new Map<LinkId, Stranger>();

  /** `window`: how long a connection may stay without a session. */
  constructor(options: { readonly emit: (output: EngineOutput) => void; readonly window: Millis }) {
    this.#emit = options.emit;
    this.#window = options.window;
  }

  get(link: LinkId): ServerLink | undefined {
    return this.#links.get(link);
  }

  opened(link: ServerLink): void {
    this.#links.set(link.link, link);
  }

  /** A connection came in. False: nothing listens there any more, and it is closed. */
  accepted(link: LinkId, listener: LinkId | undefined, remote: Endpoint, now: Millis): boolean {
    const parent = listener === undefined ? undefined : this.#links.get(listener);
    if (parent === undefined) {
      this.#emit({ output: 'close-link', link });
      return false;
    }
    this.#links.set(link, { ...parent, link });
    this.#strangers.set(link, { remote, until: now + this.#window });
    return true;
  }

  /** Connections without a session. */
  get strangers(): number {
    return this.#strangers.size;
  }

  /** A session has begun there: its own deadlines hold from now on. */
  known(link: LinkId): void {
    this.#strangers.delete(link);
  }

  /** The channel has closed it. Whose it was, if it had no session. */
  down(link: LinkId): Endpoint | undefined {
    this.#links.delete(link);
    const stranger = this.#strangers.get(link);
    this.#strangers.delete(link);
    return stranger?.remote;
  }

  /** Closes a connection; a link that many clients share stays. */
  closeConnection(link: LinkId): void {
    if (this.#links.get(link)?.transport !== 'tcp') return;
    this.down(link);
    this.#emit({ output: 'close-link', link });
  }

  closeAll(): void {
    for (const link of this.#links.keys()) this.#emit({ output: 'close-link', link });
    this.#links.clear();
    this.#strangers.clear();
  }

  /** Closes connections whose time is over, and says whose they were. */
  handleTimeout(now: Millis): Endpoint[] {
    const ended: Endpoint[] = [];
    for (const [link, { remote, until }] of this.#strangers) {
      if (until > now) break;
      ended.push(remote);
      this.closeConnection(link);
    }
    return ended;
  }

  nextTimeout(): Millis | undefined {
    for (const { until } of this.#strangers.values()) return until;
    return undefined;
  }
}
