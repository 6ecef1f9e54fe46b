/**
 * One port for OpenVPN and a web server: ours and the stock server beside each other, with the same clients.
 *
 *   https, stock client, raw bytes ──▶ openvpn :1194 ──▶ https :8443, whatever does not begin as OpenVPN does
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { createServer, request as requestHttps, type Server } from 'node:https';
import { connect, createServer as createPlainServer, type Server as PlainServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { after, test } from 'node:test';

import { inNetworkNamespace, ping } from '@seikan/testkit';

import { createPki, end, hasStock, ours, Running, stock, temporaryFolder, until } from './program.js';

const UP = 'Initialization Sequence Completed';
const WEB = 8_443;
const RAW = 8_444;
/** More than sockets and pipes hold. */
const PAGE = Buffer.alloc(24_000_000, 'a page ');

/** A page of the server behind our port, or its answer to `body`. */
async function fetchPage(port: number, body?: Buffer): Promise<Buffer> {
  const parts: Buffer[] = [];
  const [method, timeout] = [body === undefined ? 'GET' : 'PUT', 100_000];
  const options = { host: '10.9.0.1', port, method, timeout, rejectUnauthorized: false, agent: false };
  await new Promise<void>((done, fail) => {
    const request = requestHttps(options, (response) => {
      response.on('data', (part: Buffer) => parts.push(part)).on('end', done);
    });
    request
      .on('error', fail)
      .on('timeout', () => request.destroy(new Error('nothing came')))
      .end(body);
  });
  return Buffer.concat(parts);
}

