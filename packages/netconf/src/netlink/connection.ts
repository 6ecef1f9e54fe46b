/**
 * Requests over a netlink socket as promises: one sequence number each, answered by one message, by a dump that ends
 * with NLMSG_DONE, or by an acknowledgement. Any netlink family (rtnetlink here, generic netlink for offload).
 */
import { getSystemErrorMap } from 'node:util';

import {
  MessageFlag,
  MessageType,
  type MessageWriter,
  NetlinkFormatError,
  type NetlinkMessage,
  parseAcknowledgement,
  parseMessages,
} from './message.js';

/** A netlink socket. */
export interface NetlinkPort {
  /** The socket's own address: what answers carry. Notifications carry that of whoever caused them. */
  readonly portId: number;
  /** Sends one datagram to the kernel; throws an error with `errno` when the socket refuses it. */
  send(datagram: Uint8Array): void;
  close(): void;
}

export interface NetlinkPortEvents {
  /** The datagram belongs to the receiver. */
  datagram(datagram: Uint8Array): void;
  /** The socket failed; ENOBUFS means that the kernel dropped messages for want of room. */
  failure(error: Error): void;
}

/** Opens a netlink socket of one protocol family; the runtime's is `openNativePort`. */
export type OpenNetlinkPort = (events: NetlinkPortEvents) => NetlinkPort;

/** A request that the kernel refused. */
export class NetlinkError extends Error {
  override readonly name = 'NetlinkError';
  /** Positive errno. */
  readonly errno: number;
  /** Its name, e.g. `EEXIST`. */
  readonly code: string;

  constructor(what: string, errno: number, kernelWords = '') {
    const [code, description] = getSystemErrorMap().get(-errno) ?? [`E${errno}`, 'unknown error'];
    super(`${what}: ${description} (${code})${kernelWords === '' ? '' : `: ${kernelWords}`}`);
    this.errno = errno;
    this.code = code;
  }
}

export interface NetlinkConnectionOptions {
  /** How long an answer may take, in milliseconds. */
  readonly timeout?: number;
  /** Messages that answer no request: multicast notifications. */
  readonly notification?: (message: NetlinkMessage) => void;
  /** The socket failed, or the kernel sent bytes that are not netlink. Requests under way have been rejected. */
  readonly failure?: (error: Error) => void;
}

interface Pending {
  readonly what: string;
  readonly flags: number;
  readonly messages: NetlinkMessage[];
  readonly timer: NodeJS.Timeout;
  readonly resolve: (messages: NetlinkMessage[]) => void;
  readonly reject: (error: Error) => void;
  interrupted: boolean;
}

const DEFAULT_TIMEOUT = 5_000;
const DUMP_ATTEMPTS = 5;
const EINTR = 4;

export class NetlinkConnection {
  readonly #port: NetlinkPort;
  readonly #options: NetlinkConnectionOptions;
  readonly #pending = new Map<number, Pending>();
  #sequence = 0;
  #closed = false;

  constructor(open: OpenNetlinkPort, options: NetlinkConnectionOptions = {}) {
    this.#options = options;
    this.#port = open({
      datagram: (datagram) => this.#receive(datagram),
      failure: (error) => this.#fail(error),
    });
  }

  /**
   * Sends a request and gives the messages that answer it (none for a mere acknowledgement). `what` names the request in
   * errors: "add route 10.0.0.0/8". A dump that changed under way is asked for again. `build` makes one message per attempt.
   */
  async request(what: string, build: () => MessageWriter): Promise<NetlinkMessage[]> {
    for (let attempt = 1; ; attempt++) {
      const answer = await this.#once(what, build());
      if (!answer.interrupted) return answer.messages;
      if (attempt === DUMP_ATTEMPTS) throw new NetlinkError(what, EINTR, `changed during each of ${attempt} dumps`);
    }
  }

  /** Rejects the requests under way and closes the socket. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#port.close();
    this.#rejectAll(new Error('the netlink connection was closed'));
  }

  #once(what: string, writer: MessageWriter): Promise<{ messages: NetlinkMessage[]; interrupted: boolean }> {
    if (this.#closed) return Promise.reject(new Error(`${what}: the netlink connection is closed`));
    this.#sequence = (this.#sequence + 1) >>> 0 || 1;
    const sequence = this.#sequence;
    const datagram = writer.finish(sequence);
    return new Promise((resolve, reject) => {
      const limit = this.#options.timeout ?? DEFAULT_TIMEOUT;
      const timer = setTimeout(() => {
        this.#pending.delete(sequence);
        reject(new Error(`${what}: no answer from the kernel in ${limit} ms`));
      }, limit);
      const pending: Pending = {
        what,
        flags: writer.flags,
        messages: [],
        timer,
        resolve: (messages) => resolve({ messages, interrupted: pending.interrupted }),
        reject,
        interrupted: false,
      };
      this.#pending.set(sequence, pending);
      try {
        this.#port.send(datagram);
      } catch (error) {
        this.#settle(sequence);
        throw error;
      }
    });
  }

  #receive(datagram: Uint8Array): void {
    try {
      for (const message of parseMessages(datagram)) this.#accept(message);
    } catch (error) {
      if (!(error instanceof NetlinkFormatError)) throw error;
      this.#fail(error);
    }
  }

  #accept(message: NetlinkMessage): void {
    if (message.portId !== this.#port.portId) {
      this.#options.notification?.(message);
      return;
    }
    const pending = this.#pending.get(message.sequence);
    if (pending === undefined || message.type === MessageType.noop) return;
    if ((message.flags & MessageFlag.dumpInterrupted) !== 0) pending.interrupted = true;
    if (message.type === MessageType.error || message.type === MessageType.done) {
      const { errno, text } = parseAcknowledgement(message);
      this.#settle(message.sequence);
      if (errno === 0) pending.resolve(pending.messages);
      else pending.reject(new NetlinkError(pending.what, errno, text));
      return;
    }
    pending.messages.push(message);
    const single = (message.flags & MessageFlag.multi) === 0 && (pending.flags & MessageFlag.ack) === 0;
    if (single) {
      this.#settle(message.sequence);
      pending.resolve(pending.messages);
    }
  }

  #settle(sequence: number): void {
    const pending = this.#pending.get(sequence);
    if (pending === undefined) return;
    clearTimeout(pending.timer);
    this.#pending.delete(sequence);
  }

  #fail(error: Error): void {
    this.#rejectAll(error);
    this.#options.failure?.(error);
  }

  #rejectAll(error: Error): void {
    for (const [sequence, pending] of this.#pending) {
      this.#settle(sequence);
      pending.reject(new Error(`${pending.what}: ${error.message}`, { cause: error }));
    }
  }
}
