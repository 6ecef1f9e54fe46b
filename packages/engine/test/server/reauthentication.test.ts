/** A client that was connected and is refused at a renegotiation: a wrong password, a token that has run out. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type Host, PLAIN_CLIENT, PLAIN_SERVER, World } from '../world.js';

const SERVER = `${PLAIN_SERVER}script-security 2
auth-user-pass-verify /bin/true via-env
reneg-sec 30
`;
const CLIENT = `${PLAIN_CLIENT}auth-user-pass
auth-retry nointeract
connect-retry 1 1
reneg-sec 0
`;

interface Story {
  readonly world: World;
  readonly server: Host;
  readonly client: Host;
  /** Every event but the logins, with its arguments. */
  readonly told: () => string[];
}

/** Connected; logins are answered by `passes` from then on. */
function connected(passes: () => boolean): Story {
  const world = new World(71);
  for (const event of ['auth-user-pass-verify', 'client-connect', 'client-disconnect']) world.asked.add(event);
  let settled = false;
  world.events = (_host, { event }) => ({
    result: event !== 'auth-user-pass-verify' || !settled || passes() ? 'success' : 'failure',
  });
  const server = world.add('server', SERVER, '198.51.100.1');
  const client = world.add('ada', CLIENT, '198.51.100.2');
  world.run(10_000);
  settled = true;
  const told = (): string[] =>
    server.outputs.flatMap((output) =>
      output.output === 'ask' && output.ask === 'event' && output.request.event !== 'auth-user-pass-verify'
        ? [output.request.event]
        : [],
    );
  return { world, server, client, told };
}

/** The addresses that clients were given, in order. */
function given({ log }: Host): string[] {
  return log.flatMap((line) => /^MULTI: Learn: (\S+) ->/.exec(line)?.[1] ?? []);
}

test('client-disconnect is told of it', () => {
  const { world, told } = connected(() => false);
  world.run(60_000);
  assert.deepEqual(told(), ['client-connect', 'client-disconnect']);
});

test('when it comes back at once from another port, it takes the place of the one that is being refused, and its address', () => {
  let logins = 0;
  const { world, server, client, told } = connected(() => {
    logins += 1;
    return logins !== 1;
  });
  while (!client.log.includes('AUTH: Received control message: AUTH_FAILED')) world.run(world.now + 100);
  client.machine.handleSignal('SIGTERM', world.time);
  world.drain(client);
  world.add('ada', CLIENT, '198.51.100.3');
  world.run(world.now + 3_000);
  assert.deepEqual(given(server), ['10.8.0.2', '10.8.0.2']);
  assert.deepEqual(told(), ['client-connect', 'client-disconnect', 'client-connect']);
});