inNetworkNamespace(import.meta.filename, () => {
  const skip = !hasStock && 'no openvpn to compare with';
  const folder = temporaryFolder();
  const journal = join(folder, 'journal');
  const running: Running[] = [];
  const services: (Server | PlainServer)[] = [];
  const rawConnections: { readonly from: string; readonly socket: Socket; data: string }[] = [];
  after(() => {
    for (const one of running) one.kill('SIGKILL');
    for (const one of services) one.close();
    for (const { socket } of rawConnections) socket.destroy();
  });

  const start = (name: string, program: string, args: string, place: { namespace?: string } = {}): Running => {
    const one = new Running(args.split(' '), { program, cwd: folder, logFile: join(folder, `${name}.log`), ...place });
    running.push(one);
    return one;
  };
  const serve = (name: string, program: string, port: number, more: string): Running =>
    start(
      name,
      program,
      `--dev tun --proto tcp-server --local 10.9.0.1 --lport ${port} --topology subnet --dh none --ca ca.crt --cert server.crt --key server.key --keepalive 10 60 --verb 3 ${more}`,
    );

  test('the services stand', { skip }, async () => {
    for (const command of [
      'netns add client',
      'link add outside type veth peer name eth0 netns client',
      'address add 10.9.0.1/24 dev outside',
      'link set outside up',
      '-n client address add 10.9.0.2/24 dev eth0',
      '-n client link set eth0 up',
    ])
      assert.equal(spawnSync('ip', command.split(' ')).status, 0, command);
    createPki(folder);
    mkdirSync(journal);
    const tls = { key: readFileSync(join(folder, 'server.key')), cert: readFileSync(join(folder, 'server.crt')) };
    const web = createServer(tls, (request, response) => {
      if (request.method === 'GET') response.end(PAGE);
      else {
        const hash = createHash('sha256');
        request.on('data', (part: Buffer) => hash.update(part)).on('end', () => response.end(hash.digest('hex')));
      }
    });
    // Says what it got when the other end is done: half a connection is enough for that.
    const raw = createPlainServer({ allowHalfOpen: true }, (socket) => {
      const connection = { from: `[AF_INET]127.0.0.1:${socket.remotePort}`, socket, data: '' };
      rawConnections.push(connection);
      socket
        .on('data', (part) => {
          connection.data += part.toString('hex');
        })
        .on('end', () => socket.end(`got ${connection.data}`))
        .on('error', () => socket.destroy());
    });
    services.push(web, raw);
    await new Promise<void>((done) => web.listen(WEB, '127.0.0.1', done));
    await new Promise<void>((done) => raw.listen(RAW, '127.0.0.1', done));
  });

  for (const [name, program, port] of [
    ['ours', ours, 1_194],
    ['stock', stock, 1_195],
  ] as const) {
    test(`${name}: pages cross whole both ways while a client of the same port pings`, { skip }, async () => {
      const network = `10.96.${port % 100}`;
      const server = serve(name, program, port, `--server ${network}.0 255.255.255.0 --port-share 127.0.0.1 ${WEB}`);
      await server.logged(UP);
      const client = start(
        `${name}-client`,
        stock,
        `--client --dev tun --proto tcp-client --remote 10.9.0.1 ${port} --nobind --ca ca.crt --cert client.crt --key client.key --remote-cert-tls server --verb 3`,
        { namespace: 'client' },
      );
      await client.logged(UP);
      const sent = readFileSync(join(folder, 'ca.crt'));
      const [page, sum, pings] = await Promise.all([
        fetchPage(port),
        fetchPage(port, sent),
        ping({ from: 'client', to: `${network}.1`, count: 5 }),
      ]);
      assert.ok(page.equals(PAGE), `${page.length} bytes`);
      assert.equal(sum.toString(), createHash('sha256').update(sent).digest('hex'));
      assert.equal(pings.received, 5);
      assert.match(server.log, /10\.9\.0\.1:\d+ Non-OpenVPN client protocol detected/);
      assert.doesNotMatch(client.log, /SIGUSR1/);
      await end(client);
      await end(server);
    });

    test(`${name}: what looks like OpenVPN stays, all else is carried, with an entry in the journal`, {
      skip,
    }, async () => {
      const server = serve(
        `${name}-raw`,
        program,
        port + 10,
        `--server 10.96.${(port % 100) + 10}.0 255.255.255.0 --port-share 127.0.0.1 ${RAW} ${journal}`,
      );
      await server.logged(UP);
      rawConnections.length = 0;
      const mine: Socket[] = [];
      const open = (hex: string): { readonly socket: Socket; said: string } => {
        const socket = connect(port + 10, '10.9.0.1', () => socket.write(Buffer.from(hex, 'hex')));
        const one = { socket, said: '' };
        mine.push(socket.on('data', (part) => (one.said += part.toString())).on('error', () => socket.destroy()));
        return one;
      };
      // 0x50 begins a session with a client's wrapped key, longer than 336.
      for (const hex of ['000e38', '00ff38', '015050', '04fe50']) open(hex);
      const others = ['474554202f', '16030100', '010038', '000e39', '001050', '04ff50', '0000ff'];
      const held = others.map(open);
      await until('all others', () => rawConnections.length === others.length);
      await until('their bytes', () => rawConnections.every(({ data }) => others.includes(data)));
      assert.deepEqual(rawConnections.map(({ data }) => data).toSorted(), others.toSorted());

      await until('the journal', () => readdirSync(journal).length === others.length);
      const entries = new Map(readdirSync(journal).map((file) => [file, readFileSync(join(journal, file), 'utf8')]));
      assert.deepEqual([...entries.keys()].toSorted(), rawConnections.map(({ from }) => from).toSorted());
      const places = held.map(({ socket }) => `[AF_INET]10.9.0.1:${socket.localPort}`);
      assert.deepEqual([...entries.values()].toSorted(), places.toSorted());

      if (program === ours) {
        // Stock ends both directions with the first.
        held[0]?.socket.end();
        await until('an answer after the end', () => held[0]?.said === `got ${others[0]}`);
      }
      for (const socket of mine) socket.destroy();
      await until('an empty journal', () => readdirSync(journal).length === 0);
      await end(server);
    });
  }

  test('a service that is down costs its own clients their connection, and is a line of the log', {
    skip,
  }, async () => {
    const server = serve('down', ours, 1_220, '--server 10.96.120.0 255.255.255.0 --port-share 127.0.0.1 9');
    await server.logged(UP);
    for (let round = 1; round <= 2; round += 1) {
      const socket = connect(1_220, '10.9.0.1', () => socket.write('GET / HTTP/1.0\r\n\r\n'));
      await new Promise<void>((done) => socket.on('error', () => undefined).on('close', () => done()));
      await server.logged('PORT SHARE PROXY: connect to port-share server failed', round);
    }
    await end(server);
  });

  test('the port is still shared without privileges in another root, and after a restart', { skip }, async () => {
    const jail = join(folder, 'jail');
    mkdirSync(join(jail, 'tmp'), { recursive: true });
    const ask = async (): Promise<string> => {
      let said = '';
      const socket = connect(1_221, '10.9.0.1', () => socket.end('GET'));
      socket.on('data', (part: Buffer) => {
        said += part.toString();
      });
      await new Promise<void>((done) => socket.on('close', () => done()));
      return said;
    };
    for (const more of [`--user nobody --chroot ${jail}`, '--persist-key']) {
      const shared = `--server 10.96.121.0 255.255.255.0 --port-share 127.0.0.1 ${RAW}`;
      const server = serve('jail', ours, 1_221, `${shared} ${more}`);
      await server.logged(UP);
      assert.equal(await ask(), 'got 474554');
      if (!more.includes('chroot')) {
        server.kill('SIGUSR1');
        await server.logged(UP, 2);
        assert.equal(await ask(), 'got 474554');
      }
      await end(server);
    }
  });
});
