import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Context } from '#src/context.js';

import { PLAIN_CLIENT, PLAIN_SERVER, World } from '../world.js';

test('a fault in what one client says ends its instance, not the server', () => {
  const world = new World(141);
  const server = world.add('server', PLAIN_SERVER, '198.51.100.1');
  const ada = world.add('ada', PLAIN_CLIENT, '198.51.100.2');
  const eve = world.add('eve', PLAIN_CLIENT, '198.51.100.3');
  world.run(5_000);
  const handleControl: Context['handleControl'] = Reflect.get(Context.prototype, 'handleControl');
  let faults = 0;
  Context.prototype.handleControl = function faulty(bytes, from, time) {
    if (this.mode !== 'p2p' && from.address === '198.51.100.3') {
      faults += 1;
      throw new TypeError('injected');
    }
    return handleControl.call(this, bytes, from, time);
  };
  try {
    for (const host of [eve, ada]) {
      host.machine.handleSignal('SIGUSR1', world.time);
      world.drain(host);
    }
    world.run(20_000);
  } finally {
    Context.prototype.handleControl = handleControl;
  }
  assert.ok(faults > 0);
  assert.ok(server.log.some((line) => line.includes('internal error: TypeError: injected')));
  assert.ok(server.log.some((line) => line.includes('SIGTERM[soft,internal-error] received, client-instance exiting')));
  assert.equal(ada.log.filter((line) => line.includes('Initialization Sequence Completed')).length, 2);
  world.run(150_000);
  assert.ok(
    eve.log.filter((line) => line.includes('Initialization Sequence Completed')).length >= 2,
    'she is let in again',
  );
});
