/**
 * Runs inside the virtual machine: our openvpn and the stock one in two network namespaces, both offloaded to the same
 * kernel, in each role. One line per check: `SEIKAN ok …` or `SEIKAN FAILED …`, and `SEIKAN done` at the end.
 *
 * Everything is slow here, so everything waits for what it needs, with generous limits.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

import { findKernelOffload, type OffloadEvent } from '@seikan/dco';
import { UdpSocket } from '@seikan/native';
import { NetlinkError, RouteNetlink } from '@seikan/netconf';

import { check, execute, failures, must, say } from './report.js';
import { cases, Lane, runCase } from './tunnel-cases.js';

/** Every call of KernelTunnel on a link without a tunnel. */
async function probeKernel(): Promise<void> {
  const report = (what: string, good: boolean, detail = ''): void => check(`kernel: ${what}`, good, detail);
  const offload = findKernelOffload(['ovpn', 'ovpn-dco-v2']);
  if (offload === undefined) {
    report('has a family', false);
    return;
  }
  report(`has the family ${offload.family}`, true);
  const routes = new RouteNetlink();
  const link = await offload.createLink(routes, 'probe0', 'p2p');
  const tunnel = offload.openTunnel(link);
  const events: OffloadEvent[] = [];
  tunnel.listen({
    event: (event) => void events.push(event),
    failure: (error) => report('notifications', false, String(error)),
  });
  const socket = UdpSocket.open({ family: 4, bind: { address: '127.0.0.1', port: 0 } });
  const remote = { family: 4, address: '127.0.0.1', port: 9 } as const;
  const newPeer = (peerId: number): void =>
    tunnel.newPeer({ peerId, socket: socket.descriptor.fd, remote, vpn4: undefined, vpn6: undefined });
  const half = (fill: number) => ({ cipher: new Uint8Array(32).fill(fill), nonceTail: new Uint8Array(8).fill(fill) });
  const key = { peerId: 7, keyId: 1, cipher: 'aes-gcm', encrypt: half(1), decrypt: half(2) } as const;
  const happened = async (wanted: OffloadEvent): Promise<boolean> => {
    for (const end = Date.now() + 30_000; Date.now() < end; await sleep(50))
      if (events.some((event) => JSON.stringify(event) === JSON.stringify(wanted))) return true;
    return false;
  };

  newPeer(7);
  tunnel.newKey({ ...key, slot: 'secondary' });
  tunnel.swapKeys(7);
  tunnel.newKey({ ...key, slot: 'secondary', keyId: 2, cipher: 'chacha20-poly1305' });
  tunnel.deleteKey(7, 'secondary');
  tunnel.setKeepalive({ peerId: 7, interval: 1, timeout: 3 });
  const state = tunnel.readPeer(7);
  report(
    'keeps what it is told of a peer',
    state?.remote?.port === 9 && state.keepaliveInterval === 1 && state.keepaliveTimeout === 3,
    JSON.stringify(state),
  );
  report('does not know other peers', tunnel.readPeer(8) === undefined);
  let refusal = '';
  try {
    tunnel.deletePeer(8);
  } catch (error) {
    if (error instanceof NetlinkError) refusal = error.code;
  }
  report('refuses with ENOENT what concerns them', refusal === 'ENOENT', refusal);
  report(
    'tells of an expired peer',
    await happened({ event: 'peerDeleted', peerId: 7, reason: 'expired' }),
    JSON.stringify(events),
  );
  report('has it no longer', tunnel.readPeer(7) === undefined);
  newPeer(9);
  tunnel.deletePeer(9);
  report(
    'tells of a deleted peer',
    await happened({ event: 'peerDeleted', peerId: 9, reason: 'userspace' }),
    JSON.stringify(events),
  );
  tunnel.close();
  await routes.deleteLink(link.index);
  report('has the link no longer', (await routes.link('probe0')) === undefined);
  socket.close();
  routes.close();
  offload.close();
}

