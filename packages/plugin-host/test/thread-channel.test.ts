/** Both ends in one thread: what is said arrives in order, whichever way it takes. */
import assert from 'node:assert/strict';
import { availableParallelism } from 'node:os';
import { test } from 'node:test';
import type { WordForm } from '#src/memory-slot.js';
import { createChannel, ThreadChannel } from '#src/thread-channel.js';

const skip = availableParallelism() === 1 && 'with one core nobody stays awake';
const turn = async (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

interface Pair {
  readonly a: ThreadChannel<string, string>;
  readonly b: ThreadChannel<string, string>;
  readonly heard: string[];
  readonly slot: Uint8Array;
  readonly posted: () => number;
}

function pair(t: { after(end: () => void): void }): Pair {
  const { ours, theirs } = createChannel();
  const heard: string[] = [];
  let posted = 0;
  const post = ours.port.postMessage.bind(ours.port);
  ours.port.postMessage = (message: unknown) => {
    posted += 1;
    post(message);
  };
  const a = new ThreadChannel<string, string>(ours, () => {});
  const b = new ThreadChannel<string, string>(theirs, (message) => heard.push(message));
  t.after(() => {
    a.close();
    b.close();
  });
  return { a, b, heard, slot: new Uint8Array(theirs.inbox), posted: () => posted };
}

const until = async (what: () => boolean): Promise<void> => {
  while (!what()) await turn();
};

test('whoever sleeps is told through the port', async (t) => {
  const { a, heard, posted } = pair(t);
  a.send('one');
  a.send('two');
  await until(() => heard.length === 2);
  assert.deepEqual(heard, ['one', 'two']);
  assert.equal(posted(), 2);
});

test('whoever is awake is told through memory, which is wiped', { skip }, async (t) => {
  const { a, b, heard, slot, posted } = pair(t);
  b.stayAwake(10_000);
  a.send('a secret é \udc80');
  assert.ok(Buffer.from(slot).includes('a secret'));
  await until(() => heard.length === 1);
  assert.deepEqual(heard, ['a secret é \udc80']);
  assert.equal(posted(), 0);
  assert.ok(!Buffer.from(slot).includes('secret'));
});

test('the order is kept where one way follows the other, in both directions', { skip }, async (t) => {
  const { a, b, heard, posted } = pair(t);
  a.send('port 1');
  b.stayAwake(10_000);
  a.send('memory 2');
  a.send('port 3'); // there is room for one
  a.send('port 4');
  assert.equal(posted(), 3);
  await until(() => heard.length === 4);
  a.send('memory 5');
  a.send(`${'x'.repeat(70_000)} port 6`); // too long
  await until(() => heard.length === 6);
  assert.equal(posted(), 4);
  assert.deepEqual(
    heard.map((message) => message.slice(-1)),
    ['1', '2', '3', '4', '5', '6'],
  );
});

test('what was said before the other end went is heard', { skip }, (t) => {
  const { a, b, heard } = pair(t);
  a.send('port');
  b.stayAwake(10_000);
  a.send('memory');
  b.drain();
  assert.deepEqual(heard, ['port', 'memory']);
});

test('who has gone to sleep again is told through the port', { skip }, async (t) => {
  const { a, b, heard, posted } = pair(t);
  b.stayAwake(10_000);
  b.end();
  await turn();
  await turn();
  a.send('one');
  assert.equal(posted(), 1);
  await until(() => heard.length === 1);
});

test('what can be said in words lies as such in memory, and is wiped; the rest is JSON', { skip }, async (t) => {
  const { ours, theirs } = createChannel();
  const form: WordForm<string> = {
    write(message, to) {
      to.text(message);
      return message !== 'as JSON';
    },
    read: (from) => from.text(),
  };
  const heard: string[] = [];
  const a = new ThreadChannel<string, string>(ours, () => {}, { outgoing: form });
  const b = new ThreadChannel<string, string>(theirs, (message) => heard.push(message), { incoming: form });
  t.after(() => {
    a.close();
    b.close();
  });
  const words = new Int32Array(theirs.inbox);
  b.stayAwake(10_000);
  // There are 16 384 words, three of them the slot's own, and one says how long the text is.
  const texts = ['sé\udc80', 'as JSON', 'fits'.repeat(4_095), 'no words'.repeat(2_048), 'nowhere'.repeat(4_000), ''];
  for (const text of texts) {
    const heardBefore = heard.length;
    assert.equal(a.send(text), !text.startsWith('nowhere'));
    if (text === 'sé\udc80') assert.deepEqual([...words.subarray(2, 7)], [4, 3, 0x73, 0xe9, 0xdc80]);
    await until(() => heard.length > heardBefore);
    assert.ok(
      words.subarray(3).every((word) => word === 0),
      text,
    );
  }
  assert.deepEqual(heard, texts);
});
