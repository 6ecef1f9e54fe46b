import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';

import { type Entry, Journal, JournalError } from '#src/journal.js';

import { defaultRoute } from './vectors.js';

const folder = mkdtempSync(join(tmpdir(), 'seikan-journal-'));
after(() => rmSync(folder, { recursive: true }));

const entries: readonly Entry[] = [
  { id: 0, step: { kind: 'mtu', link: 7, value: 1_400, before: 1_500 }, state: 'done' },
  {
    id: 1,
    step: {
      kind: 'remove-route',
      route: { ...defaultRoute, others: [{ type: 8, value: Uint8Array.of(8, 0, 2, 0, 0x14, 5, 0, 0) }] },
    },
    state: 'planned',
  },
];

async function written(name: string): Promise<string> {
  const path = join(folder, name, 'tun0.journal');
  const { journal } = await Journal.open(path);
  await journal.write(entries);
  await journal.close();
  return path;
}

test('what was written is read again, bytes and all, with the states that came later', async () => {
  const path = join(folder, 'deep', 'down', 'tun0.journal');
  const { journal, left } = await Journal.open(path);
  assert.deepEqual(left, []);
  await journal.write(entries);
  await journal.mark(1, 'done');
  await journal.mark(0, 'undone');
  await journal.close();
  assert.equal(statSync(path).mode & 0o777, 0o600);
  const again = await Journal.open(path);
  assert.deepEqual(again.left, [
    { ...entries[0], state: 'undone' },
    { ...entries[1], state: 'done' },
  ]);
  await again.journal.remove();
  assert.equal(existsSync(path), false);
});

test('a last line that a crash cut off is ignored', async () => {
  const path = await written('cut');
  writeFileSync(path, `${readFileSync(path, 'utf8')}{"id":1,"sta`);
  assert.deepEqual((await Journal.open(path)).left, entries);
});

test('a journal of another boot, or of another network namespace, says nothing any more', async () => {
  for (const field of ['boot', 'namespace']) {
    const path = await written(field);
    writeFileSync(path, readFileSync(path, 'utf8').replace(new RegExp(`"${field}":"[^"]*"`), `"${field}":"other"`));
    assert.deepEqual((await Journal.open(path)).left, []);
  }
});

test('a journal of a process that runs is refused; once it is dead, it is read', async () => {
  const path = await written('running');
  const other = spawn('sleep', ['60']);
  const { pid = 0 } = other;
  const started = readFileSync(`/proc/${pid}/stat`, 'utf8').split(' ')[21];
  const text = readFileSync(path, 'utf8').replace(/"pid":\d+,"started":"\d+"/, `"pid":${pid},"started":"${started}"`);
  writeFileSync(path, text);
  await assert.rejects(Journal.open(path), { name: 'JournalError', message: `${path}: in use by process ${pid}` });
  const gone = new Promise((resolve) => other.once('exit', resolve));
  other.kill('SIGKILL');
  await gone;
  assert.deepEqual((await Journal.open(path)).left, entries);
});

test('a running process keeps its journal from those in other network namespaces too', async () => {
  const path = await written('elsewhere');
  const started = readFileSync('/proc/1/stat', 'utf8')
    .replace(/^.*\) /, '')
    .split(' ')[19];
  const text = readFileSync(path, 'utf8')
    .replace(/"pid":\d+,"started":"\d+"/, `"pid":1,"started":"${started}"`)
    .replace(/"namespace":"[^"]*"/, '"namespace":"net:[1]"');
  writeFileSync(path, text);
  await assert.rejects(Journal.open(path), /in use by process 1$/);
});

test('a journal that others could have written is refused', async () => {
  const path = await written('writable');
  chmodSync(path, 0o622);
  await assert.rejects(Journal.open(path), JournalError);
  const link = join(folder, 'link.journal');
  symlinkSync(path, link);
  await assert.rejects(Journal.open(link), { code: 'ELOOP' });
});

test('a file that is no journal is refused, an empty one is none', async () => {
  const path = join(folder, 'other');
  for (const text of [
    'nameserver 192.0.2.1\n',
    '{"version":2}\n',
    `${readFileSync(await written('states'), 'utf8').split('\n')[0]}\n{"id":5,"state":"done"}\n`,
    `${readFileSync(await written('ids'), 'utf8').split('\n')[0]}\n{"state":"done"}\n`,
  ]) {
    writeFileSync(path, text, { mode: 0o600 });
    await assert.rejects(Journal.open(path), JournalError);
  }
  writeFileSync(path, '');
  assert.deepEqual((await Journal.open(path)).left, []);
});
