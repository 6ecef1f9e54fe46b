/**
 * Records one session of the OpenVPN 3 client with a stock server as a vector: the capture, what the server's log at verb
 * 11 says of keys, packets and derivations (the client tells none of its own), the options, and the test keys.
 *
 *     node tests/openvpn3/dist/record.js FOLDER      (tests/vectors/traces; needs root and tcpdump)
 */
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pingAll, Teardown } from '@seikan/testkit';
import type { Directive } from '#interop/options.js';
import { findPeer } from '#interop/peers.js';
import { createPki } from '#interop/pki.js';
import { optionLine, startCapture, tellingLines } from '#interop/recording.js';
import { eventually } from '#netcfg/eventually.js';
import type { Cell } from './cell.js';
import { profileOptions, serverOptions } from './options.js';
import { Session } from './session.js';

const NAME = '40-epoch-openvpn3-27-278';
const HANDSHAKES = 3;
const cell: Cell = {
  proto: 'udp4',
  wrap: 'tls-crypt-v2',
  cipher: 'AES-256-GCM',
  tls: '1.3',
  event: 'reneg-server',
  ci: false,
};

async function record(target: string, scratch: string, teardown: Teardown): Promise<void> {
  const pki = await createPki(scratch);
  const folder = join(target, NAME);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const server = await findPeer('stock-2.7');
  // Little beside the key exchanges: each packet takes lines of the log.
  const adjust = (options: readonly Directive[]): Directive[] => [...options, ['verb', '11'], ['keepalive', '2', '30']];
  const where = { pki, folder: scratch };
  const session = await Session.open({ cell, suite: 'sid', netcfg: 'original', server, adjust, teardown, ...where });
  const capture = await startCapture(session.network.server, join(folder, 'trace.pcap'), teardown);
  await session.client.start();
  const handshakes = (): number => session.serverLines.filter((line) => line.includes('Control Channel: TLSv')).length;
  for (let seen = 1; seen <= HANDSHAKES; seen += 1) {
    await eventually(`${seen} handshakes`, () => handshakes() >= seen);
    await pingAll(await session.ends(), { count: 2, least: 1 });
  }
  await session.client.manage('disconnect');
  await capture.stop();
  await session.close();
  writeFileSync(join(folder, 'server.log'), tellingLines(session.serverLines));
  const options = [
    optionLine('server', adjust(serverOptions(cell, where))),
    optionLine('client', profileOptions(cell, where)),
  ];
  writeFileSync(join(folder, 'cmd.txt'), options.join(''));
  copyFileSync(pki.file('tls-crypt-v2.key'), join(folder, 'tls-crypt-v2-user.key'));
  copyFileSync(pki.file('tls-crypt-v2-server.key'), join(folder, 'tls-crypt-v2-server.key'));
  console.log(`${NAME}: ${session.serverLines.length} lines of server log`);
}

const [target] = process.argv.slice(2);
if (target === undefined) throw new Error('usage: record.js FOLDER');
const teardown = new Teardown();
const scratch = mkdtempSync('/tmp/seikan-record-');
teardown.defer(() => rmSync(scratch, { recursive: true, force: true }));
try {
  await record(target, scratch, teardown);
} finally {
  await teardown.close();
}
