/**
 * A running server's plugin calls, for whoever asks on a Unix socket: first what has been counted so far, one line of JSON
 * per plugin and event, then one per call, until the asker leaves.
 * Nothing is recorded while nobody listens. Only the server's own user can connect (mode 0600).
 */
import { chmodSync, unlinkSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import type { PluginCascade } from './plugin-cascade.js';
import { formatTrace } from './trace.js';

/** A listener that reads too slowly is cut off rather than kept in memory. */
const longestBacklog = 1 << 20;

/** Serves the trace at `path`; a socket that a dead server left there is replaced. Returns the function that ends it. */
export async function serveTrace(cascade: PluginCascade, path: string): Promise<() => Promise<void>> {
  const listeners = new Set<Socket>();
  const server = createServer((socket) => {
    listeners.add(socket);
    for (const stat of cascade.stats.list()) socket.write(`${JSON.stringify(stat)}\n`);
    const stop = cascade.trace((record) => {
      if (socket.writableLength > longestBacklog) socket.destroy();
      else socket.write(`${formatTrace(record)}\n`);
    });
    socket.on('error', () => {}); // 'close' follows
    socket.on('close', () => {
      listeners.delete(socket);
      stop();
    });
    socket.resume();
  });
  try {
    unlinkSync(path);
  } catch {
    // There was none.
  }
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, resolve);
  });
  chmodSync(path, 0o600);
  return async () => {
    for (const socket of listeners) socket.destroy();
    await new Promise((resolve) => server.close(resolve)); // which also takes the socket's file away
  };
}

/** The lines of a running server's trace. Ends when the server does, or the signal is aborted. */
export async function* readTrace(path: string, signal?: AbortSignal): AsyncGenerator<string> {
  const socket = connect(path);
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', (cause) =>
      reject(new Error(`no server traces its plugins at ${path}: start it with a trace socket there`, { cause })),
    );
  });
  socket.on('error', () => {}); // 'close' follows
  const lines = createInterface({ input: socket });
  socket.once('close', () => lines.close());
  signal?.addEventListener('abort', () => socket.destroy());
  yield* lines;
}
