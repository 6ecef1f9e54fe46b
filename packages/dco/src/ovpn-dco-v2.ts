/**
 * The out-of-tree family `ovpn-dco-v2` (Debian's openvpn-dco-dkms), links of kind `ovpn-dco`.
 *
 *   message  ifindex u32 (1) · one nest per command { … } (2 to 8)
 *
 * Source: ovpn-dco include/uapi/linux/ovpn_dco.h, drivers/net/ovpn-dco/netlink.c (2023-11-03).
 */
import { addressBytes } from '@seikan/native';
import { attributeU32, attributeUint, ipText, parseAttributes } from '@seikan/netconf';

import type { GenericMessage } from './generic-netlink.js';
import {
  AttributeTable,
  CipherNumber,
  deleteReasons,
  isAbout,
  type OffloadCodec,
  type OffloadEvent,
  type OffloadPeerState,
  SlotNumber,
  writeKeyHalf,
} from './offload-codec.js';
import { encodeSocketAddress, parseSocketAddress } from './socket-address.js';

const Command = { newPeer: 1, setPeer: 2, deletePeer: 3, newKey: 4, swapKeys: 5, deleteKey: 6, getPeer: 7 } as const;

/** The nest of each command. */
const Nest = { newPeer: 2, setPeer: 3, deletePeer: 4, newKey: 5, swapKeys: 6, deleteKey: 7, getPeer: 8 } as const;

const NewPeer = { id: 1, remote: 2, socket: 3, vpnIpv4: 4, vpnIpv6: 5, localAddress: 6 } as const;
const SetPeer = { id: 1, interval: 2, timeout: 3 } as const;
const DeletePeer = { reason: 1, id: 2 } as const;
const NewKey = { peerId: 1, slot: 2, keyId: 3, cipher: 4, encrypt: 5, decrypt: 6 } as const;
const DeleteKey = { peerId: 1, slot: 2 } as const;
/** SWAP_KEYS, GET_PEER. */
const JustPeer = { id: 1 } as const;

const PeerState = {
  id: 1,
  remote: 2,
  vpnIpv4: 3,
  vpnIpv6: 4,
  localPort: 6,
  interval: 7,
  timeout: 8,
  vpnReadBytes: 9,
  vpnWrittenBytes: 10,
  vpnReadPackets: 11,
  vpnWrittenPackets: 12,
  linkReadBytes: 13,
  linkWrittenBytes: 14,
  linkReadPackets: 15,
  linkWrittenPackets: 16,
} as const;

export const ovpnDcoV2Codec: OffloadCodec = {
  family: 'ovpn-dco-v2',
  linkKind: 'ovpn-dco',

  newPeer: (begin, { peerId, socket, remote, local, vpn4, vpn6 }) =>
    begin(Command.newPeer).nest(Nest.newPeer, (peer) => {
      peer.attributeU32(NewPeer.id, peerId);
      if (remote !== undefined) peer.attribute(NewPeer.remote, encodeSocketAddress(remote));
      peer.attributeU32(NewPeer.socket, socket);
      if (vpn4 !== undefined) peer.attribute(NewPeer.vpnIpv4, addressBytes(4, vpn4));
      if (vpn6 !== undefined) peer.attribute(NewPeer.vpnIpv6, addressBytes(6, vpn6));
      if (local !== undefined) peer.attribute(NewPeer.localAddress, addressBytes(local.includes(':') ? 6 : 4, local));
    }),

  setKeepalive: (begin, { peerId, interval, timeout }) =>
    begin(Command.setPeer).nest(Nest.setPeer, (peer) =>
      peer
        .attributeU32(SetPeer.id, peerId)
        .attributeU32(SetPeer.interval, interval)
        .attributeU32(SetPeer.timeout, timeout),
    ),

  deletePeer: (begin, peerId) =>
    begin(Command.deletePeer).nest(Nest.deletePeer, (peer) => peer.attributeU32(DeletePeer.id, peerId)),

  getPeer: (begin, peerId) =>
    begin(Command.getPeer).nest(Nest.getPeer, (peer) => peer.attributeU32(JustPeer.id, peerId)),

  newKey: (begin, { peerId, slot, keyId, cipher, encrypt, decrypt }) =>
    begin(Command.newKey).nest(Nest.newKey, (key) => {
      key
        .attributeU32(NewKey.peerId, peerId)
        .attributeU8(NewKey.slot, SlotNumber[slot])
        .attributeU8(NewKey.keyId, keyId)
        .attributeU16(NewKey.cipher, CipherNumber[cipher]);
      writeKeyHalf(key, NewKey.encrypt, encrypt);
      writeKeyHalf(key, NewKey.decrypt, decrypt);
    }),

  swapKeys: (begin, peerId) =>
    begin(Command.swapKeys).nest(Nest.swapKeys, (key) => key.attributeU32(JustPeer.id, peerId)),

  deleteKey: (begin, peerId, slot) =>
    begin(Command.deleteKey).nest(Nest.deleteKey, (key) =>
      key.attributeU32(DeleteKey.peerId, peerId).attributeU8(DeleteKey.slot, SlotNumber[slot]),
    ),

  readPeer({ command, attributes }: GenericMessage): OffloadPeerState | undefined {
    const nest = new AttributeTable(attributes).get(Nest.getPeer);
    if (command !== Command.getPeer || nest === undefined) return undefined;
    const peer = new AttributeTable(parseAttributes(nest.value));
    const number = (type: number): number => peer.read(type, attributeUint, 0);
    return {
      peerId: number(PeerState.id),
      remote: peer.read(PeerState.remote, ({ value }) => parseSocketAddress(value), undefined),
      vpn4: peer.read(PeerState.vpnIpv4, ({ value }) => ipText(value), undefined),
      vpn6: peer.read(PeerState.vpnIpv6, ({ value }) => ipText(value), undefined),
      localPort: peer.read(PeerState.localPort, ({ value }) => ((value[0] ?? 0) << 8) | (value[1] ?? 0), 0),
      keepaliveInterval: number(PeerState.interval),
      keepaliveTimeout: number(PeerState.timeout),
      vpn: {
        readBytes: number(PeerState.vpnReadBytes),
        writtenBytes: number(PeerState.vpnWrittenBytes),
        readPackets: number(PeerState.vpnReadPackets),
        writtenPackets: number(PeerState.vpnWrittenPackets),
      },
      link: {
        readBytes: number(PeerState.linkReadBytes),
        writtenBytes: number(PeerState.linkWrittenBytes),
        readPackets: number(PeerState.linkReadPackets),
        writtenPackets: number(PeerState.linkWrittenPackets),
      },
    };
  },

  /** It tells of deleted peers only: neither of floats nor of exhausted keys. */
  readEvent({ command, attributes }: GenericMessage, index: number): OffloadEvent | undefined {
    const table = new AttributeTable(attributes);
    const nest = table.get(Nest.deletePeer);
    if (command !== Command.deletePeer || nest === undefined || !isAbout(table, index)) return undefined;
    const peer = new AttributeTable(parseAttributes(nest.value));
    const peerId = peer.read(DeletePeer.id, attributeU32, undefined);
    const reason = deleteReasons[peer.read(DeletePeer.reason, attributeUint, 0)];
    return peerId === undefined || reason === undefined ? undefined : { event: 'peerDeleted', peerId, reason };
  },
};
