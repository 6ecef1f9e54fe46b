/**
 * The peer of static key mode: no negotiation, the key is in a file, and the peer may be unknown until it speaks.
 * upstream: init.c `do_init_crypto_static` (2.6).
 */
import type { Crypto, DataChannelCommand, Endpoint, LinkId, PeerRef, StaticKey } from '@seikan/core';

import { peerSettings } from '../data-settings.js';
import type { TunnelLog } from '../tunnel-log.js';
import { afInet } from '../tunnel-log.js';
import { type Agreement, staticDataKey } from './agreement.js';

/** The address of a peer that has not spoken yet. */
const NOWHERE: Endpoint = { family: 4, address: '0.0.0.0', port: 0 };

export interface StaticPeerSettings {
  readonly peer: PeerRef;
  readonly link: LinkId;
  readonly remote: Endpoint | undefined;
  readonly agreement: Agreement;
  readonly key: StaticKey;
  readonly crypto: Crypto;
  readonly log: TunnelLog;
  readonly command: (command: DataChannelCommand) => void;
}

export class StaticPeer {
  readonly peer: PeerRef;
  readonly link: LinkId;
  readonly #settings: StaticPeerSettings;
  #remote: Endpoint;
  #heard = false;

  /** Puts the peer and its key into the data channel. */
  constructor(settings: StaticPeerSettings) {
    const { peer, link, remote = NOWHERE, agreement, crypto, log, command } = settings;
    this.#settings = settings;
    this.peer = peer;
    this.link = link;
    this.#remote = remote;
    const data = peerSettings({ ...agreement, remote, crypto });
    const float = data.float || settings.remote === undefined;
    command({ verb: 'newPeer', peer, settings: { ...data, link, remote, float } });
    const key = staticDataKey(agreement.options, settings.key, crypto);
    const bits = key.send.cipher.length * 8;
    for (const direction of ['Outgoing', 'Incoming']) {
      log.info(2, `${direction} Static Key Encryption: Cipher '${key.cipher}' initialized with ${bits} bit key`);
    }
    command({ verb: 'newKey', peer, keyId: 0, key });
    command({ verb: 'swapKeys', peer, primary: 0 });
  }

  get isHeard(): boolean {
    return this.#heard;
  }

  movedTo(remote: Endpoint): void {
    this.#remote = remote;
  }

  /** Its first packet is authenticated. */
  heard(): void {
    if (this.#heard) return;
    this.#heard = true;
    this.#settings.log.notice(`Peer Connection Initiated with ${afInet(this.#remote)}`);
  }

  close(): void {
    this.#settings.command({ verb: 'delPeer', peer: this.peer });
  }
}
