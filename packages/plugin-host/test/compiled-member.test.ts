/** The C helper and its member against a fixture with the habits of real plugins. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { CompiledMember, type Log, type MemberCall, type MemberOutcome, PluginError } from '@seikan/plugin-host';
import { certificate } from './certificate.js';
import { fixture, folder, skip } from './habits.js';

const version = { major: 2, minor: 6, patch: '.14' };

function member(path: string, ...args: string[]): { member: CompiledMember; logged: string[] } {
  const logged: string[] = [];
  const log: Log = (level, text) => logged.push(`${level} ${text}`);
  return { member: new CompiledMember({ name: 'habits.so', args, path, version }, log), logged };
}

async function opened(
  path: string,
  ...args: string[]
): Promise<{ member: CompiledMember; logged: string[]; said: () => string[] }> {
  const made = member(path, ...args);
  await made.member.load();
  await made.member.open({ config: 'a.conf' });
  return {
    ...made,
    said: () =>
      made.logged.map((line) => line.replace('note PLUGIN habits: ', '').replace('note PLUGIN habits.so: ', '')),
  };
}

const call = (event: MemberCall['event'], more: Partial<MemberCall> = {}): MemberCall => ({
  event,
  context: 1,
  argv: [],
  env: {},
  deadline: 5_000,
  ...more,
});

const until = async (what: () => boolean, why: string): Promise<void> => {
  for (let tries = 0; !what(); tries += 1) {
    assert.ok(tries < 2_000, `waited too long until ${why}`);
    await new Promise((wake) => setTimeout(wake, 10));
  }
};

test('every mix of open and func is called as OpenVPN calls it', { skip }, async () => {
  for (const open of [1, 2, 3])
    for (const func of [1, 2, 3]) {
      const { member, said } = await opened(fixture(`OPEN_V=${open}`, `FUNC_V=${func}`), 'plain');
      assert.equal(member.initPoint, 2);
      assert.equal(member.events.size, 15);
      member.openContext(0);
      member.openContext(1);
      assert.deepEqual(await member.call(call('route-up')), { result: 'success' });
      member.closeContext(1);
      await member.close();
      const client = func === 1 ? '' : ' client=c2';
      assert.deepEqual(said(), [
        open === 3 ? 'open_v3 struct 5 mask 0xffff/0x0 ssl 1 version 2.6.14 2.6.14' : `open_v${open} offered 0xffff`,
        'open argc=2 last=plain argv8=NULL env=a.conf',
        `func_v${func} 2${func === 3 ? ' struct 5' : ''} handle=1${client}${func === 3 ? ' depth=-1' : ''}`,
        'destroy c2',
        'destroy c1',
        'close handle=1',
      ]);
    }
});

test('the names without prefix and handle are taken where no others are', { skip }, async () => {
  const { member, said } = await opened(fixture('BARE'), 'status-1');
  assert.equal((await member.call(call('up'))).result, 'failure');
  await member.close();
  assert.deepEqual(said(), ['open argc=2 last=status-1 argv8=NULL env=a.conf', 'bare func 0', 'bare close']);
});

test('statuses: 0 is yes, 2 is later, anything else is no', { skip }, async () => {
  for (const [status, result] of [
    ['0', 'success'],
    ['1', 'failure'],
    ['2', 'deferred'],
    ['7', 'failure'],
    ['-1', 'failure'],
  ] as const) {
    const { member } = await opened(fixture(), `status-${status}`);
    assert.equal((await member.call(call('tls-final'))).result, result, status);
    await member.close();
  }
});

async function refused(path: string, pattern: RegExp, ...args: string[]): Promise<void> {
  const { member: made } = member(path, ...args);
  await assert.rejects(
    async () => {
      await made.load();
      await made.open({});
    },
    (error) => error instanceof PluginError && pattern.test(error.message),
    String(pattern),
  );
  await made.abort();
}

test('what cannot be a plugin is refused with what to do', { skip }, async () => {
  await refused(
    '/nonexistent.so',
    /could not load plugin shared object \/nonexistent\.so: .*No such file.*plugin directory/,
  );
  await refused(
    '/lib/x86_64-linux-gnu/libm.so.6',
    /could not find required symbol 'openvpn_plugin_close_v1'.*no OpenVPN plugin/,
  );
  await refused(fixture('MIN=4'), /needs plugin interface version 4, this is version 3/);
  await refused(fixture('MASK=0x10020'), /unsupported plugin types: \[want=0x00010020, have=0x0000ffff\]/);
  await refused(fixture(), /initialization function failed: habits\.so/, 'refuse');
  await refused(fixture('OPEN_V=1'), /initialization function failed/, 'refuse');
  await refused(fixture(), /initialization function failed/, 'null-handle');
  await refused(fixture('INIT=9'), /point 9: there are 1 to 4/);
});

test('a plugin chooses when it is opened, and may hand over configuration', { skip }, async () => {
  for (const point of [1, 2, 3, 4]) {
    const { member: made } = member(fixture(`INIT=${point}`), 'config-list');
    await made.load();
    assert.equal(made.initPoint, point);
    assert.equal(await made.open({}), 'verb 7\nmute 3', 'the first node named config');
    await made.close();
  }
});

test('log lines, prints and callbacks arrive as they were meant', { skip }, async () => {
  const { member, logged, said } = await opened(fixture(), 'log');
  await member.call(call('up'));
  await member.close();
  assert.deepEqual(logged.slice(2, 7), [
    'note PLUGIN habits: func_v3 0 struct 5 handle=1 client=none depth=-1',
    'note PLUGIN habits: two',
    'note PLUGIN habits: lines 100%',
    'error PLUGIN habits: no file: No such file or directory (errno=2)',
    'debug PLUGIN habits%s: a name with a percent sign',
  ]);
  assert.ok(said().includes('printed without a newline'));
  assert.ok(!logged.some((line) => line.includes('nobody')));

  const base64 = await opened(fixture(), 'base64');
  await base64.member.close();
  assert.deepEqual(base64.said().slice(2, 4), ['base64 4 AP94 3 -1 -1', 'wiped 1']);
});

test('arguments outlive open and are padded; a variable stays where it is while it stays the same', {
  skip,
}, async () => {
  const argv = await opened(fixture(), 'argv', 'kept word');
  await argv.member.call(call('up'));
  await argv.member.close();
  assert.ok(argv.said().includes('argv8=NULL open=kept word'));

  const env = await opened(fixture(), 'keep-env');
  for (const variables of [{ keep: 'me' }, { other: '1', keep: 'me' }, { keep: 'me', more: '2' }])
    await env.member.call(call('client-connect-v2', { env: variables }));
  await env.member.close();
  assert.deepEqual(
    env.said().filter((line) => line.startsWith('kept')),
    ['kept=me same=1', 'kept=me same=1', 'kept=me same=1'],
  );
});

test('the certificate reaches a plugin that is not linked with libcrypto', { skip }, async () => {
  const pem = join(folder, 'cert.pem');
  const der = certificate(pem);
  const hash = execFileSync('openssl', ['x509', '-in', pem, '-noout', '-subject_hash'], { encoding: 'utf8' }).trim();
  const { member, said } = await opened(fixture('CERT'), 'plain');
  await member.call(call('tls-verify', { argv: ['1', 'CN=ada'], certificate: { depth: 1, der } }));
  await member.close();
  assert.ok(said().includes('func_v3 4 struct 5 handle=1 client=none depth=1'));
  assert.ok(said().includes(`subject hash ${hash}`));
});

test('a handle of 1 is a handle', { skip }, async () => {
  const { member, said } = await opened(fixture('ONE'), 'plain');
  await member.call(call('up'));
  await member.close();
  assert.match(said()[2] ?? '', /handle=1/);
});

test('a background process logs without our descriptors, and dies with a killed plugin', { skip }, async () => {
  const { member, said } = await opened(fixture(), 'fork-in-open');
  await until(() => said().includes('child has no descriptors'), 'the child logged');
  const family = tree(member.pid ?? 0);
  assert.equal(family.length, 2, 'worker and background process');
  process.kill(family[0] ?? 0, 'SIGKILL');
  await until(() => family.every((pid) => !existsSync(`/proc/${pid}/exe`)), 'both are gone');
  await member.close();
});

test('a crash, an exit and a hang are no verdict, and the plugin is started again', { skip }, async () => {
  for (const [habit, pattern] of [
    ['crash', /its process crashed with signal 11; it is started again in 0 s/],
    ['exit', /its process ended with status 3/],
    ['hang', /no answer within 200 ms: its process is killed/],
  ] as const) {
    const { member, logged } = await opened(fixture(), habit);
    member.openContext(1);
    const outcome: MemberOutcome = await member.call(call('auth-user-pass-verify', { deadline: 200 }));
    assert.equal(outcome.result, 'none', habit);
    await until(() => logged.some((line) => line.endsWith('running again')), 'it runs again');
    assert.ok(
      logged.some((line) => pattern.test(line)),
      logged.join('\n'),
    );
    assert.equal(logged.filter((line) => line.includes('open_v3')).length, 2);
    await member.close();
  }
});

test('nonsense from its process ends the process, not us', { skip }, async () => {
  const { member, logged } = await opened(fixture(), 'nonsense');
  assert.equal((await member.call(call('auth-user-pass-verify'))).result, 'none');
  assert.ok(logged.some((line) => line.endsWith('something else than answers came from its process, which is killed')));
  await until(() => logged.some((line) => line.endsWith('running again')), 'it runs again');
  await member.close();
});

test('an answer of any length arrives, and a line without an end is cut', { skip }, async () => {
  const long = await opened(fixture(), 'long-list');
  const answer = await long.member.call(call('client-connect-v2'));
  assert.ok(answer.result === 'success' && answer.config === 'x'.repeat(300_000));
  await long.member.close();

  const { member, said } = await opened(fixture(), 'endless-line');
  await member.call(call('up'));
  await member.close();
  const digits = said().filter((line) => line.startsWith('01234') || /^\d+$/.test(line));
  assert.equal(digits.join('').length, 1_000_000);
  assert.ok(digits.every((line) => line.length < 100_000));
});

test('without descriptors it is started again when there are some', { skip }, async () => {
  const { member, logged } = await opened(fixture(), 'plain');
  const [worker = 0] = tree(member.pid ?? 0);
  const limit = (soft: number): string[] => [`--pid=${process.pid}`, `--nofile=${soft}:`];
  // Under the limit nothing can be started, not even what lifts it.
  const lift = spawn('sh', ['-c', `sleep 2; prlimit ${limit(1_024).join(' ')}`], { stdio: 'ignore' });
  execFileSync('prlimit', limit(3));
  process.kill(worker, 'SIGKILL');
  await once(lift, 'exit');
  await until(() => logged.some((line) => line.endsWith('running again')), 'it runs again');
  assert.ok(logged.some((line) => line.includes('it could not be started; it is started again in')));
  assert.equal((await member.call(call('up'))).result, 'success');
  await member.close();
});

test('its process takes on the user that the tunnel takes on', { skip: skip || process.getuid?.() !== 0 }, async () => {
  const { member } = await opened(fixture(), 'plain');
  await member.dropPrivileges({ uid: 65_534, gid: 65_534 });
  const [worker] = tree(member.pid ?? 0);
  assert.match(
    readFileSync(`/proc/${worker ?? 0}/status`, 'utf8'),
    /^Uid:\t65534\t65534\t65534\t65534\nGid:\t65534.*\n[^]*^Groups:\t *$/m,
  );
  await member.close();
});

test('calls of one plugin come one after the other, those of two at the same time', { skip }, async () => {
  const [one, two] = [await opened(fixture(), 'sleep'), await opened(fixture(), 'plain')];
  const order: string[] = [];
  await Promise.all([
    one.member.call(call('up')).then(() => order.push('slow')),
    two.member.call(call('up')).then(() => order.push('quick')),
  ]);
  assert.deepEqual(order, ['quick', 'slow']);
  await Promise.all([one.member.close(), two.member.close()]);
});

function tree(pid: number): number[] {
  const children = readdirSync(`/proc/${pid}/task`).flatMap((task) =>
    readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number),
  );
  const all = [...children];
  for (const child of children) all.push(...tree(child));
  return all;
}
