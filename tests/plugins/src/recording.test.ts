/**
 * One recording plugin in a stock OpenVPN: what our daemon's recording is compared with. Here the stock one is made twice
 * and compared with itself, so that what varies by chance is known to be left out, and what must be there is there.
 */
import assert from 'node:assert/strict';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type Allowed, buildRecorder, compareRecordings, type RecordedCall, readRecording } from './recording.js';
import { missing, StockNetwork } from './stock.js';

const skip = missing() ?? false;
const allowed = JSON.parse(
  readFileSync(fileURLToPath(new URL('../fixtures/differences.json', import.meta.url)), 'utf8'),
) as Allowed[];

test('a stock server calls its plugin in the known order, with the known environment', { skip }, async () => {
  const network = new StockNetwork();
  try {
    const recorder = join(network.folder, 'recorder.so');
    buildRecorder(recorder);
    const record = async (): Promise<RecordedCall[]> => {
      const path = join(network.folder, 'record');
      rmSync(path, { force: true });
      const server = await network.server([`plugin ${recorder} ${path}`, 'setenv greeting hello']);
      const { client } = await network.client('ada', 'secret');
      await client.stop();
      const refused = await network.client('ada', 'wrong', ['auth-retry none']);
      assert.equal(refused.connected, false);
      await refused.client.stop();
      await server.stop();
      return readRecording(path);
    };
    const first = await record();
    const second = await record();
    assert.deepEqual(compareRecordings(first, second, allowed), []);

    const order = first.map(({ call, client }) => `${call} ${client}`);
    assert.deepEqual(order.slice(0, 4), ['open 0', 'ctor 1', 'up 1', 'route-up 1']);
    const start = order.indexOf('ctor 2');
    assert.deepEqual(order.slice(start, start + 9), [
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
    assert.deepEqual(order.slice(-4), ['route-predown 1', 'down 1', 'dtor 1', 'close 0']);

    const login = first.find(({ call }) => call === 'auth-user-pass-verify');
    assert.deepEqual(
      ['username', 'password', 'common_name', 'untrusted_ip', 'greeting', 'IV_VER'].map((name) => login?.env.get(name)),
      ['ada', 'secret', 'client', '10.99.0.2', 'hello', '2.6.14'],
    );
    assert.equal(first.find(({ call }) => call === 'tls-verify')?.certificate, '1 certificate');
    assert.equal(first.find(({ call }) => call === 'tls-final')?.env.has('password'), false);
  } finally {
    await network.close();
  }
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
  assert.deepEqual(compareRecordings(same, theirs, []), []);
  const other = [call('up', { dev: 'tun1', untrusted_port: '', extra: '1' })];
  assert.deepEqual(compareRecordings(other, theirs, [{ call: 'up', name: 'extra', why: 'a test' }]), [
    'call 0 (up): dev=tun1 instead of tun0',
    'call 0 (up): untrusted_port= instead of 40000',
    'call 0 (up): file is missing (/tmp/openvpn_cc_0123456789abcdef.tmp)',
  ]);
  assert.match(compareRecordings([call('down', {})], theirs, [])[0] ?? '', /call 0: down 1 {2}instead of up 1/);
  assert.equal(compareRecordings([], theirs, []).length, 1);
});
