/**
 * Bundles a plugin, everything it imports and the SDK into one ES module for node. The SDK is this installation's, so a
 * plugin file needs no node_modules of its own for it; other imports are resolved from where the plugin stands.
 */
import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

import type * as esbuild from 'esbuild';

export interface BundleInput {
  /** The plugin's file, absolute. */
  readonly path: string;
  /** The program to bundle, which imports it; without it the bundle's default export is the plugin. */
  readonly entry?: string;
}

/** In two parts: where our own programs are bundled, the whole word is replaced by a place. */
const placeOfAModule = ['import.meta', 'url'].join('.');

/** Throws esbuild's error, which names file, line and column. */
export async function bundlePlugin({ path, entry }: BundleInput): Promise<Uint8Array> {
  const url = pathToFileURL(path).href;
  // Loaded only where a plugin is bundled: every program that can would start later for it. Not by import(), which is not
  // there in a program that starts with kept code.
  const { build, stop } = createRequire(import.meta.url)('esbuild') as typeof esbuild;
  const bundled = await build({
    stdin: {
      contents: entry ?? `export { default } from ${JSON.stringify(path)};`,
      resolveDir: dirname(path),
      sourcefile: 'seikan-plugin-entry.js',
    },
    absWorkingDir: dirname(path),
    alias: { '@seikan/plugin-sdk': fileURLToPath(import.meta.resolve('@seikan/plugin-sdk')) },
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    sourcemap: 'inline',
    sourceRoot: `${pathToFileURL(dirname(path)).href}/`,
    sourcesContent: false,
    // What lies beside the plugin is found from there.
    define: { [placeOfAModule]: JSON.stringify(url) },
    write: false,
    logLevel: 'silent',
    banner: {
      // Libraries in CommonJS call require() for node's own modules.
      js: `import { createRequire as __createRequire } from 'node:module';\nconst require = __createRequire(${JSON.stringify(url)});`,
    },
    // The name in stack traces where there is no source map; else it would be the whole program.
    footer: { js: `//# sourceURL=${url}.mjs` },
  });
  await stop(); // its process would stay as long as ours
  const [program] = bundled.outputFiles;
  if (program === undefined) throw new Error(`${path}: the bundler wrote nothing`);
  return program.contents;
}
