import type { Millis, UnixSeconds } from '../bytes/millis.js';
import type { Crypto, RandomFill } from '../crypto/crypto.js';
import type { KeyMethod2 } from '../keys/key-method-2.js';
import type { PeerCertificate, TlsConnection, TlsContext, VerifyError } from '../tls/tls.js';
import type { ControlPacket } from '../wire/control-packet.js';
import type { DropReason } from '../wire/drop-reason.js';
import type { ControlWrap, WrapOptions } from '../wrap/control-wrap.js';
import type { ClientKeyMetadata } from '../wrap/tls-crypt-v2.js';
import type { KeyState } from './key-state.js';

/** What all TLS sessions with one peer share. Given once; nothing here changes while they live. */
export interface SessionSettings {
  /** Who starts: the TLS client sends the hard reset, and its key method 2 message comes first. */
  readonly role: 'client' | 'server';
  readonly crypto: Crypto;
  readonly random: RandomFill;
  readonly tls: TlsContext;
  readonly protection: ControlProtection;
  /** First retransmission of a control packet (`tls-timeout`). */
  readonly tlsTimeout: Millis;
  /** From the first packet of a key negotiation to its end (`hand-window`). */
  readonly handWindow: Millis;
  /** How long a replaced key stays usable (`tran-window`). */
  readonly tranWindow: Millis;
  /** Largest control packet as link payload: `max-packet-size` less the IP, UDP or TCP headers. */
  readonly controlSize: number;
  /** Refuse a second TLS session with the same peer (`single-session`). */
  readonly singleSession: boolean;
  /** The strings of our key method 2 message; a server is asked after it has read the client's. */
  hello(key: KeyState, peer: KeyMethod2 | undefined): LocalHello;
  /** The certificate policy, called inside the handshake from the root down to the leaf. */
  verify(key: KeyState, certificate: PeerCertificate, error: VerifyError | undefined): 'accept' | 'reject';
}

export interface LocalHello {
  readonly options: string;
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  readonly peerInfo?: string | undefined;
}

/** How control packets of this peer are protected, made from `tls-auth`, `tls-crypt`, `tls-crypt-v2` or nothing. */
export interface ControlProtection {
  /** The wrap of a session that we start; `sentPacketIds` were used by a stateless reply. */
  open(sentPacketIds?: number): ControlWrap;
  /** Finds the wrap of a session that a peer starts, and unwraps its first packet. */
  accept(bytes: Uint8Array, now: UnixSeconds, options?: WrapOptions): AcceptedPacket | DropReason;
  /** tls-crypt-v2 as server: the packet without the wrapped client key that follows some of them (opcodes 10 and 11). */
  withoutClientKey(bytes: Uint8Array): Uint8Array | DropReason;
  /** tls-crypt-v2 as client: the wrapped client key that follows our first packets. */
  readonly wrappedClientKey: Uint8Array | undefined;
  /**
   * The wrap for renegotiations when dynamic tls-crypt was agreed: its keys come out of this TLS connection, mixed with the
   * static ones, or with the session's `clientKey`.
   */
  renegotiationWrap(tls: TlsConnection, clientKey: AcceptedClientKey | undefined): ControlWrap;
}

export interface AcceptedPacket {
  readonly wrap: ControlWrap;
  readonly packet: ControlPacket;
  /** The client understands an answer that asks for its wrapped key again. */
  readonly earlyNegotiation: boolean;
  /** tls-crypt-v2 as server. Whoever takes the packet wipes it. */
  readonly clientKey: AcceptedClientKey | undefined;
}

/** A client's own key belongs to the one session that it has opened: another client may call from the same address. */
export interface AcceptedClientKey {
  readonly key: Uint8Array;
  /** What it was issued with, for `tls-crypt-v2-verify`. */
  readonly metadata: ClientKeyMetadata;
}
