/** Owning names on the bus, and asking it about connections. */
import type { Connection } from './connection.js';

export interface NameOptions {
  /** Another may take the name from us. */
  readonly allowReplacement?: boolean;
  /** Take it from an owner that allows that. */
  readonly replaceExisting?: boolean;
  /** Do not wait for the name when it is taken. */
  readonly doNotQueue?: boolean;
}

export type NameResult = 'owner' | 'queued' | 'taken' | 'already-owner';
export type ReleaseResult = 'released' | 'unknown' | 'not-owner';

const RESULTS: readonly (NameResult | undefined)[] = [undefined, 'owner', 'queued', 'taken', 'already-owner'];
const RELEASES: readonly (ReleaseResult | undefined)[] = [undefined, 'released', 'unknown', 'not-owner'];

/** Whoever depends on keeping the name watches it with `signals.watchName`. Export objects first: callers come at once. */
export async function requestName(bus: Connection, name: string, options: NameOptions = {}): Promise<NameResult> {
  const { allowReplacement = false, replaceExisting = false, doNotQueue = false } = options;
  const flags = (allowReplacement ? 1 : 0) | (replaceExisting ? 2 : 0) | (doNotQueue ? 4 : 0);
  const { body } = await bus.callBus('RequestName', 'su', [name, flags], 'u');
  return known(RESULTS[body[0]], body[0]);
}

export async function releaseName(bus: Connection, name: string): Promise<ReleaseResult> {
  const { body } = await bus.callBus('ReleaseName', 's', [name], 'u');
  return known(RELEASES[body[0]], body[0]);
}

export interface Credentials {
  readonly uid: number;
  readonly pid: number;
}

/** The user and process behind a connection, as the bus saw them when it connected. Rejects when it is gone. */
export async function credentialsOf(bus: Connection, name: string): Promise<Credentials> {
  const [uid, pid] = await Promise.all([
    bus.callBus('GetConnectionUnixUser', 's', [name], 'u'),
    bus.callBus('GetConnectionUnixProcessID', 's', [name], 'u'),
  ]);
  return { uid: uid.body[0], pid: pid.body[0] };
}

function known<T>(result: T | undefined, code: number): T {
  if (result === undefined) throw new Error(`the bus answered ${code}`);
  return result;
}
