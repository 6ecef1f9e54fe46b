/**
 * The peer of static key mode: no negotiation, the key is in a file, and the peer may be unknown until it speaks.
 * upstream: init.c `do_init_crypto_static` (2.6).
 */
import type { Crypto, DataChannelCommand, Endpoint, LinkId, Millis, PeerRef, StaticKey } from '@seikan/core';

import { peerSettings } from '../data-settings.js';
import type { Time } from '../output.js';
import { afInet, type TunnelLog } from '../tunnel-log.js';
import type { TunnelScripts } from '../tunnel-scripts.js';
import { type Agreement, staticDataKey } from './agreement.js';
import { OptionsCheck } from './options-check.js';

/** The address of a peer that has not spoken yet. */
export const NOWHERE: Endpoint = { family: 4, address: '0.0.0.0', port: 0 };

export interface StaticPeerSettings {
  readonly peer: PeerRef;
  readonly link: LinkId;
  readonly remote: Endpoint | undefined;
  readonly agreement: Agreement;
  readonly key: StaticKey;
  readonly crypto: Crypto;
  readonly log: TunnelLog;
  readonly scripts: TunnelScripts;
  /** The options string as we say it and as the peer should. */
  readonly optionsStrings: { readonly own: string; readonly expected: string };
  readonly command: (command: DataChannelCommand) => void;
}

export class StaticPeer {
  readonly peer: PeerRef;
  readonly link: LinkId;
  readonly #settings: StaticPeerSettings;
  readonly #check: OptionsCheck;
  #remote: Endpoint;
  #heard = false;
  /** Its first packet is there, but not yet from where: the channel says that next. */
  #confirmed = false;

  /** Puts the peer and its key into the data channel. */
  constructor(settings: StaticPeerSettings, now: Millis) {
    const { peer, link, remote = NOWHERE, agreement, crypto, log, command } = settings;
    this.#settings = settings;
    this.peer = peer;
    this.link = link;
    this.#remote = remote;
    const data = peerSettings({ ...agreement, link, remote, crypto });
    const float = data.float || settings.remote === undefined;
    // `ping-timer-rem`: who has not spoken yet cannot be missed.
    const { pingTimerRemote } = agreement.options.timers;
    const pingTimeout = pingTimerRemote && settings.remote === undefined ? 0 : data.pingTimeout;
    command({ verb: 'newPeer', peer, settings: { ...data, pingTimeout, float } });
    const key = staticDataKey(agreement.options, settings.key, crypto);
    const bits = key.send.cipher.length * 8;
    for (const direction of ['Outgoing', 'Incoming']) {
      log.info(2, `${direction} Static Key Encryption: Cipher '${key.cipher}' initialized with ${bits} bit key`);
    }
    command({ verb: 'newKey', peer, keyId: 0, key });
    command({ verb: 'swapKeys', peer, primary: 0 });
    const send = (plaintext: Uint8Array): void => command({ verb: 'sendMessage', peer, plaintext });
    this.#check = new OptionsCheck({ ...settings.optionsStrings, log, send });
    if (agreement.options.data.occ) this.#check.start(now, settings.remote !== undefined);
  }

  get isHeard(): boolean {
    return this.#heard;
  }

  movedTo(remote: Endpoint, time: Time): void {
    this.#remote = remote;
    if (this.#confirmed) this.heard(time);
  }

  /** Its first packet is authenticated. */
  heard(time: Time): void {
    this.#confirmed = true;
    if (this.#heard || this.#remote === NOWHERE) return;
    this.#heard = true;
    const { agreement, command } = this.#settings;
    const { pingTimerRemote, pingTimeout } = agreement.options.timers;
    if (pingTimerRemote) command({ verb: 'setPeer', peer: this.peer, settings: { pingTimeout: pingTimeout * 1000 } });
    this.#settings.log.notice(`Peer Connection Initiated with ${afInet(this.#remote)}`);
    this.#settings.scripts.peerInitiated(this.#remote, time);
  }

  handleMessage(plaintext: Uint8Array): void {
    this.#check.handle(plaintext);
  }

  handleTimeout(now: Millis): void {
    this.#check.handleTimeout(now);
  }

  nextTimeout(): Millis | undefined {
    return this.#check.nextTimeout();
  }

  close(): void {
    this.#settings.command({ verb: 'delPeer', peer: this.peer });
  }
}
