/**
 * Links and tuns over file descriptors. A source is plain data, so that it can be posted to another thread; whoever makes
 * the end of it owns the descriptor.
 */
import type { Endpoint } from '@seikan/core';
import { TcpListener, TcpSocket, TunDevice, UdpSocket } from '@seikan/native';

import { NatTun, type Translation } from './nat-tun.js';
import type { PacketLink, PacketTun } from './ports.js';
import type { Readiness } from './readiness.js';
import { MOST_RELAYED, SocksUdpLink } from './socks-udp-link.js';
import { TcpLink, TcpListenLink, TcpWorkspace } from './tcp-link.js';
import { type CurrentTos, TosLink, TosTun } from './tos.js';
import { TunEnd } from './tun-end.js';
import { UdpLink } from './udp-link.js';

/** `passesTos`: its packets bear the TOS of what is inside (`passtos`). */
export type LinkSource = SocketSource & { readonly passesTos?: boolean };

type SocketSource =
  | { readonly kind: 'udp'; readonly fd: number; readonly family: 4 | 6 }
  | {
      readonly kind: 'tcp';
      readonly fd: number;
      readonly remote: Endpoint;
      readonly connecting: boolean;
      readonly queueLimit: number;
    }
  /** UDP through a SOCKS proxy, for as long as the connection `control` stays. */
  | { readonly kind: 'socks-udp'; readonly fd: number; readonly control: number; readonly relay: Endpoint }
  /** `queueLimit` is that of the connections. `shared`: those that do not speak OpenVPN are given back. */
  | { readonly kind: 'tcp-listener'; readonly fd: number; readonly queueLimit: number; readonly shared: boolean };

export interface TunSource {
  readonly fd: number;
  /** `client-nat`; its device was opened without offloads. */
  readonly translation?: Translation | undefined;
  /** `passtos`, of packets of such a device. */
  readonly passesTos?: 'tun' | 'tap' | undefined;
}

/** Makes ends of sources of some kind. */
export interface Ends<Link, Tun> {
  link(source: Link): PacketLink;
  tun(source: Tun): PacketTun;
}

/** `packetwise`: TCP connections can be handed over to the kernel. */
export function descriptorEnds(readiness: Readiness, packetwise = false): Ends<LinkSource, TunSource> {
  const workspace = new TcpWorkspace();
  const current: CurrentTos = { value: 0 };
  const plainLink = (source: SocketSource): PacketLink => {
    const { kind, fd } = source;
    switch (kind) {
      case 'udp':
        return new UdpLink(new UdpSocket(fd, source.family), { readiness });
      case 'tcp': {
        const { remote, connecting, queueLimit } = source;
        return new TcpLink(new TcpSocket(fd), { readiness, workspace, remote, connecting, queueLimit, packetwise });
      }
      case 'socks-udp': {
        const { control, relay } = source;
        const packets = new UdpLink(new UdpSocket(fd, relay.family), { readiness, capacity: MOST_RELAYED });
        return new SocksUdpLink({ packets, control: new TcpSocket(control), relay, readiness });
      }
      case 'tcp-listener':
        return new TcpListenLink(new TcpListener(fd), {
          readiness,
          workspace,
          queueLimit: source.queueLimit,
          shared: source.shared,
          packetwise,
        });
      default:
        return kind satisfies never;
    }
  };
  const plainTun = ({ fd, translation }: TunSource): TunEnd | NatTun => {
    const device = new TunDevice(fd);
    if (translation !== undefined) return new NatTun(new TunEnd(device, { readiness }), translation);
    device.enableOffloads();
    return new TunEnd(device, { readiness });
  };
  return {
    link: (source) => {
      const link = plainLink(source);
      return source.passesTos === true ? new TosLink(link, current) : link;
    },
    tun: (source) => {
      const { passesTos } = source;
      const tun = plainTun(source);
      return passesTos === undefined ? tun : new TosTun(tun, passesTos, current);
    },
  };
}
