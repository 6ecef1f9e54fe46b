/** Control packets as a peer sees them: who calls, how much a packet holds, how long a session may take. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type ControlPacket, plainWrap } from '@seikan/core';

import { type Host, PLAIN_CLIENT, PLAIN_SERVER, World } from './world.js';

const UP = 'Initialization Sequence Completed';
const PEER = 'dev tun\nca ca.crt\nverb 3\n';
const PEER_SERVER = `${PEER}tls-server\ndh none\ncert server.crt\nkey server.key\nifconfig 10.1.0.1 10.1.0.2\n`;
const PEER_CLIENT = `${PEER}tls-client\ncert client.crt\nkey client.key\nifconfig 10.1.0.2 10.1.0.1\n`;

const isUp = ({ log }: Host): boolean => log.includes(UP);

/** A world without wrapping, and every control packet in it from now on. */
function plainWorld(seed: number): { world: World; packets: ControlPacket[] } {
  const world = new World(seed);
  world.keys = {};
  const packets: ControlPacket[] = [];
  world.copies = (bytes) => {
    const packet = plainWrap().unwrap(bytes, 0);
    assert.ok(typeof packet !== 'string', 'a packet that is not plain');
    packets.push(packet);
    return 1;
  };
  return { world, packets };
}

test('a p2p server calls too: a client that has waited is answered when the server comes, not with its next attempt', () => {
  const world = new World(91);
  const client = world.add('client', `${PEER_CLIENT}remote 198.51.100.1\n`, '198.51.100.2');
  // The client has called at 0, 2, 6 and 14 s, and will again at 22.
  world.run(17_000);
  const server = world.add('server', `${PEER_SERVER}remote 198.51.100.2\n`, '198.51.100.1');
  world.run(19_500);
  assert.ok(isUp(client), client.log.join('\n'));
  assert.ok(isUp(server), server.log.join('\n'));
});

test('a p2p client that knows no address is called by its server, whichever was there first', () => {
  for (const first of ['client', 'server']) {
    const world = new World(92);
    const addClient = (): Host => world.add('client', PEER_CLIENT, '198.51.100.2');
    const early = first === 'client' ? addClient() : undefined;
    const server = world.add('server', `${PEER_SERVER}remote 198.51.100.2\n`, '198.51.100.1');
    world.run(5_000);
    const client = early ?? addClient();
    world.run(12_000);
    assert.ok(isUp(client), `${first}\n${client.log.join('\n')}`);
    assert.ok(isUp(server), `${first}\n${server.log.join('\n')}`);
  }
});

test('a p2p server whose peer never comes gives up after the hand-window, and calls again', () => {
  const world = new World(93);
  world.keys = {};
  const server = world.add('server', `${PEER_SERVER}remote 198.51.100.2\nhand-window 20\n`, '198.51.100.1');
  world.run(23_000);
  assert.ok(server.log.includes('SIGUSR1[soft,tls-error] received, process restarting'), server.log.join('\n'));
  const called = server.commands.flatMap((command) => {
    const packet = command.verb === 'sendControl' ? plainWrap().unwrap(command.bytes, 0) : 'none';
    return typeof packet === 'string' ? [] : [packet];
  });
  assert.deepEqual([...new Set(called.map(({ opcode }) => opcode))], [8]);
  assert.equal(new Set(called.map(({ sessionId }) => String(sessionId))).size, 2);
});

test('a control packet is as large as max-packet-size allows with the headers of its family, and no larger', () => {
  for (const [family, size, headers] of [
    ['udp', 1_250, 28],
    ['udp6', 1_250, 48],
    ['udp', 600, 28],
  ] as const) {
    const world = new World(94);
    let largest = 0;
    world.copies = (bytes) => {
      largest = Math.max(largest, bytes.length);
      return 1;
    };
    const [at, from] = family === 'udp' ? ['198.51.100.1', '198.51.100.2'] : ['2001:db8::1', '2001:db8::2'];
    const limit = size === 1_250 ? '' : `max-packet-size ${size}\n`;
    world.add('server', `${PLAIN_SERVER}proto ${family}\n${limit}`, at);
    const config = PLAIN_CLIENT.replace('proto udp', `proto ${family}`).replace('198.51.100.1', at);
    const client = world.add('client', config + limit, from);
    world.run(5_000);
    assert.ok(isUp(client), client.log.join('\n'));
    // Room is kept for four acknowledgements.
    const whole = largest + headers;
    assert.ok(whole <= size && whole >= size - 16, `${family} ${size}: ${whole}`);
  }
});

test('where max-packet-size leaves no room packets hold 16 bytes of TLS', () => {
  const world = new World(95);
  world.keys = { tlsAuth: { key: new Uint8Array(256), direction: 'bidirectional', digest: 'SHA512' } };
  const sizes: number[] = [];
  world.copies = (bytes) => {
    sizes.push(bytes.length);
    return 1;
  };
  const narrow = 'proto udp6\nhand-window 600\nmax-packet-size 154\n';
  world.add('server', `${PLAIN_SERVER}${narrow}`, '2001:db8::1');
  const config = PLAIN_CLIENT.replace('proto udp\n', narrow).replace('198.51.100.1', '2001:db8::1');
  const client = world.add('client', config, '2001:db8::2');
  world.run(60_000);
  assert.ok(isUp(client), client.log.join('\n'));
  // 9 + 72 of tls-auth, 13 with an acknowledgement or 25 with four, 4, 16
  assert.ok(Math.max(...sizes) <= 9 + 72 + 25 + 4 + 16, String(Math.max(...sizes)));
});