/** Runs a program to its end; each of its lines is heard at once, and kept in the console. */
async function runProgram(command: readonly string[], heard: (line: string) => void): Promise<number | null> {
  const [program, ...rest] = command;
  const child = spawn(program as string, rest, { stdio: ['ignore', 'pipe', 'pipe'] });
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => {
      process.stdout.write(`[${command.at(-1)}] ${line}\n`);
      heard(line);
    });
  }
  return new Promise((resolve) => child.on('close', resolve));
}

/** The data channel's compliance suite, in a namespace of its own. */
async function runCompliance(): Promise<void> {
  const counts = { kept: 0, excepted: 0, skipped: 0, failed: 0 };
  must('ip', 'netns', 'add', 'compliance');
  const program = [process.execPath, '--test-reporter=tap', '/seikan/tests/dco/dist/compliance.js'];
  const status = await runProgram(
    ['ip', 'netns', 'exec', 'compliance', 'taskset', '--cpu-list', '0', ...program],
    (line) => {
      const [, not, title = ''] = /^ {4}(not )?ok \d+ - (.*)$/.exec(line) ?? [];
      if (title === '') return;
      if (not !== undefined) {
        counts.failed += 1;
        check(`compliance: ${title}`, false);
      } else if (title.includes('# SKIP')) counts.skipped += 1;
      else if (title.startsWith('not kept: ')) counts.excepted += 1;
      else counts.kept += 1;
    },
  );
  check(
    `compliance: ${counts.kept} rules kept, ${counts.excepted} run and not kept as listed, ${counts.skipped} not run as listed`,
    status === 0 && counts.failed === 0 && counts.kept > 0,
    status === 0 ? '' : `status ${status}`,
  );
}

/** Debian's unchanged openvpn3-client over our service, with offload; where the suite's tree came along. */
async function runOpenvpn3(suite: string): Promise<void> {
  if (!existsSync(`/seikan/.cache/trees/${suite}`)) return;
  let ended = false;
  await runProgram([process.execPath, '/seikan/tests/netcfg/dist/main.js', '--suite', suite, 'offload'], (line) => {
    if (line.startsWith('  ')) check(`openvpn3: ${line.trim()}`, true);
    else if (line.startsWith('openvpn3-client')) say(line);
    else if (line.startsWith('FAILED')) check('openvpn3', false, line);
    else if (line === '1 passed, 0 failed') ended = true;
  });
  check('openvpn3: came to its end', ended);
}

/** So many cases at once: they wait most of the time. */
const LANES = 3;

const wanted = (process.argv[2] ?? 'all').split('+');
const version = /OpenVPN \S+/.exec(execute('/usr/sbin/openvpn', '--version').text)?.[0] ?? 'no openvpn';
say(`kernel ${must('uname', '-r').trim()}, ${version}, node ${process.version}`);
const left: { readonly name: string; readonly run: (lane: Lane) => Promise<void> }[] = [
  // The longest first.
  { name: 'compliance', run: runCompliance },
  { name: 'openvpn3', run: () => runOpenvpn3('trixie') },
  { name: 'openvpn3-sid', run: () => runOpenvpn3('sid') },
  ...cases.map((which) => ({ name: which.name, run: (lane: Lane) => runCase(which, lane) })),
].flatMap((which) => {
  // As often as it is named.
  const times = wanted.filter((name) => name === which.name || name === 'all').length;
  return Array.from({ length: times }, () => which);
});
if (wanted.includes('all') || wanted.includes('kernel'))
  await probeKernel().catch((error: unknown) => check('kernel', false, String(error)));
await Promise.all(
  Array.from({ length: LANES }, async (_, number) => {
    const lane = new Lane(number);
    for (let next = left.shift(); next !== undefined; next = left.shift()) {
      const { name, run } = next;
      try {
        await run(lane);
      } catch (error) {
        check(name, false, String(error));
      }
    }
  }),
);
say(`${failures()} failed`);
say('done');
