/** Log lines on their way out: every machine of the engine has one of these with its own prefix. */
import { type Endpoint, formatEndpoint } from '@seikan/core';

import type { EngineOutput, LogLine } from './output.js';

export interface TunnelLogOptions {
  readonly prefix?: () => string | undefined;
  readonly verb?: number | undefined;
}

export class TunnelLog {
  readonly #emit: (output: EngineOutput) => void;
  readonly #prefix: () => string | undefined;
  readonly #verb: number;

  /**
   * `prefix` is asked for each line: a client's changes from its address to its name. Lines above `verb` are not made:
   * nobody would see them.
   */
  constructor(
    emit: (output: EngineOutput) => void,
    { prefix = () => undefined, verb = Number.POSITIVE_INFINITY }: TunnelLogOptions = {},
  ) {
    this.#emit = emit;
    this.#prefix = prefix;
    this.#verb = verb;
  }

  /** Whether lines of this level are seen: asked where it costs something to make one. */
  shows(verb: number): boolean {
    return verb <= this.#verb;
  }

  write(severity: LogLine['severity'], verb: number, text: string): void {
    if (this.shows(verb)) this.#emit({ output: 'log', severity, verb, prefix: this.#prefix(), text });
  }

  /** Shown from verb 1 on: upstream's D_TLS_ERRORS, D_LINK_ERRORS and the like. */
  error(text: string): void {
    this.write('error', 1, text);
  }

  warning(text: string): void {
    this.write('warning', 1, text);
  }

  notice(text: string): void {
    this.write('notice', 1, text);
  }

  info(verb: number, text: string): void {
    this.write('notice', verb, text);
  }
}

/** An address as upstream's log lines show it: `[AF_INET]198.51.100.7:1194`, `[AF_INET6]2001:db8::1:1194`. */
export function afInet({ family, address, port }: Endpoint): string {
  return `[AF_INET${family === 6 ? '6' : ''}]${address}:${port}`;
}

/** A client's place as upstream writes it: an IPv6 address without its port. upstream: mroute.c `mroute_addr_print_ex` (2.6). */
export function realAddress(endpoint: Endpoint): string {
  return endpoint.family === 4 ? formatEndpoint(endpoint) : endpoint.address;
}

/** A control message as it may be logged: what a token says is left out, and what is said to the user alone (`echo`). */
export function redact(message: string): string {
  return message.replace(/(auth-token )[^,]*/g, '$1[[ redacted ]]').replace(/(,echo) [^,]*/g, '$1');
}
