/**
 * What protects the control channel's packets: nothing, an HMAC with a shared key (tls-auth), or encryption and an
 * HMAC (tls-crypt; tls-crypt-v2 is that with a key of the client's own).
 *
 * One wrap belongs to one session and one key: it holds the sender's packet-id counter and the replay window.
 * The packet id is of the long form, id and wall-clock time, and the window moves only after the HMAC was right.
 */
import { writeUint32 } from '../bytes/big-endian.js';
import type { UnixSeconds } from '../bytes/millis.js';
import { defaultReplayWindow, LongReplayWindow, type ReplayWindowOptions } from '../replay/replay-window.js';
import {
  CONTROL_HEADER_SIZE,
  type ControlPacket,
  controlBodySize,
  encodeControlBody,
  encodeControlHeader,
  parseControlBody,
  parseControlHeader,
} from '../wire/control-packet.js';
import type { DropReason } from '../wire/drop-reason.js';

export interface ControlWrap {
  readonly kind: 'none' | 'tls-auth' | 'tls-crypt';
  /** Bytes that the wrapping adds to the plain layout. */
  readonly overhead: number;
  /** A datagram that the caller owns. */
  wrap(packet: ControlPacket, now: UnixSeconds): Uint8Array;
  /** The packet may borrow from `bytes`. */
  unwrap(bytes: Uint8Array, now: UnixSeconds): ControlPacket | DropReason;
  wipe(): void;
}

export interface WrapOptions {
  /**
   * Packet ids that count as sent already: 1 after the stateless answer to a client's first packet (it used id 1),
   * `EARLY_NEGOTIATION_START` for a tls-crypt-v2 client. Default 0.
   */
  readonly sentPacketIds?: number;
  /** Default 64 packets, 15 seconds. `off`: nothing is remembered, for packets of peers that have no state here yet. */
  readonly replay?: ReplayWindowOptions | 'off';
}

export function plainWrap(): ControlWrap {
  return {
    kind: 'none',
    overhead: 0,
    wrap(packet) {
      const bytes = new Uint8Array(CONTROL_HEADER_SIZE + controlBodySize(packet));
      encodeControlHeader(packet, bytes);
      encodeControlBody(packet, bytes.subarray(CONTROL_HEADER_SIZE));
      return bytes;
    },
    unwrap(bytes) {
      const header = parseControlHeader(bytes);
      if (typeof header === 'string') return header;
      return parseControlBody(header, bytes.subarray(CONTROL_HEADER_SIZE));
    },
    wipe() {},
  };
}

/** The packet ids of one wrap, both ways. Source: OpenVPN 2.6 `packet_id.c` (`packet_id_send_update`). */
export class WrapPacketIds {
  #sent: number;
  #time: UnixSeconds = 0;
  readonly #window: LongReplayWindow | undefined;

  constructor({ sentPacketIds = 0, replay = defaultReplayWindow }: WrapOptions) {
    this.#sent = sentPacketIds;
    this.#window = replay === 'off' ? undefined : new LongReplayWindow(replay);
  }

  /** Writes the next id and its time, 8 bytes. The time is that of the first packet until the ids run out. */
  writeNext(into: Uint8Array, at: number, now: UnixSeconds): void {
    if (this.#time === 0) this.#time = now;
    if (this.#sent === 0xffff_ffff) {
      this.#sent = 0;
      this.#time = Math.max(now, this.#time + 1);
    }
    this.#sent += 1;
    writeUint32(into, at, this.#sent);
    writeUint32(into, at + 4, this.#time);
  }

  /** Call it only once the packet is authentic. */
  check(id: number, time: UnixSeconds, now: UnixSeconds): DropReason | undefined {
    if (this.#window === undefined) return id === 0 ? 'bad-packet-id' : undefined;
    const verdict = this.#window.accept(id, time, now * 1_000);
    return verdict === 'accepted' ? undefined : verdict;
  }
}
