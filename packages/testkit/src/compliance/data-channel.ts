/** One suite for every implementation of the data channel: each test fails without the rule that it names. */
import { suite } from 'node:test';

import { forwardingRules } from './forwarding.js';
import type { HarnessFactory } from './harness.js';
import { payloadRules } from './payload.js';
import { seamRules } from './seam.js';

export function dataChannelCompliance(name: string, factory: HarnessFactory): void {
  suite(`${name}: the seam`, () => seamRules(factory));
  suite(`${name}: forwarding`, () => forwardingRules(factory));
  suite(`${name}: payload`, () => payloadRules(factory));
}
