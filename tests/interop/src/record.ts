/**
 * Records short sessions between stock peers as vectors: the capture, what both logs at verb 11 say of keys, packets
 * and derivations, the options, and the test keys that were used.
 *
 *     node tests/interop/dist/record.js FOLDER [NAME...]      (tests/vectors/traces; needs root and tcpdump)
 */
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { pingAll, Teardown } from '@seikan/testkit';
import type { Cell } from './cell.js';
import { exercise } from './events.js';
import type { Directive } from './options.js';
import { findPeer } from './peers.js';
import { createPki } from './pki.js';
import { optionLine, startCapture, tellingLines } from './recording.js';
import { Session } from './session.js';

type Shape = Omit<Cell, 'client' | 'server' | 'ci'>;

/** What is recorded: a name, the shape, and what it is about (for the README of the folder). */
const recordings: readonly (readonly [name: string, peer: 'stock-2.6' | 'stock-2.7', shape: Shape, about: string])[] = [
  [
    '30-tlscryptv2-user-2614',
    'stock-2.6',
    { proto: 'udp4', wrap: 'tls-crypt-v2', cipher: 'AES-256-GCM', event: 'steady' },
    'tls-crypt-v2 with user metadata',
  ],
  [
    '31-fragment-2614',
    'stock-2.6',
    { proto: 'udp4', wrap: 'none', cipher: 'AES-256-GCM', event: 'fragment' },
    '`fragment 500`: whole, first, middle and last fragments; a control channel without wrapping',
  ],
  [
    '32-static-key-2614',
    'stock-2.6',
    { proto: 'udp4', wrap: 'none', cipher: 'AES-256-CBC', event: 'static-key' },
    'static key mode, AES-256-CBC with HMAC-SHA256, long packet ids',
  ],
  [
    '33-tcp-tlscrypt-chacha-2614',
    'stock-2.6',
    { proto: 'tcp4', wrap: 'tls-crypt', cipher: 'CHACHA20-POLY1305', event: 'steady' },
    'TCP framing, CHACHA20-POLY1305',
  ],
  [
    '34-stubv2-tlsauth-sha1-2614',
    'stock-2.6',
    { proto: 'udp4', wrap: 'tls-auth', cipher: 'AES-192-GCM', event: 'stub-v2' },
    'compress stub-v2, tls-auth with its default SHA1, AES-192-GCM',
  ],
  [
    '35-token-reneg-2614',
    'stock-2.6',
    { proto: 'udp4', wrap: 'tls-crypt', cipher: 'AES-128-GCM', event: 'token' },
    'user and password, auth-gen-token, renegotiations by token under dynamic tls-crypt',
  ],
  [
    '36-tap-udp6-cbc-2614',
    'stock-2.6',
    { proto: 'udp6', wrap: 'none', cipher: 'AES-128-CBC', event: 'tap' },
    'Ethernet frames, UDP over IPv6, AES-128-CBC with the default HMAC-SHA1',
  ],
  [
    '37-epoch-tlscryptv2-278',
    'stock-2.7',
    { proto: 'udp4', wrap: 'tls-crypt-v2', cipher: 'AES-256-GCM', event: 'reneg-client' },
    'epoch data format with renegotiations, post-quantum ClientHello beside a WKc',
  ],
];

async function record(
  target: string,
  [name, implementation, shape]: (typeof recordings)[number],
  pki: Awaited<ReturnType<typeof createPki>>,
): Promise<void> {
  const peer = await findPeer(implementation);
  const folder = join(target, name);
  const scratch = mkdtempSync('/tmp/seikan-record-');
  const teardown = new Teardown();
  teardown.defer(() => rmSync(scratch, { recursive: true, force: true }));
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const cell: Cell = { ...shape, client: implementation, server: implementation, ci: false };
  const final = (directives: readonly Directive[]): Directive[] =>
    directives.map(([first, ...values]): Directive => {
      if (first === 'verb') return ['verb', '11'];
      // the user's metadata is the point of one recording
      return [first, ...values.map((value) => value.replace('tls-crypt-v2.key', 'tls-crypt-v2-user.key'))];
    });
  try {
    const session = await Session.open({
      cell,
      client: peer,
      server: peer,
      pki,
      folder: scratch,
      teardown,
      adjust: ({ server, client }) => ({ server: final(server), client: final(client) }),
    });
    const capture = await startCapture(session.network.server, join(folder, 'trace.pcap'), teardown);
    await session.serverReady();
    session.startClient();
    await session.clientUp();
    const brief = { count: 2, size: cell.event === 'fragment' ? 1400 : 56 };
    await pingAll(await session.ends(), brief);
    if (['token', 'reneg-client'].includes(cell.event)) await session.renegotiated(2);
    else if (cell.event !== 'fragment') await exercise(cell, session);
    await pingAll(await session.ends(), brief);
    await session.close();
    await capture.stop();
    for (const side of ['server', 'client'] as const)
      writeFileSync(join(folder, `${side}.log`), tellingLines(session.logs[side].flat()));
    writeFileSync(
      join(folder, 'cmd.txt'),
      optionLine('server', session.sides.server) + optionLine('client', session.sides.client),
    );
    const files = new Set([...session.sides.server, ...session.sides.client].flatMap(([, ...values]) => values));
    for (const file of files)
      if (/\/(tls-|static)[\w-]*\.key$/.test(file)) copyFileSync(file, join(folder, basename(file)));
    console.log(`${name}: ${session.logs.server.flat().length} lines of server log`);
  } finally {
    await teardown.close();
  }
}

const [target, ...names] = process.argv.slice(2);
if (target === undefined) throw new Error('usage: record.js FOLDER [NAME...]');
const keys = mkdtempSync('/tmp/seikan-record-pki-');
try {
  const pki = await createPki(keys);
  for (const recording of recordings)
    if (names.length === 0 || names.includes(recording[0])) await record(target, recording, pki);
  console.log(recordings.map(([name, , , about]) => `| \`${name}\` | ${about} |`).join('\n'));
} finally {
  await Teardown.closeAll();
  rmSync(keys, { recursive: true, force: true });
}
