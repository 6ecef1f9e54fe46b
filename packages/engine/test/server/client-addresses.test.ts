/** Which addresses a client is given, and which of its networks are learnt. As OpenVPN 2.6.14 was seen to do it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type Host, PLAIN_CLIENT, PLAIN_SERVER, World } from '../world.js';

const POOL_OF_TWO = PLAIN_SERVER.replace(
  'server 10.8.0.0 255.255.255.0\n',
  'ifconfig 10.8.0.1 255.255.255.0\nifconfig-pool 10.8.0.4 10.8.0.5 255.255.255.0\nclient-config-dir ccd\n',
);

/** `ada` has an address of her own, bob and eve have none. */
function served(config: string, own: string): Host {
  const world = new World(63);
  world.files.set('ccd/ada', { text: own });
  const server = world.add('server', POOL_OF_TWO + config, '198.51.100.1');
  for (const [index, name] of ['ada', 'bob', 'eve'].entries()) {
    world.add(name, PLAIN_CLIENT, `198.51.100.${10 + index}`);
    world.run(world.now + 3_000);
  }
  return server;
}

/** `10.8.0.4 bob`, as learnt. */
function learnt({ log }: Host): string[] {
  return log.flatMap((line) => {
    const [, address, name] = /^MULTI: Learn: (\S+) -> ([^/]+)/.exec(line) ?? [];
    return address === undefined ? [] : [`${address} ${name}`];
  });
}

test('an address of its own leaves the pool to the others', () => {
  const server = served('', 'ifconfig-push 10.8.0.77 255.255.255.0');
  assert.deepEqual(learnt(server), ['10.8.0.77 ada', '10.8.0.4 bob', '10.8.0.5 eve']);
});

test('an IPv6 address from the pool is still one for each client', () => {
  const server = served('server-ipv6 fd00:8::/64\n', 'ifconfig-push 10.8.0.77 255.255.255.0');
  const ipv6 = learnt(server).filter((line) => line.startsWith('fd00:'));
  assert.deepEqual(ipv6, ['fd00:8::1000 ada', 'fd00:8::1001 bob']);
});

test('an address outside of ifconfig-push-constraint is an error in the log, and used', () => {
  const server = served('ifconfig-push-constraint 10.8.0.0 255.255.255.0\n', 'ifconfig-push 10.9.0.7 255.255.255.0');
  const line =
    'MULTI ERROR: primary virtual IP for ada/198.51.100.10:1194 (10.9.0.7) violates tunnel network/netmask constraint (10.8.0.0/255.255.255.0)';
  assert.ok(server.log.includes(line), server.log.join('\n'));
  assert.ok(learnt(server).includes('10.9.0.7 ada'));
});

test('networks behind a client are learnt from the last one on, up to max-routes-per-client with its own address', () => {
  const server = served(
    'max-routes-per-client 3\n',
    'ifconfig-push 10.8.0.77 255.255.255.0\niroute 10.50.0.0 255.255.0.0\niroute 10.51.0.0 255.255.0.0\niroute-ipv6 fd00:50::/64',
  );
  assert.deepEqual(learnt(server).slice(0, 3), ['10.8.0.77 ada', '10.51.0.0/16 ada', '10.50.0.0/16 ada']);
  assert.ok(
    server.log.includes(
      'MULTI ROUTE: route quota (3) exceeded for ada/198.51.100.10:1194 (see --max-routes-per-client option)',
    ),
  );
  assert.ok(server.log.includes('MULTI: Learn FAILED: fd00:50::/64 -> ada/198.51.100.10:1194'));
});

test('a network that two clients have is the later one’s, and nobody’s when that one leaves', () => {
  const world = new World(67);
  for (const name of ['ada', 'bob']) world.files.set(`ccd/${name}`, { text: 'iroute 10.50.0.0 255.255.0.0' });
  const config = `${PLAIN_SERVER}client-config-dir ccd\nstatus status.txt 1\nstatus-version 2\n`;
  const server = world.add('server', config, '198.51.100.1');
  const holders = (): string[] => {
    world.run(world.now + 3_000);
    const text = server.outputs.findLast((output) => output.output === 'write-file')?.text ?? '';
    return Array.from(text.matchAll(/^ROUTING_TABLE,10\.50\.0\.0\/16,(\w+)/gm), ([, name]) => name ?? '');
  };
  world.add('ada', PLAIN_CLIENT, '198.51.100.10');
  assert.deepEqual(holders(), ['ada']);
  world.add('bob', PLAIN_CLIENT, '198.51.100.11');
  assert.deepEqual(holders(), ['bob']);
  server.machine.handleEvent({ event: 'peerTimeout', peer: { index: 1, generation: 1 } }, world.time);
  world.drain(server);
  assert.deepEqual(holders(), []);
});
