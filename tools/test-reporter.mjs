/**
 * Reporter for `node --test`: one line a failed test, with its place and error at once, and the closing line
 * 'N passed, N failed' that ./test and CI read. Suites are not counted, only tests.
 */
export default async function* report(source) {
  const count = { passed: 0, failed: 0, skipped: 0 };
  for await (const { type, data } of source) {
    if (type === 'test:stderr' || type === 'test:stdout') yield data.message;
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    if (data.details.type === 'suite' || data.details.error?.failureType === 'subtestsFailed') continue;
    if (data.skip !== undefined) count.skipped += 1;
    else if (type === 'test:pass') count.passed += 1;
    else {
      count.failed += 1;
      const error = data.details.error?.cause ?? data.details.error;
      yield `FAILED ${data.name}\n  at ${data.file ?? '?'}:${data.line ?? 0}\n`;
      yield `${String(error?.stack ?? error).replaceAll(/^/gm, '  ')}\n`;
    }
  }
  yield `${count.passed} passed, ${count.failed} failed${count.skipped > 0 ? `, ${count.skipped} skipped` : ''}\n`;
}
