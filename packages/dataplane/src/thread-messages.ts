/**
 * What the control thread and the channel's thread say to each other. Each direction is one MessagePort, and a Wake that
 * is raised when something was posted; control datagrams cross in a ring beside it (control-ring.ts).
 *
 *   state   | tickets answered | events posted | events taken | woken | news | batches posted | … 16 | descriptors that the thread has open, 0: a free cell |
 */
import type { MessagePort } from 'node:worker_threads';

import type {
  ChannelSettings,
  DataChannelCommand,
  DataChannelEvent,
  DataKey,
  KeyId,
  LinkId,
  PeerRef,
} from '@seikan/core';

export const ANSWERED = 0;
export const POSTED = 1;
export const TAKEN = 2;
/** 1 while the thread has been woken and has not looked at its messages since: it need not be woken again. */
export const WOKEN = 3;
/** The same for the control thread. */
export const NEWS = 4;
/** How many batches of commands were posted: looking into a port that is empty costs more than looking here. */
export const BATCHES = 5;
export const FIRST_DESCRIPTOR = 16;
/** Descriptors beyond that are not written down, and are lost with a thread that dies. */
const DESCRIPTORS = 16_384;

export const STATE_BYTES: number = (FIRST_DESCRIPTOR + DESCRIPTORS) * Int32Array.BYTES_PER_ELEMENT;

/** `workerData` of the thread. */
export interface ThreadStart {
  readonly port: MessagePort;
  /** Raised by the control thread, and by the channel's. Descriptors of the control thread, which outlive the other. */
  readonly commandWake: number;
  readonly eventWake: number;
  readonly state: SharedArrayBuffer;
  /** Control datagrams to be sent. */
  readonly commands: SharedArrayBuffer;
  /** For other entries than ours. */
  readonly extra: unknown;
}

export interface ChannelStart {
  /** Events bear this number, so that those of an earlier channel are known. */
  readonly channel: number;
  readonly settings: ChannelSettings;
  readonly counters: SharedArrayBuffer;
  readonly ring: SharedArrayBuffer;
  readonly lastAccepted: LinkId;
}

/** With a ticket: its number is answered in `state` when it is done. */
export type ThreadMessage<Link, Tun> =
  | { readonly do: 'open'; readonly start: ChannelStart }
  | { readonly do: 'handle'; readonly command: DataChannelCommand }
  | {
      readonly do: 'newKey';
      readonly peer: PeerRef;
      readonly keyId: KeyId;
      readonly terms: KeyTerms;
      readonly secrets: SharedSecrets;
    }
  | { readonly do: 'openLink'; readonly link: LinkId; readonly source: Link }
  | { readonly do: 'closeLink'; readonly link: LinkId; readonly ticket: number | undefined }
  | { readonly do: 'attachTun'; readonly source: Tun; readonly ticket: number }
  | { readonly do: 'detachTun'; readonly ticket: number }
  | { readonly do: 'close'; readonly ticket: number }
  | { readonly do: 'end' };

/** What is posted at once: everything that was said in one turn of the control thread. */
export type CommandBatch<Link, Tun> = readonly CommandMessage<Link, Tun>[];

export interface CommandMessage<Link, Tun> {
  readonly message: ThreadMessage<Link, Tun>;
  /** The command ring's position when it was said: what was written before comes first. */
  readonly ring: number;
}

export interface EventMessage {
  readonly channel: number;
  readonly event: DataChannelEvent;
  /** The control ring's position when it happened: what was written before comes first. */
  readonly ring: number;
}

/** What is no secret of a key. */
export type KeyTerms = Omit<DataKey, 'send' | 'receive'>;

/** A key's bytes, which a message would copy into memory that nobody wipes: posted by reference instead, wiped by the receiver. */
export interface SharedSecrets {
  readonly memory: SharedArrayBuffer;
  readonly sizes: readonly number[];
}

const NO_BYTES = new Uint8Array(0);

export function splitKey(key: DataKey): { readonly terms: KeyTerms; readonly secrets: SharedSecrets } {
  const { send, receive, ...terms } = key;
  const parts = [send.cipher, send.auth, receive.cipher, receive.auth];
  const sizes = parts.map(({ length }) => length);
  const memory = new SharedArrayBuffer(sizes.reduce((sum, size) => sum + size, 0));
  const bytes = new Uint8Array(memory);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return { terms, secrets: { memory, sizes } };
}

/** The whole key again, the receiver's to wipe; the shared memory is wiped. */
export function joinKey(terms: KeyTerms, { memory, sizes }: SharedSecrets): DataKey {
  const bytes = new Uint8Array(memory);
  let at = 0;
  const parts = sizes.map((size) => bytes.slice(at, (at += size)));
  bytes.fill(0);
  const [sendCipher = NO_BYTES, sendAuth = NO_BYTES, receiveCipher = NO_BYTES, receiveAuth = NO_BYTES] = parts;
  const send = { cipher: sendCipher, auth: sendAuth };
  return { ...terms, send, receive: { cipher: receiveCipher, auth: receiveAuth } };
}
