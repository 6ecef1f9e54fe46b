/**
 * The entry of the thread that carries connections of a shared port to their service and back, with either end's half
 * close. The journal holds a file for each of them while it lasts, named after the address that the service sees it come from,
 * with the address that it does come from; it is written before the service gets its first byte.
 * upstream: ps.c `port_share_proxy`, `journal_add` (2.6).
 */
import { unlinkSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { connect, Socket } from 'node:net';
import { join } from 'node:path';
import { parentPort } from 'node:worker_threads';

import { dropThreadCapabilities, errorText } from '@seikan/native';

import type { ForeignConnection, FromThread } from './port-share.js';

/** They share the process's descriptors with the tunnel's clients. */
const MOST = 1_000;
let count = 0;

function carry({ fd, begun, target }: ForeignConnection): void {
  const client = new Socket({ fd, readable: true, writable: true, allowHalfOpen: true });
  if (count >= MOST) {
    tell(`more than ${MOST} connections at once`);
    client.destroy();
    return;
  }
  count += 1;
  const { address, port, journal } = target;
  const server = connect({ host: address, port, allowHalfOpen: true, noDelay: true });
  let connected = false;
  let entry: string | undefined;
  client.on('error', () => server.destroy());
  server
    .on('error', (error) => {
      if (!connected) tell(`connect to port-share server failed: ${why(error)}`);
      client.destroy();
    })
    .on('close', () => {
      count -= 1;
      if (entry !== undefined) remove(entry);
    })
    .once('connect', () => {
      connected = true;
      const begin = (): void => {
        server.write(begun);
        client.pipe(server);
        server.pipe(client);
      };
      if (journal === undefined) {
        begin();
        return;
      }
      const path = join(journal, placeOf(server.localFamily, server.localAddress, server.localPort));
      const from = placeOf(client.remoteFamily, client.remoteAddress, client.remotePort);
      writeFile(path, from, { mode: 0o600 })
        .then(
          () => {
            if (server.closed) remove(path);
            else entry = path;
          },
          (error: unknown) => tell(`unable to write journal file in ${path}: ${why(error)}`),
        )
        .finally(begin);
    });
}

/** As OpenVPN writes addresses. */
function placeOf(family = '', address = '', port = 0): string {
  return `[AF_INET${family === 'IPv6' ? '6' : ''}]${address}:${port}`;
}

function remove(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    tell(`unable to remove journal file ${path}: ${why(error)}`);
  }
}

/** Libc's words; what else would be needed for the runtime's is as large as the engine. */
function why(error: unknown): string {
  const { errno = 0 } = error as NodeJS.ErrnoException;
  return `${errorText(errno)} (errno=${-errno})`;
}

function tell(text: string): void {
  say({ problem: text });
}

function say(message: FromThread): void {
  parentPort?.postMessage(message, []);
}

dropThreadCapabilities();
parentPort?.on('message', carry);
say('ready');
