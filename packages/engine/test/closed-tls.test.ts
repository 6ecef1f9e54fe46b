/** A peer whose TLS connection is over while it is still to be told or asked about something: nothing breaks. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';

import type { TlsConnection, VerifyCertificate } from '@seikan/core';
import { ScriptedTls } from '@seikan/testkit';

import { PLAIN_CLIENT, PLAIN_SERVER, World } from './world.js';

const UP = 'Initialization Sequence Completed';

/** All TLS connections from now on, in the order in which they are opened. */
function connections(t: TestContext): TlsConnection[] {
  const opened: TlsConnection[] = [];
  const open = Reflect.get(ScriptedTls.prototype, 'open');
  t.mock.method(ScriptedTls.prototype, 'open', function (this: ScriptedTls, verify: VerifyCertificate) {
    const connection = open.call(this, verify);
    opened.push(connection);
    return connection;
  });
  return opened;
}

test('what a server has to say to one that has closed it is lost, and other clients come in', (t) => {
  const opened = connections(t);
  const world = new World(141);
  world.asked.add('client-connect');
  world.held.add('client-connect');
  const server = world.add('server', PLAIN_SERVER, '198.51.100.1');
  const mallory = world.add('mallory', PLAIN_CLIENT, '198.51.100.2');
  world.run(3_000);
  assert.deepEqual(world.waiting, ['client-connect']);
  // The client's was opened first.
  opened[0]?.shutdown();
  mallory.machine.handleTimeout(world.time);
  world.drain(mallory);
  world.remove(mallory);
  world.run(4_000);
  assert.equal(opened[1]?.state, 'closed');
  world.release();
  world.held.clear();
  const ada = world.add('ada', PLAIN_CLIENT, '198.51.100.3');
  world.run(12_000);
  assert.ok(ada.log.includes(UP), server.log.join('\n'));
});

test('a login that is granted when its negotiation has failed is nobody’s', (t) => {
  const opened = connections(t);
  const world = new World(142);
  world.keys = {};
  const sent: Uint8Array[] = [];
  world.copies = (bytes) => {
    sent.push(bytes.slice());
    return 1;
  };
  for (const event of ['auth-user-pass-verify', 'tls-final']) world.asked.add(event);
  const login = 'script-security 2\nauth-user-pass-verify login.sh via-env\n';
  const config = `${PLAIN_SERVER}${login}keying-material-exporter EXPORTER_test 32\nreneg-sec 30 30\n`;
  const server = world.add('server', config, '198.51.100.1');
  const client = world.add('ada', `${PLAIN_CLIENT}auth-user-pass\nreneg-sec 0\n`, '198.51.100.2');
  world.run(10_000);
  assert.ok(client.log.includes(UP), server.log.join('\n'));
  world.held.add('auth-user-pass-verify');
  while (world.waiting.length === 0) world.run(world.now + 100);
  // The third is the server's, which begins the renegotiation.
  opened[2]?.receive(Uint8Array.of(23, 0, 0, 9, 9, 9, 9));
  // A packet that comes again has the server look.
  for (const bytes of sent.slice())
    server.machine.handleEvent({ event: 'control', link: server.link, from: client.address, bytes }, world.time);
  world.drain(server);
  assert.ok(server.log.includes('TLS Error: TLS handshake failed'), server.log.join('\n'));
  world.held.clear();
  world.release();
  world.run(world.now + 1_000);
  assert.ok(!server.commands.some(({ verb }) => verb === 'delPeer'), server.log.join('\n'));
});

test('nor does a client go on with a negotiation that has failed while tls-final was asked', (t) => {
  const opened = connections(t);
  const world = new World(143);
  world.keys = {};
  world.asked.add('tls-final');
  const sent: Uint8Array[] = [];
  world.copies = (bytes) => {
    sent.push(bytes.slice());
    return 1;
  };
  const server = world.add('server', `${PLAIN_SERVER}reneg-sec 30 30\n`, '198.51.100.1');
  const client = world.add('ada', `${PLAIN_CLIENT}reneg-sec 0\n`, '198.51.100.2');
  world.run(10_000);
  assert.ok(client.log.includes(UP), server.log.join('\n'));
  world.held.add('tls-final');
  while (world.waiting.length < 2) world.run(world.now + 100);
  world.run(world.now + 100);
  opened[3]?.receive(Uint8Array.of(23, 0, 0, 9, 9, 9, 9));
  for (const bytes of sent.slice())
    client.machine.handleEvent({ event: 'control', link: client.link, from: server.address, bytes }, world.time);
  world.drain(client);
  assert.ok(client.log.includes('TLS Error: TLS handshake failed'), client.log.join('\n'));
  const keys = (): number => client.commands.filter(({ verb }) => verb === 'newKey').length;
  assert.equal(keys(), 1);
  world.release();
  world.release();
  assert.equal(keys(), 1);
});
