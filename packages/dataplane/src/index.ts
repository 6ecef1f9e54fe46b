/** The data channel: what moves packets between links and tun once control has installed peers, keys and routes. */
export { ChannelThread, type ChannelThreadOptions } from './channel-thread.js';
export { CounterTable } from './counters.js';
export { DataPlane, type PeerCommand } from './data-plane.js';
export { DataThread, type DataThreadOptions } from './data-thread.js';
export { descriptorEnds, type Ends, type LinkSource, type TunSource } from './descriptor-ends.js';
export { InlineDataChannel, type InlineOptions } from './inline-data-channel.js';
export type { Outlets } from './outlets.js';
export type { SealRun } from './packet-lane.js';
export type { Peer } from './peer.js';
export type { PollLoop } from './poll-loop.js';
export type { Clock, LinkReceiver, PacketBatch, PacketLink, PacketTun, TunReceiver } from './ports.js';
export type { DescriptorWatch, Readiness } from './readiness.js';
export { createSystemClock } from './system-clock.js';
export { TcpLink, type TcpLinkOptions, TcpListenLink, type TcpListenLinkOptions, TcpWorkspace } from './tcp-link.js';
export type { ThreadStart } from './thread-messages.js';
export { TunEnd, type TunEndOptions, type TunPort } from './tun-end.js';
export { UdpLink, type UdpLinkOptions } from './udp-link.js';
export { WorkerDataChannel, type WorkerOptions } from './worker-data-channel.js';
