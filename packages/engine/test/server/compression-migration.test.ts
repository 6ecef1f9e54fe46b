/** `compress migrate`, as a server of 2.6.14 was seen to treat such clients. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

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

test('a client that names no stub that it knows, as those of old, is pushed comp-lzo no', () => {
  const { reply, framing } = connect('comp-lzo no\n', { epoch: false, offload: true });
  assert.match(reply, /,comp-lzo no,ifconfig 10/);
  assert.equal(framing, 'lzo-no');
});
