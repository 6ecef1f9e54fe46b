/** What the suite and the thread under test share about one link or tun: cells of an Int32Array. */

/** 1: nothing more is taken. */
export const FULL = 0;
/** 1: it is to fail. */
export const BROKEN = 1;
/** 1: the channel has closed it. */
export const CLOSED = 2;
/** How many packets have arrived and have had their effects. */
export const ARRIVED = 3;
/** How many were taken to be sent. */
export const SENT = 4;

export const GATE_BYTES = 5 * Int32Array.BYTES_PER_ELEMENT;

/** Of the thread's clock, a Float64Array: the time, the time that it has looked at last, and how often it has. */
export const NOW = 0;
export const SEEN = 1;
export const LOOKS = 2;

export const gateFailure = 'broken by the suite';

export interface GatedSource {
  readonly kind: 'udp' | 'tcp-listener' | 'tun';
  readonly fd: number;
  readonly gate: SharedArrayBuffer;
  /** A wake-up of the suite's, raised when `BROKEN` was set. */
  readonly wake: number;
}
