import assert from 'node:assert/strict';
import { test } from 'node:test';

import { NetlinkConnection, type NetlinkError, type NetlinkPortEvents } from '#src/netlink/connection.js';
import { MessageWriter, type NetlinkMessage } from '#src/netlink/message.js';

import { present } from './vectors.js';

const ERROR = 2;
const DONE = 3;
const PORT = 77;

/** A kernel end that the test plays by hand. */
class ScriptedKernel {
  readonly sent: Uint8Array[] = [];
  closed = 0;
  events: NetlinkPortEvents = { datagram: () => {}, failure: () => {} };
  refuse: Error | undefined;

  readonly open = (events: NetlinkPortEvents) => {
    this.events = events;
    return {
      portId: PORT,
      send: (datagram: Uint8Array) => {
        if (this.refuse !== undefined) throw this.refuse;
        this.sent.push(datagram.slice());
      },
      close: () => {
        this.closed += 1;
      },
    };
  };

  sequence(index: number): number {
    return new DataView(present(this.sent[index]).buffer).getUint32(8, true);
  }

  answer(
    ...messages: readonly {
      type: number;
      flags?: number;
      sequence: number;
      port?: number;
      payload?: readonly number[];
    }[]
  ): void {
    const parts = messages.map(({ type, flags = 0, sequence, port = PORT, payload = [] }) => {
      const bytes = new Uint8Array((16 + payload.length + 3) & ~3);
      const view = new DataView(bytes.buffer);
      view.setUint32(0, 16 + payload.length, true);
      view.setUint16(4, type, true);
      view.setUint16(6, flags, true);
      view.setUint32(8, sequence, true);
      view.setUint32(12, port, true);
      bytes.set(payload, 16);
      return bytes;
    });
    this.events.datagram(new Uint8Array(Buffer.concat(parts)));
  }
}

const dump = () => new MessageWriter(26, 0x301).u32(0);
const change = () => new MessageWriter(24, 0x5).u32(0);
const errno = (value: number) => [...new Uint8Array(new Int32Array([-value]).buffer), ...new Uint8Array(16)];

test('answers that arrive in another order reach their own requests', async () => {
  const kernel = new ScriptedKernel();
  const connection = new NetlinkConnection(kernel.open);
  const first = connection.request('first', change);
  const second = connection.request('second', change);
  kernel.answer({ type: ERROR, sequence: kernel.sequence(1), payload: errno(17) });
  kernel.answer({ type: ERROR, sequence: kernel.sequence(0), payload: errno(0) });
  assert.deepEqual(await first, []);
  await assert.rejects(second, (error: NetlinkError) => {
    assert.equal(error.code, 'EEXIST');
    assert.equal(error.errno, 17);
    assert.equal(error.message, 'second: file already exists (EEXIST)');
    return true;
  });
  connection.close();
});

test('a dump is gathered over several datagrams until it is done', async () => {
  const kernel = new ScriptedKernel();
  const connection = new NetlinkConnection(kernel.open);
  const answer = connection.request('dump', dump);
  const sequence = kernel.sequence(0);
  kernel.answer(
    { type: 24, flags: 2, sequence, payload: [1, 2, 3, 4] },
    { type: 24, flags: 2, sequence, payload: [5] },
  );
  kernel.answer(
    { type: 24, flags: 2, sequence, payload: [6] },
    { type: DONE, flags: 2, sequence, payload: [0, 0, 0, 0] },
  );
  assert.deepEqual(
    (await answer).map(({ payload }) => Array.from(payload)),
    [[1, 2, 3, 4], [5], [6]],
  );
  connection.close();
});

