/**
 * One TypeScript plugin in an unmodified OpenVPN and in ours: every way in which it can answer, fail, die and be carried
 * along, with the same outcomes for the client.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { buildPlugin } from '@seikan/plugin-host';
import { alive, cpuTime, descendants, Jail, ours, type StockNetwork, stock, until, type Watched } from './stock.js';
import { withNetwork } from './with-network.js';

let network: StockNetwork;
const acme = fileURLToPath(new URL('../src/acme.ts', import.meta.url));
let library: string;

interface Host {
  readonly program: string;
  readonly name: string;
  /** What its `plugin` line names. */
  readonly plugin: () => string;
  /** How its log says that a plugin died, hung, and is there again. */
  readonly hung: RegExp;
  readonly back: RegExp;
}

const hosts: readonly Host[] = [
  {
    program: stock,
    name: 'openvpn',
    plugin: () => library,
    hung: /node does not answer and was killed/,
    back: /node is back/,
  },
  {
    program: ours,
    name: 'seikan',
    plugin: () => acme,
    hung: /has not answered for 3000 ms: its thread is ended/,
    back: /running again/,
  },
];

const skip = withNetwork(async (made) => {
  network = made;
  library = join(network.folder, 'acme.so');
  await buildPlugin(acme, { output: library });
});

async function login(username: string, password: string): Promise<{ connected: boolean; said: string[]; log: string }> {
  const { client, connected } = await network.client(username, password);
  await client.stop();
  const said = client.lines(/AUTH_FAILED/).map((line) => line.replace(/.*AUTH_FAILED,?/, ''));
  return { connected, said, log: client.log };
}

/** What the plugin logged, without time, client and names. */
const said = (server: Watched): string[] =>
  server.lines(/PLUGIN acme: /).map((line) => line.replace(/.*PLUGIN acme: /, ''));

for (const { program, name, plugin, hung, back } of hosts) {
  test(`in ${name} it checks passwords, defers, configures clients, and closes after all events`, {
    skip,
  }, async () => {
    const server = await network.server([`plugin ${plugin()} one "two words"`, 'hand-window 12'], program);
    const right = await login('ada', 'secret');
    assert.equal(right.connected, true);
    assert.match(right.log, /setenv-safe COLOUR red.*ifconfig 10\.8\.0\.77 255\.255\.255\.0/);

    assert.deepEqual((await login('ada', 'wrong')).said[0], 'wrong password, ada');

    const slow = await login('slow', 'secret');
    assert.equal(slow.connected, true);
    assert.match(slow.log, /setenv-safe COLOUR green/);
    assert.deepEqual((await login('slow', 'wrong')).said[0], 'slowly refused');

    assert.deepEqual((await login('throw', 'secret')).said[0], '');
    assert.deepEqual(
      (await login('never', 'secret')).said[0],
      '',
      'whoever is deferred for ever is refused in the end',
    );
    await server.stop();

    const lines = said(server);
    assert.equal(lines[0], `open [one][two words] on ${name} 2.6.14 openssl as uid 0`);
    assert.match(lines[1] ?? '', /^up 0 /, "the tunnel's own events have client 0");
    assert.match(lines[2] ?? '', /^tls-verify 1 1 CN=test ca \d{3}$/);
    assert.match(lines[3] ?? '', /^tls-verify 1 0 CN=client \d{3}$/);
    assert.equal(lines[4], 'auth-user-pass-verify 1 616461 10.99.0.2');
    const thrown = lines.findIndex((line) => line.startsWith('auth-user-pass-verify: Error: a bug'));
    assert.match(lines[thrown + 1] ?? '', /at .*src\/acme\.ts:\d+:\d+/, 'the stack names the TypeScript line');
    assert.ok(lines.some((line) => line.startsWith('Caused by: Error: its cause')));
    assert.ok(lines.some((line) => /^closed 1 after \d+ events$/.test(line)));
    assert.equal(lines.at(-1), 'close after 6 logins', 'the last line is not lost');
    assert.deepEqual(readdirSync(network.tmpDir), []);
  });

  test(`in ${name} bytes that are no UTF-8 reach it as they are`, { skip }, async () => {
    const server = await network.server([`plugin ${plugin()}`], program);
    const credentials = join(network.folder, 'raw');
    writeFileSync(credentials, Buffer.concat([Buffer.from([0x61, 0xff, 0xc3]), Buffer.from('\nsecret\n')]), {
      mode: 0o600,
    });
    const client = network.startClient('x', 'y', [`auth-user-pass ${credentials}`]);
    await client.line(/Initialization Sequence Completed/);
    await client.stop();
    await server.stop();
    assert.ok(said(server).includes('auth-user-pass-verify 1 61ffc3 10.99.0.2'), said(server).join('\n'));
  });

  test(`in ${name} a plugin that dies or loops for ever refuses the login, and the next login works`, {
    skip,
  }, async () => {
    const server = await network.server([`plugin ${plugin()}`], program);
    assert.equal((await login('die', 'secret')).connected, false);
    await server.line(back);
    assert.equal((await login('ada', 'secret')).connected, true);

    assert.equal((await login('loop', 'secret')).connected, false);
    await server.line(hung);
    await until(() => server.lines(back).length === 2, 'it is back again');
    assert.equal((await login('ada', 'secret')).connected, true);
    await server.stop();
    assert.equal(server.status, 0);
  });
}

