import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { buildPlugin } from '@seikan/plugin-host';
import { type EventInput, eventNames, type Final, type Outcome, type Plugin, PluginSession } from '@seikan/plugin-sdk';
import debug from './debug.js';
import oidc from './oidc.js';
import { openidProvider } from './openid-provider.js';
import policy from './policy.js';
import totp, { base32, code } from './totp.js';

const folder = mkdtempSync(join(tmpdir(), 'seikan-examples-'));
after(() => rmSync(folder, { recursive: true }));

const logged: string[] = [];

async function open(plugin: Plugin, ...args: string[]): Promise<PluginSession> {
  const session = new PluginSession(plugin, (level, text) => logged.push(`${level} ${text}`));
  const host = { name: 'openvpn', version: '2.6.14', ssl: 'openssl' } as const;
  const outcome = await session.open({ argv: ['plugin.so', ...args], env: {}, host }, new Set(eventNames));
  assert.equal(outcome.ok, true, logged.join('\n'));
  return session;
}

function file(name: string, content: unknown): string {
  const path = join(folder, name);
  writeFileSync(path, JSON.stringify(content));
  return path;
}

const input = (event: EventInput['event'], env: Record<string, string>): EventInput => ({
  event,
  context: 1,
  argv: ['plugin.so'],
  env,
});

test('debug writes every event with arguments and environment, but no password', async () => {
  const path = join(folder, 'debug.jsonl');
  const session = await open(debug, path);
  session.event(input('auth-user-pass-verify', { username: 'ada', password: 'secret' }));
  session.event({ ...input('up', { dev: 'tun0' }), context: 0, argv: ['plugin.so', 'tun0', '1500'] });
  const [login, up] = readFileSync(path, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown);
  assert.deepEqual(login, {
    event: 'auth-user-pass-verify',
    client: 1,
    argv: ['plugin.so'],
    env: { username: 'ada', password: '[secret]' },
  });
  assert.deepEqual(up, { event: 'up', client: 0, argv: ['plugin.so', 'tun0', '1500'], env: { dev: 'tun0' } });
});

test('the codes are those of RFC 6238, appendix B', () => {
  const secret = Buffer.from('12345678901234567890');
  for (const [seconds, expected] of [
    [59, '94287082'],
    [1_111_111_109, '07081804'],
    [1_234_567_890, '89005924'],
    [20_000_000_000, '65353130'],
  ] as const)
    assert.equal(code(secret, Math.floor(seconds / 30), 8), expected);
  assert.deepEqual(base32('GEZDGNBVGY3TQOJQ GEZDGNBVGY3TQOJQ'), Uint8Array.from(secret));
  assert.throws(() => base32('not!'), TypeError);
});

test('totp lets in with the code of now, once', async () => {
  const secret = 'GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ';
  const session = await open(totp, file('totp.json', { ada: secret }));
  const login = (username: string, response: string | undefined): Outcome => {
    const answered = `SCRV1:${Buffer.from('pw').toString('base64')}:${Buffer.from(response ?? '').toString('base64')}`;
    return session.event(
      input('auth-user-pass-verify', { username, password: response === undefined ? 'pw' : answered }),
    );
  };
  const now = code(base32(secret), Math.floor(Date.now() / 30_000));
  assert.match(JSON.stringify(login('ada', undefined)), /static-challenge/);
  assert.deepEqual(login('bob', now), { result: 'failure', reason: 'Wrong code' });
  assert.deepEqual(login('ada', 'x'), { result: 'failure', reason: 'Wrong code' });
  assert.deepEqual(login('ada', now), { result: 'success' });
  assert.deepEqual(login('ada', now), { result: 'failure', reason: 'Wrong code' }, 'a code is good once');
});

test('policy gives a user their address and the routes of their groups, and follows the file', async () => {
  const users = { ada: { groups: ['staff'], address: '10.8.0.50', routes: ['10.30.1.0/24'] }, bob: { disabled: true } };
  const path = file('policy.json', { groups: { staff: { routes: ['10.20.0.0/16'] } }, users });
  const session = await open(policy, path);
  const connect = (username: string): Outcome => session.event(input('client-connect-v2', { username }));
  assert.deepEqual(connect('ada'), {
    result: 'success',
    config:
      'ifconfig-push 10.8.0.50 255.255.255.0\npush "route 10.30.1.0 255.255.255.0"\npush "route 10.20.0.0 255.255.0.0"',
  });
  for (const name of ['bob', 'eve', 'constructor']) assert.deepEqual(connect(name), { result: 'failure' }, name);
  file('policy.json', { users: { eve: {} } });
  utimesSync(path, 0, statSync(path).mtimeMs / 1_000 + 5);
  assert.deepEqual([connect('eve').result, connect('ada').result], ['success', 'failure']);
  file('policy.json', { users: { eve: { groups: ['gone'] } } });
  utimesSync(path, 0, statSync(path).mtimeMs / 1_000 + 9);
  assert.deepEqual(connect('eve'), { result: 'failure' }, 'a policy that makes no sense lets nobody in');
});

test('oidc sends the client to its browser and lets in who signed in', async () => {
  let whom = 'ada';
  const { issuer, close } = await openidProvider(() => whom);
  const listen = 20_000 + (process.pid % 20_000);
  const settings = {
    issuer,
    clientId: 'vpn',
    clientSecret: 's',
    callback: `http://127.0.0.1:${listen}/callback`,
    listen,
    insecure: true,
  };
  const session = await open(oidc, file('oidc.json', settings));
  const login = async (): Promise<{ page: string; result: Final }> => {
    const outcome = session.event(
      input('auth-user-pass-verify', { username: 'ada', password: '', IV_SSO: 'openurl,webauth' }),
    );
    assert.ok(outcome.result === 'later' && outcome.pending !== undefined);
    assert.deepEqual([outcome.pending.method, outcome.pending.timeout], ['webauth', 120]);
    assert.match(outcome.pending.extra, /^WEB_AUTH::http:\/\/127\.0\.0\.1:\d+\/start\?state=/);
    const page = await fetch(outcome.pending.extra.replace('WEB_AUTH::', ''));
    return { page: await page.text(), result: await outcome.answer };
  };
  try {
    assert.deepEqual(await login(), {
      page: 'You are signed in. Return to your VPN.\n',
      result: { result: 'success' },
    });
    whom = 'eve';
    assert.deepEqual((await login()).result, { result: 'failure', reason: 'You signed in as somebody else' });
    const replay = await fetch(`http://127.0.0.1:${listen}/callback?code=the-code&state=made-up`);
    assert.equal(replay.status, 404);
    const blind = session.event(input('auth-user-pass-verify', { username: 'ada', password: '' }));
    assert.deepEqual(blind, { result: 'failure', reason: 'Your client cannot open a browser' });
  } finally {
    await session.close();
    await close();
  }
});

test('each builds into a shared library', async () => {
  for (const name of ['debug', 'totp', 'oidc', 'policy']) {
    const source = fileURLToPath(new URL(`../src/${name}.ts`, import.meta.url));
    const built = await buildPlugin(source, { output: join(folder, `${name}.so`) });
    assert.equal(built.name, name);
    assert.ok(built.bytes < 2_000_000);
  }
});
