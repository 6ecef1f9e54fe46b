/**
 * The order of beginning and end, as "Structure of the VPN tunnel state storage" has it: in client mode one context that
 * its owner opens and closes; in server mode a top context that is no tunnel and holds tun and link, a Multi that
 * registers instances, and children that come and go without touching either.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { type Host, PLAIN_CLIENT, PLAIN_SERVER, World } from './world.js';

const SERVER = `${PLAIN_SERVER}ifconfig-pool-persist pool.txt 1
status status.txt 3600
`;
const CLIENT = `${PLAIN_CLIENT}explicit-exit-notify 1
`;

/** What a machine asks of the outside and of its data channel, from an output on, without what repeats. */
function steps(host: Host, from = 0): string[] {
  const all = host.outputs.slice(from).flatMap((output): string[] => {
    switch (output.output) {
      case 'ask':
        return [output.ask === 'event' ? output.request.event : output.ask];
      case 'command':
        return ['newPeer', 'newKey', 'addRoute', 'delPeer'].includes(output.command.verb) ? [output.command.verb] : [];
      case 'close-link':
        // The channel gives connections that it accepted negative numbers.
        return [output.link < 0 ? 'close-connection' : 'close-link'];
      case 'end':
        return [output.output];
      case 'write-file':
        return [`write ${output.path}`];
      case 'log':
        return output.text.startsWith('Initialization Sequence') ? ['initialized'] : [];
      default:
        return [];
    }
  });
  return all.filter((step, index) => step !== all[index - 1]);
}

test('client mode: one context, from the name to the tunnel, and back in reverse', () => {
  const world = new World(1);
  for (const event of ['up', 'route-up', 'route-predown', 'down']) world.asked.add(event);
  world.add('server', SERVER.replace(/^(ifconfig-pool-persist|status) .*\n/gm, ''), '198.51.100.1');
  const client = world.add('client', CLIENT, '198.51.100.2');
  world.run(5_000);
  // init_instance: addresses and socket; then the session; then do_up.
  assert.deepEqual(
    steps(client),
    'resolve open-link newPeer newKey open-tun configure-tun up configure-tun route-up initialized'.split(' '),
  );

  const restart = client.outputs.length;
  client.machine.handleSignal('SIGUSR1', world.time);
  world.drain(client);
  // close_instance: what the session had first, then the tun (there is no persist-tun).
  assert.deepEqual(steps(client, restart), ['delPeer', 'close-link', 'route-predown', 'close-tun', 'down']);
  world.run(20_000);

  const end = client.outputs.length;
  client.machine.handleSignal('SIGTERM', world.time);
  world.drain(client);
  world.run(25_000);
  // The exit notice has a second to leave.
  assert.deepEqual(steps(client, end), ['route-predown', 'close-tun', 'down', 'delPeer', 'close-link', 'end']);
});

