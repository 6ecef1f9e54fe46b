/** `compress migrate`, as a server of 2.6.14 was seen to treat such clients. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { parseClientConfig, parseConfig } from '@seikan/engine';

import { type Host, PLAIN_CLIENT, PLAIN_SERVER, World } from '../world.js';

const NOTE = "Note: 'compress migrate' detected remote peer with compression enabled.";

function connect(
  client: string,
  abilities?: World['abilities'],
): { readonly server: Host; readonly reply: string; readonly framing: unknown } {
  const world = new World(5);
  const server = world.add('server', `${PLAIN_SERVER}compress migrate\npush "ping 7"\nverb 3\n`, '198.51.100.1');
  world.abilities = abilities ?? world.abilities;
  world.add('client', PLAIN_CLIENT + client, '198.51.100.2');
  world.run(10_000);
  const peer = server.commands.find(({ verb }) => verb === 'newPeer');
  const reply = server.log.find((line) => line.includes('SENT CONTROL')) ?? '';
  return { server, reply, framing: peer?.verb === 'newPeer' ? peer.settings.compression : undefined };
}

for (const line of ['comp-lzo', 'comp-lzo no', 'compress lzo', 'compress stub', 'compress stub-v2'])
  test(`a client with ${line} is told to stop, after what the server pushes to all`, () => {
    const { server, reply, framing } = connect(`${line}\n`);
    assert.ok(server.log.some((text) => text.includes(NOTE)));
    assert.match(reply, /,ping 7,.*compress stub-v2,ifconfig 10/);
    assert.equal(framing, 'stub-v2');
  });

test('a client without compression hears nothing of it', () => {
  const { server, reply, framing } = connect('');
  assert.ok(!server.log.some((text) => text.includes(NOTE)));
  assert.doesNotMatch(reply, /comp/);
  assert.equal(framing, 'none');
});

test('a client that names no stub that it knows is pushed comp-lzo no', () => {
  const { reply, framing } = connect('comp-lzo no\n', { epoch: false, offload: true });
  assert.match(reply, /,comp-lzo no,ifconfig 10/);
  assert.equal(framing, 'lzo-no');
});

test("where it would do nothing it is left out with a warning: in a client's own file, and for a client", () => {
  const files = { read: () => undefined };
  const client = parseConfig(`${PLAIN_CLIENT}compress migrate\n`, 'client.conf', files);
  assert.ok(client.warnings.some(({ text }) => text.includes('compress migrate has no effect here')));
  const { options, warnings } = parseConfig(`${PLAIN_SERVER}compress migrate\n`, 'server.conf', files);
  assert.ok(!warnings.some(({ text }) => text.includes('compress')));
  const own = parseClientConfig('compress migrate\n', 'ccd/ada', { options, files });
  assert.match(own.warnings.map(({ text }) => text).join(), /bad comp option: migrate/);
});
