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
export { AckList } from './reliable/ack-list.js';
export { type ReceivedMessage, ReliableReceive, type ReliableReceiveOptions } from './reliable/reliable-receive.js';
export { type QueuedMessage, ReliableSend, type ReliableSendOptions } from './reliable/reliable-send.js';
export {
  defaultReplayWindow,
  LongReplayWindow,
  type ReplayVerdict,
  ReplayWindow,
  type ReplayWindowOptions,
} from './replay/replay-window.js';
export type {
  PeerCertificate,
  TlsConnection,
  TlsContext,
  TlsFailure,
  VerifyCertificate,
  VerifyError,
} from './tls/tls.js';
export {
  CONTROL_HEADER_SIZE,
  type ControlHeader,
  type ControlPacket,
  controlFieldsSize,
  MAX_ACKS,
  type MessageId,
  parseControlHeader,
} from './wire/control-packet.js';
export type { DropReason } from './wire/drop-reason.js';
export {
  type ControlOpcode,
  firstByte,
  isControlOpcode,
  type KeyId,
  keyIdOf,
  Opcode,
  opcodeOf,
} from './wire/opcode.js';
export {
  formatSessionId,
  isSessionId,
  randomSessionId,
  SESSION_ID_SIZE,
  type SessionId,
  sameSessionId,
} from './wire/session-id.js';
export { type ControlWrap, plainWrap, type WrapOptions } from './wrap/control-wrap.js';
export {
  encodeStaticKey,
  type KeyDirection,
  type KeyHalves,
  keyHalves,
  parseStaticKey,
  STATIC_KEY_SIZE,
  type StaticKey,
} from './wrap/static-key.js';
export { type TlsAuthOptions, tlsAuthWrap } from './wrap/tls-auth.js';
export { type TlsCryptOptions, tlsCryptWrap } from './wrap/tls-crypt.js';
