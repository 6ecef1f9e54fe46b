/**
 * A peer of the `kernel` channel: what control has said of it, and what of that the kernel has.
 *
 *   waiting ─ a key, and tun and link can take it ─▶ carried ─ the kernel lets go of it ─▶ gone
 *
 * Kernel slots are two and their swap is blind, control names keys: here stands which key lies where. A new key goes into
 * the secondary slot (over a lame duck that still lies there), and is swapped into the primary when control says so.
 */
import {
  type DataKey,
  type KeyId,
  type PeerCounters,
  type PeerId,
  type PeerRef,
  type PeerRoute,
  type PeerSettings,
  wipeDataKey,
} from '@seikan/core';
import type { KernelTunnel, KeySlotName, OffloadCipher, OffloadKey } from '@seikan/dco';

const NO_COUNTERS: PeerCounters = {
  linkRead: 0,
  linkWritten: 0,
  tunRead: 0,
  tunWritten: 0,
  packetsRead: 0,
  packetsWritten: 0,
  drops: {},
};

export class KernelPeer {
  readonly ref: PeerRef;
  /** On packets, and what the kernel knows the peer by. */
  readonly peerId: PeerId;
  settings: PeerSettings;
  state: 'waiting' | 'carried' | 'gone' = 'waiting';
  /** As last read: the kernel forgets them with the peer. */
  counters: PeerCounters = NO_COUNTERS;
  readonly routes = new Map<string, PeerRoute>();
  /** Copies of keys that wait with the peer, in their order, and the one that is to send. */
  readonly #waitingKeys = new Map<KeyId, DataKey>();
  #primary: KeyId | undefined;
  #secondary: KeyId | undefined;

  constructor(ref: PeerRef, peerId: PeerId, settings: PeerSettings) {
    this.ref = ref;
    this.peerId = peerId;
    this.settings = settings;
  }

  keepKey(keyId: KeyId, key: DataKey): void {
    this.#waitingKeys.set(keyId, copyOf(key));
  }

  /** Which key shall send, of those that wait. */
  keepPrimary(keyId: KeyId): void {
    this.#primary = keyId;
  }

  dropKept(keyId: KeyId): void {
    const key = this.#waitingKeys.get(keyId);
    if (key !== undefined) wipeDataKey(key);
    this.#waitingKeys.delete(keyId);
  }

  /** The kernel has the peer: it gets what waits, each key once. */
  installKept(tunnel: KernelTunnel): void {
    const primary = this.#primary;
    this.#primary = undefined;
    for (const [keyId, key] of this.#waitingKeys) {
      this.install(tunnel, keyId, key);
      if (keyId === primary) this.swap(tunnel, keyId);
    }
    this.wipeKept();
  }

  install(tunnel: KernelTunnel, keyId: KeyId, key: DataKey): void {
    // Of two keys with one id the modules open with the primary only.
    if (this.#primary === keyId) this.deleteKey(tunnel, keyId);
    this.#secondary = undefined;
    tunnel.newKey(offloadKey(this.peerId, keyId, key));
    this.#secondary = keyId;
  }

  swap(tunnel: KernelTunnel, keyId: KeyId): void {
    if (this.#primary === keyId || this.#secondary !== keyId) return;
    tunnel.swapKeys(this.peerId);
    [this.#primary, this.#secondary] = [this.#secondary, this.#primary];
  }

  deleteKey(tunnel: KernelTunnel, keyId: KeyId): void {
    const slot: KeySlotName | undefined =
      this.#primary === keyId ? 'primary' : this.#secondary === keyId ? 'secondary' : undefined;
    if (slot === undefined) return;
    tunnel.deleteKey(this.peerId, slot);
    if (slot === 'primary') this.#primary = undefined;
    else this.#secondary = undefined;
  }

  /** Reads the counters anew; false when the kernel does not have the peer any more. */
  readCounters(tunnel: KernelTunnel): boolean {
    const state = tunnel.readPeer(this.peerId);
    if (state === undefined) return false;
    const { link, vpn } = state;
    this.counters = {
      linkRead: link.readBytes,
      linkWritten: link.writtenBytes,
      tunRead: vpn.writtenBytes,
      tunWritten: vpn.readBytes,
      packetsRead: link.readPackets,
      packetsWritten: link.writtenPackets,
      drops: {},
    };
    return true;
  }

  wipeKept(): void {
    for (const key of this.#waitingKeys.values()) wipeDataKey(key);
    this.#waitingKeys.clear();
  }
}

function offloadKey(peerId: PeerId, keyId: KeyId, { format, cipher, send, receive }: DataKey): OffloadKey {
  const algorithm = offloadCipher(cipher);
  if (format !== 'aead' || algorithm === undefined)
    throw new Error(`the kernel does not know ${cipher} in the ${format} format`);
  return {
    peerId,
    keyId,
    slot: 'secondary',
    cipher: algorithm,
    encrypt: { cipher: send.cipher, nonceTail: send.auth },
    decrypt: { cipher: receive.cipher, nonceTail: receive.auth },
  };
}

function offloadCipher(name: string): OffloadCipher | undefined {
  if (name === 'CHACHA20-POLY1305') return 'chacha20-poly1305';
  return /^AES-(128|192|256)-GCM$/.test(name) ? 'aes-gcm' : undefined;
}

function copyOf(key: DataKey): DataKey {
  const { send, receive } = key;
  return {
    ...key,
    send: { cipher: send.cipher.slice(), auth: send.auth.slice() },
    receive: { cipher: receive.cipher.slice(), auth: receive.auth.slice() },
  };
}
