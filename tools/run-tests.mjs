/**
 * Runs the compiled tests of every package, of those named, or of a folder: `node tools/run-tests.mjs [package|folder ...]`.
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

const packages = readdirSync(join(root, 'packages')).filter((name) => named.length === 0 || named.includes(name));
const folders = named.filter((name) => name.includes('/')).map((name) => join(root, name));
const files = [...packages.map((name) => join(root, 'packages', name, 'dist-test')), ...folders].flatMap(testFiles);
if (files.length === 0) {
  console.error('no compiled tests found: run npm run build first');
  process.exit(1);
}
const reporter = `--test-reporter=${join(root, 'tools/test-reporter.mjs')}`;
const options = ['--enable-source-maps', '--test', '--test-timeout=120000', reporter];
const run = spawnSync(process.execPath, [...options, ...files], { stdio: 'inherit', cwd: root });
process.exit(run.status ?? 1);
