/** What UDP and TCP sockets have in common: the steps of making one, and OpenVPN's socket options. */
import { loadAddon } from './addon.js';
import type { Descriptor } from './descriptor.js';
import { AddressTable, type SocketAddress } from './socket-address.js';

export interface SocketAddon {
  socketCreate(family: 4 | 6, stream: boolean): number;
  socketSetOption(fd: number, option: SocketOptionName, value: number): void;
  socketGetOption(fd: number, option: SocketOptionName): number;
  socketBindDevice(fd: number, device: string): void;
  socketBind(fd: number, family: 4 | 6, record: Uint8Array): void;
  socketConnect(fd: number, family: 4 | 6, record: Uint8Array): boolean;
  socketListen(fd: number, backlog: number): void;
  socketName(fd: number, peer: boolean, record: Uint8Array): void;
}

type SocketOptionName =
  | 'SO_REUSEADDR'
  | 'SO_REUSEPORT'
  | 'SO_MARK'
  | 'SO_SNDBUF'
  | 'SO_RCVBUF'
  | 'SO_SNDBUFFORCE'
  | 'SO_RCVBUFFORCE'
  | 'SO_ERROR'
  | 'SO_PROTOCOL'
  | 'IP_TOS'
  | 'IP_MTU_DISCOVER'
  | 'IP_RECVERR'
  | 'IPV6_RECVERR'
  | 'IP_PKTINFO'
  | 'IPV6_V6ONLY'
  | 'IPV6_TCLASS'
  | 'IPV6_MTU_DISCOVER'
  | 'IPV6_RECVPKTINFO'
  | 'UDP_SEGMENT'
  | 'UDP_GRO'
  | 'TCP_NODELAY';

const IPPROTO_TCP = 6;
const IPPROTO_UDP = 17;

/** Linux's IP_PMTUDISC_* and IPV6_PMTUDISC_*, by `mtu-disc`'s words. */
const MTU_DISCOVERY = { no: 0, maybe: 1, yes: 2 } as const;

/** Every option may be left out, or `undefined`: the kernel's default. */
export interface SocketOptions {
  /** The socket's family. A socket of family 6 carries IPv4 too unless `v6only`. */
  readonly family: 4 | 6;
  readonly v6only?: boolean | undefined;
  /** Local address and port; without it the kernel chooses at the first packet. Address `undefined`: every address. */
  readonly bind?: { readonly address?: string | undefined; readonly port: number; readonly scope?: number } | undefined;
  /** Whether a port in TIME_WAIT (TCP) or in use by another socket with the same option (UDP) may be bound. */
  readonly reuseAddress?: boolean | undefined;
  /** Several sockets share one port, the kernel spreads the datagrams or connections. */
  readonly reusePort?: boolean | undefined;
  /** `bind-dev`: the interface or VRF that all packets must use. */
  readonly bindDevice?: string | undefined;
  /** `mark`: for policy routing and nft. Needs CAP_NET_ADMIN. */
  readonly mark?: number | undefined;
  /** Bytes, as asked for; beyond the system's limit only with CAP_NET_ADMIN, otherwise the limit. */
  readonly sendBuffer?: number | undefined;
  readonly receiveBuffer?: number | undefined;
  /** `mtu-disc`: never set DF, per route, always. */
  readonly mtuDiscovery?: keyof typeof MTU_DISCOVERY | undefined;
  /** The TOS byte (IPv6: traffic class) of every packet, 0 to 255. */
  readonly tos?: number | undefined;
}

/** Makes a socket and gives it its options; the caller closes `fd` when `finish` or a later step throws. */
export function createSocket(stream: boolean, options: SocketOptions, finish: (fd: number) => void): number {
  const native = loadAddon() as SocketAddon & { descriptorClose(fd: number): void };
  const fd = native.socketCreate(options.family, stream);
  try {
    applyOptions(native, fd, options);
    finish(fd);
    return fd;
  } catch (error) {
    native.descriptorClose(fd);
    throw error;
  }
}

