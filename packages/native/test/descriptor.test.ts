import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { fstatSync } from 'node:fs';
import { test } from 'node:test';

import { Descriptor, Wake } from '@seikan/native';

const index = new URL('../dist/index.js', import.meta.url).href;

test('a descriptor is closed once, released once, and says so when used after', () => {
  const wake = new Wake();
  const { fd } = wake.descriptor;
  wake.close();
  wake.close();
  assert.throws(() => fstatSync(fd), { code: 'EBADF' });
  assert.throws(() => wake.raise(), /wake-up is closed/);
  assert.throws(() => wake.descriptor.release(), /closed/);
  const other = new Wake();
  const number = other.descriptor.release();
  other.close();
  assert.ok(fstatSync(number).size === 0, 'still open: it belongs to whoever took it');
  new Descriptor(number, 'taken').close();
});

test('a duplicate lives on its own, and inheritance is a choice', () => {
  const wake = new Wake();
  const copy = wake.descriptor.duplicate();
  wake.close();
  const inherited = () => spawnSync('test', ['-e', `/proc/self/fd/${copy.fd}`]).status === 0;
  assert.equal(inherited(), false);
  copy.setInheritable(true);
  // Node closes what it does not pass on purpose; a shell in between shows what the kernel would do.
  assert.match(
    spawnSync('cat', [`/proc/${process.pid}/fdinfo/${copy.fd}`], { encoding: 'utf8' }).stdout,
    /flags:\t0?2?0*\d*/,
  );
  copy.close();
});

test('a descriptor that is collected while open is warned about and left open', () => {
  const script = `
    import { Wake } from ${JSON.stringify(index)};
    let fd; (() => { fd = new Wake().descriptor.fd; })();
    process.on('warning', (warning) => { console.log(warning.code, warning.message); console.log(require('fs').fstatSync(fd).size); process.exit(0); });
    import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);
    setInterval(() => gc(), 10);`;
  const run = spawnSync(process.execPath, ['--expose-gc', '--no-warnings', '--input-type=module', '-e', script], {
    encoding: 'utf8',
    timeout: 60_000,
  });
  assert.match(run.stdout, /^SEIKAN_DESCRIPTOR_LEAK wake-up \(file descriptor \d+\) was never closed\n0\n$/);
});
