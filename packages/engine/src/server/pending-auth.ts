/**
 * What a client is told while its login waits for its user: AUTH_PENDING, how long, and what to show.
 * upstream: push.c `send_auth_pending_messages` (2.6).
 */
import type { Millis } from '@seikan/core';
import type { PendingAuth } from '@seikan/plugin-sdk';

import { Capability, can, type PeerInfo } from '../negotiation.js';
import type { Options } from '../options/options.js';

/** Whether the client's IV_SSO names the method. */
export function knowsMethod(peerInfo: PeerInfo, { method }: PendingAuth): boolean {
  return peerInfo.get('IV_SSO')?.split(',').includes(method) ?? false;
}

/** `undefined`: the key is `age` old, which leaves no time to ask in. `seconds`: how long the answer may take. */
export function askForMore(
  { timeout, extra }: PendingAuth,
  client: { readonly age: Millis; readonly capabilities: number },
  { renegSec, handWindow }: Options['tls'],
): { readonly seconds: number; readonly messages: string[] } | undefined {
  const left = Math.max(renegSec / 2, handWindow) - client.age / 1000;
  const seconds = Math.floor(Math.min(left, timeout));
  if (seconds <= 0) return undefined;
  const limit = can(client.capabilities, Capability.authPendingKeyword) ? `,timeout ${seconds}` : '';
  return { seconds, messages: [`AUTH_PENDING${limit}`, `INFO_PRE,${extra}`] };
}
