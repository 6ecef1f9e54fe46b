/**
 * Whether both ends of a static-key tunnel are configured alike: each asks the other for its options string over the
 * data channel. With TLS the strings travel in the key exchange instead, and only requests are answered here.
 *
 *   request ─▶            every 10 s, 12 times
 *        ◀─ reply, text, NUL
 *
 * upstream: occ.c `check_send_occ_req_dowork`, `process_received_occ_msg`; options.c `options_warning_safe` (2.6).
 */
import { type Millis, OccType } from '@seikan/core';

import { logDifferences } from '../options-string.js';
import type { TunnelLog } from '../tunnel-log.js';

const INTERVAL: Millis = 10_000;
const TRIES = 12;

export interface OptionsCheckSettings {
  /** What we say of ourselves, and what the peer should say of itself. */
  readonly own: string;
  readonly expected: string;
  readonly log: TunnelLog;
  /** Sends a message after the OCC magic. */
  readonly send: (plaintext: Uint8Array) => void;
}

export class OptionsCheck {
  readonly #settings: OptionsCheckSettings;
  #requestAt: Millis | undefined;
  #tries = 0;

  constructor(settings: OptionsCheckSettings) {
    this.#settings = settings;
  }

  /** Asks until there is an answer; `atOnce`, so that both ends soon hear of each other. */
  start(now: Millis, atOnce: boolean): void {
    this.#requestAt = atOnce ? now : now + INTERVAL;
  }

  /** A message of the peer: its type and what follows. */
  handle(plaintext: Uint8Array): void {
    const { own, expected, log, send } = this.#settings;
    if (plaintext[0] === OccType.request) {
      const text = new TextEncoder().encode(own);
      const reply = new Uint8Array(text.length + 2);
      reply[0] = OccType.reply;
      reply.set(text, 1);
      send(reply);
    } else if (plaintext[0] === OccType.reply && this.#requestAt !== undefined) {
      this.#requestAt = undefined;
      logDifferences(expected, optionsText(plaintext.subarray(1)), log);
    }
  }

  handleTimeout(now: Millis): void {
    if (this.#requestAt === undefined || now < this.#requestAt) return;
    this.#tries += 1;
    if (this.#tries < TRIES) {
      this.#requestAt = now + INTERVAL;
      this.#settings.send(Uint8Array.of(OccType.request));
      return;
    }
    this.#requestAt = undefined;
    this.#settings.log.info(
      4,
      'NOTE: failed to obtain options consistency info from peer -- this could occur if the remote peer is running a version of OpenVPN before 1.5-beta8 or if there is a network connectivity problem, and will not necessarily prevent OpenVPN from running -- you can disable the options consistency check with --disable-occ.',
    );
  }

  nextTimeout(): Millis | undefined {
    return this.#requestAt;
  }
}

function optionsText(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}