for (const proto of ['udp', 'tcp']) {
  test(`server mode over ${proto}: the top opens link and tun once, instances come and go without them, the end is the reverse`, () => {
    const world = new World(2);
    for (const event of ['up', 'down', 'client-connect', 'learn-address', 'client-disconnect']) world.asked.add(event);
    const server = world.add('server', `${SERVER}proto ${proto === 'tcp' ? 'tcp-server' : 'udp'}\n`, '198.51.100.1');
    world.run(1_500);
    // multi_init and multi_top_init: there is nobody yet.
    assert.deepEqual(steps(server), [
      'read-file',
      'open-link',
      'open-tun',
      'configure-tun',
      'up',
      'configure-tun',
      'ready',
      'initialized',
      'write status.txt',
    ]);

    const clientConfig = CLIENT.replace('proto udp', `proto ${proto}`);
    const clients = [2, 3].map((n) => world.add(`client${n}`, clientConfig, `198.51.100.${n}`));
    const before = server.outputs.length;
    world.run(10_000);
    for (const client of clients)
      assert.ok(client.log.includes('Initialization Sequence Completed'), client.log.join('\n'));
    const [first] = clients;
    assert.ok(first);
    // One ends with a notice, another comes.
    first.machine.handleSignal('SIGTERM', world.time);
    world.drain(first);
    world.run(30_000);
    const last = world.add('client4', clientConfig, '198.51.100.4');
    world.run(40_000);
    assert.ok(last.log.includes('Initialization Sequence Completed'), last.log.join('\n'));
    const children = steps(server, before);
    for (const forbidden of ['open-link', 'close-link', 'open-tun', 'configure-tun', 'close-tun', 'up', 'down', 'end'])
      assert.ok(!children.includes(forbidden), `a child asked for ${forbidden}: ${children.join(' ')}`);
    const peers = server.commands.filter(({ verb }) => verb === 'newPeer').length;
    assert.equal(peers, 3, children.join(' '));
    assert.ok(children.indexOf('delPeer') < children.indexOf('client-disconnect'), children.join(' '));
    // multi_connection_established, for each: its place, then its peer and key, then its addresses.
    const place = children.slice(0, children.indexOf('newKey') + 1);
    assert.ok(place.indexOf('client-connect') < place.indexOf('newPeer'), place.join(' '));

    const end = server.outputs.length;
    server.machine.handleSignal('SIGTERM', world.time);
    world.drain(server);
    const closing = steps(server, end);
    // multi_uninit before multi_top_free: the instances (over TCP each with its connection), what was written down, then
    // tun and link.
    const instances = proto === 'udp' ? ['delPeer'] : ['delPeer', 'close-connection', 'delPeer', 'close-connection'];
    assert.deepEqual(
      closing.filter((step) => step !== 'client-disconnect' && step !== 'learn-address'),
      ['write status.txt', ...instances, 'write pool.txt', 'close-tun', 'down', 'close-link', 'end'],
    );
    assert.ok(closing.lastIndexOf('client-disconnect') < closing.indexOf('close-tun'), closing.join(' '));
  });
}

/** What "Structure of the VPN tunnel state storage" names. */
const NAMED = [
  'context',
  'CM_TOP',
  'main()',
  'tunnel_point_to_point()',
  'init_instance_handle_signals()',
  'init_instance()',
  'close_instance()',
  'tunnel_server()',
  'tunnel_server_udp_single_threaded()',
  'tunnel_server_tcp()',
  'multi_context',
  'multi_instance',
  'multi_init()',
  'multi_top_init()',
  'multi_uninit()',
  'multi_top_free()',
];

test('ARCHITECTURE.md says of each function that the document names where it is here, and it is there', () => {
  const root = join(import.meta.dirname, '../../..');
  const [, map = ''] = readFileSync(join(root, 'ARCHITECTURE.md'), 'utf8').split('| named there');
  const rows = map
    .split('\n')
    .slice(2)
    .filter((line) => line.startsWith('|'))
    .map((line) => line.split('|').slice(1, 3));
  for (const name of NAMED)
    assert.ok(
      rows.some(([theirs = '']) => theirs.includes(`\`${name}\``)),
      name,
    );
  const engine = join(root, 'packages/engine/src');
  const sources = [...readdirSync(engine, { recursive: true }), '../../runtime/src/tunnel-process.ts']
    .map(String)
    .filter((path) => path.endsWith('.ts'))
    .map((path) => readFileSync(join(engine, path), 'utf8'))
    .join('\n');
  for (const [, ours = ''] of rows)
    for (const [, room = '', path = ''] of ours.matchAll(
      /\b(?:packages\/)?(engine|dataplane|cli)\/(?:src\/)?([\w/-]+\.ts)/g,
    ))
      assert.ok(existsSync(join(root, 'packages', room, 'src', path)), path);
  for (const [, ours = ''] of rows)
    for (const [, name = ''] of ours.matchAll(/`(#?\w+)`/g))
      if (!['p2p', 'openvpnMain'].includes(name))
        assert.match(
          sources,
          new RegExp(name.startsWith('#') ? `^  ${name}\\(` : `(class ${name}\\b|^  ${name}\\()`, 'm'),
          name,
        );
});
