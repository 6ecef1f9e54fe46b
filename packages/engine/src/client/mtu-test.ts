/**
 * `mtu-test`: packets of growing size both ways, three of each, then the question how large they arrived. One step every
 * three seconds, three and a half minutes in all.
 * upstream: occ.c `check_send_occ_load_test_dowork` (2.6).
 */
import type { Millis } from '@seikan/core';

import type { MeasuredSizes, PacketSizes } from '../packet-sizes.js';
import type { TunnelLog } from '../tunnel-log.js';

const STEP: Millis = 3_000;
/** Below the largest packet. */
const SHORTER = [1_000, 750, 500, 400, 300, 200, 150, 100, 50, 0];
const EACH = 3;
const QUESTIONS = 10;
/** Upstream's TUN_MTU_MIN. */
const SMALLEST_MTU = 100;

export interface MtuTestSettings {
  readonly sizes: PacketSizes;
  readonly fragments: boolean;
  readonly log: TunnelLog;
}

export class MtuTest {
  readonly #settings: MtuTestSettings;
  readonly #steps: (() => void)[];
  #next: Millis | undefined;

  constructor(settings: MtuTestSettings, now: Millis) {
    this.#settings = settings;
    const { sizes } = settings;
    const { largest } = sizes;
    this.#steps = SHORTER.flatMap((shorter) =>
      Array.from({ length: EACH }, () => [
        () => sizes.requestLoad(largest - shorter),
        () => sizes.load(largest - shorter),
      ]).flat(),
    );
    for (let question = 0; question < QUESTIONS; question += 1) this.#steps.push(() => sizes.requestSizes());
    this.#next = now + STEP;
  }

  handleTimeout(now: Millis): void {
    if (this.#next === undefined || now < this.#next) return;
    const { log } = this.#settings;
    if (this.#steps.length === SHORTER.length * EACH * 2 + QUESTIONS)
      log.notice('NOTE: Beginning empirical MTU test -- results should be available in 3 to 4 minutes.');
    const step = this.#steps.shift();
    this.#next = step === undefined ? undefined : now + STEP;
    if (step !== undefined) step();
    else
      log.notice(
        'NOTE: failed to empirically measure MTU (requires OpenVPN 1.5 or higher at other end of connection).',
      );
  }

  /** The peer has answered. */
  measured({ sent, peerReceived, peerSent, received }: MeasuredSizes): void {
    if (this.#next === undefined || peerReceived === 0 || peerSent === 0) return;
    this.#next = undefined;
    const { log, fragments } = this.#settings;
    log.notice(
      `NOTE: Empirical MTU test completed [Tried,Actual] local->remote=[${sent},${peerReceived}] remote->local=[${peerSent},${received}]`,
    );
    if (!fragments && sent > SMALLEST_MTU && (peerReceived < sent || received < peerSent))
      log.notice(
        `NOTE: This connection is unable to accommodate a UDP packet size of ${sent}. Consider using --fragment or --mssfix options as a workaround.`,
      );
  }

  nextTimeout(): Millis | undefined {
    return this.#next;
  }
}
