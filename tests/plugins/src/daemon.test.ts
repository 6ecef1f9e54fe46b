/** Plugins in our daemon: with privileges given up, over signals, together with others, and configurations that cannot be. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { buildPlugin } from '@seikan/plugin-host';
import { alive, descendants, Jail, ours, type StockNetwork, stock, until, Watched } from './stock.js';
import { withNetwork } from './with-network.js';

const acme = fileURLToPath(new URL('../src/acme.ts', import.meta.url));
const habits = fileURLToPath(new URL('../../../packages/plugin-host/test/fixtures/habits.c', import.meta.url));
let network: StockNetwork;
let library: string;

const skip = withNetwork(async (made) => {
  network = made;
  library = join(network.folder, 'acme.so');
  await buildPlugin(acme, { output: library });
});

/** The plugin with the habits of real ones; its first argument names the habit. */
function compiled(name: string, ...flags: string[]): string {
  const path = join(network.folder, `${name}.so`);
  execFileSync('cc', ['-shared', '-fPIC', '-w', ...flags, '-o', path, habits, '-lpthread']);
  return path;
}

async function login(username: string, password: string): Promise<boolean> {
  const { client, connected } = await network.client(username, password);
  await client.stop();
  return connected;
}

test('as a daemon in a chroot as nobody, plugins of either kind see all events', {
  skip,
}, async () => {
  const jail = new Jail(network);
  network.startServer([`plugin ${library} compiled`, `plugin ${acme} typescript`, ...jail.lines], ours);
  await until(() => jail.log.includes('Initialization Sequence Completed'), 'the daemon is up');
  const { pid } = jail;
  try {
    const family = descendants(pid);
    assert.deepEqual(
      family.map(({ name }) => name),
      ['seikan-plugin-h', 'seikan-plugin-h', 'seikan-plugin', 'node'],
    );
    // The monitor stays as it was: it must be able to end what the plugin has started as root.
    const isNobody = (one: number | undefined): boolean =>
      /^Uid:\t65534/m.test(readFileSync(`/proc/${one}/status`, 'utf8'));
    assert.ok(isNobody(pid));
    await until(() => isNobody(family[1]?.pid), 'the plugin has become nobody, before its next call');
    assert.equal(await login('ada', 'secret'), true);
    assert.equal(await login('slow', 'secret'), true, 'both defer');
    assert.equal(await login('slow', 'wrong'), false);

    assert.equal(await login('die', 'secret'), false, 'both end');
    await until(() => /node is back/.test(jail.log) && /running again/.test(jail.log), 'both are back');
    assert.equal(await login('ada', 'secret'), true);
  } finally {
    if (alive(pid)) process.kill(pid, 'SIGTERM');
    await until(() => !alive(pid), 'the daemon ended');
    assert.match(jail.log, /process exiting/);
  }
  assert.deepEqual(readdirSync(jail.tmpDir), []);
  for (const kind of ['compiled', 'typescript']) assert.match(jail.log, new RegExp(`PLUGIN acme: open \\[${kind}\\]`));
  assert.equal(jail.log.match(/PLUGIN acme: close after 1 logins/g)?.length, 2, jail.log);
});

test('SIGUSR1 keeps plugins open, SIGHUP opens them anew, a kill leaves nothing behind', { skip }, async () => {
  const server = await network.server([`plugin ${library}`, `plugin ${acme}`], ours);
  const pid = server.process.pid ?? 0;
  const first = descendants(pid);
  server.process.kill('SIGUSR1');
  await until(() => server.lines(/Initialization Sequence Completed/).length === 2, 'it restarted');
  assert.deepEqual(descendants(pid), first);
  assert.equal(await login('slow', 'secret'), true);
  server.process.kill('SIGHUP');
  await until(() => server.lines(/Initialization Sequence Completed/).length === 3, 'it restarted');
  const second = descendants(pid);
  assert.equal(second.length, first.length);
  assert.notDeepEqual(second, first);
  assert.equal(server.lines(/close after 1 logins/).length, 2);
  await server.stop('SIGKILL');
  await until(() => second.every((one) => !alive(one.pid)), 'helpers and what they started are gone');
});

