/** The data channel's compliance suite over the kernel's offload. Runs in the virtual machine, in a network namespace. */
import { execFileSync } from 'node:child_process';
import { after } from 'node:test';

import { dataChannelCompliance } from '@seikan/testkit';

import { exceptionsOf } from './compliance-exceptions.js';
import { kernelHarness } from './kernel-harness.js';

for (const words of [
  'link set lo up',
  'route add local 198.51.100.0/24 dev lo',
  // Groups have no route of their own here. A peer's default route comes before it.
  'route add default dev lo metric 4096',
])
  execFileSync('ip', words.split(' '));
const harness = await kernelHarness();
after(() => harness.close());
const { factory, family } = harness;
dataChannelCompliance(`kernel, ${family}`, factory, exceptionsOf(family));
