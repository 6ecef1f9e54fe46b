/** Every call of a plugin as one line of JSON: what `seikan plugin trace` writes. */
import type { EventContext, PluginEventName } from '@seikan/plugin-sdk';
import type { CallResult } from './call-stats.js';

export interface TraceRecord {
  /** Milliseconds since 1970. */
  readonly time: number;
  readonly plugin: string;
  readonly event: PluginEventName;
  readonly context: EventContext;
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly result: CallResult;
  readonly ms: number;
}

const secret = /^(?:password|crresponse|exported_keying_material|session_id$)/;

/** One line. Passwords, challenge answers and keys are written as `[secret]`. */
export function formatTrace(record: TraceRecord): string {
  const env = Object.fromEntries(
    Object.entries(record.env).map(([name, value]) => [name, secret.test(name) ? '[secret]' : value]),
  );
  return JSON.stringify({ ...record, ms: Math.round(record.ms * 1_000) / 1_000, env });
}
