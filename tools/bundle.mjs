/**
 * Bundles each program into few files, so that it starts in a fraction of the time that some 450 modules take.
 * `npm run build` runs it after the compiler.
 *
 *   openvpn, worker-main                    one CommonJS script each, with the code that V8 has compiled of it (start-cached.cjs)
 *   seikan, seikan-netcfg, plugin-worker,
 *   port-share-worker                       ES modules, and chunks that they share
 *
 * `import.meta.url` keeps meaning the compiled file where it was written: what lies beside that (the addon, workers,
 * helper programs) is found from there.
 */
import { execFileSync } from 'node:child_process';
import { copyFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';

import { build } from 'esbuild';

const root = resolve(import.meta.dirname, '..');
const outdir = join(root, 'packages/cli/dist/bundle');

/** Threads are programs of their own: they stand beside the bundle that starts them. */
const threads = {
  'worker-main.js': 'worker-main.cjs',
  'plugin-worker.js': 'plugin-worker.mjs',
  'port-share-worker.js': 'port-share-worker.mjs',
};

/** `here`: what a bundle's own URL is called in it. */
function ownPlace(here) {
  return {
    name: 'own-place',
    setup({ onLoad }) {
      onLoad({ filter: /\/packages\/[^/]+\/dist\/.*\.js$/ }, ({ path }) => {
        const text = readFileSync(path, 'utf8');
        if (!text.includes('import.meta.')) return undefined;
        const place = (file) => `new URL(${JSON.stringify(relative(outdir, file))}, import.meta.bundle).href`;
        const contents = Object.entries(threads)
          .reduce(
            (code, [from, to]) => code.replace(`'./${from}', import.meta.url`, `'./${to}', import.meta.bundle`),
            text,
          )
          .replaceAll(
            "import.meta.resolve('@seikan/plugin-sdk')",
            place(join(root, 'packages/plugin-sdk/dist/index.js')),
          )
          .replaceAll('import.meta.url', place(path))
          .replaceAll('import.meta.bundle', here);
        return { contents, loader: 'js', resolveDir: dirname(path) };
      });
    },
  };
}

const common = {
  outdir,
  bundle: true,
  platform: 'node',
  target: 'node20',
  external: ['esbuild'],
  // Comments and indentation are a third of what V8 would have to read.
  minifyWhitespace: true,
  logLevel: 'warning',
};

const files = (names) => names.map((name) => join(root, 'packages', name));

rmSync(outdir, { recursive: true, force: true });
await build({
  ...common,
  entryPoints: files([
    'cli/dist/bin/seikan.js',
    'netcfg/dist/bin/seikan-netcfg.js',
    'plugin-host/dist/plugin-worker.js',
    'runtime/dist/port-share-worker.js',
  ]),
  entryNames: '[name]',
  splitting: true,
  format: 'esm',
  outExtension: { '.js': '.mjs' },
  // commander is CommonJS and calls require() for node's own modules.
  banner: {
    js: "import { createRequire as __createRequire } from 'node:module';const require = __createRequire(import.meta.url);",
  },
  plugins: [ownPlace('import.meta.url')],
});
const { metafile } = await build({
  ...common,
  metafile: true,
  entryPoints: files(['cli/dist/bin/openvpn.js', 'dataplane/dist/worker-main.js']),
  entryNames: '[name].bundle',
  format: 'cjs',
  outExtension: { '.js': '.cjs' },
  banner: { js: "const __bundle = require('node:url').pathToFileURL(__filename).href;" },
  plugins: [ownPlace('__bundle')],
});
for (const { entryPoint, imports } of Object.values(metafile.outputs)) {
  const dynamic = imports.find(({ kind }) => kind === 'dynamic-import');
  if (dynamic !== undefined)
    throw new Error(`${entryPoint} comes to import('${dynamic.path}'): see tools/start-cached.cjs`);
}
copyFileSync(join(root, 'tools/start-cached.cjs'), join(outdir, 'start-cached.cjs'));
for (const name of ['openvpn', 'worker-main']) {
  writeFileSync(join(outdir, `${name}.cjs`), `require('./start-cached.cjs').start('${name}');\n`);
  // As bin/openvpn starts it: V8 takes no code that was made under other flags.
  execFileSync(process.execPath, ['--v8-pool-size=1', join(root, 'tools/keep-code.cjs'), outdir, name]);
}
