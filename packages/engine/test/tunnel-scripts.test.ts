import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { EngineOutput } from '@seikan/engine';
import { fakeCertificate } from '@seikan/testkit';

import { AskBook, Asks } from '#src/asks.js';
import { TunnelScripts } from '#src/tunnel-scripts.js';

const time = { now: 0, wallClock: 0 };
const peer = { family: 4, address: '198.51.100.1', port: 1194 } as const;

test('scripts of a tunnel run one after the other, in the order of their occasions', () => {
  const asked: (EngineOutput & { output: 'ask'; ask: 'event' })[] = [];
  const asks = new Asks((output) => {
    if (output.output === 'ask' && output.ask === 'event') asked.push(output);
  }, new AskBook());
  const scripts = new TunnelScripts(asks, () => true, { verb: '3' });
  const events = (): string[] => asked.map(({ request }) => request.event);
  const finish = (index: number, result: 'success' | 'failure'): void => {
    asks.handleAnswer(asked[index]?.id ?? 0, { result }, false, time);
  };
  const told: string[] = [];
  scripts.peerInitiated(peer, time);
  scripts.up('init', time, (refusal) => {
    told.push(`up ${refusal}`);
    scripts.routeUp(true, time, () => told.push('route-up'));
  });
  assert.deepEqual(events(), ['ipchange']);
  assert.deepEqual(asked[0]?.request.argv, ['[AF_INET]198.51.100.1 1194']);
  finish(0, 'failure');
  assert.deepEqual(events(), ['ipchange', 'up']);
  finish(1, 'success');
  assert.deepEqual(told, ['up undefined']);
  assert.equal(asked[2]?.request.env['redirect_gateway'], '1');
  finish(2, 'failure');
  assert.deepEqual(told, ['up undefined', 'route-up']);

  // Questions that were taken back are not waited for.
  scripts.peerInitiated(peer, time);
  scripts.up('init', time, () => told.push('never'));
  asks.cancelAll();
  scripts.cancelled();
  scripts.reset();
  scripts.down('init', 'sigterm', time, (refusal) => told.push(`down: ${refusal}`));
  const last = asked.at(-1)?.request;
  assert.equal(last?.event, 'down');
  assert.deepEqual(last?.env, { verb: '3', signal: 'sigterm', script_context: 'init' });
  finish(asked.length - 1, 'failure');
  assert.deepEqual(told, ['up undefined', 'route-up', 'down: ERROR: up/down: down failed']);
});

test('where routes are left to scripts, nobody says whether the default one was changed', () => {
  const envs: Readonly<Record<string, string>>[] = [];
  const asks = new Asks((output) => {
    if (output.output === 'ask' && output.ask === 'event') envs.push(output.request.env);
  }, new AskBook());
  const scripts = new TunnelScripts(asks, () => true, {});
  scripts.routeUp(undefined, time, () => undefined);
  assert.ok(envs[0] !== undefined && !('redirect_gateway' in envs[0]));
});

test('the name of a server stands in one line of the environment', () => {
  const asked: Readonly<Record<string, string>>[] = [];
  const asks = new Asks((output) => {
    if (output.output === 'ask' && output.ask === 'event') asked.push(output.request.env);
  }, new AskBook());
  const chain = [fakeCertificate('a\nIFS=b')];
  const verify = { track: [] } as unknown as Parameters<TunnelScripts['tlsVerify']>[2];
  const nothing = (): undefined => undefined;
  new TunnelScripts(asks, () => true, {}).tlsVerify(chain, peer, verify, nothing, nothing, time);
  assert.equal(asked[0]?.['common_name'], 'a_IFS=b');
});
