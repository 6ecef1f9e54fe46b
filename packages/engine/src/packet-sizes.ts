/**
 * How large packets may be on the way to the peer and back, by messages in the data channel. Both ends answer:
 *
 *   | 2 | size 2 |            "send me a packet of that size"   ─▶   ◀─  | 3 | padding |
 *   | 3 | padding |           a packet of some size             ─▶
 *   | 4 |                     "how large were they?"            ─▶   ◀─  | 5 | largest received 2 | largest sent 2 |
 *
 * Sizes are those of whole packets on the link, without IP and UDP. Only these messages are measured, not the traffic
 * beside them: they are as large as packets get.
 * upstream: occ.c `check_send_occ_msg_dowork`, `process_received_occ_msg` (2.6).
 */
import { OccType, readUint16, writeUint16 } from '@seikan/core';

export interface PacketSizesSettings {
  /** What a message of no bytes takes on the link, its type not counted. */
  readonly overhead: number;
  /** The largest packet that carries anything; nobody gets larger ones out of us. */
  readonly largest: number;
  readonly send: (plaintext: Uint8Array) => void;
}

export interface MeasuredSizes {
  readonly sent: number;
  /** What the peer says. */
  readonly peerReceived: number;
  readonly peerSent: number;
  readonly received: number;
}

export class PacketSizes {
  readonly #settings: PacketSizesSettings;
  #sent = 0;
  #received = 0;

  constructor(settings: PacketSizesSettings) {
    this.#settings = settings;
  }

  get largest(): number {
    return this.#settings.largest;
  }

  /** Answers what is asked; a reply is what was found out. Other messages, and ones too short, are nothing. */
  handle(plaintext: Uint8Array): MeasuredSizes | undefined {
    this.#received = Math.max(this.#received, this.#settings.overhead + plaintext.length);
    switch (plaintext[0]) {
      case OccType.mtuLoadRequest:
        if (plaintext.length >= 3) this.load(readUint16(plaintext, 1));
        return undefined;
      case OccType.mtuRequest: {
        const reply = Uint8Array.of(OccType.mtuReply, 0, 0, 0, 0);
        writeUint16(reply, 1, this.#received);
        writeUint16(reply, 3, this.#sent);
        this.#send(reply);
        return undefined;
      }
      case OccType.mtuReply:
        if (plaintext.length < 5) return undefined;
        return {
          sent: this.#sent,
          peerReceived: readUint16(plaintext, 1),
          peerSent: readUint16(plaintext, 3),
          received: this.#received,
        };
      default:
        return undefined;
    }
  }

  /** Sends a packet of `size` on the link, or of the largest that there is. */
  load(size: number): void {
    const { overhead, largest } = this.#settings;
    const plaintext = new Uint8Array(Math.max(1, Math.min(size, largest) - overhead));
    plaintext[0] = OccType.mtuLoad;
    this.#send(plaintext);
  }

  requestLoad(size: number): void {
    const request = Uint8Array.of(OccType.mtuLoadRequest, 0, 0);
    writeUint16(request, 1, size);
    this.#send(request);
  }

  requestSizes(): void {
    this.#send(Uint8Array.of(OccType.mtuRequest));
  }

  #send(plaintext: Uint8Array): void {
    this.#sent = Math.max(this.#sent, this.#settings.overhead + plaintext.length);
    this.#settings.send(plaintext);
  }
}
