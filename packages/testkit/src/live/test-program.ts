import { Teardown } from './teardown.js';

export interface Counts {
  readonly passed: number;
  readonly failed: number;
}

/**
 * The main part of a program that counts what it checks by itself, and makes namespaces or processes for it: needs
 * root, cleans up on signals and errors, prints 'N passed, N failed' last and sets the exit status. Undefined: nothing
 * was to be checked (`--list`).
 */
export async function runTestProgram(run: () => Promise<Counts | undefined>): Promise<void> {
  Teardown.closeOnSignals();
  try {
    const counts = await run();
    if (counts === undefined) return;
    console.log(`${counts.passed} passed, ${counts.failed} failed`);
    process.exitCode = counts.failed === 0 ? 0 : 1;
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    await Teardown.closeAll();
    process.exitCode = 1;
  }
}

/** Throws where namespaces or root trees cannot be made. */
export function needRoot(): void {
  if (process.getuid?.() !== 0) throw new Error('root trees and network namespaces need root');
}
