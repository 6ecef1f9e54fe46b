/**
 * The data keys of one peer: made from finished key negotiations, installed into the data channel, switched to and
 * taken out again.
 *
 *   negotiated ─install─▶ receiving ─switch─▶ sending ─replaced─▶ receiving (lame duck) ─transition window─▶ gone
 *
 * A first key sends at once. A later one sends when the peer has installed it too: when it has used it, or after the time
 * that authentication may take, min(hand-window, reneg-sec / 2). upstream: `tls_select_encryption_key`,
 * `auth_deferred_expire`. Differs from OpenVPN 2.x, which waits in any case and then loses what is on its way under a key
 * that the other end has given up.
 */
import {
  type Crypto,
  type DataChannelCommand,
  deriveDataKey,
  deriveKeysByPrf,
  exportDataKeys,
  type KeyId,
  type KeyState,
  type Millis,
  type PeerRef,
  type SessionId,
} from '@seikan/core';

import type { Negotiated } from './negotiation.js';

export interface DataKeysOptions {
  readonly crypto: Crypto;
  readonly role: 'client' | 'server';
  readonly replayWindow: number;
  readonly replayTime: Millis;
  /** How long a new key only receives. */
  readonly switchDelay: Millis;
}

interface Installed {
  readonly key: KeyState;
  switchAt: Millis;
}

export class DataKeys {
  readonly #options: DataKeysOptions;
  readonly #command: (command: DataChannelCommand) => void;
  readonly #installed = new Map<KeyId, Installed>();
  #sending: KeyState | undefined;

  constructor(options: DataKeysOptions, command: (command: DataChannelCommand) => void) {
    this.#options = options;
    this.#command = command;
  }

  get sending(): KeyState | undefined {
    return this.#sending;
  }

  has(key: KeyState): boolean {
    return this.#installed.get(key.keyId)?.key === key;
  }

  /** Derives the keys of a finished negotiation and installs them. `sessionId` is ours. */
  install(peer: PeerRef, key: KeyState, sessionId: SessionId, negotiated: Negotiated, now: Millis): void {
    const { crypto, role, replayWindow, replayTime } = this.#options;
    const cipher = crypto.cipher(negotiated.cipher);
    // A key without a cipher would carry plain text. Nothing is agreed on that does not exist.
    if (cipher === undefined) throw new Error(`a cipher was agreed on that does not exist here: ${negotiated.cipher}`);
    const material = this.#derive(key, sessionId, negotiated);
    const dataKey = deriveDataKey({
      crypto,
      material,
      direction: role === 'client' ? 'normal' : 'inverse',
      cipher,
      digest: negotiated.digest,
      epoch: negotiated.epoch,
      replayWindow,
      replayTime,
      longPacketId: false,
    });
    material.fill(0);
    this.#command({ verb: 'newKey', peer, keyId: key.keyId, key: dataKey });
    const first = this.#sending === undefined;
    this.#installed.set(key.keyId, { key, switchAt: first ? now : now + this.#options.switchDelay });
    key.generated(now);
    if (first) this.#switch(peer, key);
  }

  /** The peer has used the key: there is no need to wait any longer. */
  confirmed(keyId: KeyId, now: Millis): void {
    const installed = this.#installed.get(keyId);
    if (installed !== undefined && installed.switchAt > now) installed.switchAt = now;
  }

  /** Switches to the newest key whose time has come, and takes out those that the session no longer holds. */
  update(peer: PeerRef, held: readonly KeyState[], now: Millis): void {
    // A key that the session has dropped is dropped by the peer too: then the newest one left sends, due or not.
    const orphaned = this.#sending !== undefined && !held.includes(this.#sending);
    let next: KeyState | undefined;
    for (const { key, switchAt } of this.#installed.values()) {
      const usable = held.includes(key) && (orphaned || now >= switchAt);
      const than = next ?? (orphaned ? undefined : this.#sending);
      if (usable && (than === undefined || key.createdAt > than.createdAt)) next = key;
    }
    if (next !== undefined) this.#switch(peer, next);
    for (const { key } of this.#installed.values()) {
      if (held.includes(key) || key === this.#sending) continue;
      this.#installed.delete(key.keyId);
      this.#command({ verb: 'delKey', peer, keyId: key.keyId });
    }
  }

  nextTimeout(): Millis | undefined {
    let next: Millis | undefined;
    for (const { key, switchAt } of this.#installed.values()) {
      if (this.#sending !== undefined && key.createdAt <= this.#sending.createdAt) continue;
      if (next === undefined || switchAt < next) next = switchAt;
    }
    return next;
  }

  /** The peer has begun anew: what is installed belongs to a session that it no longer has. */
  reset(peer: PeerRef): void {
    for (const keyId of this.#installed.keys()) this.#command({ verb: 'delKey', peer, keyId });
    this.clear();
  }

  /** The peer is gone from the data channel, and its keys with it. */
  clear(): void {
    this.#installed.clear();
    this.#sending = undefined;
  }

  #switch(peer: PeerRef, key: KeyState): void {
    this.#sending = key;
    this.#command({ verb: 'swapKeys', peer, primary: key.keyId });
  }

  #derive(key: KeyState, sessionId: SessionId, negotiated: Negotiated): Uint8Array {
    if (negotiated.keyDerivation === 'tls-ekm') return exportDataKeys(key.connection);
    const { localHello, peerHello, peerSessionId } = key;
    if (localHello === undefined || peerHello === undefined || peerSessionId === undefined) {
      throw new Error('data keys asked for before the key exchange');
    }
    const { crypto, role } = this.#options;
    const [client, server] = role === 'client' ? [localHello, peerHello] : [peerHello, localHello];
    const [clientSessionId, serverSessionId] =
      role === 'client' ? [sessionId, peerSessionId] : [peerSessionId, sessionId];
    return deriveKeysByPrf({ crypto, client: client.source, server: server.source, clientSessionId, serverSessionId });
  }
}
