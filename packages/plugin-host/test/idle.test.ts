/** Whoever looks for an answer or the next call without sleep does so for a moment only: counted in CPU time. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { CompiledMember, createMember, type MemberCall } from '@seikan/plugin-host';
import { fixture, folder, skip } from './habits.js';

const version = { major: 2, minor: 6, patch: '.14' };
const call: MemberCall = { event: 'up', context: 0, argv: [], env: {}, deadline: 5_000 };
/** In a second; whoever looked all the time would take a thousand. */
const nothing = 100;

/** Milliseconds of CPU time of a process that has one thread. */
function cpuOf(pid: number): number {
  const [user, system] = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ')
    .slice(11);
  return (Number(user) + Number(system)) * 10;
}

function childrenOf(pid: number): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
  return [...children, ...children.flatMap(childrenOf)];
}

test('plugins that are not called take no CPU time, nor do we', { skip }, async () => {
  const file = join(folder, 'idle.mjs');
  writeFileSync(
    file,
    `export default { name: 'idle', open: () => ({ events: ['up'], handle: 0 }), event: () => ({ result: 'success' }) };`,
  );
  const compiled = new CompiledMember({ name: 'habits.so', args: ['plain'], path: fixture(), version }, () => {});
  const script = createMember({ name: file, parameters: [] }, { pluginDir: folder, folder, version }, () => {});
  for (const member of [compiled, script]) {
    await member.load();
    await member.open({});
    for (let index = 0; index < 20; index += 1) assert.equal((await member.call(call)).result, 'success');
  }
  const helpers = childrenOf(compiled.pid ?? 0);
  assert.equal(helpers.length, 1);
  const before = { ours: process.cpuUsage(), helpers: helpers.map(cpuOf) };
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  const ours = process.cpuUsage(before.ours);
  assert.ok((ours.user + ours.system) / 1_000 < nothing, `${ours.user + ours.system} µs`);
  for (const [index, pid] of helpers.entries()) assert.ok(cpuOf(pid) - (before.helpers[index] ?? 0) < nothing);
  await compiled.close();
  await script.close();
});