function applyOptions(native: SocketAddon, fd: number, options: SocketOptions): void {
  const { family, bind } = options;
  const six = family === 6;
  const set = (option: SocketOptionName, value: number | undefined) => {
    if (value !== undefined) native.socketSetOption(fd, option, value);
  };
  if (six) set('IPV6_V6ONLY', Number(options.v6only ?? false));
  set('SO_REUSEADDR', options.reuseAddress === true ? 1 : undefined);
  set('SO_REUSEPORT', options.reusePort === true ? 1 : undefined);
  set('SO_MARK', options.mark);
  setBuffer(native, fd, 'SO_SNDBUF', options.sendBuffer);
  setBuffer(native, fd, 'SO_RCVBUF', options.receiveBuffer);
  if (options.mtuDiscovery !== undefined) {
    // A dual-stack socket has both settings: one for each protocol that it speaks.
    set('IP_MTU_DISCOVER', MTU_DISCOVERY[options.mtuDiscovery]);
    if (six) set('IPV6_MTU_DISCOVER', MTU_DISCOVERY[options.mtuDiscovery]);
  }
  setTos(native, fd, family, options.tos);
  if (options.bindDevice !== undefined) native.socketBindDevice(fd, options.bindDevice);
  if (bind === undefined) return;
  const everywhere = six ? '::' : '0.0.0.0';
  const local = { family, address: bind.address ?? everywhere, port: bind.port, scope: bind.scope ?? 0 };
  native.socketBind(fd, family, addressRecord(local));
}

export function setTos(native: SocketAddon, fd: number, family: 4 | 6, tos: number | undefined): void {
  if (tos === undefined) return;
  native.socketSetOption(fd, 'IP_TOS', tos);
  if (family === 6) native.socketSetOption(fd, 'IPV6_TCLASS', tos);
}

/** The TOS byte of what an IPv4 (or dual-stack) socket sends from now on. False: the host does not let us. */
export function setTypeOfService(fd: number, tos: number): boolean {
  try {
    (loadAddon() as SocketAddon).socketSetOption(fd, 'IP_TOS', tos);
    return true;
  } catch {
    return false;
  }
}

/** Bytes, as the socket's owner asks for them; 0 or undefined leaves a buffer as it is. Throws a system error. */
export function setBuffers(
  { fd }: Descriptor,
  { sendBuffer, receiveBuffer }: Pick<SocketOptions, 'sendBuffer' | 'receiveBuffer'>,
): void {
  const native = loadAddon() as SocketAddon;
  setBuffer(native, fd, 'SO_SNDBUF', sendBuffer);
  setBuffer(native, fd, 'SO_RCVBUF', receiveBuffer);
}

/** The privileged option knows no system limit; without CAP_NET_ADMIN the plain one gives what it may. */
function setBuffer(native: SocketAddon, fd: number, option: 'SO_SNDBUF' | 'SO_RCVBUF', size: number | undefined): void {
  if (size === undefined || size === 0) return;
  try {
    native.socketSetOption(fd, `${option}FORCE`, size);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') throw error;
    native.socketSetOption(fd, option, size);
  }
}

/** What a socket that somebody handed over speaks. Throws a system error: ENOTSOCK. */
export function socketProtocol({ fd }: Descriptor): 'udp' | 'tcp' | 'other' {
  const protocol = (loadAddon() as SocketAddon).socketGetOption(fd, 'SO_PROTOCOL');
  return protocol === IPPROTO_UDP ? 'udp' : protocol === IPPROTO_TCP ? 'tcp' : 'other';
}

/** SO_MARK of a socket that somebody handed over. Throws a system error: ENOTSOCK, EPERM. */
export function markSocket({ fd }: Descriptor, mark: number): void {
  (loadAddon() as SocketAddon).socketSetOption(fd, 'SO_MARK', mark);
}

/** SO_BINDTODEVICE of a socket that somebody handed over. Throws a system error: ENOTSOCK, ENODEV, EPERM. */
export function bindSocketToDevice({ fd }: Descriptor, device: string): void {
  (loadAddon() as SocketAddon).socketBindDevice(fd, device);
}

/** One address as a record of its own. */
export function addressRecord(address: SocketAddress): Uint8Array {
  const table = new AddressTable(1);
  table.set(0, address);
  return table.bytes;
}

/** The address a socket is bound to, or its peer's. */
export function socketName(native: SocketAddon, fd: number, end: 'own' | 'peer'): SocketAddress {
  const table = new AddressTable(1);
  native.socketName(fd, end === 'peer', table.bytes);
  const address = table.remote(0);
  if (address === undefined) throw new Error('the socket has no internet address');
  return address;
}