test('a client that may speak to SoftEther acknowledges four messages at most in a packet; servers eight', () => {
  const { world, packets } = plainWorld(96);
  const server = world.add('server', `${PLAIN_SERVER}max-packet-size 200\n`, '198.51.100.1');
  const client = world.add('client', `${PLAIN_CLIENT}max-packet-size 200\n`, '198.51.100.2');
  const own = new Set<string>();
  world.run(5_000);
  assert.ok(isUp(client), server.log.join('\n'));
  for (const { opcode, sessionId } of packets) if (opcode === 7) own.add(String(sessionId));
  const most = (whose: 'client' | 'server', alone: boolean, some: readonly ControlPacket[]): number =>
    Math.max(
      ...some
        .filter(
          ({ opcode, sessionId }) => (opcode === 5) === alone && own.has(String(sessionId)) === (whose === 'client'),
        )
        .map(({ acks }) => acks.length),
    );
  // The push reply is what tells it that its server is none; until then all its packets are of the handshake.
  const pushed = packets.findIndex(({ payload }) => payload.length > 0 && textOf(payload).includes('PUSH_REPLY'));
  assert.ok(pushed > 0);
  const before = packets.slice(0, pushed);
  assert.equal(most('client', true, before), 4);
  assert.equal(most('client', false, before), 4);
  assert.equal(most('server', true, before), 8);
  assert.equal(most('server', false, before), 4);
});

const textOf = (bytes: Uint8Array): string => new TextDecoder('latin1').decode(bytes);

test('a control packet that cannot be used ends a TCP connection, at either end; over UDP it is dropped', () => {
  const foreign = plainWrap().wrap(
    {
      opcode: 4,
      keyId: 0,
      sessionId: Uint8Array.of(8, 7, 6, 5, 4, 3, 2, 1),
      acks: [],
      peerSessionId: undefined,
      messageId: 1,
      payload: new Uint8Array(9),
    },
    0,
  );
  for (const proto of ['udp', 'tcp'] as const) {
    for (const who of ['server', 'client'] as const) {
      const world = new World(98);
      world.keys = {};
      const listens = proto === 'tcp' ? 'proto tcp-server\n' : '';
      const server = world.add('server', PLAIN_SERVER + listens, '198.51.100.1');
      const client = world.add('client', PLAIN_CLIENT.replace('proto udp', `proto ${proto}`), '198.51.100.2');
      world.run(5_000);
      assert.ok(isUp(client), client.log.join('\n'));
      const [host, other] = who === 'server' ? [server, client] : [client, server];
      const sent = host.commands.findLast((command) => command.verb === 'sendControl');
      assert.ok(sent !== undefined);
      host.machine.handleEvent({ event: 'control', link: sent.link, from: other.address, bytes: foreign }, world.time);
      world.drain(host);
      const ended = host.log.filter((line) => line.includes('[soft,tls-error] received')).length;
      assert.equal(ended, proto === 'tcp' ? 1 : 0, `${proto} ${who}\n${host.log.join('\n')}`);
      world.run(15_000);
      assert.equal(client.log.filter((line) => line === UP).length, proto === 'tcp' ? 2 : 1, `${proto} ${who}`);
    }
  }
});

test('a server that answers from another address of its name is taken there; from any other it is not', () => {
  for (const [named, taken] of [
    [['198.51.100.1', '198.51.100.9'], true],
    [['198.51.100.1'], false],
  ] as const) {
    const world = new World(99);
    world.addresses.set('vpn.example', named);
    const server = world.add('server', PLAIN_SERVER, '198.51.100.1');
    const client = world.add('client', PLAIN_CLIENT.replace('198.51.100.1', 'vpn.example'), '198.51.100.2');
    // What is sent to the one address is answered by the other.
    world.answersAs.set(server, '198.51.100.9');
    world.run(6_000);
    assert.equal(isUp(client), taken, client.log.join('\n'));
    const peer = client.commands.find((command) => command.verb === 'newPeer');
    assert.equal(peer?.settings.remote.address, taken ? '198.51.100.9' : undefined);
  }
});

test('tls-timeout is the wait before the first repetition, which doubles; it is a second at least', () => {
  for (const seconds of [1, 0]) assert.deepEqual(callsWith(`tls-timeout ${seconds}\n`), [0, 1, 3, 7], String(seconds));
});

/** When a client calls that nobody answers, in seconds. */
function callsWith(directive: string): number[] {
  const world = new World(100);
  const client = world.add('client', PLAIN_CLIENT + directive, '198.51.100.2');
  const began = world.now;
  const times: number[] = [];
  const calls = (): number => client.commands.filter(({ verb }) => verb === 'sendControl').length;
  for (let seen = 0; world.now < began + 9_000; world.run(world.now + 100)) {
    if (calls() > seen) times.push((world.now - began) / 1_000);
    seen = calls();
  }
  return times;
}
