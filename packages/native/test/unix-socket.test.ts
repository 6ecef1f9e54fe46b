import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, fstatSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';

import { type Descriptor, resultName, UnixListener, UnixSocket, WOULD_BLOCK } from '@seikan/native';

const folder = mkdtempSync(join(tmpdir(), 'seikan-unix-'));
after(() => rmSync(folder, { recursive: true }));

const bytes = (text: string) => new TextEncoder().encode(text);
const openDescriptors = () => readdirSync('/proc/self/fd').length;

function receive(socket: UnixSocket, length = 100) {
  const into = new Uint8Array(length);
  const descriptors: Descriptor[] = [];
  const result = socket.receive(into, 0, length, descriptors);
  return { result, text: new TextDecoder().decode(into.subarray(0, Math.max(result, 0))), descriptors };
}

test('a path and an abstract name connect, and each end knows who the other is', () => {
  const self = { pid: process.pid, uid: process.getuid?.(), gid: process.getgid?.() };
  for (const address of [{ path: join(folder, 'socket') }, { abstract: `seikan-test-${process.pid}` }]) {
    const listener = UnixListener.open(address);
    assert.equal(listener.accept(), WOULD_BLOCK);
    const client = UnixSocket.connect(address);
    const server = listener.accept();
    assert.ok(typeof server === 'object');
    assert.deepEqual([client.peer, server.peer], [self, self]);
    assert.equal(client.send(bytes('hello')), 5);
    assert.equal(receive(server).text, 'hello');
    assert.equal(receive(server).result, WOULD_BLOCK);
    client.end();
    assert.equal(receive(server).result, 0);
    for (const socket of [client, server, listener]) socket.close();
  }
});

test("descriptors travel with bytes, stay the sender's too, and are not inherited by children", () => {
  const [a, b] = UnixSocket.pair();
  writeFileSync(join(folder, 'file'), 'inside');
  const file = openSync(join(folder, 'file'), 'r');
  assert.equal(a.send(bytes('xyz'), 1, 1, [file, a.descriptor.fd]), 1);
  const { text, descriptors } = receive(b);
  assert.equal(text, 'y');
  const [copy, end] = descriptors;
  assert.ok(copy !== undefined && end !== undefined && descriptors.length === 2);
  assert.notEqual(copy.fd, file);
  assert.equal(fstatSync(copy.fd).ino, fstatSync(file).ino);
  assert.equal(readFileSync(copy.fd, 'utf8'), 'inside');
  const listed = spawnSync('ls', ['-l', '/proc/self/fd'], { encoding: 'utf8' }).stdout;
  assert.ok(!listed.includes(folder), listed);
  assert.equal(a.send(bytes('after')), 5);
  assert.deepEqual([receive(b).text, fstatSync(file).isFile()], ['after', true]);
  closeSync(file);
  for (const one of [copy, end, a, b]) one.close();
});

test('more descriptors than the receiver takes are all closed, and the message is lost', () => {
  const [a, rest] = UnixSocket.pair();
  for (const most of [0, 1, 2]) {
    const b = new UnixSocket(rest.descriptor.duplicate().release(), { mostDescriptors: most });
    const before = openDescriptors();
    assert.equal(a.send(bytes('x'), 0, 1, [0, 1, 2]), 1);
    const { result, descriptors } = receive(b);
    assert.equal(resultName(result), 'ETOOMANYREFS');
    assert.equal(descriptors.length, 0);
    assert.equal(openDescriptors(), before, `${most} wanted, three sent`);
    assert.equal(a.send(bytes('y')), 1);
    assert.equal(receive(b).text, 'y');
    b.close();
  }
  a.close();
  rest.close();
});

test('253 descriptors fit in a message, and 254 are refused before anything is sent', () => {
  const [a, rest] = UnixSocket.pair();
  const b = new UnixSocket(rest.descriptor.release(), { mostDescriptors: 1_000 });
  const before = openDescriptors();
  assert.equal(
    a.send(
      bytes('x'),
      0,
      1,
      Array.from({ length: 253 }, () => 0),
    ),
    1,
  );
  const { result, descriptors } = receive(b);
  assert.deepEqual([result, descriptors.length, openDescriptors()], [1, 253, before + 253]);
  for (const descriptor of descriptors) descriptor.close();
  assert.throws(
    () =>
      a.send(
        bytes('x'),
        0,
        1,
        Array.from({ length: 254 }, () => 0),
      ),
    RangeError,
  );
  assert.equal(resultName(a.send(bytes('x'), 0, 1, [1_000_000])), 'EBADF');
  assert.equal(receive(b).result, WOULD_BLOCK);
  a.close();
  b.close();
});

test('packets and datagrams keep their bounds; one that does not fit is lost with its descriptors', () => {
  for (const type of ['seqpacket', 'datagram'] as const) {
    const [a, b] = UnixSocket.pair(type);
    a.send(bytes('one'));
    a.send(bytes('a longer one'), 0, 12, [0]);
    a.send(bytes('three'));
    const before = openDescriptors();
    assert.equal(receive(b, 5).text, 'one');
    assert.equal(resultName(receive(b, 5).result), 'EMSGSIZE');
    assert.equal(openDescriptors(), before);
    assert.equal(receive(b, 5).text, 'three');
    a.close();
    b.close();
  }
});

test('a stream whose peer is full or gone gives results, no signal', () => {
  const [a, b] = UnixSocket.pair();
  const block = new Uint8Array(65_536);
  let sent = 0;
  let last = 0;
  while (last >= 0) {
    last = a.send(block);
    sent += Math.max(last, 0);
  }
  assert.equal(last, WOULD_BLOCK);
  assert.ok(sent > 65_536);
  b.close();
  assert.equal(resultName(a.send(block)), 'EPIPE');
  a.close();
});

test('names that cannot be, and failed steps, leave no descriptor behind', () => {
  const before = openDescriptors();
  assert.throws(() => UnixSocket.connect({ path: join(folder, 'nobody') }), { code: 'ENOENT', syscall: 'connect' });
  assert.throws(() => UnixSocket.connect({ path: '/'.padEnd(108, 'x') }), RangeError);
  assert.throws(() => UnixSocket.connect({ path: '' }), RangeError);
  assert.throws(() => UnixSocket.connect({ path: 'a\0b' }), RangeError);
  assert.throws(() => UnixListener.open({ path: join(folder, 'no', 'folder') }), { code: 'ENOENT', syscall: 'bind' });
  assert.equal(openDescriptors(), before);
  const [a, b] = UnixSocket.pair();
  assert.throws(() => a.send(new Uint8Array(4), 2, 3), RangeError);
  assert.throws(() => a.receive(new Uint8Array(4), 4, 1, []), RangeError);
  a.close();
  b.close();
});
