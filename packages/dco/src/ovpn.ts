/**
 * The mainline family `ovpn` (Linux 6.16 and later), links of kind `ovpn`.
 *
 *   message  ifindex u32 (1) · peer { … } (2)  or  keyconf { … } (3)
 *
 * Source: Linux Documentation/netlink/specs/ovpn.yaml, include/uapi/linux/ovpn.h, drivers/net/ovpn/netlink.c.
 */
import { addressBytes, type SocketAddress } from '@seikan/native';
import {
  type Attribute,
  attributeU32,
  attributeUint,
  ipText,
  type MessageWriter,
  parseAttributes,
} from '@seikan/netconf';

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

const Command = {
  peerNew: 1,
  peerSet: 2,
  peerGet: 3,
  peerDelete: 4,
  peerDeleted: 5,
  keyNew: 6,
  keySwap: 8,
  keyExhausted: 9,
  keyDelete: 10,
  peerFloated: 11,
} as const;

const Attr = { peer: 2, keyConfiguration: 3 } as const;

const PeerAttr = {
  id: 1,
  remoteIpv4: 2,
  remoteIpv6: 3,
  remoteIpv6Scope: 4,
  remotePort: 5,
  socket: 6,
  vpnIpv4: 8,
  vpnIpv6: 9,
  localIpv4: 10,
  localIpv6: 11,
  localPort: 12,
  keepaliveInterval: 13,
  keepaliveTimeout: 14,
  deleteReason: 15,
  vpnReadBytes: 16,
  vpnWrittenBytes: 17,
  vpnReadPackets: 18,
  vpnWrittenPackets: 19,
  linkReadBytes: 20,
  linkWrittenBytes: 21,
  linkReadPackets: 22,
  linkWrittenPackets: 23,
} as const;

const KeyAttr = { peerId: 1, slot: 2, keyId: 3, cipher: 4, encrypt: 5, decrypt: 6 } as const;

