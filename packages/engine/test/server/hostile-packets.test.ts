/** What a stranger, or somebody at a client's address, sends to a server: counted by its reason, and of no effect. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Multi } from '@seikan/engine';

import { type Host, PLAIN_CLIENT, PLAIN_SERVER, World } from '../world.js';

const STRANGER = { family: 4, address: '203.0.113.9', port: 4_711 } as const;

/** The control packets that a host has sent, oldest first. */
function sent(host: Host): Uint8Array[] {
  return host.commands.flatMap((command) => (command.verb === 'sendControl' ? [command.bytes.slice()] : []));
}

function changed(bytes: Uint8Array | undefined, change: (bytes: Uint8Array) => Uint8Array | undefined): Uint8Array {
  const copy = Uint8Array.from(bytes ?? []);
  return change(copy) ?? copy;
}

test('bad packets are dropped with a reason; nobody is made of them, and the client goes on', () => {
  const world = new World(51);
  const server = world.add('server', `${PLAIN_SERVER}reneg-sec 20 20\n`, '198.51.100.1');
  const client = world.add('client', PLAIN_CLIENT, '198.51.100.2');
  world.run(10_000);
  const { machine } = server;
  assert.ok(machine instanceof Multi);
  const packets = sent(client);
  const [reset, , middle] = packets;
  const opcode =
    (value: number, keyId = 0) =>
    (bytes: Uint8Array) =>
      void (bytes[0] = (value << 3) | keyId);
  const cases: readonly [what: string, from: 'stranger' | 'client', bytes: Uint8Array, reason: string][] = [
    ['nothing', 'stranger', new Uint8Array(0), 'bad-opcode'],
    ['an opcode alone', 'stranger', changed(reset, (bytes) => bytes.subarray(0, 1)), 'truncated'],
    ['a part of a packet', 'stranger', changed(reset, (bytes) => bytes.subarray(0, 20)), 'truncated'],
    ['key method 1', 'stranger', changed(reset, opcode(1)), 'bad-opcode'],
    ['an opcode of nobody', 'stranger', changed(reset, opcode(31)), 'bad-opcode'],
    ['no session id', 'stranger', changed(reset, (bytes) => void bytes.fill(0, 1, 9)), 'bad-session-id'],
    ['another key', 'stranger', changed(reset, (bytes) => void (bytes[20] = (bytes[20] ?? 0) ^ 1)), 'bad-hmac'],
    ['a packet of a session that is not its', 'stranger', changed(middle, () => undefined), 'bad-cookie'],
    ['a packet again', 'client', changed(middle, () => undefined), 'replay'],
    ['a part of a packet', 'client', changed(middle, (bytes) => bytes.subarray(0, 20)), 'truncated'],
    ['another key', 'client', changed(middle, (bytes) => void (bytes[20] = (bytes[20] ?? 0) ^ 1)), 'bad-hmac'],
    ["a server's reset", 'client', changed(reset, opcode(8)), 'wrong-state'],
    ['a reset under another key id', 'client', changed(reset, opcode(7, 1)), 'wrong-key-id'],
    ['no session of its', 'client', changed(middle, (bytes) => void bytes.fill(7, 1, 9)), 'unknown-session'],
  ];
  const peers = (): number => server.commands.filter(({ verb }) => verb === 'newPeer').length;
  const answers = (): number => sent(server).length;
  const [peersBefore, answersBefore] = [peers(), answers()];
  for (const [what, from, bytes, reason] of cases) {
    const before: number = machine.drops.get(reason) ?? 0;
    const at = from === 'stranger' ? STRANGER : client.address;
    machine.handleEvent({ event: 'control', link: server.link, from: at, bytes }, world.time);
    world.drain(server);
    assert.equal(machine.drops.get(reason), before + 1, `${what}: ${JSON.stringify([...machine.drops])}`);
  }
  assert.deepEqual([peers(), answers()], [peersBefore, answersBefore]);
  world.run(60_000);
  const keys = client.commands.filter(({ verb }) => verb === 'newKey').length;
  assert.ok(keys >= 3, `${keys} keys`);
  assert.equal(client.log.filter((line) => line === 'Initialization Sequence Completed').length, 1);
  assert.equal(peers(), peersBefore);
});
