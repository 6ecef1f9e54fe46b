export { findKernelOffload, KernelOffload } from './kernel-offload.js';
export { type KernelTunnel, NetlinkTunnel, type OffloadReceiver } from './kernel-tunnel.js';
export {
  type DeleteReason,
  deleteReasons,
  type KeySlotName,
  type OffloadCipher,
  type OffloadEvent,
  type OffloadFamily,
  type OffloadKeepalive,
  type OffloadKey,
  type OffloadKeyHalf,
  type OffloadMode,
  type OffloadPeer,
  type OffloadPeerState,
  type Traffic,
} from './offload-codec.js';
export { encodeSocketAddress, parseSocketAddress } from './socket-address.js';
