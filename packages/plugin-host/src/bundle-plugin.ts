/**
 * Bundles a plugin, everything it imports and the SDK into one ES module for node. The SDK is this installation's, so a
 * plugin file needs no node_modules of its own for it; other imports are resolved from where the plugin stands.
 */
import { dirname } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

export interface BundleInput {
  /** The plugin's file, absolute. */
  readonly path: string;
  /** A module whose `runShimChild(plugin)` is called; without it the bundle's default export is the plugin. */
  readonly runner?: string;
}

/** Throws esbuild's error, which names file, line and column. */
export async function bundlePlugin({ path, runner }: BundleInput): Promise<Uint8Array> {
  const entry =
    runner === undefined
      ? `export { default } from ${JSON.stringify(path)};`
      : `import plugin from ${JSON.stringify(path)};\nimport { runShimChild } from ${JSON.stringify(runner)};\nrunShimChild(plugin);`;
  // Loaded only where a plugin is bundled: every program that can would start later for it.
  const { build, stop } = await import('esbuild');
  const bundled = await build({
    stdin: { contents: entry, resolveDir: dirname(path), sourcefile: 'seikan-plugin-entry.js' },
    absWorkingDir: dirname(path),
    alias: { '@seikan/plugin-sdk': fileURLToPath(import.meta.resolve('@seikan/plugin-sdk')) },
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    sourcemap: 'inline',
    sourceRoot: `${pathToFileURL(dirname(path)).href}/`,
    sourcesContent: false,
    write: false,
    logLevel: 'silent',
    banner: {
      // Libraries in CommonJS call require() for node's own modules.
      js: `import { createRequire as __createRequire } from 'node:module';\nconst require = __createRequire(${JSON.stringify(pathToFileURL(path).href)});`,
    },
  });
  await stop(); // its process would stay as long as ours
  const [program] = bundled.outputFiles;
  if (program === undefined) throw new Error(`${path}: the bundler wrote nothing`);
  return program.contents;
}