export const ovpnCodec: OffloadCodec = {
  family: 'ovpn',
  linkKind: 'ovpn',

  newPeer: (begin, { peerId, socket, remote, local, vpn4, vpn6 }) =>
    begin(Command.peerNew).nest(Attr.peer, (peer) => {
      peer.attributeU32(PeerAttr.id, peerId);
      if (remote !== undefined) writeRemote(peer, remote);
      peer.attributeU32(PeerAttr.socket, socket);
      if (local !== undefined) writeLocal(peer, local);
      if (vpn4 !== undefined) peer.attribute(PeerAttr.vpnIpv4, addressBytes(4, vpn4));
      if (vpn6 !== undefined) peer.attribute(PeerAttr.vpnIpv6, addressBytes(6, vpn6));
    }),

  setKeepalive: (begin, { peerId, interval, timeout }) =>
    begin(Command.peerSet).nest(Attr.peer, (peer) =>
      peer
        .attributeU32(PeerAttr.id, peerId)
        .attributeU32(PeerAttr.keepaliveInterval, interval)
        .attributeU32(PeerAttr.keepaliveTimeout, timeout),
    ),

  deletePeer: (begin, peerId) =>
    begin(Command.peerDelete).nest(Attr.peer, (peer) => peer.attributeU32(PeerAttr.id, peerId)),

  getPeer: (begin, peerId) => begin(Command.peerGet).nest(Attr.peer, (peer) => peer.attributeU32(PeerAttr.id, peerId)),

  newKey: (begin, { peerId, slot, keyId, cipher, encrypt, decrypt }) =>
    begin(Command.keyNew).nest(Attr.keyConfiguration, (key) => {
      key
        .attributeU32(KeyAttr.peerId, peerId)
        .attributeU32(KeyAttr.slot, SlotNumber[slot])
        .attributeU32(KeyAttr.keyId, keyId)
        .attributeU32(KeyAttr.cipher, CipherNumber[cipher]);
      writeKeyHalf(key, KeyAttr.encrypt, encrypt);
      writeKeyHalf(key, KeyAttr.decrypt, decrypt);
    }),

  swapKeys: (begin, peerId) =>
    begin(Command.keySwap).nest(Attr.keyConfiguration, (key) => key.attributeU32(KeyAttr.peerId, peerId)),

  deleteKey: (begin, peerId, slot) =>
    begin(Command.keyDelete).nest(Attr.keyConfiguration, (key) =>
      key.attributeU32(KeyAttr.peerId, peerId).attributeU32(KeyAttr.slot, SlotNumber[slot]),
    ),

  readPeer({ command, attributes }: GenericMessage): OffloadPeerState | undefined {
    const nest = new AttributeTable(attributes).get(Attr.peer);
    if (command !== Command.peerGet || nest === undefined) return undefined;
    const peer = new AttributeTable(parseAttributes(nest.value));
    const number = (type: number): number => peer.read(type, attributeUint, 0);
    return {
      peerId: number(PeerAttr.id),
      remote: readRemote(peer),
      vpn4: peer.read(PeerAttr.vpnIpv4, addressText, undefined),
      vpn6: peer.read(PeerAttr.vpnIpv6, addressText, undefined),
      localPort: peer.read(PeerAttr.localPort, bigEndianU16, 0),
      keepaliveInterval: number(PeerAttr.keepaliveInterval),
      keepaliveTimeout: number(PeerAttr.keepaliveTimeout),
      vpn: {
        readBytes: number(PeerAttr.vpnReadBytes),
        writtenBytes: number(PeerAttr.vpnWrittenBytes),
        readPackets: number(PeerAttr.vpnReadPackets),
        writtenPackets: number(PeerAttr.vpnWrittenPackets),
      },
      link: {
        readBytes: number(PeerAttr.linkReadBytes),
        writtenBytes: number(PeerAttr.linkWrittenBytes),
        readPackets: number(PeerAttr.linkReadPackets),
        writtenPackets: number(PeerAttr.linkWrittenPackets),
      },
    };
  },

  readEvent({ command, attributes }: GenericMessage, index: number): OffloadEvent | undefined {
    const table = new AttributeTable(attributes);
    if (!isAbout(table, index)) return undefined;
    const nested = (type: number): AttributeTable =>
      new AttributeTable(table.read(type, ({ value }) => parseAttributes(value), []));
    switch (command) {
      case Command.peerDeleted: {
        const peer = nested(Attr.peer);
        const peerId = peer.read(PeerAttr.id, attributeU32, undefined);
        const reason = deleteReasons[peer.read(PeerAttr.deleteReason, attributeUint, 0)];
        return peerId === undefined || reason === undefined ? undefined : { event: 'peerDeleted', peerId, reason };
      }
      case Command.keyExhausted: {
        const key = nested(Attr.keyConfiguration);
        const peerId = key.read(KeyAttr.peerId, attributeU32, undefined);
        // Written as 16 bits, whatever the specification says.
        const keyId = key.read(KeyAttr.keyId, attributeUint, undefined);
        return peerId === undefined || keyId === undefined ? undefined : { event: 'keyExhausted', peerId, keyId };
      }
      case Command.peerFloated: {
        const peer = nested(Attr.peer);
        const peerId = peer.read(PeerAttr.id, attributeU32, undefined);
        const remote = readRemote(peer);
        return peerId === undefined || remote === undefined ? undefined : { event: 'floated', peerId, remote };
      }
      default:
        return undefined;
    }
  },
};

function writeRemote(peer: MessageWriter, { family, address, port, scope }: SocketAddress): void {
  peer.attribute(family === 4 ? PeerAttr.remoteIpv4 : PeerAttr.remoteIpv6, addressBytes(family, address));
  if (family === 6 && scope !== undefined) peer.attributeU32(PeerAttr.remoteIpv6Scope, scope);
  peer.attribute(PeerAttr.remotePort, Uint8Array.of(port >>> 8, port & 0xff));
}

function writeLocal(peer: MessageWriter, address: string): void {
  const family = address.includes(':') ? 6 : 4;
  peer.attribute(family === 4 ? PeerAttr.localIpv4 : PeerAttr.localIpv6, addressBytes(family, address));
}

function readRemote(peer: AttributeTable): SocketAddress | undefined {
  const ipv4 = peer.read(PeerAttr.remoteIpv4, addressText, undefined);
  const address = ipv4 ?? peer.read(PeerAttr.remoteIpv6, addressText, undefined);
  if (address === undefined) return undefined;
  const port = peer.read(PeerAttr.remotePort, bigEndianU16, 0);
  const scope = peer.read(PeerAttr.remoteIpv6Scope, attributeU32, 0);
  return { family: ipv4 === undefined ? 6 : 4, address, port, ...(scope === 0 ? {} : { scope }) };
}

function addressText({ value }: Attribute): string | undefined {
  return ipText(value);
}

function bigEndianU16({ value }: Attribute): number {
  return ((value[0] ?? 0) << 8) | (value[1] ?? 0);
}
