/** The protocol of one tunnel, pure: bytes in, bytes out, time and randomness as arguments. */
export { type Endpoint, formatEndpoint, sameEndpoint } from './bytes/endpoint.js';
export type { Millis, UnixSeconds } from './bytes/millis.js';
export type { AeadKey, BlockKey, CipherTraits, Crypto, RandomFill } from './crypto/crypto.js';
export type {
  ChannelSettings,
  CompressionFraming,
  DataChannel,
  DataChannelCommand,
  DataChannelEvent,
  LinkId,
  PeerCounters,
  PeerId,
  PeerRef,
  PeerRoute,
  PeerSettings,
} from './data/data-channel.js';
export type { DataFormat, DataKey, DirectionKey } from './keys/data-key.js';
export type {
  PeerCertificate,
  TlsConnection,
  TlsContext,
  TlsFailure,
  VerifyCertificate,
  VerifyError,
} from './tls/tls.js';
export {
  type ControlOpcode,
  firstByte,
  isControlOpcode,
  type KeyId,
  keyIdOf,
  Opcode,
  opcodeOf,
} from './wire/opcode.js';
