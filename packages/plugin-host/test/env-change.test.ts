import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EnvReceiver, EnvSender } from '#src/env-change.js';

test('only values that changed are sent while the names stay the same', () => {
  const sender = new EnvSender();
  assert.deepEqual(sender.change({ a: '1', b: '2' }), { whole: { a: '1', b: '2' } });
  assert.deepEqual(sender.change({ a: '1', b: '2' }), { set: [] });
  assert.deepEqual(sender.change({ a: '1', b: 'x' }), { set: [{ place: 1, value: 'x' }] });
  assert.deepEqual(sender.change({ b: 'x', a: '1' }), { whole: { b: 'x', a: '1' } });
  assert.deepEqual(sender.change({ b: 'x' }), { whole: { b: 'x' } });
});

test('a password is sent whole and not remembered', () => {
  const sender = new EnvSender();
  const env = { a: '1', password: 'secret' };
  assert.deepEqual(sender.change(env), { whole: env });
  assert.deepEqual(sender.change(env), { whole: env });
  assert.deepEqual(sender.change({ a: '1' }), { whole: { a: '1' } });
});

test('the receiver has each environment as it was, in its order, whatever was done with the one before', () => {
  const receiver = new EnvReceiver();
  const first = receiver.apply({ whole: { b: '1', a: '2' } }) as Record<string, string>;
  first['b'] = 'spoiled';
  const second = receiver.apply({ set: [{ place: 1, value: '3' }] }) as Record<string, string>;
  assert.deepEqual(Object.entries(second), [
    ['b', '1'],
    ['a', '3'],
  ]);
  delete second['a'];
  assert.deepEqual(receiver.apply({ set: [] }), { b: '1', a: '3' });
  assert.deepEqual(receiver.apply({ whole: { password: 'secret' } }), { password: 'secret' });
  assert.deepEqual(receiver.apply({ whole: { c: '4' } }), { c: '4' });
});
