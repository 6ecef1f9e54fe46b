/** Who a client is taken for, and which file is its own. Expectations are what OpenVPN 2.6.14 was seen to do. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { EventRequest } from '@seikan/plugin-sdk';

import { type Host, PLAIN_CLIENT, PLAIN_SERVER, World } from '../world.js';

const SCRIPT = 'script-security 3\nauth-user-pass-verify /bin/true via-env\n';
const LOGIN = `${PLAIN_CLIENT}auth-user-pass\n`;

interface Story {
  readonly world: World;
  readonly server: Host;
  /** What the server asked its scripts. */
  readonly asked: EventRequest[];
  /** What the clients were pushed, one line a push. */
  readonly pushed: () => string[];
}

function story(config: string, ...events: string[]): Story {
  const world = new World(61);
  for (const event of events) world.asked.add(event);
  const asked: EventRequest[] = [];
  world.events = (_host, request) => {
    asked.push(request);
    return { result: 'success' };
  };
  const server = world.add('server', PLAIN_SERVER + config, '198.51.100.1');
  const pushed = (): string[] => server.log.filter((line) => line.includes("'PUSH_REPLY,"));
  return { world, server, asked, pushed };
}

test('a name stays as it is in the certificate, but for what ends lines and moves cursors', () => {
  for (const [written, name] of [
    ['ada+vpn@example.com (work)', 'ada+vpn@example.com (work)'],
    ['-Müller', '-Müller'],
    ['a\u001b[2Jb\nc\u007f\u009b', 'a_[2Jb_c__'],
  ] as const) {
    const { world, asked } = story('', 'client-connect');
    world.certificate = { subjectFields: [{ name: 'CN', value: written }] };
    world.add('client', PLAIN_CLIENT, '198.51.100.2');
    world.run(5_000);
    assert.equal(asked[0]?.env['common_name'], name);
  }
});

test('a name of more than 64 bytes, or none, is refused by both ends', () => {
  for (const subjectFields of [[], [{ name: 'CN', value: 'ü'.repeat(33) }]]) {
    const { world, server } = story('');
    world.certificate = { subjectFields, subject: 'O=Org' };
    const client = world.add('client', PLAIN_CLIENT, '198.51.100.2');
    world.run(5_000);
    const line =
      "VERIFY ERROR: could not extract CN from X509 subject string ('O=Org') -- note that the field length is limited to 64 characters";
    assert.ok(server.log.includes(line), server.log.join('\n'));
    assert.ok(!client.log.includes('Initialization Sequence Completed'));

    const other = new World(62);
    other.certificate = { subjectFields, subject: 'O=Org' };
    other.add('server', PLAIN_SERVER, '198.51.100.1');
    other.certificate = {};
    const refusing = other.add('client', PLAIN_CLIENT, '198.51.100.2');
    other.run(5_000);
    assert.ok(refusing.log.includes(line), refusing.log.join('\n'));
  }
});

test("a client's own file is looked for below client-config-dir alone, with _ for /", () => {
  for (const [name, own] of [
    ['a/b', '10.21.0.0'],
    ['../a', '10.22.0.0'],
    ['..', '10.20.0.0'],
  ] as const) {
    const { world, pushed } = story('client-config-dir ccd\n');
    world.files.set('ccd/a_b', { text: 'push "route 10.21.0.0"' });
    world.files.set('ccd/.._a', { text: 'push "route 10.22.0.0"' });
    world.files.set('ccd/DEFAULT', { text: 'push "route 10.20.0.0"' });
    world.certificate = { subjectFields: [{ name: 'CN', value: name }] };
    world.add('client', PLAIN_CLIENT, '198.51.100.2');
    world.run(5_000);
    assert.match(pushed()[0] ?? '', new RegExp(`route ${own}`), name);
  }
});

test('it may include others, which may include others; one that cannot be read is a warning', () => {
  const { world, server, pushed } = story('client-config-dir ccd\n');
  world.files.set('ccd/ada', { text: 'push "route 10.1.0.0"\nconfig more\nconfig missing\npush "route 10.4.0.0"' });
  world.files.set('more', { text: 'push "route 10.2.0.0"\nconfig deeper' });
  world.files.set('deeper', { text: 'push "route 10.3.0.0"' });
  world.add('ada', PLAIN_CLIENT, '198.51.100.2');
  world.run(5_000);
  assert.match(pushed()[0] ?? '', /route 10\.1\.0\.0,route 10\.2\.0\.0,route 10\.3\.0\.0,route 10\.4\.0\.0/);
  assert.ok(server.log.includes('Options error: In ccd/ada:3: Error opening configuration file: missing'));
});

