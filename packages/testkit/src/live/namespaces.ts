/**
 * Network namespaces of a harness, named PREFIX-PID-…: two runs never meet, and what a killed run left is found and
 * removed.
 */
import { execute } from './program.js';

/** Runs the lines as one ip(8) batch, in a namespace when one is given; the first that fails ends it. */
export async function ipBatch(lines: readonly string[], namespace?: string): Promise<void> {
  await execute(['ip', ...(namespace === undefined ? [] : ['-netns', namespace]), '-batch', '-'], {
    input: `${lines.join('\n')}\n`,
    timeout: 60_000,
  });
}

/** Goes on after a namespace that cannot be removed. */
export async function removeNamespaces(names: readonly string[]): Promise<void> {
  await execute(['ip', '-force', '-batch', '-'], { input: names.map((name) => `netns del ${name}\n`).join('') });
}

/** The namespaces that exist now: `mine` of this process, `dead` of runs that were killed. */
export async function harnessNamespaces(prefix: string): Promise<{ mine: string[]; dead: string[] }> {
  const names = (await execute(['ip', 'netns', 'list'])).split('\n').map((line) => line.split(' ')[0] ?? '');
  const found = { mine: [] as string[], dead: [] as string[] };
  for (const name of names) {
    const pid = name.startsWith(`${prefix}-`) ? Number.parseInt(name.slice(prefix.length + 1), 10) : Number.NaN;
    if (Number.isNaN(pid)) continue;
    if (pid === process.pid) found.mine.push(name);
    else if (!alive(pid)) found.dead.push(name);
  }
  return found;
}

export async function removeDeadNamespaces(prefix: string): Promise<number> {
  const { dead } = await harnessNamespaces(prefix);
  if (dead.length > 0) await removeNamespaces(dead);
  return dead.length;
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
