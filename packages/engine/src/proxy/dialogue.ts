/**
 * A conversation with a proxy, before anything of the tunnel crosses the connection. It is a generator: whoever holds
 * the socket does each step and gives back what was read. Exactly the bytes asked for are read, so that none of the
 * tunnel's is swallowed; what a proxy may say is bounded.
 *
 *   const dialogue = throughSocks(…)
 *   dialogue.next()              ─▶ { send } | { receive: n } | { log }     … { done: outcome }
 *   dialogue.next(n bytes read)  ─▶ …
 */
import type { Endpoint } from '@seikan/core';

import type { LogLine } from '../output.js';

export type ProxyStep =
  | { readonly step: 'send'; readonly bytes: Uint8Array }
  /** So many bytes, no more and no fewer, go into the next `next`. */
  | { readonly step: 'receive'; readonly size: number }
  | ({ readonly step: 'log' } & Pick<LogLine, 'verb' | 'severity' | 'text'>);

export type ProxyOutcome =
  /** The connection leads to the peer now. `relay`: where UDP packets go instead, while it stays open. */
  | { readonly result: 'through'; readonly relay: Endpoint | undefined }
  /** The proxy wants a login, and names how; a new connection with one may be let through. */
  | { readonly result: 'challenged'; readonly challenge: ProxyChallenge }
  /** `text` as it is logged; undefined where it was logged before. `login`: what is wrong with it. */
  | { readonly result: 'refused'; readonly text: string | undefined; readonly login: boolean };

export interface ProxyChallenge {
  readonly scheme: 'Basic' | 'Digest' | 'NTLM';
  /** What stands behind the scheme. */
  readonly parameters: string;
}

export type ProxyDialogue = Generator<ProxyStep, ProxyOutcome, Uint8Array>;

export interface ProxyLogin {
  readonly username: string;
  readonly password: string;
}

export function send(bytes: Uint8Array): ProxyStep {
  return { step: 'send', bytes };
}

export function receive(size: number): ProxyStep {
  return { step: 'receive', size };
}

export function refusal(text: string | undefined, login = false): ProxyOutcome {
  return { result: 'refused', text, login };
}
