import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FrameReader, FrameSplitter, FrameWriter, parseEnv } from '#src/frame.js';

test('a frame has the bytes that the C programs read', () => {
  const frame = new FrameWriter('E', 0x01020304)
    .u32(5)
    .text('a\udcff')
    .blob(Uint8Array.of(9))
    .vector(['x', ''])
    .finish();
  assert.equal(
    frame.toString('hex'),
    ['18000000', '45', '04030201', '05000000', '61ff00', '01000000', '09', '02000000', '7800', '00'].join(''),
  );
  const reader = new FrameReader(frame);
  assert.deepEqual([reader.operation, reader.id, reader.u32(), reader.text()], ['E', 0x01020304, 5, 'a\udcff']);
  assert.deepEqual([[...reader.blob()], reader.vector()], [[9], ['x', '']]);
  assert.throws(() => reader.u32(), RangeError);
});

test('an environment is written newest first, without a NUL of its own, in bytes as they came', () => {
  const frame = new FrameWriter('E', 1).env({ old: '1', 'n\0w': 'é\0', raw: '\udcff' }).finish();
  assert.equal(
    frame.subarray(9).toString('hex'),
    ['03000000', '7261773dff00', '6e5f773dc3a95f00', '6f6c643d3100'].join(''),
  );
  assert.equal(new FrameWriter('E', 1).env({}).finish().subarray(9).toString('hex'), '00000000');
});

test('frames are cut from a stream however it is split, and nonsense is refused', () => {
  const stream = Buffer.concat([1, 2, 3].map((id) => new FrameWriter('R', id).text('x'.repeat(id * 300)).finish()));
  for (const size of [1, 7, 400, stream.length]) {
    const splitter = new FrameSplitter();
    const seen: number[] = [];
    for (let at = 0; at < stream.length; at += size)
      for (const frame of splitter.take(Buffer.from(stream.subarray(at, at + size))))
        seen.push(frame.id, frame.text().length);
    assert.deepEqual(seen, [1, 300, 2, 600, 3, 900]);
  }
  for (const head of ['04000000', 'ffffffff'])
    assert.throws(() => [...new FrameSplitter().take(Buffer.from(head, 'hex'))], RangeError);
  for (const cut of ['0900000045010000002a2a2a2a', '0900000045010000006162'])
    assert.throws(() => new FrameReader(Buffer.from(cut, 'hex')).text(), RangeError);
});

test('what came of a frame is kept when the chunk is used for something else, and wiped with it', () => {
  const bytes = new FrameWriter('R', 7).text('a secret').finish();
  const splitter = new FrameSplitter();
  const chunks = [bytes.subarray(0, 3), bytes.subarray(3, 12), bytes.subarray(12)].map((part) => Buffer.from(part));
  const seen: string[] = [];
  for (const chunk of chunks) {
    for (const frame of splitter.take(chunk)) seen.push(frame.text());
    assert.ok(chunk.every((byte) => byte === 0));
  }
  assert.deepEqual(seen, ['a secret']);
});

test('an environment is parted at the first equals sign, and its newest value wins', () => {
  assert.deepEqual(parseEnv(['a=new', 'b=x=y', 'a=old', 'nonsense', '=empty', 'c=']), { a: 'new', b: 'x=y', c: '' });
  assert.deepEqual(Object.keys(parseEnv(['newest=1', 'oldest=2'])), ['oldest', 'newest']);
});
