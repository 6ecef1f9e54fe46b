import assert from 'node:assert/strict';
import { test } from 'node:test';

import { offloadObstacle, parseConfig } from '@seikan/engine';

import { OFFLOAD_ADVICE, offloadRefusal } from '#src/offload.js';

import { World } from './world.js';

const secrets = 'ca ca.crt\ncert x.crt\nkey x.key\n';
const client = `client\ndev tun\nremote 198.51.100.1\n${secrets}`;
const server = `server 10.8.0.0 255.255.255.0\ntopology subnet\ndev tun\ndh none\n${secrets}`;

function obstacle(config: string): readonly string[] {
  return offloadObstacle(parseConfig(config, 'test.conf', { read: () => undefined }).options);
}

test('plain clients and servers may be carried by the kernel', () => {
  assert.deepEqual(obstacle(client), []);
  assert.deepEqual(obstacle(server), []);
  assert.deepEqual(obstacle(`${client}data-ciphers CHACHA20-POLY1305:?AES-192-GCM\nproto tcp-client\n`), []);
});

test('what the kernel cannot do keeps packets in user space, in words that OpenVPN logs', () => {
  const cases: [string, string][] = [
    [`${client}fragment 1300\n`, 'Note: --fragment disables data channel offload.'],
    [
      `${client}data-ciphers AES-256-GCM:AES-256-CBC\n`,
      "Note: cipher 'AES-256-CBC' in --data-ciphers is not supported by ovpn-dco, disabling data channel offload.",
    ],
    [
      `${client}data-ciphers-fallback AES-256-CBC\n`,
      "Note: --data-ciphers-fallback with cipher 'AES-256-CBC' disables data channel offload.",
    ],
    [
      `${client}allow-compression asym\n`,
      "Note: '--allow-compression' is not set to 'no', disabling data channel offload.",
    ],
    [`${client}comp-lzo no\n`, "Note: '--allow-compression' is not set to 'no', disabling data channel offload."],
    [client.replace('dev tun', 'dev tap'), 'Note: dev-type not tun, disabling data channel offload.'],
    [client.replace('dev tun', 'dev null'), 'Note: dev-type not tun, disabling data channel offload.'],
    [
      server.replace('topology subnet', 'topology net30'),
      "Note: NOT using '--topology subnet' disables data channel offload.",
    ],
    [`${client}bind-dev eth0\n`, 'Note: bind-dev not supported with DCO, disabling data channel offload'],
    [
      'dev tun\nremote 198.51.100.1\nifconfig 10.8.0.1 10.8.0.2\ncipher AES-256-CBC\nsecret static.key\n',
      "Note: --data-ciphers-fallback with cipher 'AES-256-CBC' disables data channel offload.",
    ],
    [`${client}block-ipv6\n`, 'Note: --block-ipv6 disables data channel offload.'],
  ];
  for (const [config, line] of cases) assert.equal(obstacle(config)[0], line, config);
});

test('without TLS nothing is offloaded, whatever the cipher', () => {
  const { options } = parseConfig(client, 'test.conf', { read: () => undefined });
  assert.deepEqual(offloadObstacle({ ...options, tls: { ...options.tls, role: 'none' } }), [
    'No tls-client or tls-server option in configuration detected. Disabling data channel offload.',
  ]);
});

test('disable-dco is an option of its own', () => {
  const parse = (config: string) => parseConfig(config, 'test.conf', { read: () => undefined }).options.device;
  assert.equal(parse(client).disableOffload, false);
  assert.equal(parse(`${client}disable-dco\n`).disableOffload, true);
});

test('what was agreed on with the peer may still be too much for the kernel', () => {
  const compression = { algorithm: 'none', framing: 'none', allow: 'no', migrate: false } as const;
  const terms = { peerId: 0, cipher: 'AES-256-GCM', compression, translates: false };
  const offloaded = { epoch: false, offload: true };
  assert.equal(offloadRefusal(offloaded, terms), undefined);
  assert.match(offloadRefusal(offloaded, { ...terms, peerId: undefined }) ?? '', /DATA_V2/);
  assert.match(offloadRefusal(offloaded, { ...terms, cipher: 'AES-256-CBC' }) ?? '', /AES-256-CBC/);
  assert.match(
    offloadRefusal(offloaded, { ...terms, compression: { ...compression, framing: 'stub-v2' } }) ?? '',
    /framing/,
  );
  assert.match(offloadRefusal(offloaded, { ...terms, translates: true }) ?? '', /client-nat/);
  assert.equal(offloadRefusal({ epoch: true, offload: false }, { ...terms, peerId: undefined }), undefined);
});

test('a lost peer ends a client instance and restarts a client', () => {
  const world = new World(7);
  const host = world.add('server', server, '198.51.100.1');
  const guest = world.add('client', `${client}nobind\n`, '198.51.100.2');
  world.run(20_000);
  assert.ok(guest.log.includes('Initialization Sequence Completed'), guest.log.join('\n'));
  const peerOf = (commands: typeof host.commands) => {
    const made = commands.find(({ verb }) => verb === 'newPeer');
    assert.ok(made?.verb === 'newPeer');
    return made.peer;
  };
  host.machine.handleEvent({ event: 'peerLost', peer: peerOf(host.commands), reason: 'transport error' }, world.time);
  world.drain(host);
  assert.ok(
    host.log.some((line) => line.includes('SIGTERM[soft,ovpn-dco: transport error] received, client-instance exiting')),
    host.log.join('\n'),
  );
  guest.machine.handleEvent({ event: 'peerLost', peer: peerOf(guest.commands), reason: 'it is gone' }, world.time);
  world.drain(guest);
  assert.ok(guest.log.includes('dco: it is gone, restarting'), guest.log.join('\n'));
});

test('an offloaded client refuses a server that does not push a peer-id, and says what to do', () => {
  const world = new World(8);
  world.abilities = { epoch: false, offload: true };
  const host = world.add('server', server, '198.51.100.1');
  const guest = world.add('client', `${client}nobind\npull-filter ignore peer-id\n`, '198.51.100.2');
  world.run(20_000);
  assert.ok(host.commands.some(({ verb }) => verb === 'newPeer'));
  assert.ok(guest.log.includes(OFFLOAD_ADVICE), guest.log.join('\n'));
  assert.equal(
    guest.commands.some(({ verb }) => verb === 'newPeer'),
    false,
  );
});
