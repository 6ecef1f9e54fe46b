/** One suite for every implementation of the data channel: each test fails without the rule that it names. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';

import { forwardingRules } from './forwarding.js';
import type { HarnessFactory, Rule } from './harness.js';
import { payloadRules } from './payload.js';
import { seamRules } from './seam.js';

/** A rule that a channel does not keep, and why. `run`: it is run all the same, and must fail. */
export interface ComplianceException {
  readonly rule: string;
  readonly why: string;
  readonly run: boolean;
}

export function dataChannelCompliance(
  name: string,
  factory: HarnessFactory,
  exceptions: readonly ComplianceException[] = [],
): void {
  const left = new Set(exceptions);
  const rule: Rule = (title, body) => {
    const exception = exceptions.find(({ rule: named }) => named === title);
    if (exception === undefined) {
      test(title, body);
      return;
    }
    left.delete(exception);
    const { why, run } = exception;
    if (run) test(`not kept: ${title} (${why})`, () => assert.rejects(body, 'it is kept now: no exception any more'));
    else test(title, { skip: why }, body);
  };
  suite(`${name}: the seam`, () => seamRules(factory, rule));
  suite(`${name}: forwarding`, () => forwardingRules(factory, rule));
  suite(`${name}: payload`, () => payloadRules(factory, rule));
  if (left.size > 0) throw new Error(`no such rules: ${[...left].map(({ rule: title }) => title).join('; ')}`);
}
