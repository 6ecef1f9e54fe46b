/**
 * Where a running process serves the trace of its plugins: /run/seikan/plugins/PID.sock, for root (mode 0700 above it).
 */
import { existsSync, mkdirSync, readdirSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';

import { type PluginCascade, serveTrace } from '@seikan/plugin-host';

const home = '/run/seikan/plugins';

/** Serves it where that folder can be had; otherwise nothing is traced. Returns what ends it. */
export async function servePluginTrace(cascade: PluginCascade): Promise<() => Promise<void>> {
  try {
    mkdirSync(home, { recursive: true, mode: 0o700 });
    // A process that gave up its privileges could not take its socket away.
    for (const { pid, path } of sockets()) if (!existsSync(`/proc/${pid}`)) unlinkSync(path);
    return await serveTrace(cascade, socketOf(process.pid));
  } catch {
    return async () => Promise.resolve();
  }
}

/** Processes whose plugins can be traced. */
export function tracedProcesses(): number[] {
  return sockets()
    .map(({ pid }) => pid)
    .filter((pid) => existsSync(`/proc/${pid}`));
}

export function socketOf(pid: number): string {
  return join(home, `${pid}.sock`);
}

function sockets(): { pid: number; path: string }[] {
  if (!existsSync(home)) return [];
  return readdirSync(home).flatMap((name) => {
    const [, pid] = /^(\d+)\.sock$/.exec(name) ?? [];
    return pid === undefined ? [] : [{ pid: Number(pid), path: join(home, name) }];
  });
}
