/**
 * Compiles the addon (packages/native/c/*.c) when a source is newer than what stands in packages/native/build.
 * Node-API headers come from npm (node-api-headers), OpenSSL's and libuv's from Debian's libssl-dev and libuv1-dev or,
 * where those are missing, from beside the node binary; the symbols themselves are resolved from the node binary when
 * the addon is loaded, so one build runs on every Node from 20 on. SEIKAN_SANITIZE=address builds with the sanitizer.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '..');
const sourceFolder = join(root, 'packages/native/c');
const output = join(root, 'packages/native/build/seikan.node');
const { include_dir: headers } = createRequire(import.meta.url)('node-api-headers');

const entries = readdirSync(sourceFolder).map((name) => join(sourceFolder, name));
const sources = entries.filter((name) => name.endsWith('.c'));
const newest = Math.max(...entries.map((name) => statSync(name).mtimeMs), statSync(import.meta.filename).mtimeMs);
if (existsSync(output) && statSync(output).mtimeMs > newest && !process.argv.includes('--force')) process.exit(0);

const compiler = process.env.CC ?? 'cc';
if (spawnSync(compiler, ['--version']).status !== 0) {
  console.error(
    `build-native: no C compiler (${compiler}). On Debian: apt-get install gcc libc6-dev libssl-dev libuv1-dev`,
  );
  process.exit(1);
}
mkdirSync(join(root, 'packages/native/build'), { recursive: true });
const besideNode = join(dirname(process.execPath), '../include/node');
const sanitize = process.env.SEIKAN_SANITIZE === undefined ? [] : [`-fsanitize=${process.env.SEIKAN_SANITIZE}`, '-g'];
const flags = [
  '-std=gnu11',
  '-D_GNU_SOURCE',
  '-O2',
  '-Wall',
  '-Wextra',
  '-Werror',
  '-fPIC',
  '-shared',
  '-fvisibility=hidden',
  // A symbol that this node does not export fails the load, not the first call.
  '-Wl,-z,now',
  ...sanitize,
];
try {
  execFileSync(compiler, [...flags, `-I${headers}`, '-idirafter', besideNode, '-o', output, ...sources], {
    stdio: 'inherit',
  });
} catch {
  console.error(
    'build-native: the addon did not compile; OpenSSL and libuv headers come with: apt-get install libssl-dev libuv1-dev',
  );
  process.exit(1);
}
console.log(`build-native: ${sources.length} files → packages/native/build/seikan.node`);
