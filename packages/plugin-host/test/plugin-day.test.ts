import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  type CascadeSettings,
  createMember,
  type DayPlan,
  formatDay,
  type Log,
  PluginCascade,
  PluginSet,
  readTrace,
  runDay,
  serveTrace,
  usualDay,
} from '@seikan/plugin-host';
import { fixture, folder, skip } from './habits.js';

const quiet: Log = () => {};
const place = { pluginDir: '/nonexistent', folder, version: { major: 2, minor: 6, patch: '.14' } };
const plan: DayPlan = { steps: usualDay('ada', 'secret'), env: { config: 'server.conf' }, tmpDir: folder };

function plugin(name: string, body: string): string {
  writeFileSync(
    join(folder, name),
    `import { definePlugin, failure, success } from '@seikan/plugin-sdk';\nexport default definePlugin({ name: 'day', ${body} });\n`,
  );
  return `./${name}`;
}

test('a TypeScript plugin lives through a day, and the report tells what it answered', async () => {
  const name = plugin(
    'good.ts',
    `open: ({ argv, host }) => { console.assert(argv.length === 3 && host.name === 'seikan'); return { events: ['auth-user-pass-verify', 'client-connect', 'down'], handle: argv[1] as string }; },
     event(event, handle) {
       if (event.type === 'client-connect')
         return new Promise((resolve) => setTimeout(() => resolve(success({ config: 'push "ping 10"' })), 1));
       if (event.type === 'auth-user-pass-verify' && event.password !== handle) return failure('no such password');
       return Promise.resolve(success());
     }`,
  );
  const report = await runDay((log) => createMember({ name, parameters: ['secret word'] }, place, log), plan);
  assert.equal(report.good, true);
  assert.deepEqual(
    report.steps.map(({ step, final }) => `${step.event} ${step.client} ${final.result}`),
    [
      'auth-user-pass-verify 1 success',
      'client-connect-v2 1 success',
      'auth-user-pass-verify 1 success',
      'auth-user-pass-verify 2 failure',
      'down 0 success',
    ],
    'a refused client is seen no more',
  );
  const lines = formatDay(report).map((line) => line.replace(/\(\d+\.\d+ ms\)/, '(t)'));
  assert.ok(lines.includes('client-connect-v2      client 1  deferred, then success  (t)'));
  assert.ok(
    lines.includes('auth-user-pass-verify  client 1  success  (t)'),
    'a promise that is kept at once is an answer',
  );
  assert.ok(lines.includes('          config: push "ping 10"'));
  assert.ok(lines.includes('          reason: no such password'));
  assert.equal(lines.at(-1), 'good');
});

test('what throws, and what answers otherwise than expected, is not good', async () => {
  const name = plugin('throws.ts', `open: () => ({ events: ['up'], handle: 0 }), event() { throw new Error('boom'); }`);
  const thrown = await runDay((log) => createMember({ name, parameters: [] }, place, log), plan);
  assert.equal(thrown.good, false);
  assert.match(formatDay(thrown).join('\n'), /! day: up: Error: boom\n *! day: +at .*throws\.ts/);

  const fine = plugin('fine.ts', `open: () => ({ events: ['up'], handle: 0 }), event: () => success()`);
  const steps = [{ event: 'up', client: 0, expect: 'failure' }] as const;
  const other = await runDay((log) => createMember({ name: fine, parameters: [] }, place, log), { ...plan, steps });
  assert.equal(other.good, false);
  assert.ok(formatDay(other).includes('        ! expected: failure'));
});

async function said(parameters: string[]): Promise<string> {
  const report = await runDay((log) => createMember({ name: fixture(), parameters }, place, log), {
    ...plan,
    steps: [],
  });
  return report.opened.map(({ text }) => text).find((text) => text.includes('argc')) ?? '';
}

test('one argument is split as a configuration line is, several are taken as they are', { skip }, async () => {
  assert.match(await said(['"a b" c']), /argc=3 last=c /);
  assert.match(await said(['"a b" c', 'd']), /argc=3 last=d /);
  assert.match(await said([]), /argc=1 /);
  assert.throws(() => createMember({ name: 'x.so', parameters: ['"open'] }, place, () => {}), /quotes or backslashes/);
});

test('a running cascade is traced through a socket, without its secrets', { skip }, async () => {
  const settings: CascadeSettings = { scripts: { security: 1, commands: {}, tmpDir: folder } };
  const cascade = new PluginCascade(
    new PluginSet([createMember({ name: fixture(), parameters: [] }, place, quiet)], quiet),
    settings,
    quiet,
  );
  await cascade.plugins.load();
  await cascade.plugins.open(2, {});
  const path = join(folder, 'trace.sock');
  const close = await serveTrace(cascade, path);
  const stop = new AbortController();
  const lines: string[] = [];
  const reading = (async () => {
    for await (const line of readTrace(path, stop.signal)) {
      // What was counted before comes first.
      if (!line.includes('"env"')) continue;
      lines.push(line);
      stop.abort();
    }
  })();
  while (lines.length === 0) {
    cascade.run(
      { event: 'auth-user-pass-verify', context: 1, argv: [], env: { username: 'ada', password: 'x' } },
      () => {},
    );
    await new Promise((wake) => setTimeout(wake, 20));
  }
  await reading;
  await close();
  await cascade.plugins.close();
  const record = JSON.parse(lines[0] ?? '') as { event: string; result: string; env: Record<string, string> };
  assert.deepEqual([record.event, record.result], ['auth-user-pass-verify', 'success']);
  assert.deepEqual([record.env['username'], record.env['password']], ['ada', '[secret]']);
  await assert.rejects(readTrace(path).next(), /no server traces its plugins at/);
});
