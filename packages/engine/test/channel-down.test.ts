import assert from 'node:assert/strict';
import { test } from 'node:test';

import { World } from './world.js';

const SERVER = 'server 10.8.0.0 255.255.255.0\ntopology subnet\ndh none\nca a\ncert b\nkey c\ndev tun\ntls-crypt k\n';
const CLIENT = 'client\nremote 198.51.100.1\nca a\ncert b\nkey c\ndev tun\ntls-crypt k\npersist-tun\n';
const UP = 'Initialization Sequence Completed';

test('a client whose data channel died opens its tun anew, persist-tun or not, and connects again', () => {
  const world = new World(21);
  world.add('server', SERVER, '198.51.100.1');
  const client = world.add('client', CLIENT, '198.51.100.2');
  world.run(20_000);
  assert.ok(client.log.includes(UP), client.log.join('\n'));

  client.machine.handleEvent({ event: 'channelDown', reason: 'the thread died' }, world.time);
  world.drain(client);
  world.run(60_000);
  assert.ok(client.log.includes('SIGUSR1[soft,channel-down] received, process restarting'), client.log.join('\n'));
  assert.equal(client.log.filter((line) => line === UP).length, 2);
  const opened = client.outputs.filter((output) => output.output === 'ask' && output.ask === 'open-tun');
  assert.equal(opened.length, 2);
});

test('a server whose data channel died ends its clients and asks to be started again', () => {
  const world = new World(22);
  const server = world.add('server', SERVER, '198.51.100.1');
  world.add('client', CLIENT, '198.51.100.2');
  world.run(20_000);
  server.machine.handleEvent({ event: 'channelDown', reason: 'the thread died' }, world.time);
  world.drain(server);
  assert.ok(server.log.includes('the thread died'));
  assert.ok(server.commands.some(({ verb }) => verb === 'delPeer'));
  const end = server.outputs.find(({ output }) => output === 'end');
  assert(end?.output === 'end' && end.cause.why === 'signal');
  assert.equal(end.cause.signal, 'SIGUSR1');
});
