/** What stands in a `<connection>` block holds while that one is tried. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { World } from './world.js';

const CLIENT = `client
dev tun
nobind
connect-timeout 5
ca ca.crt
cert client.crt
key client.key
<connection>
remote 198.51.100.7 1194 udp
mtu-disc yes
</connection>
<connection>
remote 198.51.100.8 1195 udp
mtu-disc no
</connection>
<connection>
remote 198.51.100.9 1196 udp
</connection>
`;

test('each link is opened with the settings of its own block', () => {
  const world = new World(12);
  const client = world.add('client', CLIENT, '198.51.100.2');
  world.run(20_000);
  const opened = client.outputs.flatMap((output) =>
    output.output === 'ask' && output.ask === 'open-link' ? [[output.remote?.address, output.mtuDiscover]] : [],
  );
  assert.deepEqual(opened.slice(0, 3), [
    ['198.51.100.7', 'yes'],
    ['198.51.100.8', 'no'],
    ['198.51.100.9', undefined],
  ]);
});
