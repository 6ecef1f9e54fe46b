/**
 * Runs the compiled tests of every package and of every folder of tests/, of those named, or of a path:
 * `node tools/run-tests.mjs [--jobs N] [name|path ...]`, N files at once (2).
 * Ends with the line 'N passed, N failed'; exits 0 when none failed.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { parseArgs } from 'node:util';

const root = resolve(import.meta.dirname, '..');
const { values, positionals: named } = parseArgs({
  allowPositionals: true,
  options: { jobs: { type: 'string', default: '2' } },
});

function testFiles(path) {
  if (!existsSync(path)) return [];
  if (path.endsWith('.test.js')) return [path];
  return readdirSync(path, { recursive: true })
    .filter((name) => name.endsWith('.test.js'))
    .map((name) => join(path, name));
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
// Node's default on two cores is one file at a time, and most of a file's time is waiting.
const options = [
  '--enable-source-maps',
  '--test',
  `--test-concurrency=${values.jobs}`,
  '--test-timeout=300000',
  reporter,
];
const report = join(mkdtempSync(join(tmpdir(), 'seikan-tests-')), 'report.json');

/** Runs the files and gives the counts; a run without a report has failed. */
function run(chosenFiles, ...more) {
  spawnSync(process.execPath, [...options, ...more, ...chosenFiles], {
    stdio: 'inherit',
    cwd: root,
    env: { ...process.env, SEIKAN_TEST_REPORT: report },
    // What a failed test left running may keep its process for ever.
    timeout: 1_500_000,
    killSignal: 'SIGKILL',
  });
  const counts = existsSync(report) ? JSON.parse(readFileSync(report, 'utf8')) : undefined;
  rmSync(report, { force: true });
  return counts ?? { passed: 0, failed: 1, skipped: 0, failures: [] };
}

/** A failure names the test's source, or that of the namespace runner, whose tests have the file's name in their own. */
function mayHold(file, { name, source }) {
  const own = file
    .replace(/\/dist-test\//, '/test/')
    .replace(/\/dist\//, '/src/')
    .replace(/\.js$/, '.ts');
  return source === own || source === file || name.startsWith(`${basename(file)} `);
}

const first = run(files);
let { passed, failed, skipped } = first;
// Tests with real processes and clocks can fail on a machine that is busy with something else: what failed runs once
// more, alone. A test that fails twice has failed.
const again = files.filter((file) => first.failures.some((failure) => mayHold(file, failure)));
if (failed > 0 && failed <= 5 && again.length > 0) {
  console.log(`again, alone: ${again.map((file) => relative(root, file)).join(' ')}`);
  const second = run(again, '--test-concurrency=1');
  passed += Math.max(0, failed - second.failed);
  failed = second.failed;
}
rmSync(dirname(report), { recursive: true, force: true });
console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
process.exit(failed === 0 ? 0 : 1);
