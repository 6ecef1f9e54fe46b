/**
 * How much has gone over a key, both ways, for `reneg-bytes` and `reneg-pkts`: the peer's counters since the key was
 * made. What still comes under the key before it counts too.
 * upstream: ssl.c `should_trigger_renegotiation`, `key_state.n_bytes`, `n_packets` (2.6).
 */
import type { Millis, PeerCounters } from '@seikan/core';

/** Upstream looks when packets pass; counters are read often enough for limits that make sense. */
const INTERVAL: Millis = 1_000;

export class KeyUsage {
  readonly #bytes: number;
  readonly #packets: number;
  readonly #counters: () => PeerCounters | undefined;
  #start = { bytes: 0, packets: 0 };
  #nextLook: Millis | undefined;

  /** Limits of 0 are none. */
  constructor(limits: { readonly bytes: number; readonly packets: number }, counters: () => PeerCounters | undefined) {
    this.#bytes = limits.bytes;
    this.#packets = limits.packets;
    this.#counters = counters;
  }

  /** A new key is in use. */
  restart(now: Millis): void {
    this.#start = this.#total();
    if (this.#bytes > 0 || this.#packets > 0) this.#nextLook = now + INTERVAL;
  }

  /** What the key has carried by now. */
  get carried(): { readonly bytes: number; readonly packets: number } {
    const { bytes, packets } = this.#total();
    return { bytes: bytes - this.#start.bytes, packets: packets - this.#start.packets };
  }

  /** Whether the key has carried what it may, as far as is known at the last look. */
  isOver(now: Millis): boolean {
    if (this.#nextLook === undefined || now < this.#nextLook) return false;
    this.#nextLook = now + INTERVAL;
    const { bytes, packets } = this.carried;
    return (this.#bytes > 0 && bytes >= this.#bytes) || (this.#packets > 0 && packets >= this.#packets);
  }

  nextTimeout(): Millis | undefined {
    return this.#nextLook;
  }

  #total(): { bytes: number; packets: number } {
    const counters = this.#counters();
    if (counters === undefined) return { bytes: 0, packets: 0 };
    const { linkRead, linkWritten, packetsRead, packetsWritten } = counters;
    return { bytes: linkRead + linkWritten, packets: packetsRead + packetsWritten };
  }
}
