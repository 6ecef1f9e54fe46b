/**
 * `passtos`, ours beside stock: the TOS byte of what is inside stands outside, counted by nftables where packets come in and
 * go out.
 *
 *   client 10.9.0.2 ──── counters ── 10.9.0.1 server 10.77.0.1
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { after, test } from 'node:test';

import { inNetworkNamespace } from '@seikan/testkit';

import { createPki, end, hasStock, ours, Running, stock, temporaryFolder } from './program.js';

const UP = 'Initialization Sequence Completed';
const RULES = (['in', 'out'] as const)
  .map((way) => {
    const device = way === 'in' ? 'iif outside' : 'oif outside';
    const count = (dscp: string): string => `${device} ip dscp ${dscp} counter comment "${way}-${dscp}"\n`;
    return `chain ${way} { type filter hook ${way}put priority 0;\n${count('ef')}${count('cs1')}}\n`;
  })
  .join('');

inNetworkNamespace(import.meta.filename, () => {
  const skip = !hasStock && 'no openvpn to compare with';
  const folder = temporaryFolder();
  const running: Running[] = [];
  after(() => {
    for (const one of running) one.kill('SIGKILL');
  });
  const start = (name: string, program: string, args: string, place: { namespace?: string } = {}): Running => {
    const one = new Running(args.split(' '), { program, cwd: folder, logFile: join(folder, `${name}.log`), ...place });
    running.push(one);
    return one;
  };
  const shell = (...words: string[]): string => {
    const [command = '', ...args] = words;
    const ran = spawnSync(command, args, { encoding: 'utf8' });
    assert.equal(ran.status, 0, `${words.join(' ')}: ${ran.stderr}`);
    return ran.stdout;
  };
  /** Packets by what the counters are called. */
  const counted = (): Record<string, number> => {
    const found = shell('nft', 'list', 'table', 'ip', 'seen').matchAll(
      /counter packets (\d+) bytes \d+ comment "(.*)"/g,
    );
    return Object.fromEntries(Array.from(found, ([, count, name = '']) => [name, Number(count)]));
  };

  test('the network stands', { skip }, () => {
    for (const command of [
      'netns add client',
      'link add outside type veth peer name eth0 netns client',
      'address add 10.9.0.1/24 dev outside',
      'link set outside up',
      '-n client address add 10.9.0.2/24 dev eth0',
      '-n client link set eth0 up',
    ])
      shell('ip', ...command.split(' '));
    createPki(folder);
  });

  let port = 11_940;
  for (const [server, client, proto, where] of [
    [stock, stock, 'udp', 'both'],
    [ours, stock, 'udp', 'server'],
    [stock, ours, 'udp', 'client'],
    [ours, ours, 'tcp', 'both'],
    [ours, ours, 'udp', 'tap'],
    [ours, ours, 'udp', 'neither'],
  ] as const) {
    const named = (program: string): string => (program === ours ? 'ours' : 'stock');
    test(`${named(server)} and ${named(client)} over ${proto}, passtos at ${where}`, { skip }, async () => {
      port += 1;
      const passes = (end: 'server' | 'client'): string =>
        where === end || where === 'both' || where === 'tap' ? ' --passtos' : '';
      const device = where === 'tap' ? 'tap' : 'tun';
      const keys = (name: string): string => `--ca ca.crt --cert ${name}.crt --key ${name}.key --verb 3`;
      const from = start(
        `server-${port}`,
        server,
        `--dev ${device} --proto ${proto === 'tcp' ? 'tcp-server' : 'udp'} --local 10.9.0.1 --lport ${port} --server 10.77.0.0 255.255.255.0 --topology subnet --dh none ${keys('server')}${passes('server')}`,
      );
      await from.logged(UP);
      const to = start(
        `client-${port}`,
        client,
        `--client --dev ${device} --proto ${proto === 'tcp' ? 'tcp-client' : 'udp'} --remote 10.9.0.1 ${port} --nobind ${keys('client')}${passes('client')}`,
        { namespace: 'client' },
      );
      await to.logged(UP);
      // What is lost at the very beginning is not what this is about.
      shell('ip', 'netns', 'exec', 'client', 'ping', '-q', '-c', '3', '-i', '0.2', '-W', '10', '10.77.0.1');
      shell('nft', `add table ip seen; delete table ip seen; table ip seen { ${RULES} }`);
      // Mixed, so that packets of both are read at once.
      const ping = (tos: string): string => `ping -q -Q ${tos} -c 20 -i 0.01 -W 10 10.77.0.1 &`;
      shell('ip', 'netns', 'exec', 'client', 'bash', '-c', `${ping('0xb8')} ${ping('0x20')} wait`);
      const { 'in-ef': inEf = -1, 'in-cs1': inCs1 = -1, 'out-ef': outEf = -1, 'out-cs1': outCs1 = -1 } = counted();
      // TCP has packets of its own, and fewer where two are one.
      const [least, most] = proto === 'tcp' ? [2, 200] : [15, 25];
      for (const [way, counts] of [
        ['client', [inEf, inCs1]],
        ['server', [outEf, outCs1]],
      ] as const)
        for (const count of counts) {
          if (passes(way) === '') assert.equal(count, 0, way);
          else assert.ok(count >= least && count <= most, `${way}: ${counts.join(' ')}`);
        }
      await end(to);
      await end(from);
    });
  }
});
