/** Which process wrote something down: a pid alone is used again, and means nothing after a boot. */
import { readFile } from 'node:fs/promises';

export interface ProcessIdentity {
  readonly boot: string;
  readonly pid: number;
  /** Start time in clock ticks since boot. */
  readonly started: string;
}

export async function ownIdentity(): Promise<ProcessIdentity> {
  return { boot: await bootId(), pid: process.pid, started: (await startTime(process.pid)) ?? '' };
}

/** Whether the process that this names still runs. */
export async function isRunning({ boot, pid, started }: ProcessIdentity): Promise<boolean> {
  return boot === (await bootId()) && (await startTime(pid)) === started;
}

async function bootId(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
}

/** Field 22 of /proc/PID/stat, counted after the command's closing parenthesis; undefined when there is no such process. */
async function startTime(pid: number): Promise<string | undefined> {
  try {
    const text = await readFile(`/proc/${pid}/stat`, 'utf8');
    return text.slice(text.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}
