import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { test } from 'node:test';

import { ours, run, temporaryFolder } from './program.js';

const seikan = resolve(ours, '../seikan');

test('seikan openvpn is openvpn', () => {
  for (const args of [['--version'], ['--foo'], ['--show-tls']])
    assert.deepEqual(run(seikan, ['openvpn', ...args]), run(ours, args));
});

test('seikan tells its version and its verbs; a wrong command line exits with 2', () => {
  assert.deepEqual(run(seikan, ['version']), run(ours, ['--version']));
  const help = run(seikan, ['--help']);
  assert.equal(help.status, 0);
  assert.match(help.output, /^ {2}openvpn \[arguments\.\.\.\] /m);
  assert.equal(run(seikan, ['nonsense']).status, 2);
  assert.equal(run(seikan, ['plugin', 'build']).status, 2);
});

test('seikan plugin test runs a plugin through a day, and build says what is wrong with a file', () => {
  const folder = temporaryFolder();
  const sdk = new URL('../../plugin-sdk/dist/index.js', import.meta.url).pathname;
  writeFileSync(
    join(folder, 'yes.ts'),
    `import { definePlugin, success } from '${sdk}';
export default definePlugin({
  name: 'yes',
  open: () => ({ events: ['auth-user-pass-verify'], handle: undefined }),
  event: () => success(),
});
`,
  );
  const day = run(seikan, ['plugin', 'test', './yes.ts'], folder);
  assert.equal(day.status, 0, day.output);
  assert.match(day.output, /auth-user-pass-verify/);
  const gone = run(seikan, ['plugin', 'build', './none.ts'], folder);
  assert.equal(gone.status, 1);
  assert.match(gone.output, /^seikan: [\s\S]*none\.ts/);
});
