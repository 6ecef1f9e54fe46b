/** Ends that have no cipher in common carry nothing, rather than plain text. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type Host, PLAIN_CLIENT, PLAIN_SERVER, World } from './world.js';

const PEER = 'dev tun\nca ca.crt\n';
const PEER_SERVER = `${PEER}tls-server\ndh none\ncert server.crt\nkey server.key\nifconfig 10.1.0.1 10.1.0.2\n`;
const PEER_CLIENT = `${PEER}tls-client\nremote 198.51.100.1\ncert client.crt\nkey client.key\nifconfig 10.1.0.2 10.1.0.1\n`;

const ciphersOf = ({ commands }: Host): string[] =>
  commands.flatMap((command) => (command.verb === 'newKey' ? [command.key.cipher] : []));

function pair(server: string, client: string, files: readonly (readonly [string, string])[] = []) {
  const world = new World(97);
  for (const [path, text] of files) world.files.set(path, { text });
  const hosts = {
    server: world.add('server', server, '198.51.100.1'),
    client: world.add('ada', client, '198.51.100.2'),
  };
  world.run(6_000);
  return hosts;
}

test('p2p peers without a common cipher begin anew, as OpenVPN 2.6.14 does', () => {
  const hosts = pair(`${PEER_SERVER}data-ciphers AES-256-GCM\n`, `${PEER_CLIENT}data-ciphers CHACHA20-POLY1305\n`);
  for (const host of [hosts.server, hosts.client]) {
    assert.deepEqual(ciphersOf(host), [], host.name);
    const said = host.log.join('\n');
    assert.match(said, /P2P mode NCP negotiation result: .*cipher=\(not negotiated, fallback-cipher: none\)/);
    assert.ok(
      host.log.includes(
        'ERROR: failed to negotiate cipher with peer and --data-ciphers-fallback not enabled. No usable data channel cipher',
      ),
      said,
    );
    assert.ok(host.log.includes('SIGUSR1[soft,connection initialisation failed] received, process restarting'), said);
  }
});

test('a p2p peer that does not negotiate has no key either, but with a cipher for that case', () => {
  const named = 'cipher AES-256-CBC\n';
  for (const [extra, ciphers] of [
    ['', []],
    [named, ['AES-256-CBC']],
  ] as const) {
    // A client that pulls is none that negotiates as a peer.
    const { server } = pair(PEER_SERVER + extra, PLAIN_CLIENT);
    assert.deepEqual(ciphersOf(server), ciphers, server.log.join('\n'));
  }
});

test('p2p peers of which one only has the cipher that the other names for that case', () => {
  const { server, client } = pair(
    `${PEER_SERVER}cipher AES-256-CBC\n`,
    `${PEER_CLIENT}cipher AES-256-CBC\ndata-ciphers AES-128-CBC\n`,
  );
  assert.deepEqual(ciphersOf(server).slice(0, 1), ['AES-256-CBC']);
  assert.deepEqual(ciphersOf(client).slice(0, 1), ['AES-256-CBC']);
});

test("a cipher for old clients, the server's or in a client's own file, is not for one that lists others", () => {
  const server = `${PLAIN_SERVER}data-ciphers AES-256-GCM\nclient-config-dir ccd\n`;
  const client = `${PLAIN_CLIENT}data-ciphers AES-128-CBC\n`;
  for (const name of ['BF-CBC', 'AES-128-CBC']) {
    const fallback = `data-ciphers-fallback ${name}\n`;
    const hosts = pair(server, client, [['ccd/ada', fallback]]);
    assert.deepEqual(ciphersOf(hosts.server), []);
    assert.ok(
      hosts.client.log.some((line) => line.includes('AUTH_FAILED,Data channel cipher negotiation failed')),
      hosts.client.log.join('\n'),
    );
  }
  assert.deepEqual(ciphersOf(pair(`${server}data-ciphers-fallback AES-128-CBC\n`, client).server), []);
});

test("of what p2p peers have in common, the first in the TLS server's list is taken", () => {
  const { server, client } = pair(
    `${PEER_SERVER}data-ciphers AES-128-GCM:AES-256-GCM\n`,
    `${PEER_CLIENT}data-ciphers AES-256-GCM:CHACHA20-POLY1305:AES-128-GCM\n`,
  );
  assert.deepEqual([ciphersOf(server), ciphersOf(client)], [['AES-128-GCM'], ['AES-128-GCM']]);
});
