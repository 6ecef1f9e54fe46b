import { writeFileSync } from 'node:fs';

/**
 * Reporter for `node --test`: one line a failed test, with its place and error at once. The counts, and
 * what failed and where it stands, go to the file that SEIKAN_TEST_REPORT names. Suites are not counted, only tests.
 */
export default async function* report(source) {
  const count = { passed: 0, failed: 0, skipped: 0 };
  const failures = [];
  for await (const { type, data } of source) {
    if (type === 'test:stderr' || type === 'test:stdout') yield data.message;
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    if (data.details.type === 'suite' || data.details.error?.failureType === 'subtestsFailed') continue;
    if (data.skip !== undefined) count.skipped += 1;
    else if (type === 'test:pass') count.passed += 1;
    else {
      count.failed += 1;
      failures.push({ name: data.name, source: data.file });
      const error = data.details.error?.cause ?? data.details.error;
      yield `FAILED ${data.name}\n  at ${data.file ?? '?'}:${data.line ?? 0}\n`;
      yield `${String(error?.stack ?? error).replaceAll(/^/gm, '  ')}\n`;
    }
  }
  const path = process.env.SEIKAN_TEST_REPORT;
  if (path === undefined) yield `${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped\n`;
  else writeFileSync(path, JSON.stringify({ ...count, failures }));
}
