/** Calls of a TypeScript plugin that follow one another: fast ones, which neither thread sleeps between. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { createMember, type Member, type MemberCall, type MemberOutcome } from '@seikan/plugin-host';
import { folder } from './habits.js';

const version = { major: 2, minor: 6, patch: '.14' };
const env = { common_name: 'ada', variable: '' };

async function opened(t: TestContext, file: string, body: string, log: string[] = []): Promise<Member> {
  const path = join(folder, file);
  writeFileSync(
    path,
    `export default { name: 'swift', open: () => ({ events: ['up', 'down'], handle: 0 }), ${body} };`,
  );
  const place = { pluginDir: folder, folder, version };
  const member = createMember({ name: path, parameters: [] }, place, (_, text) => log.push(text));
  t.after(async () => member.close());
  await member.load();
  await member.open({});
  return member;
}

const call = async (member: Member, more: Partial<MemberCall> = {}): Promise<MemberOutcome> =>
  member.call({ event: 'up', context: 1, argv: [], env, deadline: 60_000, ...more });

test('each call has its own arguments and variables, and its own answer', async (t) => {
  const member = await opened(
    t,
    'echo.mjs',
    `event: ({ type, argv, env, client }) => ({ result: 'failure', reason: JSON.stringify([type, argv, env, client.id]) })`,
  );
  for (let index = 0; index < 3_000; index += 1) {
    const value = ['', `value ${index}`, 'é \u{1f600}', '\udc80 lone \ud800', 'x'.repeat(20_000)][index % 5] ?? '';
    const argv = index % 2 === 0 ? [] : [value, 'init'];
    // Every tenth has names of its own, and every hundredth a password, after which all is sent anew.
    const more = index % 100 === 0 ? { password: value } : index % 10 === 0 ? { [`name_${index}`]: value } : {};
    const variables = { ...env, variable: value, ...more };
    const outcome = await call(member, { argv, env: variables, context: index % 7 });
    assert.equal(outcome.result, 'failure');
    assert.deepEqual(JSON.parse(outcome.reason ?? ''), ['up', [member.name, ...argv], variables, index % 7]);
  }
});

test('answers of calls at the same time are not confused, and what is logged stands before them', async (t) => {
  const logged: string[] = [];
  const member = await opened(
    t,
    'several.mjs',
    `event({ argv }) {
       console.log(argv[1]);
       if (argv[1] % 3 === 0) return { result: 'success' };
       if (argv[1] % 3 === 1) return Promise.resolve({ result: 'failure', reason: argv[1] });
       return new Promise((resolve) => setTimeout(() => resolve({ result: 'failure', reason: argv[1] }), 1));
     }`,
    logged,
  );
  for (let round = 0; round < 100; round += 1) {
    const numbers = [0, 1, 2, 3, 4].map((index) => String(round * 5 + index));
    const outcomes = await Promise.all(numbers.map(async (number) => call(member, { argv: [number] })));
    for (const [index, outcome] of outcomes.entries()) {
      const number = numbers[index] ?? '';
      const final = outcome.result === 'later' ? await outcome.answer : outcome;
      const yes = Number(number) % 3 === 0;
      assert.deepEqual(final, yes ? { result: 'success' } : { result: 'failure', reason: number });
      assert.equal(outcome.result === 'later', Number(number) % 3 === 2, number);
      assert.equal(logged[Number(number)], `PLUGIN swift: ${number}`);
    }
  }
});

test('our timers go on while one call follows the other without end', async (t) => {
  const member = await opened(t, 'yes.mjs', `event: () => ({ result: 'success' })`);
  const fired: number[] = [];
  const timer = setInterval(() => fired.push(performance.now()), 1);
  while (fired.length < 20) assert.equal((await call(member)).result, 'success');
  clearInterval(timer);
});

test('so do the timers of the plugin', async (t) => {
  const member = await opened(
    t,
    'timers.mjs',
    `event() {
       if (globalThis.fired === undefined) setInterval(() => { globalThis.fired += 1; }, 1);
       globalThis.fired ??= 0;
       return { result: globalThis.fired > 20 ? 'success' : 'failure' };
     }`,
  );
  while ((await call(member)).result !== 'success');
});

test('what a call sets off in promises and ticks is done before the next call', async (t) => {
  const member = await opened(
    t,
    'promises.mjs',
    `event() {
       if (globalThis.open) return { result: 'failure', reason: 'it came too early' };
       globalThis.open = true;
       void (async () => {
         for (let index = 0; index < 10; index += 1) await null;
         process.nextTick(() => Promise.resolve().then(() => { globalThis.open = false; }));
       })();
       return { result: 'success' };
     }`,
  );
  for (let index = 0; index < 3_000; index += 1) assert.deepEqual(await call(member), { result: 'success' });
});

test('a thread that ends in the midst of a call leaves it without a verdict, and the next is answered again', async (t) => {
  const member = await opened(
    t,
    'ends.mjs',
    `event({ type }) { if (type === 'down') process.exit(3); return { result: 'success' }; }`,
  );
  for (let index = 0; index < 500; index += 1) assert.equal((await call(member)).result, 'success');
  const cause = `plugin ${member.name}: its thread ended with status 3`;
  assert.deepEqual(await call(member, { event: 'down' }), { result: 'none', cause });
  while ((await call(member)).result !== 'success') await new Promise((resolve) => setTimeout(resolve, 10));
});