test('a dump that the kernel calls interrupted is asked for again', async () => {
  const kernel = new ScriptedKernel();
  const connection = new NetlinkConnection(kernel.open);
  const answer = connection.request('dump', dump);
  kernel.answer(
    { type: 24, flags: 0x12, sequence: kernel.sequence(0), payload: [1] },
    { type: DONE, flags: 2, sequence: kernel.sequence(0), payload: [0, 0, 0, 0] },
  );
  await new Promise(setImmediate);
  assert.equal(kernel.sent.length, 2);
  kernel.answer(
    { type: 24, flags: 2, sequence: kernel.sequence(1), payload: [2] },
    { type: DONE, flags: 2, sequence: kernel.sequence(1), payload: [0, 0, 0, 0] },
  );
  assert.deepEqual(
    (await answer).map(({ payload }) => Array.from(payload)),
    [[2]],
  );
  connection.close();
});

test('a dump that ends with an errno fails', async () => {
  const kernel = new ScriptedKernel();
  const connection = new NetlinkConnection(kernel.open);
  const answer = connection.request('dump', dump);
  kernel.answer({ type: DONE, flags: 2, sequence: kernel.sequence(0), payload: errno(1).slice(0, 4) });
  await assert.rejects(answer, { code: 'EPERM' });
  connection.close();
});

test('a request without acknowledgement is answered by one message', async () => {
  const kernel = new ScriptedKernel();
  const connection = new NetlinkConnection(kernel.open);
  const answer = connection.request('get', () => new MessageWriter(18, 1));
  kernel.answer({ type: 16, sequence: kernel.sequence(0), payload: [9] });
  assert.equal((await answer).length, 1);
  connection.close();
});

test('silence ends in an error that names the request', async () => {
  const connection = new NetlinkConnection(new ScriptedKernel().open, { timeout: 10 });
  await assert.rejects(connection.request('list routes', dump), /list routes: no answer from the kernel in 10 ms/);
  connection.close();
});

test('a refused send rejects that request alone', async () => {
  const kernel = new ScriptedKernel();
  const connection = new NetlinkConnection(kernel.open);
  kernel.refuse = new Error('send: EPERM');
  await assert.rejects(connection.request('add', change), /send: EPERM/);
  kernel.refuse = undefined;
  const second = connection.request('add', change);
  kernel.answer({ type: ERROR, sequence: kernel.sequence(0), payload: errno(0) });
  await second;
  connection.close();
});

test('bytes that are not netlink fail what is under way and are reported, and the next request works', async () => {
  const kernel = new ScriptedKernel();
  const failures: Error[] = [];
  const connection = new NetlinkConnection(kernel.open, { failure: (error) => failures.push(error) });
  const first = connection.request('first', change);
  kernel.events.datagram(Uint8Array.of(1, 2, 3));
  await assert.rejects(first, /first: 3 bytes after the last message/);
  assert.equal(failures.length, 1);
  const second = connection.request('second', change);
  kernel.answer({ type: ERROR, sequence: kernel.sequence(1), payload: errno(0) });
  await second;
  connection.close();
});

test('notifications reach their listener; answers to nobody are dropped', async () => {
  const kernel = new ScriptedKernel();
  const heard: NetlinkMessage[] = [];
  const connection = new NetlinkConnection(kernel.open, { notification: (message) => heard.push(message) });
  const answer = connection.request('add', change);
  // A notification carries the sequence number and port of whoever made the change.
  kernel.answer(
    { type: 24, sequence: 1, port: 4_711, payload: [1] },
    { type: 24, sequence: 999, payload: [2] },
    { type: 24, sequence: 0, port: 0, payload: [3] },
  );
  assert.deepEqual(
    heard.map(({ payload }) => Array.from(payload)),
    [[1], [3]],
  );
  kernel.answer({ type: ERROR, sequence: 1, payload: errno(0) });
  await answer;
  connection.close();
});

test('closing rejects what is under way, once', async () => {
  const kernel = new ScriptedKernel();
  const connection = new NetlinkConnection(kernel.open);
  const answer = connection.request('add', change);
  connection.close();
  connection.close();
  await assert.rejects(answer, /add: the netlink connection was closed/);
  await assert.rejects(connection.request('add', change), /closed/);
  assert.equal(kernel.closed, 1);
});
