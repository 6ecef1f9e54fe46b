/** What a server decides, whatever a client says of itself. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { PLAIN_CLIENT, PLAIN_SERVER, World } from '../world.js';

test("the digest of CBC packets is the server's own: a client cannot name a weaker one", () => {
  const world = new World(81);
  const cipher = 'data-ciphers AES-256-CBC\n';
  const server = world.add('server', `${PLAIN_SERVER}${cipher}auth SHA512\n`, '198.51.100.1');
  world.add('ada', `${PLAIN_CLIENT}${cipher}auth SHA1\n`, '198.51.100.2');
  world.run(10_000);
  assert.ok(
    server.log.includes("Data Channel: cipher 'AES-256-CBC', auth 'SHA512', peer-id: 0"),
    server.log.join('\n'),
  );
});
