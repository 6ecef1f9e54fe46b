import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  challenge,
  defer,
  definePlugin,
  type EventInput,
  eventNames,
  failure,
  isPlugin,
  type Plugin,
  PluginSession,
  success,
} from '@seikan/plugin-sdk';

const host = { name: 'openvpn', version: '2.6.14', ssl: 'openssl' } as const;
const offered = new Set(eventNames);
const input = (event: EventInput['event'], env: Record<string, string> = {}, context = 1): EventInput => ({
  event,
  context,
  argv: ['acme.so'],
  env,
});

async function opened(
  plugin: Plugin,
  env: Record<string, string> = {},
): Promise<{ session: PluginSession; logged: string[] }> {
  const logged: string[] = [];
  const session = new PluginSession(plugin, (level, text) => logged.push(`${level} ${text}`));
  const outcome = await session.open({ argv: ['acme.so', 'one'], env, host }, offered);
  assert.equal(outcome.ok, true);
  return { session, logged };
}

function broken(): never {
  throw new Error('outer', { cause: new TypeError('inner', { cause: 'root' }) });
}

test('a handle keeps state, a client keeps its own, and both end with close', async () => {
  const seen: string[] = [];
  const plugin = definePlugin({
    name: 'acme',
    open: ({ argv }) => ({
      events: ['auth-user-pass-verify', 'client-disconnect'],
      handle: { word: argv[1], count: 0 },
    }),
    client: (handle) => ({ made: (handle.count += 1) }),
    event(event, handle) {
      seen.push(`${handle.word} ${event.type} ${event.client.id}:${event.client.state.made}`);
      return success();
    },
    clientClosed: (client) => void seen.push(`closed ${client.id}:${client.state.made}`),
    close: (handle) => void seen.push(`close ${handle.count}`),
  });
  assert.equal(isPlugin(plugin), true);
  const { session } = await opened(plugin);
  for (const context of [7, 8, 7]) session.event(input('client-disconnect', {}, context));
  await session.clientClosed(7);
  session.event(input('client-disconnect', {}, 7));
  await session.close();
  assert.deepEqual(seen, [
    'one client-disconnect 7:1',
    'one client-disconnect 8:2',
    'one client-disconnect 7:1',
    'closed 7:1',
    'one client-disconnect 7:3',
    'closed 8:2',
    'closed 7:3',
    'close 3',
  ]);
  assert.deepEqual(session.event(input('client-disconnect')), { result: 'failure' }, 'nothing is called after close');
});

test('client-connect registers its deferral, and a password check is dropped on a client', async () => {
  const plugin = definePlugin({
    name: 'acme',
    open: () => ({ events: ['auth-user-pass-verify', 'client-connect'], handle: undefined }),
    event: () => success(),
  });
  const logged: string[] = [];
  const session = new PluginSession(plugin, (level) => logged.push(level));
  assert.deepEqual(await session.open({ argv: [], env: { remote_1: '10.0.0.1' }, host }, offered), {
    ok: true,
    events: ['client-connect-v2', 'client-connect-defer-v2'],
  });
  assert.deepEqual(logged, ['warn']);
});

test('answers come now, later, or deferred with a question', async () => {
  const pending = challenge('code?', 60);
  const plugin = definePlugin({
    name: 'acme',
    open: () => ({ events: ['auth-user-pass-verify'], handle: undefined }),
    event(event) {
      if (event.username === 'now') return failure('no luck');
      if (event.username === 'later') return Promise.resolve(success());
      return defer(Promise.resolve(failure(undefined, { backoff: 42, advance: 'no' })), pending);
    },
  });
  const { session } = await opened(plugin);
  const login = (username: string) => session.event(input('auth-user-pass-verify', { username }));
  assert.deepEqual(login('now'), { result: 'failure', reason: 'no luck' });
  const later = login('later');
  assert.ok(later.result === 'later' && later.pending === undefined);
  assert.deepEqual(await later.answer, { result: 'success' });
  const asked = login('asked');
  assert.ok(asked.result === 'later');
  assert.deepEqual(asked.pending, { timeout: 60, method: 'crtext', extra: 'CR_TEXT:R:code?' });
  assert.deepEqual(await asked.answer, { result: 'failure', reason: 'TEMP[backoff 42,advance no]: ' });
});

test('what a plugin throws is logged with its causes, and the answer is no', async () => {
  const plugin = definePlugin({
    name: 'acme',
    open: () => ({ events: ['auth-user-pass-verify', 'up'], handle: undefined }),
    event: (event) => (event.type === 'up' ? Promise.resolve().then(broken) : broken()),
    clientClosed: broken,
    close: broken,
  });
  const { session, logged } = await opened(plugin);
  assert.deepEqual(session.event(input('auth-user-pass-verify')), { result: 'failure' });
  const up = session.event(input('up'));
  assert.ok(up.result === 'later');
  assert.deepEqual(await up.answer, { result: 'failure' });
  await session.close();
  assert.deepEqual(
    logged.map((text) => text.split(':')[0]),
    ['error auth-user-pass-verify', 'error up', 'error clientClosed', 'error close'],
  );
  for (const text of logged) assert.match(text, /Error: outer[^]*Caused by: TypeError: inner[^]*Caused by: root/);

  const refuses = new PluginSession({ ...plugin, open: broken }, () => {});
  assert.deepEqual(await refuses.open({ argv: [], env: {}, host }, offered), { ok: false });
});

test('what is no result is no, and never reaches the host', async () => {
  const answers: unknown[] = [
    null,
    true,
    'success',
    { result: 'yes' },
    { result: 'success', config: ['push "ping 10"'] },
    { result: 'failure', reason: 5 },
    { result: 'deferred', answer: Promise.resolve(success()), pending: { timeout: 60, method: 'webauth' } },
    Promise.resolve({ result: 'success', config: 1 }),
  ];
  const plugin = {
    name: 'acme',
    open: () => ({ events: ['client-connect'], handle: undefined }),
    event: () => answers.shift(),
  };
  assert.ok(isPlugin(plugin));
  const { session, logged } = await opened(plugin);
  const count = answers.length;
  for (let index = 0; index < count; index += 1) {
    const outcome = session.event(input('client-connect-v2'));
    assert.deepEqual(outcome.result === 'later' ? await outcome.answer : outcome, { result: 'failure' }, String(index));
  }
  assert.equal(logged.length, count);

  const opens = { ...plugin, open: () => ({ events: [], handle: undefined, config: 5 }) } as unknown as Plugin;
  const refused = new PluginSession(opens, () => {});
  assert.deepEqual(await refused.open({ argv: [], env: {}, host }, offered), { ok: false });
});

test('silence is no where something is decided, and fine elsewhere', async () => {
  const plugin = definePlugin({
    name: 'acme',
    open: () => ({ events: ['tls-verify', 'up'], handle: undefined }),
    event: () => undefined,
  });
  const { session, logged } = await opened(plugin);
  assert.deepEqual(session.event(input('tls-verify')), { result: 'failure' });
  assert.deepEqual(session.event(input('up')), { result: 'success' });
  assert.equal(logged.length, 1);
});
