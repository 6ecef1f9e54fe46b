/** What stands in for the kernel's offload in tests of the `kernel` channel, and for a socket that it can take. */
import assert from 'node:assert/strict';

import type {
  KernelTunnel,
  KeySlotName,
  OffloadKeepalive,
  OffloadKey,
  OffloadPeer,
  OffloadPeerState,
  OffloadReceiver,
} from '@seikan/dco';
import { NetlinkError } from '@seikan/netconf';
import { MemoryLink } from '@seikan/testkit';

import type { LinkSocket } from '#src/ports.js';

const ENOENT = 2;
const EEXIST = 17;
const EBUSY = 16;
const ENODEV = 19;

interface FakePeer {
  readonly peer: OffloadPeer;
  keepalive: Omit<OffloadKeepalive, 'peerId'>;
  primary: number | undefined;
  secondary: number | undefined;
  state: OffloadPeerState;
}

/** Does with peers and slots what both modules do, and keeps a list of what it was asked. */
export class FakeKernel implements KernelTunnel {
  readonly family = 'ovpn';
  readonly index = 7;
  readonly name = 'tun0';
  readonly peers = new Map<number, FakePeer>();
  readonly asked: string[] = [];
  readonly secrets: Uint8Array[] = [];
  refuse: string | undefined;
  closed = false;
  receiver: OffloadReceiver | undefined;

  listen(receiver: OffloadReceiver): void {
    this.receiver = receiver;
  }

  newPeer(peer: OffloadPeer): void {
    this.#asked(`newPeer ${peer.peerId}`, 'newPeer');
    if (this.peers.has(peer.peerId)) throw new NetlinkError('new peer', EEXIST);
    const { peerId, remote, vpn4, vpn6 } = peer;
    const none = { readBytes: 0, writtenBytes: 0, readPackets: 0, writtenPackets: 0 };
    const state = {
      peerId,
      remote,
      vpn4,
      vpn6,
      localPort: 0,
      keepaliveInterval: 0,
      keepaliveTimeout: 0,
      vpn: none,
      link: none,
    };
    this.peers.set(peerId, {
      peer,
      keepalive: { interval: 0, timeout: 0 },
      primary: undefined,
      secondary: undefined,
      state,
    });
  }

  setKeepalive({ peerId, interval, timeout }: OffloadKeepalive): void {
    this.#peer(peerId).keepalive = { interval, timeout };
  }

  deletePeer(peerId: number): void {
    this.#asked(`deletePeer ${peerId}`, 'deletePeer');
    this.#peer(peerId);
    this.peers.delete(peerId);
  }

  readPeer(peerId: number): OffloadPeerState | undefined {
    if (this.refuse === 'readPeer') throw new NetlinkError(`read peer ${peerId}`, ENODEV);
    return this.peers.get(peerId)?.state;
  }

  newKey({ peerId, slot, keyId, encrypt, decrypt }: OffloadKey): void {
    this.#asked(`newKey ${peerId} ${slot} ${keyId}`, 'newKey');
    this.secrets.push(encrypt.cipher, decrypt.cipher);
    assert.notEqual(encrypt.cipher[0], 0, 'a wiped key was installed');
    this.#peer(peerId)[slot] = keyId;
  }

  swapKeys(peerId: number): void {
    this.#asked(`swapKeys ${peerId}`, 'swapKeys');
    const peer = this.#peer(peerId);
    [peer.primary, peer.secondary] = [peer.secondary, peer.primary];
  }

  deleteKey(peerId: number, slot: KeySlotName): void {
    this.#asked(`deleteKey ${peerId} ${slot}`, 'deleteKey');
    this.#peer(peerId)[slot] = undefined;
  }

  close(): void {
    this.closed = true;
  }

  slots(peerId: number): (number | undefined)[] {
    const { primary, secondary } = this.#peer(peerId);
    return [primary, secondary];
  }

  count(peerId: number, bytes: number): void {
    const { state } = this.#peer(peerId);
    const link = { readBytes: bytes, writtenBytes: bytes + 1, readPackets: 2, writtenPackets: 3 };
    const vpn = { readBytes: bytes - 24, writtenBytes: bytes - 23, readPackets: 2, writtenPackets: 3 };
    this.#peer(peerId).state = { ...state, link, vpn };
  }

  #asked(text: string, verb: string): void {
    this.asked.push(text);
    if (this.refuse === verb) throw new NetlinkError(text, EBUSY);
  }

  #peer(peerId: number): FakePeer {
    const peer = this.peers.get(peerId);
    if (peer === undefined) throw new NetlinkError('no peer', ENOENT);
    return peer;
  }
}

/** A link over a socket that the kernel can take. */
export class SocketLink extends MemoryLink {
  atBoundary = true;
  handedOver = false;
  local: string | undefined;
  #then: (() => void) | undefined;

  get socket(): LinkSocket {
    return {
      fd: 9,
      atBoundary: this.atBoundary,
      whenAtBoundary: (then) => {
        this.#then = then;
      },
      handedOver: () => {
        this.handedOver = true;
      },
    };
  }

  localOf(): string | undefined {
    return this.local;
  }

  comeToBoundary(): void {
    this.atBoundary = true;
    this.#then?.();
  }
}
