/**
 * Checks the import rules of house.json: who may import whom, packages through their root only,
 * pure packages without node:* and without dependencies, rooms inside a package only to the left,
 * and one index.ts per package. Prints every breach as file:line; exits 1 if there is one.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { dirname, join, relative, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '..');
const house = JSON.parse(readFileSync(join(root, 'house.json'), 'utf8'));
const breaches = [];
let filesRead = 0;

function* sourceFiles(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      if (!['node_modules', 'dist', 'dist-test', 'build', '.cache'].includes(entry.name)) yield* sourceFiles(path);
    } else if (/\.(ts|tsx|mts)$/.test(entry.name) && !entry.name.endsWith('.d.ts')) yield path;
  }
}

function* importsOf(text) {
  const pattern =
    /(?:^|\n)\s*(?:import|export)\s[^'"`;]*?from\s*['"]([^'"]+)['"]|(?:^|\n)\s*import\s*['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]/g;
  for (const match of text.matchAll(pattern)) {
    const specifier = match[1] ?? match[2] ?? match[3];
    const at = match.index + match[0].indexOf(specifier);
    yield { specifier, line: text.slice(0, at).split('\n').length };
  }
}

const isBuiltin = (specifier) => specifier.startsWith('node:') || builtinModules.includes(specifier);

function checkPackage(name, rule) {
  const folder = join(root, 'packages', name);
  const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  const dependencies = Object.keys(manifest.dependencies ?? {});
  const rooms = house.rooms?.[name];
  const scope = /^(?:@seikan\/)?(.+)$/;

  for (const dependency of dependencies) {
    const own = dependency.startsWith('@seikan/') || dependency === 'seikan';
    if (own && !rule.imports.includes(scope.exec(dependency)[1]))
      breaches.push(`packages/${name}/package.json: depends on ${dependency}, which house.json does not allow`);
    if (!own && rule.pure) breaches.push(`packages/${name}/package.json: a pure package depends on ${dependency}`);
  }

  for (const kind of ['src', 'test']) {
    const base = join(folder, kind);
    if (!existsSync(base)) continue;
    for (const file of sourceFiles(base)) {
      filesRead += 1;
      const where = relative(root, file);
      const text = readFileSync(file, 'utf8');
      const breach = (line, what) => breaches.push(`${where}:${line}: ${what}`);
      if (kind === 'src' && /(^|\/)index\.ts$/.test(where) && where !== `packages/${name}/src/index.ts`)
        breach(1, 'one index.ts per package: a barrel inside a package hides its rooms');
      for (const { specifier, line } of importsOf(text)) {
        if (specifier.startsWith('.')) {
          const target = resolve(dirname(file), specifier);
          if (relative(base, target).startsWith('..')) breach(line, `imports ${specifier}, which leaves ${kind}/`);
          if (kind === 'src' && rooms !== undefined) {
            const room = (path) =>
              rooms.indexOf(
                relative(base, path)
                  .split('/')[0]
                  .replace(/\.(js|ts)$/, ''),
              );
            const [from, to] = [room(file), room(target)];
            if (from >= 0 && to > from)
              breach(line, `room ${rooms[from]} imports ${rooms[to]}; imports go to the left in: ${rooms.join(' < ')}`);
          }
          continue;
        }
        if (specifier.startsWith('#')) {
          if (kind === 'src') breach(line, `imports ${specifier}; the # form is for tests`);
          continue;
        }
        if (isBuiltin(specifier)) {
          if (kind === 'src' && rule.pure) breach(line, `a pure package imports ${specifier}`);
          else if (!specifier.startsWith('node:')) breach(line, `write node:${specifier}`);
          continue;
        }
        const own = /^(?:@seikan\/([^/]+)|(seikan))(\/.*)?$/.exec(specifier);
        if (own !== null) {
          const target = own[1] ?? own[2];
          if (own[3] !== undefined) breach(line, `imports ${specifier}; a package is entered through its root only`);
          if (kind === 'src' && !rule.imports.includes(target))
            breach(line, `${name} may not import ${target} (house.json)`);
          if (kind === 'src' && !dependencies.includes(`@seikan/${target}`) && !dependencies.includes(target))
            breach(line, `${target} is missing from packages/${name}/package.json`);
          continue;
        }
        if (kind === 'src') {
          const library = specifier
            .split('/')
            .slice(0, specifier.startsWith('@') ? 2 : 1)
            .join('/');
          const declared = [
            ...dependencies,
            ...Object.keys(manifest.optionalDependencies ?? {}),
            ...Object.keys(manifest.peerDependencies ?? {}),
          ];
          if (!declared.includes(library)) breach(line, `${library} is missing from packages/${name}/package.json`);
        }
      }
    }
  }
}

for (const name of readdirSync(join(root, 'packages'))) {
  if (!existsSync(join(root, 'packages', name, 'package.json'))) continue;
  const rule = house.packages[name];
  if (rule === undefined) breaches.push(`packages/${name}: not in house.json`);
  else checkPackage(name, rule);
}

for (const [name, rule] of Object.entries(house.packages)) {
  const seen = new Set();
  const walk = (at) => {
    for (const next of house.packages[at]?.imports ?? []) {
      if (next === name) breaches.push(`house.json: ${name} imports itself through ${at}`);
      else if (!seen.has(next)) {
        seen.add(next);
        walk(next);
      }
    }
  };
  if (rule.private) continue;
  walk(name);
}

for (const breach of breaches) console.error(breach);
console.log(`check-house: ${filesRead} files, ${breaches.length} breaches`);
process.exit(breaches.length === 0 ? 0 : 1);
