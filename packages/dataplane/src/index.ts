/** The data channel: what moves packets between links and tun once control has installed peers, keys and routes. */
export { CounterTable } from './counters.js';
export { DataPlane, type PeerCommand } from './data-plane.js';
export { InlineDataChannel, type InlineOptions } from './inline-data-channel.js';
export type { Outlets } from './outlets.js';
export type { Clock, LinkReceiver, PacketBatch, PacketLink, PacketTun, TunReceiver } from './ports.js';
export { createSystemClock } from './system-clock.js';
export { TcpLink, type TcpLinkOptions, TcpListenLink, type TcpListenLinkOptions, TcpWorkspace } from './tcp-link.js';
export { TunEnd, type TunEndOptions } from './tun-end.js';
export { UdpLink, type UdpLinkOptions } from './udp-link.js';
