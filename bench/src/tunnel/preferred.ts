/**
 * Programs that the scheduler prefers to whatever else the machine does: a busy machine then disturbs a measurement
 * less. Each leads a session, and the kernel's autogroup shares cores between sessions, so a nice value of the process
 * alone would say nothing; where the kernel has no autogroup, it is the nice value that counts.
 */
import { existsSync, writeFileSync } from 'node:fs';
import { setPriority } from 'node:os';
import { Program, type ProgramOptions, Teardown } from '@seikan/testkit';

const NICE = -15;

export function startPreferred(options: ProgramOptions): Program {
  const program = new Program(options);
  if (program.running) {
    const autogroup = `/proc/${program.pid}/autogroup`;
    if (existsSync(autogroup)) writeFileSync(autogroup, `${NICE}`);
    setPriority(program.pid, NICE);
  }
  return program;
}

/** Runs a program to its end; gives what it printed, or throws that when it failed. */
export async function runPreferred(
  options: Omit<ProgramOptions, 'teardown'>,
  { timeout }: { timeout: number },
): Promise<string> {
  const teardown = new Teardown();
  const program = startPreferred({ ...options, teardown });
  const late = setTimeout(() => program.signal('SIGKILL'), timeout);
  const { code, signal } = await program.exited;
  clearTimeout(late);
  await teardown.close();
  const text = program.lines.join('\n');
  if (code !== 0) throw new Error(`${options.name} ended (code ${code}, signal ${signal}): ${text.slice(0, 400)}`);
  return text;
}
