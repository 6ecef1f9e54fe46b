/**
 * `client-nat`, ours beside stock: the client's 192.168.5.1 is 10.99.5.1 for the server, whose 10.77.0.1 is 10.88.0.1 for it.
 *
 *   client 192.168.5.1, 10.9.0.2 ──── 10.9.0.1 stock server 10.77.0.1
 */
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { promisify } from 'node:util';

import { inNetworkNamespace, ping } from '@seikan/testkit';

import { createPki, end, hasStock, ours, Running, stock, temporaryFolder, until } from './program.js';

const run = promisify(execFile);
const UP = 'Initialization Sequence Completed';
const RULES = ['snat 192.168.5.0 255.255.255.0 10.99.5.0', 'dnat 10.88.0.0 255.255.255.0 10.77.0.0'];
const DATA = Buffer.alloc(8_000_000, 'translated ');

inNetworkNamespace(import.meta.filename, () => {
  const skip = !hasStock && 'no openvpn to compare with';
  const folder = temporaryFolder();
  const running: Running[] = [];
  after(() => {
    for (const one of running) one.kill('SIGKILL');
  });
  const start = (name: string, program: string, args: readonly string[], namespace?: string): Running => {
    const where = namespace === undefined ? {} : { namespace };
    const one = new Running(args, { program, cwd: folder, logFile: join(folder, `${name}.log`), ...where });
    running.push(one);
    return one;
  };
  /** In the client's namespace. */
  const shell = async (script: string): Promise<Buffer> => {
    const options = { cwd: folder, encoding: 'buffer', timeout: 60_000, maxBuffer: 2 * DATA.length } as const;
    return (await run('ip', ['netns', 'exec', 'client', 'bash', '-c', script], options)).stdout;
  };

  test('the network stands', { skip }, () => {
    for (const command of [
      'netns add client',
      'link add outside type veth peer name eth0 netns client',
      'address add 10.9.0.1/24 dev outside',
      'link set outside up',
      '-n client link set lo up',
      '-n client address add 192.168.5.1/24 dev lo',
      '-n client address add 10.9.0.2/24 dev eth0',
      '-n client link set eth0 up',
    ])
      assert.equal(spawnSync('ip', command.split(' ')).status, 0, command);
    createPki(folder);
    writeFileSync(join(folder, 'data'), DATA);
    mkdirSync(join(folder, 'ccd'));
    writeFileSync(join(folder, 'ccd/client'), 'iroute 10.99.5.0 255.255.255.0\n');
  });

  for (const [name, program, from] of [
    ['ours', ours, 'its own file'],
    ['ours', ours, 'a push'],
    ['stock', stock, 'a push'],
  ] as const) {
    test(`${name}, by ${from}: ICMP, TCP and UDP cross with other addresses, both ways`, { skip }, async () => {
      const isPushed = from === 'a push';
      const pushed = isPushed ? RULES.flatMap((rule) => ['--push', `client-nat ${rule}`]) : [];
      const own = isPushed ? [] : RULES.flatMap((rule) => `--client-nat ${rule}`.split(' '));
      const server = start(`server-${name}`, stock, [
        ...'--dev tun --local 10.9.0.1 --server 10.77.0.0 255.255.255.0 --topology subnet --dh none --ca ca.crt --cert server.crt --key server.key --keepalive 10 60 --client-config-dir ccd --route 10.99.5.0 255.255.255.0 --verb 3'.split(
          ' ',
        ),
        ...pushed,
      ]);
      await server.logged(UP);
      const client = start(
        `client-${name}`,
        program,
        [
          ...'--client --dev tunc --dev-type tun --remote 10.9.0.1 --nobind --ca ca.crt --cert client.crt --key client.key --remote-cert-tls server --route 10.88.0.0 255.255.255.0 --verb 3'.split(
            ' ',
          ),
          ...own,
        ],
        'client',
      );
      await client.logged(UP);

      // The server's way to what is behind the client, and the client's to the server, from there.
      assert.equal(spawnSync('ping', ['-c', '3', '-i', '0.2', '-W', '10', '10.99.5.1']).status, 0);
      const route = '-n client route replace 10.88.0.0/24 dev tunc src 192.168.5.1';
      assert.equal(spawnSync('ip', route.split(' ')).status, 0);
      assert.equal((await ping({ from: 'client', to: '10.88.0.1', count: 3, size: 1_400 })).received, 3);

      const seen: string[] = [];
      const parts: Buffer[] = [];
      let size = 0;
      const web = createServer((socket) => {
        seen.push(socket.remoteAddress ?? '');
        socket.on('data', (part: Buffer) => {
          parts.push(part);
          size += part.length;
          if (size === DATA.length) socket.end(DATA);
        });
      });
      await new Promise<void>((done) => web.listen(5_000, '10.77.0.1', done));
      const back = await shell('exec 3<>/dev/tcp/10.88.0.1/5000; cat data >&3; cat <&3');
      web.close();
      assert.ok(back.equals(DATA), `${back.length} bytes came back`);
      assert.ok(Buffer.concat(parts).equals(DATA), `${size} bytes were sent`);
      const udp = createSocket('udp4').on('message', (text, { address }) => seen.push(`${text.toString()} ${address}`));
      await new Promise<void>((done) => udp.bind(5_001, '10.77.0.1', done));
      await shell('echo -n hello > /dev/udp/10.88.0.1/5001');
      await until('a datagram', () => seen.length > 1);
      udp.close();
      assert.deepEqual(seen, ['10.99.5.1', 'hello 10.99.5.1']);
      await end(client);
      await end(server);
    });
  }
});