test('as a daemon in a chroot as nobody it works, also after SIGUSR1, within ten tasks', { skip }, async () => {
  const jail = new Jail(network);
  network.startServer([`plugin ${library} in jail`, ...jail.lines]);
  await until(() => jail.log.includes('Initialization Sequence Completed'), 'the daemon is up');
  const { pid } = jail;
  try {
    const family = descendants(pid);
    assert.deepEqual(
      family.map(({ name }) => name),
      ['seikan-plugin', 'node'],
    );
    const tasks = [pid, ...family.map((member) => member.pid)].flatMap((one) => readdirSync(`/proc/${one}/task`));
    assert.ok(tasks.length <= 8, `${tasks.length} tasks; Debian's units allow 10`);
    assert.match(readFileSync(`/proc/${pid}/status`, 'utf8'), /^Uid:\t65534/m);

    assert.equal((await login('slow', 'secret')).connected, true);
    assert.deepEqual((await login('slow', 'wrong')).said[0], 'slowly refused');
    assert.deepEqual((await login('ada', 'wrong')).said[0], 'wrong password, ada');

    const before = family.map((one) => cpuTime(one.pid));
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    for (const [index, one] of family.entries())
      assert.ok(cpuTime(one.pid) - (before[index] ?? 0) < 100, `${one.name} looks for calls, with none to come`);

    process.kill(pid, 'SIGUSR1');
    await until(() => jail.log.split('Initialization Sequence Completed').length === 3, 'it restarted');
    assert.deepEqual(
      descendants(pid).map((member) => member.pid),
      family.map((member) => member.pid),
      'the plugin stayed open',
    );
    assert.equal((await login('slow', 'secret')).connected, true);
  } finally {
    process.kill(pid, 'SIGTERM');
    await until(() => jail.log.includes('process exiting'), 'the daemon ended');
  }
  assert.deepEqual(readdirSync(jail.tmpDir), []);
  assert.match(jail.log, /PLUGIN acme: open \[in\]\[jail\]/);
  assert.match(jail.log, /PLUGIN acme: close after 4 logins/);
});

test('SIGHUP closes it and opens it anew; a kill of OpenVPN leaves nothing behind', { skip }, async () => {
  const server = await network.server([`plugin ${library}`]);
  const pid = server.process.pid ?? 0;
  const first = descendants(pid);
  server.process.kill('SIGHUP');
  await until(() => server.lines(/Initialization Sequence Completed/).length === 2, 'it restarted');
  const second = descendants(pid);
  assert.equal(second.length, 2);
  assert.notDeepEqual(second, first);
  assert.ok(said(server).includes('close after 0 logins'));
  await server.stop('SIGKILL');
  await until(() => second.every((one) => !alive(one.pid)), 'supervisor and node are gone');
});

test('an OpenVPN that ends while the plugin opens, and plugins that cannot', { skip }, async () => {
  const refused = await ended(`plugin ${library} refuse`);
  assert.equal(refused.status, 1);
  assert.match(refused.log, /PLUGIN acme: open: Error: told to refuse[^]*Caused by: Error: by an argument/);

  const noNode = await ended(`plugin ${library} node=/nonexistent/node`);
  assert.equal(noNode.status, 1);
  assert.match(noNode.log, /cannot run node .*install Node\.js 20 or later, or name it with node=/);

  const bare = await ended(
    `plugin ${fileURLToPath(new URL('../../../packages/plugin-host/build/plugin-shim.so', import.meta.url))}`,
  );
  assert.equal(bare.status, 1);
  assert.match(bare.log, /carries no plugin: make one with `seikan plugin build/);
});

test('strip leaves the plugin inside, and user= runs node as somebody else', { skip }, async () => {
  const stripped = join(network.folder, 'stripped.so');
  assert.equal(spawnSync('strip', ['-o', stripped, library]).status, 0);
  const server = await network.server([`plugin ${stripped} user=nobody argument`]);
  await server.stop();
  assert.equal(said(server)[0], 'open [argument] on openvpn 2.6.14 openssl as uid 65534');
});

async function ended(line: string): Promise<Watched> {
  const server = network.startServer([line]);
  await until(() => server.ended, 'it ended');
  return server;
}
