/** What the key exchange leaves behind for the data channel: the material of one key id, both directions. */
import type { Millis } from '../bytes/millis.js';

export type DataFormat = 'aead' | 'epoch' | 'block';

/** One direction's key material, copied by the channel when it is installed. */
export interface DirectionKey {
  /** Exactly the cipher's key size; with `epoch` the 32-byte epoch secret E1. */
  readonly cipher: Uint8Array;
  /** `aead`: the 8-byte implicit IV. `block`: the HMAC key of the digest's size. `epoch`: empty. */
  readonly auth: Uint8Array;
}

export interface DataKey {
  readonly format: DataFormat;
  /** OpenVPN's name: `AES-256-GCM`. */
  readonly cipher: string;
  /** HMAC digest of the `block` format (`SHA1`, `none`); ignored by the others. */
  readonly digest: string;
  readonly send: DirectionKey;
  readonly receive: DirectionKey;
  /** Upstream's `replay-window n t`: packets and milliseconds. */
  readonly replayWindow: number;
  readonly replayTime: Millis;
  /** Packet ids carry the wall-clock time too (static key mode). */
  readonly longPacketId: boolean;
}
