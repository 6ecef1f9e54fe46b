/** Plugins that are installed packages, and files of JavaScript: found by the rules of an import in the tunnel's folder. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { createMember, PluginError } from '@seikan/plugin-host';

const root = mkdtempSync(join(tmpdir(), 'seikan-packages-'));
after(() => rmSync(root, { recursive: true }));

function write(path: string, text: string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
}

const plugin = (name: string): string =>
  `{ name: '${name}', open: ({ argv }) => { console.log('open', ...argv); return { events: ['up'], handle: 0 }; }, event: () => ({ result: 'success' }) }`;

// Only an import can enter it: its `exports` have no condition for require.
write(
  'node_modules/@acme/gate/package.json',
  JSON.stringify({
    name: '@acme/gate',
    exports: { '.': { import: './lib/gate.mjs' }, './strict': './lib/strict.mjs' },
  }),
);
write(
  'node_modules/@acme/gate/lib/gate.mjs',
  `import { name } from './name.mjs';\nexport default ${plugin('gate')};\n`,
);
write('node_modules/@acme/gate/lib/name.mjs', `export const name = 'gate';\n`);
write('node_modules/@acme/gate/lib/strict.mjs', `export default ${plugin('strict gate')};\n`);
write('node_modules/plain-gate/package.json', JSON.stringify({ name: 'plain-gate', main: 'main.cjs' }));
write('node_modules/plain-gate/main.cjs', `module.exports = ${plugin('plain gate')};\n`);
write('node_modules/@acme/none/package.json', JSON.stringify({ name: '@acme/none', exports: './none.mjs' }));
write('node_modules/@acme/none/none.mjs', 'export const plugin = 1;\n');
write('vpn/none.ts', 'export default 5;');
write('vpn/point.mjs', `export default { ...${plugin('point')}, initPoint: 'pre-deamon' };`);
write('vpn/deadline.ts', `export default { ...${plugin('deadline')}, deadline: '5 s' };`);
write('vpn/syntax.ts', 'export default {;');
write('vpn/throws.ts', `throw new Error('at once');`);
write('vpn/near.mjs', `import '@acme/gate';\nexport default ${plugin('near')};\n`);
write('vpn/typed.ts', `import gate from '@acme/gate';\nconst typed: typeof gate = gate;\nexport default typed;\n`);

async function open(name: string, folder = join(root, 'vpn')): Promise<string[]> {
  const logged: string[] = [];
  const place = { pluginDir: root, folder, version: { major: 2, minor: 6, patch: '.14' } };
  const member = createMember({ name, parameters: ['one', 'two'] }, place, (_, text) => logged.push(text));
  try {
    await member.load();
    await member.open({});
    const answer = await member.call({ event: 'up', context: 0, argv: [], env: {}, deadline: 5_000 });
    assert.deepEqual(answer, { result: 'success' });
    await member.close();
  } catch (error) {
    await member.abort();
    throw error;
  }
  return logged;
}

test('a package is found in the node_modules of the folder or above it, by its exports for import', async () => {
  for (const [name, own] of [
    ['@acme/gate', 'gate'],
    ['@acme/gate/strict', 'strict gate'],
    ['plain-gate', 'plain gate'],
    ['./near.mjs', 'near'],
    ['./typed.ts', 'gate'],
    [join(root, 'vpn/near.mjs'), 'near'],
  ] as const)
    assert.deepEqual(await open(name), [`PLUGIN ${own}: open ${name} one two`]);
});

test('a package or file that is not there, or is no plugin, says what to do', async () => {
  const refused = async (name: string, folder?: string): Promise<string> => {
    const error: unknown = await open(name, folder).catch((caught: unknown) => caught);
    assert.ok(error instanceof PluginError, String(error));
    return error.message;
  };
  assert.match(
    await refused('@acme/missing'),
    /^PLUGIN_INIT: there is no plugin package '@acme\/missing' to be found from .*\/vpn: install it there \(npm install @acme\/missing\)/,
  );
  assert.match(await refused('@acme/gate', tmpdir()), /there is no plugin package '@acme\/gate' to be found from/);
  assert.match(await refused('@acme/gate/lib/gate.mjs'), /not defined by "exports"/);
  assert.match(await refused('@acme/none'), /@acme\/none: its default export is no plugin; write: export default/);
  assert.match(await refused('./none.ts'), /none\.ts: its default export is no plugin; write: export default/);
  assert.match(
    await refused('./point.mjs'),
    /initPoint is 'pre-deamon'; there are pre-config-parse, pre-daemon, post-d/,
  );
  assert.match(await refused('./deadline.ts'), /its deadline and grace are to be numbers of milliseconds/);
  assert.match(await refused('./syntax.ts'), /syntax\.ts:1:16: ERROR/);
  assert.match(await refused('./throws.ts'), /PLUGIN_INIT: at once/);
  for (const missing of ['./missing.ts', 'missing.mjs'])
    assert.match(
      await refused(missing),
      /there is no plugin file .*\/vpn\/missing\.m?[jt]s: a relative name is looked for in .*\/vpn/,
    );
});
