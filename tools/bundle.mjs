/**
 * Bundles each program into few files, so that it starts in a fraction of the time that some 450 modules take: one ES
 * module per program and chunks of what is loaded later. `npm run build` runs it after the compiler.
 *
 * `import.meta.url` keeps meaning the compiled file where it was written: what lies beside that (the addon, workers,
 * helper programs) is found from there.
 */
import { readFileSync, rmSync } from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';

import { build } from 'esbuild';

const root = resolve(import.meta.dirname, '..');
const outdir = join(root, 'packages/cli/dist/bundle');

const ownPlace = {
  name: 'own-place',
  setup({ onLoad }) {
    onLoad({ filter: /\/packages\/[^/]+\/dist\/.*\.js$/ }, ({ path }) => {
      const text = readFileSync(path, 'utf8');
      if (!text.includes('import.meta.')) return undefined;
      const own = threads
        .filter((thread) => text.includes(`new URL('./${basename(thread)}', import.meta.url)`))
        .reduce((code, thread) => {
          const name = basename(thread);
          return code.replace(`'./${name}', import.meta.url`, `'./${name.replace(/js$/, 'mjs')}', import.meta.bundle`);
        }, text);
      const place = `new URL(${JSON.stringify(relative(outdir, path))}, import.meta.url)`;
      const contents = own
        .replaceAll('import.meta.url', `${place}.href`)
        .replaceAll('import.meta.bundle', 'import.meta.url');
      return { contents, loader: 'js', resolveDir: dirname(path) };
    });
  },
};

/** Threads are programs of their own: they stand beside the bundle that starts them. */
const threads = ['dataplane/dist/worker-main.js', 'plugin-host/dist/plugin-worker.js'];

rmSync(outdir, { recursive: true, force: true });
await build({
  entryPoints: [
    'cli/dist/bin/openvpn.js',
    'cli/dist/bin/seikan.js',
    'netcfg/dist/bin/seikan-netcfg.js',
    ...threads,
  ].map((name) => join(root, 'packages', name)),
  entryNames: '[name]',
  outdir,
  bundle: true,
  splitting: true,
  format: 'esm',
  outExtension: { '.js': '.mjs' },
  platform: 'node',
  target: 'node20',
  external: ['esbuild'],
  // commander is CommonJS and calls require() for node's own modules.
  banner: {
    js: "import { createRequire as __createRequire } from 'node:module';const require = __createRequire(import.meta.url);",
  },
  // Comments and indentation are a third of what V8 would have to read.
  minifyWhitespace: true,
  plugins: [ownPlace],
  logLevel: 'warning',
});
