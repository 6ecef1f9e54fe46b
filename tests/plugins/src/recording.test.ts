/**
 * One recording plugin in a stock OpenVPN and in ours, on either side of the same session with a stock peer: the calls,
 * their order, arguments and environment agree but for what fixtures/differences.json gives reasons for.
 */
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  type Allowed,
  allowedDifferences,
  buildRecorder,
  compareRecordings,
  type RecordedCall,
  readRecording,
} from './recording.js';
import { ours, type StockNetwork, stock, until, type Watched } from './stock.js';
import { withNetwork } from './with-network.js';

const allowed = allowedDifferences();
const none: Allowed = { environment: [], order: [] };
let network: StockNetwork;
let recorder: string;
let path: string;

const skip = withNetwork((made) => {
  network = made;
  recorder = join(network.folder, 'recorder.so');
  path = join(network.folder, 'record');
  buildRecorder(recorder);
});

const names = (calls: readonly RecordedCall[]): string[] => calls.map(({ call, client }) => `${call} ${client}`);

async function recordServer(program: string, lines: readonly string[]): Promise<RecordedCall[]> {
  rmSync(path, { force: true });
  const server = await network.server(
    [`plugin ${recorder} ${path} "two words"`, 'setenv greeting hello', ...lines],
    program,
  );
  const { client } = await network.client('ada', 'secret');
  await called('learn-address');
  await client.stop();
  const refused = await network.client('ada', 'wrong', ['auth-retry none']);
  assert.equal(refused.connected, false);
  await refused.client.stop();
  await server.stop();
  assert.equal(server.status, 0, server.log);
  return readRecording(path);
}

async function called(name: string): Promise<void> {
  await until(() => readRecording(path).some(({ call }) => call === name), `${name} was called`);
}

const servers: readonly { readonly title: string; readonly lines: readonly string[] }[] = [
  { title: 'subnet with a route', lines: ['route 10.60.0.0 255.255.255.0', 'username-as-common-name'] },
  {
    title: 'net30, exported key material, certificates as files, tokens for scripts to judge',
    lines: [
      'topology net30',
      'keying-material-exporter EXPORTER-test 20',
      'tls-export-cert .',
      'auth-gen-token 0 external-auth',
    ],
  },
];

for (const { title, lines } of servers)
  test(`a server calls its plugin as a stock one does: ${title}`, { skip }, async () => {
    const theirs = await recordServer(stock, lines);
    const mine = await recordServer(ours, lines);
    assert.deepEqual(compareRecordings(mine, theirs, allowed, 'server'), []);

    // What both agree on is what the reference says, and not nothing.
    assert.deepEqual(names(theirs).slice(0, 4), ['open 0', 'ctor 1', 'up 1', 'route-up 1']);
    const start = names(theirs).indexOf('ctor 2');
    assert.deepEqual(names(theirs).slice(start, start + 9), [
      'ctor 2',
      'tls-verify 2',
      'tls-verify 2',
      'auth-user-pass-verify 2',
      'tls-final 2',
      'ipchange 1',
      'client-connect 2',
      'client-connect-v2 2',
      'learn-address 2',
    ]);
    assert.deepEqual(names(theirs).slice(-4), ['route-predown 1', 'down 1', 'dtor 1', 'close 0']);
    const login = mine.find(({ call }) => call === 'auth-user-pass-verify');
    assert.deepEqual(
      ['username', 'password', 'common_name', 'untrusted_ip', 'greeting', 'IV_VER'].map((name) => login?.env.get(name)),
      ['ada', 'secret', 'client', '10.99.0.2', 'hello', '2.6.14'],
    );
    assert.equal(mine.find(({ call }) => call === 'tls-verify')?.certificate, '1 certificate');
    assert.equal(mine.find(({ call }) => call === 'tls-final')?.env.has('password'), false);
  });

for (const point of [1, 3, 4])
  test(`a plugin that is opened at point ${point} sees what it sees in a stock server`, { skip }, async () => {
    const first = recorder;
    recorder = join(network.folder, `recorder-${point}.so`);
    buildRecorder(recorder, `-DINIT=${point}`);
    const theirs = await recordServer(stock, []);
    const mine = await recordServer(ours, []);
    recorder = first;
    assert.deepEqual(compareRecordings(mine, theirs, allowed, 'server'), []);
    assert.deepEqual(names(mine).slice(0, 3), ['open 0', 'ctor 1', point === 1 ? 'up 1' : 'ctor 2']);
    assert.equal(mine[0]?.env.has('dev'), point > 2);
  });

const clients: readonly { readonly title: string; readonly lines: readonly string[]; readonly order: string }[] = [
  {
    title: 'its tun is made anew',
    lines: [],
    order: 'up route-up route-predown down tls-verify tls-verify tls-final ipchange up route-up route-predown down',
  },
  {
    title: 'its tun stays',
    lines: ['persist-tun', 'up-restart'],
    order: 'up route-up down tls-verify tls-verify tls-final ipchange up route-predown down',
  },
];

