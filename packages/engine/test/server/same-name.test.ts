import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Host, PLAIN_CLIENT, PLAIN_SERVER, World } from '../world.js';

const LOGIN = 'script-security 2\nauth-user-pass-verify login.sh via-env\n';

function addressesOf({ log }: Host): string[] {
  return log.flatMap((line) => /pool returned IPv4=([\d.]+)/.exec(line)?.[1] ?? []);
}

/** upstream: multi.c `multi_delete_dup` (2.6) takes every other instance of the name. */
test('a client that was refused at a renegotiation has its address again when it connects anew', () => {
  const world = new World(6);
  world.asked.add('auth-user-pass-verify');
  const verdicts = ['success', 'failure', 'success'];
  world.events = (_host, { event }) => ({
    result: event === 'auth-user-pass-verify' ? (verdicts.shift() ?? 'success') : 'success',
  });
  const server = world.add('server', `${PLAIN_SERVER}proto udp\nreneg-sec 10\n${LOGIN}`, '198.51.100.1');
  world.add('client', `${PLAIN_CLIENT}auth-user-pass\nreneg-sec 0\n`, '198.51.100.7');
  const refused = (): boolean => server.log.some((line) => line.includes("'AUTH_FAILED"));
  for (const from = world.now; !refused() && world.now < from + 30_000; ) world.run(world.now + 100);
  assert.ok(refused(), server.log.join('\n'));

  world.add('client', `${PLAIN_CLIENT}auth-user-pass\nreneg-sec 0\n`, '198.51.100.8');
  world.run(world.now + 2_000);
  assert.deepEqual(addressesOf(server), ['10.8.0.2', '10.8.0.2']);
  assert.ok(server.log.includes('SIGTERM[soft,duplicate-cn] received, client-instance exiting'), server.log.join('\n'));
});