test('with username-as-common-name the user is who comes in, also when keys are renegotiated', () => {
  const { world, server, asked } = story(
    `${SCRIPT}username-as-common-name\nreneg-sec 30 30\nclient-config-dir ccd\n`,
    'auth-user-pass-verify',
    'client-connect',
  );
  world.files.set('ccd/user', { text: 'push "route 10.33.0.0"' });
  const client = world.add('ada', `${LOGIN}reneg-sec 0\n`, '198.51.100.2');
  world.run(80_000);
  assert.ok(server.log.some((line) => line.startsWith('[user] Peer Connection Initiated')));
  assert.ok(client.log.some((line) => line.includes('route 10.33.0.0')));
  assert.ok(!server.log.some((line) => line.includes('attempted to change')), server.log.join('\n'));
  // Each login is asked for under the name of the certificate, and the client then has the user's.
  assert.deepEqual(
    asked.map(({ event, env }) => `${event} ${env['common_name']}`),
    ['auth-user-pass-verify ada', 'client-connect user', 'auth-user-pass-verify ada', 'auth-user-pass-verify ada'],
  );
});

test('a login that is still waited for gives no name that a connected client has', () => {
  const { world, server } = story(`${SCRIPT}username-as-common-name\nreneg-sec 0\n`, 'auth-user-pass-verify');
  world.add('eve', `${LOGIN}reneg-sec 30\nauth-nocache\n`, '198.51.100.2');
  world.run(5_000);
  world.credentials = { username: 'bob', password: 'guessed' };
  world.events = () => ({ result: 'deferred' });
  world.run(40_000);
  assert.ok(server.log.some((line) => line.includes("authentication deferred for username 'bob'")));
  world.events = () => ({ result: 'success' });
  world.add('bob', LOGIN, '198.51.100.3');
  world.run(45_000);
  assert.ok(!server.log.some((line) => line.startsWith('MULTI: new connection by client')), server.log.join('\n'));
});

test('another certificate under a running session is refused, with the same name, too', () => {
  for (const [subject, why] of [
    ['ada', 'CN=ada client-provided SSL certs unexpectedly changed during mid-session reauth'],
    ['eve', "CN attempted to change from 'ada' to 'eve' -- tunnel disabled"],
  ] as const) {
    const { world, server } = story('reneg-sec 30 30\n');
    const client = world.add('ada', `${PLAIN_CLIENT}reneg-sec 0\n`, '198.51.100.2');
    world.run(5_000);
    const [certificate] = client.chain;
    if (certificate === undefined) throw new Error('no certificate');
    const subjectFields = [{ name: 'CN', value: subject }];
    client.chain[0] = { ...certificate, subjectFields, sha256: new Uint8Array(32).fill(7) };
    world.run(60_000);
    assert.ok(server.log.includes(`TLS Auth Error: TLS object ${why}`), server.log.join('\n'));
  }
});

test('without a certificate scripts see the address; nobody is remembered by a name that many have', () => {
  const { world, server, asked } = story(
    `${SCRIPT}verify-client-cert none\nifconfig-pool-persist pool 10\n`,
    'auth-user-pass-verify',
  );
  world.certificate = undefined;
  world.add('somebody', LOGIN, '198.51.100.2');
  world.add('else', LOGIN, '198.51.100.3');
  world.run(5_000);
  assert.deepEqual(
    asked.map(({ env }) => env['untrusted_ip']),
    ['198.51.100.2', '198.51.100.3'],
  );
  const files = server.outputs.filter((output) => output.output === 'write-file');
  assert.deepEqual(
    files.map(({ text }) => text),
    [''],
  );
});

test('auth-user-pass-optional leaves it to the script to let in whoever sends no password', () => {
  for (const result of ['success', 'failure'] as const) {
    const { world, asked } = story(
      `${SCRIPT}auth-user-pass-optional\nusername-as-common-name\n`,
      'auth-user-pass-verify',
    );
    world.events = (_host, request) => {
      asked.push(request);
      return { result };
    };
    const client = world.add('ada', PLAIN_CLIENT, '198.51.100.2');
    world.run(5_000);
    assert.deepEqual(
      asked.map(({ env }) => [env['common_name'], env['username'], env['password']]),
      [['ada', '', '']],
    );
    assert.equal(client.log.includes('Initialization Sequence Completed'), result === 'success');
  }
});
