/**
 * The two sets of files by which a plugin or script answers later than it returns.
 *
 *     AuthFiles     auth_control_file        first byte 1: yes, 0: no, else: not yet
 *                   auth_pending_file        seconds, method, extra: three lines, read once, right after the deferral
 *                   auth_failed_reason_file  text for the client, read when the answer is no
 *     ConnectFiles  client_connect_config_file    lines of client config
 *                   client_connect_deferred_file  2: deferred, 1: yes, 0: no, empty: nothing said
 *
 * Source: OpenVPN 2.6 src/openvpn/ssl_verify.c (key_state_*_auth_*_file), src/openvpn/multi.c (ccs_*).
 * Differs from OpenVPN 2.x: every plugin has files of its own, so several may defer; a written answer acts at once.
 */
import { decodeText, type FinalVerdict, type PendingAuth } from '@seikan/plugin-sdk';
import { createTempFile, readIfThere, removeFile, watchFile } from './temp-file.js';

export class AuthFiles {
  /** What to add to the environment. */
  readonly env: Readonly<Record<string, string>>;
  readonly #control: string;
  readonly #pending: string;
  readonly #reason: string;
  #unwatch: (() => void) | undefined;

  constructor(folder: string) {
    this.#control = createTempFile(folder, 'acf');
    this.#pending = createTempFile(folder, 'apf');
    this.#reason = createTempFile(folder, 'afr');
    this.env = {
      auth_control_file: this.#control,
      auth_pending_file: this.#pending,
      auth_failed_reason_file: this.#reason,
    };
  }

  /** What stands in the pending file: nothing, a question for the client, or `malformed`. */
  pending(): PendingAuth | 'malformed' | undefined {
    const text = decodeText(readIfThere(this.#pending));
    removeFile(this.#pending);
    if (text === '') return undefined;
    const [seconds, method, extra] = text.split(/\r*\n/);
    const timeout = Number.parseInt(seconds ?? '', 10);
    if (method === undefined || extra === undefined || !(timeout > 0)) return 'malformed';
    return { timeout, method, extra };
  }

  /** The failure with the reason that was written, if any. */
  failure(cause: string): FinalVerdict {
    const reason = decodeText(readIfThere(this.#reason)).replace(/[\r\n\0].*$/s, '');
    return { result: 'failure', cause, ...(reason === '' ? {} : { reason }) };
  }

  /** Calls `answer` once, when the control file says yes or no. */
  onAnswer(answer: (verdict: FinalVerdict) => void): void {
    const look = (): void => {
      const first = readIfThere(this.#control)[0];
      if (first !== 0x30 && first !== 0x31) return;
      this.#unwatch?.();
      this.#unwatch = undefined;
      answer(first === 0x31 ? { result: 'success' } : this.failure('auth_control_file says 0'));
    };
    this.#unwatch = watchFile(this.#control, look);
    look();
  }

  remove(): void {
    this.#unwatch?.();
    this.#unwatch = undefined;
    for (const path of [this.#control, this.#pending, this.#reason]) removeFile(path);
  }
}

export type ConnectAnswer = 'nothing' | 'deferred' | 'success' | 'failure';

export class ConnectFiles {
  readonly env: Readonly<Record<string, string>>;
  /** The path that is also the first argument. */
  readonly configFile: string;
  readonly #deferred: string;
  #unwatch: (() => void) | undefined;

  constructor(folder: string) {
    this.configFile = createTempFile(folder, 'cc');
    this.#deferred = createTempFile(folder, 'ccr');
    this.env = { client_connect_config_file: this.configFile, client_connect_deferred_file: this.#deferred };
  }

  config(): string {
    return decodeText(readIfThere(this.configFile));
  }

  /** What the deferred file says now. A byte that means nothing is a failure. */
  answer(): ConnectAnswer {
    const first = readIfThere(this.#deferred)[0];
    if (first === undefined) return 'nothing';
    return first === 0x32 ? 'deferred' : first === 0x31 ? 'success' : 'failure';
  }

  /** Calls `look` when the deferred file may have changed. */
  watch(look: () => void): void {
    this.#unwatch?.();
    this.#unwatch = watchFile(this.#deferred, look);
  }

  remove(): void {
    this.#unwatch?.();
    this.#unwatch = undefined;
    for (const path of [this.configFile, this.#deferred]) removeFile(path);
  }
}
