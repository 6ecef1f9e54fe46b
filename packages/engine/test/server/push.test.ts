/** When a server pushes, and what stays out of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { parseConfig } from '@seikan/engine';

import { Capability } from '#src/negotiation.js';
import type { Instance } from '#src/server/instance.js';
import { pushToClient } from '#src/server/push.js';
import type { Top } from '#src/server/top.js';

import { PLAIN_CLIENT, PLAIN_SERVER, World } from '../world.js';

/** Whether a client is pushed to at 100 s. */
function isPushed(client: { readonly can: number; readonly asked: boolean; readonly sentAt?: number }): boolean {
  const { options } = parseConfig(PLAIN_SERVER, 's', { read: () => undefined });
  let told = false;
  const instance = {
    capabilities: client.can,
    pushRequested: client.asked,
    pushSentAt: client.sentAt,
    pushed: () => undefined,
    tell: () => {
      told = true;
    },
    context: {},
  };
  pushToClient({ options } as Top, instance as unknown as Instance, { now: 100_000, wallClock: 0 });
  return told;
}

test('unasked once, to those who can take that; asked again not before 30 s', () => {
  assert.ok(isPushed({ can: Capability.requestPush, asked: false }));
  assert.ok(!isPushed({ can: Capability.dataV2, asked: false }));
  assert.ok(isPushed({ can: Capability.dataV2, asked: true }));
  for (const can of [Capability.dataV2, Capability.requestPush]) {
    assert.ok(!isPushed({ can, asked: false, sentAt: 1 }));
    assert.ok(!isPushed({ can, asked: true, sentAt: 70_001 }));
    assert.ok(isPushed({ can, asked: true, sentAt: 70_000 }));
  }
});

test('a route to what is behind the client itself is not pushed to it', () => {
  const world = new World(64);
  const pushes = 'push "route 10.50.0.0 255.255.0.0"\npush "route 10.60.0.0 255.255.0.0"\nclient-config-dir ccd\n';
  world.files.set('ccd/ada', { text: 'iroute 10.50.0.0 255.255.0.0' });
  const server = world.add('server', PLAIN_SERVER + pushes, '198.51.100.1');
  world.add('ada', PLAIN_CLIENT, '198.51.100.2');
  world.add('bob', PLAIN_CLIENT, '198.51.100.3');
  world.run(5_000);
  const routes = server.log
    .filter((line) => line.includes("'PUSH_REPLY,"))
    .map((line) => Array.from(line.matchAll(/route (10\.\d+)/g), ([, network]) => network));
  assert.deepEqual(routes, [['10.60'], ['10.50', '10.60']]);
});

test('a renewed token goes alone; the client sends it next, not the one before', () => {
  const world = new World(65);
  world.asked.add('auth-user-pass-verify');
  const passwords: string[] = [];
  world.events = (_host, { env }) => {
    passwords.push(env['password'] ?? '');
    return { result: 'success' };
  };
  const auth = 'script-security 3\nauth-user-pass-verify /bin/true via-env\nauth-gen-token 0 200 external-auth\n';
  const server = world.add('server', `${PLAIN_SERVER}${auth}reneg-sec 60 60\n`, '198.51.100.1');
  world.add('ada', `${PLAIN_CLIENT}auth-user-pass\nreneg-sec 0\n`, '198.51.100.2');
  world.run(200_000);
  const alone = server.log.filter((line) => line.includes("'PUSH_REPLY,auth-token [[ redacted ]]'"));
  assert.equal(alone.length, 3);
  assert.equal(server.log.filter((line) => line.includes("'PUSH_REPLY,")).length, 4);
  assert.equal(new Set(passwords).size, 4);
});

test('a client asks at once and every 5 s, and gives up when its hand-window is over', () => {
  const world = new World(66);
  world.asked.add('client-connect');
  world.held.add('client-connect');
  world.add('server', `${PLAIN_SERVER}hand-window 300\nreneg-sec 3600\n`, '198.51.100.1');
  const client = world.add('ada', `${PLAIN_CLIENT}hand-window 21\n`, '198.51.100.2');
  const asked = (): number => client.log.filter((line) => line.includes("'PUSH_REQUEST'")).length;
  while (asked() === 0) world.run(world.now + 10);
  const from = world.now;
  for (const [after, times] of [
    [4_900, 1],
    [5_100, 2],
    [10_100, 3],
    [20_100, 5],
  ] as const) {
    world.run(from + after);
    assert.equal(asked(), times);
  }
  world.run(from + 20_900);
  assert.ok(!client.log.some((line) => line.startsWith('No reply')));
  world.run(from + 21_100);
  assert.ok(client.log.includes('No reply from server to push requests in 21s'), client.log.join('\n'));
  assert.ok(client.log.includes('SIGUSR1[soft,no-push-reply] received, process restarting'));
});
