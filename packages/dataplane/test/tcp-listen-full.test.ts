/** A process that has no descriptor left, made by starting this file again under a limit. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';

import { type PacketLink, TcpListenLink } from '@seikan/dataplane';
import { TcpListener } from '@seikan/native';

/** Enough for the program itself, which reads many files at once when it starts. */
const LIMIT = 250;
const CALLERS = 350;

/** Accepts what it can for as long as it may live, and says where and how many. */
function listen(): void {
  const listener = TcpListener.open({ family: 4, bind: { address: '127.0.0.1', port: 0 } });
  const held: PacketLink[] = [];
  new TcpListenLink(listener).start({
    datagrams: () => undefined,
    accepted: (connection) => {
      held.push(connection);
      process.stdout.write(`${held.length}\n`);
    },
    connected: () => undefined,
    down: () => undefined,
  });
  process.stdout.write(`port ${listener.address.port}\n`);
}

if (process.argv[2] === 'listen') listen();
else
  test('who calls when no descriptor is left is refused at once, and the listener stays', async () => {
    const script = `ulimit -n ${LIMIT}; exec "$0" "$1" listen`;
    const child = spawn('sh', ['-c', script, process.execPath, import.meta.filename], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    try {
      let text = '';
      child.stdout.setEncoding('utf8').on('data', (more: string) => (text += more));
      while (!text.includes('\n')) await once(child.stdout, 'data');
      const port = Number(/port (\d+)/.exec(text)?.[1]);
      const sockets = Array.from({ length: CALLERS }, () => connect(port, '127.0.0.1'));
      const closed = new Set<Socket>();
      const held = (): number => Number(text.trimEnd().split('\n').slice(1).at(-1) ?? 0);
      await new Promise<void>((resolve) => {
        for (const socket of sockets) {
          socket.on('error', () => undefined);
          socket.on('close', () => {
            closed.add(socket);
            if (held() > 0 && closed.size >= CALLERS - LIMIT) resolve();
          });
        }
      });
      for (const socket of sockets) socket.destroy();
    } finally {
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
  });
