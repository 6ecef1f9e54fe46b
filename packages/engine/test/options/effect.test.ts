/** No option is accepted without effect: what a configuration says is read by somebody. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { test } from 'node:test';

const packages = resolve(import.meta.dirname, '../../../../packages');
const options = join(packages, 'engine/src/options');

/** Sources that act on options; the rest of the options room only carries them. */
const readers = [
  ...['parse.ts', 'pull.ts', 'push.ts', 'resolve.ts', 'verify.ts', 'start-warnings.ts'].map((name) =>
    join(options, name),
  ),
  ...['engine', 'runtime', 'cli'].flatMap((name) => sources(join(packages, name, 'src'))),
];

function sources(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => join(folder, name))
    .filter((path) => path.endsWith('.ts') && !path.startsWith(`${options}/`));
}

/** For a management client, which is not there yet. */
const awaited = new Set(['echo']);
/** Decides how other directives are taken. */
const whileReading = new Set(['allowNames']);

test('each field of the options is named by code that acts on it', () => {
  const text = readers.map((path) => readFileSync(path, 'utf8')).join('\n');
  const words = new Set(text.match(/\w+/g));
  const fields = ['options.ts', 'client-config.ts'].flatMap((name) =>
    Array.from(readFileSync(join(options, name), 'utf8').matchAll(/^ +readonly (\w+):/gm), ([, field = '']) => field),
  );
  assert.ok(fields.length > 150, String(fields.length));
  assert.deepEqual(
    fields.filter((field) => !words.has(field) && !awaited.has(field) && !whileReading.has(field)),
    [],
  );
});
