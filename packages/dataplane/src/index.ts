/** The data channel: what moves packets between links and tun once control has installed peers, keys and routes. */
export { CounterTable } from './counters.js';
export { DataPlane, type PeerCommand } from './data-plane.js';
export { InlineDataChannel, type InlineOptions } from './inline-data-channel.js';
export type { Outlets } from './outlets.js';
export type { Clock, LinkReceiver, PacketBatch, PacketLink, PacketTun, TunReceiver } from './ports.js';
