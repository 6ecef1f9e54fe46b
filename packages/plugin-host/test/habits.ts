/** Compiles fixtures/habits.c, once per set of definitions, into a folder of this process. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const skip = existsSync('/usr/include/openvpn/openvpn-plugin.h') ? false : 'openvpn-plugin.h is not installed';
export const folder = mkdtempSync(join(tmpdir(), 'seikan-habits-'));
process.once('exit', () => rmSync(folder, { recursive: true }));

const built = new Map<string, string>();

export function fixture(...defines: string[]): string {
  const key = defines.join(' ');
  let path = built.get(key);
  if (path === undefined) {
    path = join(folder, `habits-${built.size}.so`);
    const source = fileURLToPath(new URL('../test/fixtures/habits.c', import.meta.url));
    const definitions = defines.map((define) => `-D${define}`);
    execFileSync('cc', ['-shared', '-fPIC', '-w', '-o', path, ...definitions, source, '-lpthread']);
    built.set(key, path);
  }
  return path;
}