for (const { title, lines, order } of clients)
  test(`a client calls its plugin as a stock one does, over a restart: ${title}`, { skip }, async () => {
    const server = await network.server([
      'push "route 10.50.0.0 255.255.0.0"',
      'push "dhcp-option DNS 10.8.0.1"',
      'auth-user-pass-optional',
      `plugin ${recorder} /dev/null`,
    ]);
    const record = async (program: string): Promise<RecordedCall[]> => {
      rmSync(path, { force: true });
      const plugin = [
        `plugin ${recorder} "${path} 'two words' \\"quoted\\""`,
        'setenv greeting hello',
        'tls-export-cert .',
      ];
      const client = network.startClient('ada', 'secret', [...plugin, ...lines], program);
      await connected(client, 1);
      client.process.kill('SIGUSR1');
      await connected(client, 2);
      await client.stop();
      assert.equal(client.status, 0, client.log);
      return readRecording(path);
    };
    const theirs = await record(stock);
    const mine = await record(ours);
    await server.stop();
    assert.deepEqual(compareRecordings(mine, theirs, allowed, 'client'), []);
    const start = 'open ctor tls-verify tls-verify tls-final ipchange';
    assert.equal(mine.map(({ call }) => call).join(' '), `${start} ${order} dtor close`);
  });

async function connected(client: Watched, times: number): Promise<void> {
  await until(
    () => client.ended || client.lines(/Initialization Sequence Completed/).length >= times,
    'the client is connected',
    60_000,
  );
  assert.equal(client.ended, false, client.log);
}

test('arguments with quotes arrive as in a stock server, and lines that cannot be end the start', {
  skip,
}, async () => {
  // A line's words after the plugin's name, with RECORD for the file it writes, and the arguments after that file.
  const lines: readonly [string, string[]][] = [
    [`RECORD "two words" 'and two'`, ['two words', 'and two']],
    [String.raw`RECORD 'single "inside' "esc\"aped" back\\slash`, ['single "inside', 'esc"aped', 'back\\slash']],
    [String.raw`"RECORD 'two words' \"quoted\" \"\""`, ['two words', 'quoted', '']],
    [`'RECORD "a b" c'`, ['a b', 'c']],
    [`RECORD "" it's # a comment`, ['', `it's`]],
    [`RECORD "'kept' in two" "or 'more'"`, [`'kept' in two`, `or 'more'`]],
  ];
  const recorders = lines.map((_, index) => join(network.folder, `quotes-${index}`));
  for (const each of recorders) buildRecorder(`${each}.so`);
  for (const program of [stock, ours]) {
    const server = await network.server(
      lines.map(([words], index) => `plugin ${recorders[index]}.so ${words.replace('RECORD', `${recorders[index]}`)}`),
      program,
    );
    await server.stop();
    for (const [index, [words, expected]] of lines.entries()) {
      const recorded = recorders[index] ?? '';
      const [open] = readRecording(recorded);
      rmSync(recorded);
      assert.deepEqual(open?.argv, [`${recorded}.so`, recorded, ...expected], `${words} in ${program}`);
    }

    for (const [wrong, why] of [
      [[`plugin ${recorder} ${path} "unclosed`], /Options error: .*closing quotation.*config-\d+:\d+/i],
      [Array.from({ length: 17 }, () => `plugin ${recorder}`), /Options error: plugin add failed: .*recorder\.so/],
    ] as const) {
      const server = network.startServer(wrong, program);
      await until(() => server.ended, 'it ended');
      assert.equal(server.status, 1, server.log);
      assert.match(server.log, why);
    }
  }
  // A stock one says so too, but opens the plugin without its arguments.
  const unsplit = network.startServer([`plugin ${recorder} "${path} 'unclosed"`], ours);
  await until(() => unsplit.ended, 'it ended');
  assert.equal(unsplit.status, 1, unsplit.log);
  assert.match(unsplit.log, /plugin .*recorder\.so: the quotes or backslashes in .*'unclosed do not match/);
});

test('a recording that differs is told from one that does not', () => {
  const call = (name: string, env: Record<string, string>, argv = ['x.so']): RecordedCall => ({
    call: name,
    client: 1,
    certificate: '-1 none',
    argv,
    env: new Map(Object.entries(env)),
  });
  const theirs = [call('up', { dev: 'tun0', untrusted_port: '40000', file: '/tmp/openvpn_cc_0123456789abcdef.tmp' })];
  const same = [call('up', { dev: 'tun0', untrusted_port: '50000', file: '/tmp/openvpn_cc_fedcba9876543210.tmp' })];
  assert.deepEqual(compareRecordings(same, theirs, none, 'server'), []);
  const other = [call('up', { dev: 'tun1', untrusted_port: '', extra: '1' })];
  assert.deepEqual(
    compareRecordings(
      other,
      theirs,
      { ...none, environment: [{ call: 'up', name: 'extra', why: 'a test' }] },
      'server',
    ),
    [
      'call 0 (up): dev=tun1 instead of tun0',
      'call 0 (up): untrusted_port= instead of 40000',
      'call 0 (up): file is missing (/tmp/openvpn_cc_0123456789abcdef.tmp)',
    ],
  );
  assert.match(
    compareRecordings([call('down', {})], theirs, none, 'server')[0] ?? '',
    /call 0: down 1 {2}instead of up 1/,
  );
  assert.equal(compareRecordings([], theirs, none, 'server').length, 1);
});
