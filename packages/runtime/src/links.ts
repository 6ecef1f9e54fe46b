/** Opens the sockets that the engine asks for and gives them to the data channel. */

import type { Crypto, DataChannel } from '@seikan/core';
import type { LinkSource } from '@seikan/dataplane';
import type { AskFailure, AskMap, LogLine, OpenLinkAsk, Options, ProxyAsk } from '@seikan/engine';
import { type Descriptor, errorText, type SocketOptions, TcpListener, TcpSocket, UdpSocket } from '@seikan/native';

import { reasonOf } from './materials.js';
import { connectThroughProxy } from './proxy-connection.js';
import type { ProxyLogins } from './proxy-logins.js';
import { scopedAddress } from './scoped-address.js';

type OpenLink = AskMap['open-link'];

/**
 * A superpacket of 64 KiB arrives at once: the system's usual 208 KiB hold two of them.
 * Differs from OpenVPN 2.x, which leaves the system's unless `sndbuf` and `rcvbuf` are given.
 */
const UDP_BUFFER = 1.25 * 2 ** 20;

export interface LinkOptions {
  readonly options: Options;
  /** Superpackets arrive whole; the kernel's data channel would take them for one packet. */
  readonly coalesce: boolean;
  /** Keeps a socket to this address out of the tunnel, before packets flow. */
  readonly protect?: ((socket: Descriptor, remote: string) => Promise<void>) | undefined;
  readonly logins: ProxyLogins;
  readonly crypto: Pick<Crypto, 'hash' | 'hmac'>;
  readonly log: (line: LogLine) => void;
  /** Nobody waits for the link any more: what was opened is closed. */
  readonly cancelled: AbortSignal;
}

export async function openLink(
  channel: Pick<DataChannel<LinkSource, never>, 'openLink'>,
  ask: OpenLink['ask'],
  linkOptions: LinkOptions,
): Promise<OpenLink['answer']> {
  const { options, coalesce } = linkOptions;
  const { protocol, bind, remote, link, proxy } = ask;
  const { socket } = options;
  const queueLimit = options.server.tcpQueueLimit;
  const family = proxy?.endpoint.family ?? remote?.family ?? bind?.family ?? 4;
  const common: SocketOptions = {
    family,
    v6only: family === 6 && (bind?.ipv6Only ?? false),
    bind:
      bind === undefined
        ? undefined
        : { ...(bind.address === undefined ? {} : scopedAddress(bind.address)), port: bind.port },
    reuseAddress: protocol === 'tcp-server',
    bindDevice: socket.bindDevice,
    mark: socket.mark,
    sendBuffer: socket.sendBuffer === 0 && protocol === 'udp' ? UDP_BUFFER : socket.sendBuffer,
    receiveBuffer: socket.receiveBuffer === 0 && protocol === 'udp' ? UDP_BUFFER : socket.receiveBuffer,
    mtuDiscovery: ask.mtuDiscover,
  };
  try {
    if (proxy !== undefined) return await openProxied(channel, { ...ask, proxy }, common, linkOptions);
    switch (protocol) {
      case 'udp': {
        const opened = UdpSocket.open({
          ...common,
          packetInfo: socket.multihome,
          coalesce,
          reportErrors: remote !== undefined,
        });
        const local = bind === undefined ? undefined : opened.address;
        if (remote !== undefined) await protectOrClose(opened, remote.address, linkOptions);
        channel.openLink(link, { kind: 'udp', fd: opened.descriptor.release(), family });
        return { local };
      }
      case 'tcp-server': {
        const listener = TcpListener.open({ ...common, noDelay: true });
        const local = listener.address;
        const shared = options.server.portShare !== undefined;
        channel.openLink(link, { kind: 'tcp-listener', fd: listener.descriptor.release(), queueLimit, shared });
        return { local };
      }
      case 'tcp-client': {
        if (remote === undefined) return { error: 'TCP: no address to connect to' };
        const opened = TcpSocket.connect(remote, { ...common, noDelay: true });
        const local = bind === undefined ? undefined : opened.address;
        await protectOrClose(opened, remote.address, linkOptions);
        channel.openLink(link, { kind: 'tcp', fd: opened.descriptor.release(), remote, connecting: true, queueLimit });
        return { local };
      }
      default:
        throw new Error(protocol satisfies never);
    }
  } catch (error) {
    const { syscall, errno = 0 } = error as NodeJS.ErrnoException;
    if (bind === undefined || syscall !== 'bind')
      return { error: `TCP/UDP: Socket failed: ${reasonOf(error)}` } satisfies AskFailure;
    const where = `[AF_INET${family === 6 ? '6' : ''}]${bind.address ?? '[undef]'}:${bind.port}`;
    const why = `${errorText(-errno)} (errno=${errno})`;
    return { error: `TCP/UDP: Socket bind failed on local address ${where}: ${why}` } satisfies AskFailure;
  }
}

interface ProxiedLink extends Omit<OpenLinkAsk, 'proxy'> {
  readonly proxy: ProxyAsk;
}

/** Over UDP the connection to the proxy stays, and what packets bear is bound to the peer, not to it. */
async function openProxied(
  channel: Pick<DataChannel<LinkSource, never>, 'openLink'>,
  { link, protocol, bind, proxy }: ProxiedLink,
  socketOptions: SocketOptions,
  { options, log, logins, crypto, protect, cancelled }: LinkOptions,
): Promise<OpenLink['answer']> {
  const overUdp = protocol === 'udp';
  const through = await connectThroughProxy({
    ask: proxy,
    protocol: overUdp ? 'udp' : 'tcp',
    // A socket for UDP may have larger buffers than its companion needs.
    socket: { ...socketOptions, sendBuffer: undefined, receiveBuffer: undefined, noDelay: true },
    logins,
    crypto,
    log,
    protect,
    cancelled,
  });
  if ('error' in through) return through;
  const { socket, relay } = through;
  const local = bind === undefined ? undefined : socket.address;
  if (!overUdp) {
    const queueLimit = options.server.tcpQueueLimit;
    const fd = socket.descriptor.release();
    channel.openLink(link, { kind: 'tcp', fd, remote: proxy.endpoint, connecting: false, queueLimit });
    return { local };
  }
  if (relay === undefined) throw new TypeError('a proxy for UDP without a relay');
  try {
    const packets = UdpSocket.open({ ...socketOptions, family: relay.family, v6only: false, bind: undefined });
    await protectOrClose(packets, relay.address, { protect, cancelled });
    const fd = packets.descriptor.release();
    channel.openLink(link, { kind: 'socks-udp', fd, control: socket.descriptor.release(), relay });
    return { local, relay };
  } catch (error) {
    socket.close();
    throw error;
  }
}

async function protectOrClose(
  socket: UdpSocket | TcpSocket,
  remote: string,
  { protect, cancelled }: Pick<LinkOptions, 'protect' | 'cancelled'>,
): Promise<void> {
  try {
    await protect?.(socket.descriptor, remote);
    cancelled.throwIfAborted();
  } catch (error) {
    socket.close();
    throw error;
  }
}
