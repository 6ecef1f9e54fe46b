/** The protocol of one tunnel, pure: bytes in, bytes out, time and randomness as arguments. */

export { fromBase64, toBase64 } from './bytes/base64.js';
export { readUint16, readUint32, writeUint16, writeUint32 } from './bytes/big-endian.js';
export { concatBytes, sameBytes, xorBytes } from './bytes/bytes.js';
export { type Endpoint, formatEndpoint, sameEndpoint } from './bytes/endpoint.js';
export { fromHex, toHex } from './bytes/hex.js';
export { earlier, type Millis, type UnixSeconds } from './bytes/millis.js';
export { decodeText, encodeText } from './bytes/text.js';
export {
  type AeadKey,
  type BlockKey,
  type CbcForm,
  type CipherTraits,
  type Crypto,
  cipherOrNone,
  type PacketForm,
  type PacketLayout,
  type RandomFill,
} from './crypto/crypto.js';
export { AEAD_PACKET_ID_SIZE, AeadOpener, AeadSealer } from './data/aead-format.js';
export { BlockOpener, type BlockOptions, BlockSealer } from './data/block-format.js';
export { type NatRule, translateAddresses } from './data/client-nat.js';
export { frameUncompressed, unframe } from './data/compression.js';
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
export { type DataDrop, dataDrops } from './data/data-drop.js';
export {
  type DataOpener,
  type DataSealer,
  type KeyLimit,
  type ManyOpener,
  type ManySealer,
  TAG_SIZE,
} from './data/data-format.js';
export { EPOCH_PACKET_ID_SIZE, EpochOpener, EpochSealer } from './data/epoch-format.js';
export { type Cut, FRAGMENT_HEADER_SIZE, Fragmenter, Reassembler } from './data/fragment.js';
export { isOcc, isPing, OccType, occMagic, pingPayload } from './data/messages.js';
export { clampMss } from './data/mss.js';
export { HEADROOM, Packet, packetOf, TAILROOM } from './data/packet.js';
export {
  defaultMssfix,
  fragmentSize,
  messageOverhead,
  mssClamp,
  type PacketShape,
  packetOverhead,
  type SizeLimit,
} from './data/packet-size.js';
export {
  type AuthToken,
  type AuthTokenSecret,
  isAuthToken,
  isTokenCurrent,
  signAuthToken,
  TOKEN_SESSION_ID_SIZE,
  type VerifiedAuthToken,
  verifyAuthToken,
} from './keys/auth-token.js';
export { AUTH_TOKEN_KEY_SIZE, authTokenHmacKey, encodeAuthTokenKey, parseAuthTokenKey } from './keys/auth-token-key.js';
export {
  type DataFormat,
  type DataKey,
  type DataKeyOptions,
  type DirectionKey,
  deriveDataKey,
  wipeDataKey,
} from './keys/data-key.js';
export { deriveEpochKey, type EpochKey, nextEpochSecret } from './keys/epoch-key.js';
export { exportDataKeys, exportDynamicWrapKey, exportP2pPeerId } from './keys/exporter.js';
export {
  encodeKeyMethod2,
  type KeyMethod2,
  type KeySource,
  MAX_CREDENTIAL_SIZE,
  MAX_OPTIONS_SIZE,
  makeKeySource,
  parseKeyMethod2,
  type ReceivedKeyMethod2,
  wipeKeySource,
} from './keys/key-method-2.js';
export {
  type OptionsStringInput,
  optionsString,
  type PointToPoint,
  parseOptionsString,
} from './keys/options-string.js';
export { encodePeerInfo, parsePeerInfo } from './keys/peer-info.js';
export { deriveKeysByPrf, type PrfInputs } from './keys/prf.js';
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
export {
  type KeyAuthentication,
  type KeyEvent,
  type KeyFailure,
  KeyState,
  type KeyStateName,
} from './session/key-state.js';
export { type OutgoingPacket, Session, type SessionOutput } from './session/session.js';
export type {
  AcceptedClientKey,
  AcceptedPacket,
  ControlProtection,
  LocalHello,
  SessionSettings,
} from './session/session-settings.js';
export { TlsSession } from './session/tls-session.js';
export type {
  PeerCertificate,
  TlsConnection,
  TlsContext,
  TlsFailure,
  VerifyCertificate,
  VerifyError,
} from './tls/tls.js';
export { type ControlMessages, encodeControlMessage, splitControlMessages } from './wire/control-message.js';
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
  announcesEarlyNegotiation,
  EARLY_NEGOTIATION_START,
  type EarlyNegotiation,
  encodeEarlyNegotiation,
  parseEarlyNegotiation,
} from './wire/early-negotiation.js';
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
export { SessionCookie, type SessionCookieOptions } from './wrap/cookie.js';
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
export {
  appendWrappedKey,
  type ClientKey,
  type ClientKeyMetadata,
  encodeClientKey,
  encodeServerKey,
  MAX_METADATA_SIZE,
  MetadataType,
  metadataTime,
  parseClientKey,
  parseServerKey,
  SERVER_KEY_SIZE,
  splitWrappedKey,
  timestampMetadata,
  unwrapClientKey,
  wrapClientKey,
} from './wrap/tls-crypt-v2.js';
