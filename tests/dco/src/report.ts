/** What the guest's programs have in common: a line per check on the console, and commands that are waited for. */
import { spawnSync } from 'node:child_process';

/** How long anything may take here, in milliseconds. */
export const LONG = 120_000;

let failed = 0;

export function say(text: string): void {
  process.stdout.write(`SEIKAN ${text}\n`);
}

export function check(what: string, good: boolean, detail = ''): void {
  if (!good) failed += 1;
  say(`${good ? 'ok' : 'FAILED'} ${what}${detail === '' ? '' : `: ${detail.trim().replaceAll('\n', ' | ')}`}`);
}

export function execute(...[program, ...rest]: readonly string[]): { status: number | null; text: string } {
  const run = spawnSync(program as string, rest, { encoding: 'utf8', timeout: LONG });
  return { status: run.status, text: `${run.stdout}${run.stderr}` };
}

export function must(...command: readonly string[]): string {
  const { status, text } = execute(...command);
  if (status !== 0) throw new Error(`${command.join(' ')}: ${text}`);
  return text;
}

export function failures(): number {
  return failed;
}
