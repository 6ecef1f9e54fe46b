import assert from 'node:assert/strict';
import { test } from 'node:test';

import { PLAIN_CLIENT, PLAIN_SERVER, World } from './world.js';

const SERVER = `${PLAIN_SERVER}keepalive 10 60
`;
const CLIENT = `${PLAIN_CLIENT}remote-cert-tls server
`;

test('a client connects, is given an address and the same keys are installed at both ends', () => {
  const world = new World(1);
  const server = world.add('server', SERVER, '198.51.100.1');
  const client = world.add('client', CLIENT, '198.51.100.2');
  world.run(3_000);
  assert.ok(client.log.includes('Initialization Sequence Completed'), client.log.join('\n'));
  const keyOf = (host: typeof server) => host.commands.find((command) => command.verb === 'newKey');
  const [atServer, atClient] = [keyOf(server), keyOf(client)];
  assert.ok(atServer?.verb === 'newKey' && atClient?.verb === 'newKey', server.log.join('\n'));
  assert.deepEqual(atServer.key.send, atClient.key.receive);
  assert.deepEqual(atServer.key.receive, atClient.key.send);
  assert.equal(atClient.key.cipher, 'AES-256-GCM');
  const configured = client.outputs.find((output) => output.output === 'ask' && output.ask === 'configure-tun');
  assert.ok(configured?.output === 'ask' && configured.ask === 'configure-tun');
  assert.deepEqual(configured.addresses, [{ address: '10.8.0.2', prefixLength: 24 }]);
});

test('handshakes finish and renegotiations go on under loss, doubling, reordering and corruption', () => {
  for (let seed = 1; seed <= 25; seed += 1) {
    const world = new World(seed);
    world.copies = () => (world.random.chance(0.12) ? 0 : world.random.chance(0.15) ? 2 : 1);
    world.delay = () => 1 + world.random.below(80);
    world.corrupt = (bytes) => {
      if (world.random.chance(0.03)) bytes[world.random.below(bytes.length)] = world.random.below(256);
    };
    const server = world.add('server', `${SERVER}reneg-sec 30 30\n`, '198.51.100.1');
    const clients = [2, 3, 4].map((n) => world.add(`client${n}`, CLIENT, `198.51.100.${n}`));
    world.run(300_000);
    for (const client of clients) {
      const count = client.log.filter((line) => line === 'Initialization Sequence Completed').length;
      assert.equal(count, 1, `seed ${seed}, ${client.name}: ${client.log.join('\n')}`);
      const keys = client.commands.filter((command) => command.verb === 'newKey');
      assert.ok(keys.length >= 4, `seed ${seed}, ${client.name} has ${keys.length} keys`);
      assert.deepEqual(keys.map((command) => command.verb === 'newKey' && command.keyId).slice(0, 3), [0, 1, 2]);
      for (const command of keys) {
        if (command.verb !== 'newKey') continue;
        const twin = server.commands.find(
          (other) => other.verb === 'newKey' && Buffer.from(other.key.send.cipher).equals(command.key.receive.cipher),
        );
        // The last key may still be on its way at one end when the time is over.
        if (command !== keys.at(-1)) assert.ok(twin !== undefined, `seed ${seed}: a key that only ${client.name} has`);
      }
    }
  }
});

test('a tunnel that carries nothing ends after inactive seconds, one with a session-timeout at its time', () => {
  const world = new World(7);
  world.add('server', SERVER, '198.51.100.1');
  const idle = world.add('idle', `${CLIENT}inactive 20\n`, '198.51.100.2');
  const short = world.add('short', `${CLIENT}session-timeout 30\n`, '198.51.100.3');
  world.run(15_000);
  assert.ok(!idle.log.some((line) => line.startsWith('Inactivity timeout')));
  world.run(60_000);
  assert.ok(idle.log.includes('Inactivity timeout (--inactive), exiting'), idle.log.join('\n'));
  assert.ok(short.log.includes('Session timeout, exiting'), short.log.join('\n'));
});

test('a user name cannot break lines: scripts and logs see underscores', () => {
  const world = new World(9);
  world.asked.add('auth-user-pass-verify');
  world.credentials = { username: 'ada\nroot: in', password: 'se\u0007cret' };
  const seen: Readonly<Record<string, string>>[] = [];
  world.events = (_host, { env }) => {
    seen.push(env);
    return { result: 'success' };
  };
  const server = world.add(
    'server',
    `${SERVER}auth-user-pass-verify /bin/true via-env\nscript-security 3\n`,
    '198.51.100.1',
  );
  const client = world.add('client', `${CLIENT}auth-user-pass\n`, '198.51.100.2');
  world.run(5_000);
  assert.ok(client.log.includes('Initialization Sequence Completed'), server.log.join('\n'));
  assert.deepEqual([seen[0]?.['username'], seen[0]?.['password']], ['ada_root: in', 'se_cret']);
  assert.ok(!server.log.some((line) => line.includes('\n')));
});

test('a client says when its server answers with another key, or none', () => {
  const world = new World(10);
  const client = world.add('client', `${CLIENT}tls-crypt k\n`, '198.51.100.2');
  const from = { family: 4, address: '198.51.100.1', port: 1194 } as const;
  const heard = (bytes: Uint8Array): string[] => {
    const before = client.log.length;
    client.machine.handleEvent({ event: 'control', link: client.link, from, bytes }, world.time);
    world.drain(client);
    return client.log.slice(before);
  };
  // A hard reset without any wrapping, and one that is long enough to be wrapped.
  const plain = Uint8Array.of(0x40, 1, 2, 3, 4, 5, 6, 7, 8, 1, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0);
  const failed = 'TLS Error: tls-crypt unwrapping failed from [AF_INET]198.51.100.1:1194';
  assert.deepEqual(heard(plain), ['tls-crypt unwrap error: packet too short', failed]);
  assert.deepEqual(heard(Uint8Array.of(...plain, ...new Uint8Array(40))), [
    'tls-crypt unwrap error: packet authentication failed',
    failed,
  ]);
});
