export { addonLoads, loadAddon } from './addon.js';
export { createNativeAeadKey, nativeAead, PacketKey, type PacketKeyOptions } from './aead.js';
export { readCertificate } from './certificate.js';
export { Descriptor } from './descriptor.js';
export { interfaceIndex, interfaceName } from './interfaces.js';
export { KeyRing, type RingCbcOptions, type RingKeyOptions } from './key-ring.js';
export {
  type CipherListing,
  type DigestListing,
  listCiphers,
  listCurves,
  listDigests,
  listTlsSuites,
} from './listings.js';
export { NETLINK_BUFFER, type NetlinkOptions, NetlinkSocket } from './netlink-socket.js';
export { createCrypto, createNodeAeadKey } from './node-crypto.js';
export { OUTBOX_LEAST, Outbox, type OutboxShape } from './outbox.js';
export { type BatchShape, PacketBatch, type PacketRun } from './packet-batch.js';
export { PacketKind, PacketTable, TABLE_HEADROOM, TABLE_TAILROOM, type TableShape } from './packet-table.js';
export { NOT_RECEIVED, PollSet, READABLE, type TableSource, Wake, WRITABLE } from './poll-set.js';
export { Watch, type WatchCallback, type WatchEvents } from './poller.js';
export {
  type Capability,
  changeRoot,
  dropPrivileges,
  dropThreadCapabilities,
  executeAs,
  hasCapability,
  type Identity,
  limitThreadCapabilities,
  lookUpIdentity,
  setDumpable,
  setNice,
  startThreadPool,
  threadCapabilities,
} from './privileges.js';
export { errorText, resultName, WOULD_BLOCK } from './result.js';
export {
  ADDRESS_SIZE,
  ADDRESS_WORDS,
  AddressTable,
  addressBytes,
  type LocalAddress,
  REMOTE_WORDS,
  type SocketAddress,
} from './socket-address.js';
export {
  bindSocketToDevice,
  markSocket,
  type SocketOptions,
  setBuffers,
  setTypeOfService,
  socketProtocol,
} from './socket-options.js';
export { splitSuperpacket } from './superpacket.js';
export { forbidSwap, type SwapFolders } from './swap.js';
export { notifySystemd, type PassedDescriptor, takePassedDescriptors } from './systemd.js';
export { TcpListener, type TcpOptions, TcpSocket } from './tcp-socket.js';
export {
  checkKeyPair,
  createTlsContext,
  loadProvider,
  type OpensslContext,
  type TlsOptions,
  TlsSetupError,
  type TlsSetupFault,
  type TlsVersion,
} from './tls.js';
export {
  createPersistentTun,
  type PersistentTunOptions,
  removePersistentTun,
  TunDevice,
  type TunInfo,
  type TunKind,
  type TunOffloads,
  type TunOptions,
} from './tun.js';
export { type UdpOptions, UdpSocket } from './udp-socket.js';
export {
  MOST_DESCRIPTORS,
  type PeerCredentials,
  type UnixAddress,
  UnixListener,
  UnixSocket,
  type UnixType,
} from './unix-socket.js';
