/**
 * Why a packet was not used. Each is a counter, never an exception: what comes from the network is not trusted to be
 * well-formed. One union for the whole of core, so that a status page can name them all.
 */
export type DropReason =
  /** Ends before the format does. */
  | 'truncated'
  /** Longer than the format or our buffer allows. */
  | 'oversized'
  /** Not an opcode that we speak in this place, key method 1 included. */
  | 'bad-opcode'
  /** The all-zero session id. */
  | 'bad-session-id'
  /** More than 8 message ids in one acknowledgement list, or an ACK_V1 without any. */
  | 'too-many-acks'
  | 'no-acks'
  /** The MAC of a control packet's wrapping is wrong: another key, or a corrupted packet. */
  | 'bad-hmac'
  /** Packet id 0. */
  | 'bad-packet-id'
  | 'replay'
  /** Behind the replay window, in packets or in time. */
  | 'too-old'
  /** The wrapped client key of tls-crypt-v2 is not ours, or malformed. */
  | 'bad-client-key'
  /** A server's first answer holds a field of the wrong length. */
  | 'bad-early-negotiation'
  /** The session id that a first packet acknowledges is not one that we gave to this address lately. */
  | 'bad-cookie'
  /** A key exchange message of another key method than 2. */
  | 'bad-key-method'
  /** No session of this peer has the packet's session id. */
  | 'unknown-session'
  /** It answers another session than the one it came to. */
  | 'wrong-session-id'
  /** No key of the session has the packet's key id. */
  | 'wrong-key-id'
  /** A reset whose message id is not 0. */
  | 'wrong-message-id'
  /** Not something that the peer may say now: a reset in the wrong direction, a renegotiation before the first key. */
  | 'wrong-state'
  /** Received before; acknowledged again. */
  | 'duplicate'
  /** Too far ahead of what was received; it will come again. */
  | 'outside-window'
  /** A second TLS session under `single-session`. */
  | 'single-session'
  /** A newcomer is still being authenticated. */
  | 'busy';
