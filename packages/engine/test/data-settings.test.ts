/** What the data channel is told of a peer and its keys, from a configuration on. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { DataChannelCommand } from '@seikan/core';

import { PLAIN_CLIENT, PLAIN_SERVER, World } from './world.js';

type Of<Verb> = Extract<DataChannelCommand, { verb: Verb }>;

/** The client's peer and first key. */
function connected(
  proto: 'udp' | 'udp6' | 'tcp',
  directives: readonly string[],
): { peer: Of<'newPeer'>; key: Of<'newKey'> } {
  const world = new World(121);
  const extra = directives.map((line) => `${line}\n`).join('');
  const [at, from] = proto === 'udp6' ? ['2001:db8::1', '2001:db8::2'] : ['198.51.100.1', '198.51.100.2'];
  world.add('server', `${PLAIN_SERVER}proto ${proto === 'tcp' ? 'tcp-server' : proto}\n${extra}`, at);
  const config = PLAIN_CLIENT.replace('proto udp', `proto ${proto}`).replace('198.51.100.1', at);
  const client = world.add('client', config + extra, from);
  world.run(6_000);
  const peer = client.commands.find((command) => command.verb === 'newPeer');
  const key = client.commands.find((command) => command.verb === 'newKey');
  assert.ok(peer !== undefined && key !== undefined, client.log.join('\n'));
  return { peer, key };
}

/** `Data Channel MTU parms [ mss_fix:… max_frag:…` of openvpn 2.6.14 as a client, in these sessions. */
const recorded: readonly (readonly ['udp' | 'udp6' | 'tcp', string, number, number])[] = [
  ['udp', '', 1400, 0],
  ['udp', 'mssfix 1300', 1236, 0],
  ['udp', 'mssfix 1300 mtu', 1208, 0],
  ['udp', 'mssfix 1300 fixed', 1260, 0],
  ['udp', 'mssfix 0', 0, 0],
  ['udp', 'tun-mtu 1400', 1360, 0],
  ['udp', 'max-packet-size 1200', 1108, 0],
  ['udp', 'data-ciphers AES-256-CBC; auth SHA256', 1363, 0],
  ['udp', 'compress stub-v2; mssfix 1300', 1236, 0],
  ['udp', 'comp-lzo no; mssfix 1300', 1235, 0],
  ['udp6', '', 1380, 0],
  ['udp6', 'mssfix 1300', 1236, 0],
  ['udp6', 'mssfix 1300 mtu', 1188, 0],
  ['udp6', 'tun-mtu 1400', 1360, 0],
  ['udp6', 'data-ciphers AES-256-CBC; auth SHA256', 1347, 0],
  ['tcp', '', 1386, 0],
  ['tcp', 'mssfix 1300', 1234, 0],
  ['tcp', 'mssfix 1300 mtu', 1194, 0],
  ['tcp', 'mssfix 1300 fixed', 1260, 0],
  ['tcp', 'max-packet-size 1200', 1094, 0],
  ['tcp', 'data-ciphers AES-256-CBC; auth SHA256', 1347, 0],
  ['tcp', 'comp-lzo no; mssfix 1300', 1233, 0],
  ['udp', 'fragment 1200', 1104, 1172],
  ['udp', 'fragment 1200 mtu', 1104, 1144],
  ['udp', 'fragment 1200; mssfix', 1104, 1172],
  ['udp', 'fragment 1200; mssfix 1100', 1032, 1172],
  ['udp', 'fragment 1200; data-ciphers AES-256-CBC; auth SHA256', 1071, 1127],
  ['udp6', 'fragment 1200', 1084, 1172],
  ['udp6', 'fragment 1200 mtu', 1084, 1124],
  ['udp6', 'fragment 1200; mssfix 1100', 1032, 1172],
  ['udp6', 'fragment 1200; data-ciphers AES-256-CBC; auth SHA256', 1039, 1127],
];

test('segments and fragments are as large as those of openvpn 2.6.14', () => {
  for (const [proto, directives, mss, fragment] of recorded) {
    const { settings } = connected(proto, directives === '' ? [] : directives.split('; ')).peer;
    const title = `${proto} ${directives}`;
    // Ours is with the header of 4 bytes, theirs without.
    const withHeader = fragment === 0 ? 0 : fragment + 4;
    assert.deepEqual([settings.mssClamp, settings.fragmentSize], [mss, withHeader], title);
  }
});

test('replay-window holds for the keys, 64 packets and 15 seconds without it', () => {
  for (const [directives, size, time] of [
    [[], 64, 15_000],
    [['replay-window 512'], 512, 15_000],
    [['replay-window 128 40'], 128, 40_000],
  ] as const) {
    const { key } = connected('udp', directives).key;
    assert.deepEqual([key.replayWindow, key.replayTime], [size, time]);
  }
});

test('a client guards against tun packets to its server, unless allow-recursive-routing is set; a server does not', () => {
  for (const [directive, guarded] of [
    ['', true],
    ['allow-recursive-routing\n', false],
  ] as const) {
    const world = new World(122);
    const server = world.add('server', PLAIN_SERVER, '198.51.100.1');
    const client = world.add('client', PLAIN_CLIENT + directive, '198.51.100.2');
    world.run(6_000);
    const guards = [client, server].map(
      ({ commands }) => commands.find((command) => command.verb === 'newPeer')?.settings.guardRecursion,
    );
    assert.deepEqual(guards, [guarded, false]);
  }
});
