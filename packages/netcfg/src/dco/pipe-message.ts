/**
 * What goes through the pipe of `…/dco` to the client, one datagram each, numbers in host order:
 *
 *   deleted  u8 command · u32 peer id · u8 reason
 *   peer     u8 command · 216 bytes, see `peerMessage`
 *   error    u8 0xff · text                                       the client gives up
 *
 * Commands are the kernel family's own numbers: a client's core knows one family, and takes its numbers here too.
 * Source: observed on openvpn3-client 27.1.
 */
import {
  type DeleteReason,
  deleteReasons,
  encodeSocketAddress,
  type OffloadFamily,
  type OffloadPeerState,
  type Traffic,
} from '@seikan/dco';
import { addressBytes } from '@seikan/native';

const commands = {
  'ovpn-dco-v2': { deleted: 3, peer: 7 },
  ovpn: { deleted: 5, peer: 3 },
} as const satisfies Record<OffloadFamily, object>;
const ERROR = 0xff;

const STATE_SIZE = 216;
const At = {
  vpn4: 4,
  vpn6: 8,
  localPort: 24,
  remote: 32,
  keepaliveInterval: 160,
  keepaliveTimeout: 164,
  vpnTraffic: 168,
  linkTraffic: 192,
} as const;

export function deletedMessage(family: OffloadFamily, peerId: number, reason: DeleteReason): Uint8Array {
  const message = new Message(6);
  message.u8(0, commands[family].deleted);
  message.u32(1, peerId);
  message.u8(5, deleteReasons.indexOf(reason));
  return message.bytes;
}

/**
 *   0 id u32 · 4 vpn ipv4 · 8 vpn ipv6 · 24 local port u16 · 32 remote sockaddr_storage (128; zero with mainline)
 *   160 keepalive interval u32 · 164 timeout u32 · 168 vpn traffic · 192 link traffic
 *   traffic: u64 read bytes · u64 written bytes · u32 read packets · u32 written packets
 */
export function peerMessage(family: OffloadFamily, state: OffloadPeerState): Uint8Array {
  const message = new Message(1 + STATE_SIZE);
  message.u8(0, commands[family].peer);
  const { peerId, vpn4, vpn6, localPort, remote, keepaliveInterval, keepaliveTimeout, vpn, link } = state;
  message.u32(1, peerId);
  if (vpn4 !== undefined) message.bytes.set(addressBytes(4, vpn4), 1 + At.vpn4);
  if (vpn6 !== undefined) message.bytes.set(addressBytes(6, vpn6), 1 + At.vpn6);
  message.u16(1 + At.localPort, localPort);
  if (family === 'ovpn-dco-v2' && remote !== undefined) message.bytes.set(encodeSocketAddress(remote), 1 + At.remote);
  message.u32(1 + At.keepaliveInterval, keepaliveInterval);
  message.u32(1 + At.keepaliveTimeout, keepaliveTimeout);
  writeTraffic(message, 1 + At.vpnTraffic, vpn);
  writeTraffic(message, 1 + At.linkTraffic, link);
  return message.bytes;
}

export function errorMessage(text: string): Uint8Array {
  return Uint8Array.of(ERROR, ...new TextEncoder().encode(text));
}

function writeTraffic(message: Message, at: number, traffic: Traffic): void {
  message.u64(at, traffic.readBytes);
  message.u64(at + 8, traffic.writtenBytes);
  message.u32(at + 16, traffic.readPackets);
  message.u32(at + 20, traffic.writtenPackets);
}

const LITTLE_ENDIAN = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

class Message {
  readonly bytes: Uint8Array;
  readonly #view: DataView;

  constructor(size: number) {
    this.bytes = new Uint8Array(size);
    this.#view = new DataView(this.bytes.buffer);
  }

  u8(at: number, value: number): void {
    this.#view.setUint8(at, value);
  }

  u16(at: number, value: number): void {
    this.#view.setUint16(at, value, LITTLE_ENDIAN);
  }

  u32(at: number, value: number): void {
    this.#view.setUint32(at, value, LITTLE_ENDIAN);
  }

  u64(at: number, value: number): void {
    this.#view.setBigUint64(at, BigInt(value), LITTLE_ENDIAN);
  }
}
