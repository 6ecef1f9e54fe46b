/**
 * Runs the compiled tests of every package and of every folder of tests/, of those named, or of a path:
 * `node tools/run-tests.mjs [name|path ...]`.
 * Ends with the line 'N passed, N failed'; exits with the status of node's test runner.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '..');
const named = process.argv.slice(2);

function testFiles(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true })
    .filter((name) => name.endsWith('.test.js'))
    .map((name) => join(folder, name));
}

const rooms = ['packages', 'tests'].flatMap((home) => readdirSync(join(root, home)).map((name) => ({ home, name })));
const chosen = rooms.filter(({ name }) => named.length === 0 || named.includes(name));
const paths = named.filter((name) => name.includes('/')).map((name) => join(root, name));
const files = [...chosen.map(({ home, name }) => join(root, home, name, 'dist-test')), ...paths].flatMap(testFiles);
if (files.length === 0) {
  console.error('no compiled tests found: run npm run build first');
  process.exit(1);
}
const reporter = `--test-reporter=${join(root, 'tools/test-reporter.mjs')}`;
const options = ['--enable-source-maps', '--test', '--test-timeout=120000', reporter];
const run = spawnSync(process.execPath, [...options, ...files], { stdio: 'inherit', cwd: root });
process.exit(run.status ?? 1);
