/** What an event function may answer. */
import type { PendingAuth } from './event-request.js';

/** Yes. `config`: lines of client config (`push "route …"`), for client-connect only. */
export interface Success {
  readonly result: 'success';
  readonly config?: string;
}

/** No. `reason` is shown to the client (AUTH_FAILED), for auth-user-pass-verify only. */
export interface Failure {
  readonly result: 'failure';
  readonly reason?: string;
}

/** Later: the VPN goes on serving others until `answer` settles. For auth-user-pass-verify and client-connect. */
export interface Deferred {
  readonly result: 'deferred';
  readonly answer: Promise<Success | Failure>;
  readonly pending?: PendingAuth;
}

export type EventResult = Success | Failure | Deferred;

export function success(options: { readonly config?: string | readonly string[] } = {}): Success {
  const { config } = options;
  if (config === undefined) return { result: 'success' };
  return { result: 'success', config: typeof config === 'string' ? config : config.join('\n') };
}

/** `retry` makes the failure temporary: the client tries again after `backoff` seconds, on the next server if `advance`. */
export function failure(
  reason?: string,
  retry?: { readonly backoff?: number; readonly advance?: 'no' | 'addr' | 'remote' },
): Failure {
  if (retry !== undefined) {
    const flags = [
      ...(retry.backoff === undefined ? [] : [`backoff ${retry.backoff}`]),
      ...(retry.advance === undefined ? [] : [`advance ${retry.advance}`]),
    ];
    return { result: 'failure', reason: `TEMP${flags.length > 0 ? `[${flags.join(',')}]` : ''}: ${reason ?? ''}` };
  }
  return reason === undefined ? { result: 'failure' } : { result: 'failure', reason };
}

/** Defers at once, and asks the client for more where `pending` says so. */
export function defer(answer: Promise<Success | Failure>, pending?: PendingAuth): Deferred {
  return pending === undefined ? { result: 'deferred', answer } : { result: 'deferred', answer, pending };
}

/** Asks the client to open a web page (single sign-on). Its IV_SSO must hold `webauth` (or `openurl`). */
export function webAuth(url: string, timeout: number): PendingAuth {
  return { timeout, method: 'webauth', extra: `WEB_AUTH::${url}` };
}

/** Asks the client a question; the answer comes as a client-crresponse event. Its IV_SSO must hold `crtext`. */
export function challenge(question: string, timeout: number, echo = false): PendingAuth {
  return { timeout, method: 'crtext', extra: `CR_TEXT:R${echo ? ',E' : ''}:${question}` };
}
