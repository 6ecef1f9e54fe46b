import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type AuthorEvent,
  base64Decode,
  type EventOf,
  hexDecode,
  parseEvent,
  parseStaticChallenge,
} from '@seikan/plugin-sdk';

const client = { id: 3, state: undefined };

function parsed<Type extends AuthorEvent>(
  type: Type,
  args: string[],
  env: Record<string, string> = {},
): EventOf<Type, undefined> {
  const event = parseEvent(type, { event: 'up', context: 3, argv: ['acme.so', ...args], env }, client);
  return event as EventOf<Type, undefined>;
}

test('arguments and variables become fields', () => {
  const up = parsed('up', ['tun0', '1500', '0', '10.8.0.1', '255.255.255.0', 'init']);
  assert.deepEqual(
    [up.device, up.tunMtu, up.localAddress, up.remoteOrNetmask, up.cause],
    ['tun0', 1500, '10.8.0.1', '255.255.255.0', 'init'],
  );
  assert.equal(parsed('down', ['tun0', '1500', '0', '', '', 'restart'], { signal: 'sigusr1' }).signal, 'sigusr1');
  assert.deepEqual(parsed('ipchange', ['[AF_INET6]2001:db8::1 1194']).peer, { address: '2001:db8::1', port: 1194 });
  const learned = parsed('learn-address', ['update', '10.1.0.0/16', 'ada']);
  assert.deepEqual([learned.operation, learned.address, learned.commonName], ['update', '10.1.0.0/16', 'ada']);
  const gone = parsed('client-disconnect', [], { bytes_received: '12', bytes_sent: 'x' });
  assert.deepEqual([gone.bytesReceived, gone.bytesSent, gone.duration], [12, undefined, undefined]);
  const verify = parsed('tls-verify', ['1', 'CN=ca'], { tls_digest_sha256_1: 'aa:bb', untrusted_ip6: '::1' });
  assert.deepEqual([verify.depth, verify.subject, verify.sha256, verify.peer.address], [1, 'CN=ca', 'aa:bb', '::1']);
  assert.deepEqual(parsed('tls-final', [], { exported_keying_material: '00ff' }).keyingMaterial, Uint8Array.of(0, 255));
  assert.equal(parsed('client-crresponse', [], { crresponse: 'MTIzNDU2' }).response, '123456');
});

test('a static challenge gives password and response, and bytes stay bytes', () => {
  const login = parsed('auth-user-pass-verify', [], {
    username: 'a\udcff',
    password: 'SCRV1:c2VjcmV0:MTIz',
    untrusted_ip: '10.0.0.2',
  });
  assert.deepEqual([login.password, login.response, login.peer.address], ['secret', '123', '10.0.0.2']);
  assert.deepEqual(login.raw('username'), Uint8Array.of(0x61, 0xff));
  assert.equal(login.raw('nothing'), undefined);
  for (const plain of ['secret', 'SCRV1:c2VjcmV0', 'SCRV1:*:MTIz', 'SCRV1:c2VjcmV0:MTI'])
    assert.deepEqual(parseStaticChallenge(plain), { password: plain, response: undefined });
});

test('base64 and hex take what is well formed and nothing else', () => {
  assert.deepEqual(base64Decode('AP8='), Uint8Array.of(0, 255));
  assert.deepEqual(base64Decode(''), new Uint8Array());
  for (const bad of ['A', 'AP8', 'A===', 'AP-=', 'AP8=AP8=']) assert.equal(base64Decode(bad), undefined, bad);
  for (const bad of ['', '0', '0g', '000']) assert.equal(hexDecode(bad), undefined, bad);
});
