/**
 * Compiles what is C, where a source is newer than its product:
 *   packages/native/build/seikan.node             the addon
 *   packages/plugin-host/build/plugin-shim.so     carries a TypeScript plugin into a stock OpenVPN
 *   packages/plugin-host/build/seikan-plugin-host holds one compiled OpenVPN plugin for us
 * Node-API headers come from npm (node-api-headers), OpenSSL's and libuv's from Debian's libssl-dev and libuv1-dev or,
 * where those are missing, from beside the node binary; the symbols themselves are resolved from the node binary when
 * the addon is loaded, so one build runs on every Node from 20 on. SEIKAN_SANITIZE=address builds with the sanitizer.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '..');
const { include_dir: headers } = createRequire(import.meta.url)('node-api-headers');
const besideNode = join(dirname(process.execPath), '../include/node');
const library = ['-fPIC', '-shared', '-fvisibility=hidden'];

const targets = [
  {
    folder: 'packages/native/c',
    output: 'packages/native/build/seikan.node',
    // A symbol that this node does not export fails the load, not the first call.
    flags: [...library, '-Wl,-z,now', `-I${headers}`, '-idirafter', besideNode],
  },
  {
    folder: 'packages/plugin-host/c',
    sources: ['shim.c', 'supervisor.c'],
    output: 'packages/plugin-host/build/plugin-shim.so',
    flags: library,
  },
  {
    folder: 'packages/plugin-host/c',
    sources: ['host.c', 'monitor.c'],
    output: 'packages/plugin-host/build/seikan-plugin-host',
    flags: ['-ldl'],
  },
];

const compiler = process.env.CC ?? 'cc';
const sanitize = process.env.SEIKAN_SANITIZE === undefined ? [] : [`-fsanitize=${process.env.SEIKAN_SANITIZE}`, '-g'];
const common = ['-std=gnu11', '-D_GNU_SOURCE', '-O2', '-Wall', '-Wextra', '-Werror', ...sanitize];

for (const target of targets) {
  const folder = join(root, target.folder);
  const output = join(root, target.output);
  const entries = readdirSync(folder).filter((name) => /\.[ch]$/.test(name));
  const sources = target.sources ?? entries.filter((name) => name.endsWith('.c'));
  const newest = Math.max(
    ...entries.map((name) => statSync(join(folder, name)).mtimeMs),
    statSync(import.meta.filename).mtimeMs,
  );
  if (existsSync(output) && statSync(output).mtimeMs > newest && !process.argv.includes('--force')) continue;

  if (spawnSync(compiler, ['--version']).status !== 0) {
    console.error(
      `build-native: no C compiler (${compiler}). On Debian: apt-get install gcc libc6-dev libssl-dev libuv1-dev`,
    );
    process.exit(1);
  }
  mkdirSync(dirname(output), { recursive: true });
  try {
    const paths = sources.map((name) => join(folder, name));
    execFileSync(compiler, [...common, '-o', output, ...paths, ...target.flags], { stdio: 'inherit' });
  } catch {
    console.error(
      `build-native: ${target.output} did not compile; OpenSSL and libuv headers come with: apt-get install libssl-dev libuv1-dev`,
    );
    process.exit(1);
  }
  console.log(`build-native: ${sources.length} files → ${target.output}`);
}