test('a compiled plugin that crashes lets the tunnel come up and nobody in, and is started again', {
  skip,
}, async () => {
  const server = await network.server([`plugin ${compiled('crash', '-DMASK=0x21')} crash`], ours);
  await server.line(/its process crashed with signal 11; it is started again in 0 s/);
  assert.equal(await login('ada', 'secret'), false);
  await server.line(/it is started again in [1-9]\d* s/);
  await server.stop();
  assert.equal(server.status, 0, server.log);
});

test('a running server shows the calls of its plugins to root, without their secrets', { skip }, async () => {
  const server = await network.server([`plugin ${acme}`], ours);
  const seikan = fileURLToPath(new URL('../../../bin/seikan', import.meta.url));
  const trace = new Watched(seikan, ['plugin', 'trace', String(server.process.pid)], network.folder);
  await trace.line(/"event":"up".*"results":\{"success":1,/);
  assert.equal(await login('ada', 'secret'), true);
  const record = JSON.parse(await trace.line(/"event":"auth-user-pass-verify"/)) as Record<string, unknown>;
  const { argv, result, env } = record as { argv: string[]; result: string; env: Record<string, string> };
  assert.deepEqual([argv, result], [[acme], 'success']);
  assert.deepEqual([env['username'], env['password'], env['common_name']], ['ada', '[secret]', 'client']);
  server.process.kill('SIGUSR2');
  await server.line(/PLUGIN .*acme\.ts: auth-user-pass-verify: 1 calls, \d+\.\d\d ms on average, \d+\.\d\d ms at most/);
  await server.stop();
  await until(() => trace.ended, 'the trace ends with the server');
  assert.equal(existsSync(`/run/seikan/plugins/${server.process.pid}.sock`), false);
});

interface Refusal {
  readonly what: string;
  readonly line: string;
  /** In both logs. */
  readonly same: RegExp;
  /** What ours adds: what to do. */
  readonly remedy: RegExp;
}

test('what is no plugin, or not for us, ends the start with status 1 as in a stock one, and says what to do', {
  skip,
}, async () => {
  compiled('plain');
  const empty = join(network.folder, 'empty.c');
  writeFileSync(empty, 'int nothing;\n');
  const none = join(network.folder, 'none.so');
  execFileSync('cc', ['-shared', '-fPIC', '-o', none, empty]);
  const refusals: readonly Refusal[] = [
    {
      what: 'a missing file',
      line: './missing.so',
      same: /PLUGIN_INIT: could not load plugin shared object .*missing\.so.*No such file/,
      remedy: /plugin directory/,
    },
    {
      what: 'a library that is none',
      line: none,
      same: /could not find required symbol/,
      remedy: /it is no OpenVPN plugin/,
    },
    {
      what: 'a mask out of range',
      line: compiled('mask', '-DMASK=0x10020'),
      same: /expressed interest in unsupported plugin types: \[want=0x[0-9a-f]{8}, have=0x0000ffff\]/,
      remedy: /made for another OpenVPN/,
    },
    {
      what: 'a newer interface',
      line: compiled('newer', '-DMIN=4'),
      same: /PLUGIN_INIT: plugin.* needs (?:plugin )?interface version 4/,
      remedy: /older build/,
    },
    {
      what: 'an open that fails',
      line: './plain.so refuse',
      same: /specified by a relative pathname[^]*plugin initialization function failed/,
      remedy: /its arguments/,
    },
  ];
  for (const { what, line, same, remedy } of refusals)
    for (const program of [stock, ours]) {
      const server = network.startServer([`plugin ${line}`], program);
      await until(() => server.ended, `${what} ended it`);
      assert.equal(server.status, 1, `${what}\n${server.log}`);
      assert.match(server.log, same, what);
      assert.match(server.log, /Exiting due to fatal error/);
      assert.equal(server.lines(/Initialization Sequence Completed/).length, 0);
      if (program === ours) assert.match(server.log, remedy, what);
    }
});
