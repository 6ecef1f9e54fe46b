/**
 * The process's signals, taken from the start on: what would end a node process before there is a tunnel to ask is
 * ignored, as upstream ignores it; SIGTERM and SIGINT end the process at once then.
 * upstream: sig.c `pre_init_signal_catch` (2.6).
 */
import type { TunnelSignal } from '@seikan/engine';

const SIGNALS = ['SIGHUP', 'SIGUSR1', 'SIGUSR2', 'SIGTERM', 'SIGINT', 'SIGPIPE'] as const;

export interface SignalTarget {
  handleSignal(signal: TunnelSignal): void;
}

export class ProcessSignals {
  #target: SignalTarget | undefined;
  readonly #handler = (signal: NodeJS.Signals): void => this.#handle(signal);

  constructor() {
    for (const signal of SIGNALS) process.on(signal, this.#handler);
  }

  /** From now on signals go to `target`, until the function given back is called. */
  sendTo(target: SignalTarget): () => void {
    this.#target = target;
    return () => {
      this.#target = undefined;
    };
  }

  close(): void {
    for (const signal of SIGNALS) process.off(signal, this.#handler);
  }

  #handle(signal: NodeJS.Signals): void {
    switch (signal) {
      case 'SIGTERM':
      case 'SIGINT':
        if (this.#target === undefined) process.exit(0);
        this.#target.handleSignal(signal);
        return;
      case 'SIGHUP':
      case 'SIGUSR1':
      case 'SIGUSR2':
        this.#target?.handleSignal(signal);
        return;
      default:
        return;
    }
  }
}
