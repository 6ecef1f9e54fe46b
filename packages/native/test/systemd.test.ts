import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { loadAddon, notifySystemd, takePassedDescriptors, UnixListener, UnixSocket } from '@seikan/native';

const index = new URL('../dist/index.js', import.meta.url).href;

/** A bound datagram socket, as systemd has one; the package itself has no use for such a listener. */
function notifyListener(name: string, abstract: boolean): UnixSocket {
  const native = loadAddon() as {
    unixCreate(type: string): number;
    unixBind(fd: number, name: string, abstract: boolean): void;
  };
  const fd = native.unixCreate('datagram');
  native.unixBind(fd, name, abstract);
  return new UnixSocket(fd);
}

test('a notification reaches a path and an abstract name', () => {
  const folder = mkdtempSync(join(tmpdir(), 'seikan-notify-'));
  const path = join(folder, 'notify');
  const abstract = `seikan-notify-${process.pid}`;
  for (const [socket, name] of [
    [notifyListener(path, false), path],
    [notifyListener(abstract, true), `@${abstract}`],
  ] as const) {
    assert.equal(notifySystemd({ NOTIFY_SOCKET: name }, 'READY=1\nSTATUS=up'), true);
    const into = new Uint8Array(100);
    const length = socket.receive(into, 0, 100, []);
    assert.equal(new TextDecoder().decode(into.subarray(0, length)), 'READY=1\nSTATUS=up');
    socket.close();
  }
  assert.equal(notifySystemd({ NOTIFY_SOCKET: path }, 'READY=1'), false, 'its owner is gone');
  assert.equal(notifySystemd({ NOTIFY_SOCKET: 'relative' }, 'READY=1'), false);
  assert.equal(notifySystemd({}, 'READY=1'), false);
  rmSync(folder, { recursive: true });
});

test('a passed socket is taken over by the process that it is meant for', () => {
  const name = `seikan-passed-${process.pid}`;
  const listener = UnixListener.open({ abstract: name });
  const client = UnixSocket.connect({ abstract: name });
  const script = `
    import { takePassedDescriptors, UnixListener } from ${JSON.stringify(index)};
    const passed = takePassedDescriptors(process.env);
    const socket = new UnixListener(passed[0].descriptor.release()).accept();
    socket.send(new TextEncoder().encode(passed.length + ' ' + passed[0].name));`;
  const command = 'LISTEN_PID=$$ exec "$0" --input-type=module -e "$1"';
  const run = spawnSync('sh', ['-c', command, process.execPath, script], {
    encoding: 'utf8',
    timeout: 60_000,
    env: { ...process.env, LISTEN_FDS: '1', LISTEN_FDNAMES: 'control' },
    stdio: ['ignore', 'pipe', 'pipe', listener.descriptor.fd],
  });
  assert.deepEqual([run.status, run.stderr], [0, '']);
  const into = new Uint8Array(100);
  assert.equal(new TextDecoder().decode(into.subarray(0, client.receive(into, 0, 100, []))), '1 control');
  client.close();
  listener.close();
});

test('nothing is taken that was passed to another process, or not at all', () => {
  assert.deepEqual(takePassedDescriptors({}), []);
  assert.deepEqual(takePassedDescriptors({ LISTEN_PID: '1', LISTEN_FDS: '1' }), []);
  for (const count of ['0', '-1', '1e9', 'x', ''])
    assert.deepEqual(takePassedDescriptors({ LISTEN_PID: String(process.pid), LISTEN_FDS: count }), []);
});
