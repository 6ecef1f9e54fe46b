import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { directiveTable } from '@seikan/engine';

const root = resolve(import.meta.dirname, '../../../..');
const recorded: { readonly names: Readonly<Record<string, readonly [number, number | 'list']>> } = JSON.parse(
  readFileSync(join(root, 'packages/engine/test/vectors/stock-directives.json'), 'utf8'),
);

test('every name that openvpn knows stands in the table', () => {
  const names = Object.keys(recorded.names);
  assert.equal(names.length, 289);
  assert.deepEqual(
    names.filter((name) => !directiveTable.has(name)),
    [],
  );
});

test('the table has the 311 names of all platforms, and of 2.7’s those that we have too', () => {
  assert.equal(directiveTable.size, 311 + 1);
  assert.ok(directiveTable.has('dns-updown'));
});

test('supported and ignored directives take as many parameters as openvpn does', () => {
  const wrong: string[] = [];
  for (const [name, [least, most]] of Object.entries(recorded.names)) {
    const row = directiveTable.get(name);
    if (row === undefined || row.support === 'refused') continue;
    const limit = row.parameters[1] === Number.POSITIVE_INFINITY ? 'list' : row.parameters[1];
    if (row.parameters[0] !== least || limit !== most) wrong.push(name);
  }
  // A second parameter of crl-verify can only be "dir", which the recording does not try.
  assert.deepEqual(wrong, ['crl-verify']);
});

test('each refusal and each silence has a reason', () => {
  for (const row of directiveTable.values()) if (row.support !== 'supported') assert.notEqual(row.reason, '', row.name);
});

test('docs/compatibility.md is what the table says', () => {
  const { status, stderr } = spawnSync(process.execPath, ['tools/compatibility.mjs', '--check'], { cwd: root });
  assert.equal(status, 0, String(stderr));
});
