/**
 * Turns a TypeScript plugin into a shared library for a stock OpenVPN 2.x: bundles it with the SDK and the node end of
 * the shim into one program, and puts that into a section of the prebuilt shim.
 *
 *     .seikan.plugin │ name=acme\nnode=/usr/bin/node\ninit=2\ndeadline=5000\n\n │ program (an ES module)
 */
import { accessSync, constants, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundlePlugin } from './bundle-plugin.js';
import { addSection } from './elf-section.js';
import { initNumbers } from './init-point.js';
import { loadPlugin } from './load-plugin.js';

export interface BuildOptions {
  /** The shared library to write. */
  readonly output: string;
  /** The node that OpenVPN starts; the plugin line's `node=` overrides it. The one that runs now, by default. */
  readonly node?: string;
}

export interface Built {
  readonly name: string;
  readonly output: string;
  readonly bytes: number;
}

/** Builds `plugin.ts` into `output`. Throws with what to do where the file is no plugin or does not bundle. */
export async function buildPlugin(source: string, { output, node = process.execPath }: BuildOptions): Promise<Built> {
  const path = resolve(source);
  const plugin = await loadPlugin(path);
  const runner = fileURLToPath(new URL('./shim-child.js', import.meta.url));
  const program = await bundlePlugin({
    path,
    entry: `import plugin from ${JSON.stringify(path)};\nimport { runShimChild } from ${JSON.stringify(runner)};\nrunShimChild(plugin);`,
  });
  const settings = `name=${plugin.name}\nnode=${node}\ninit=${initNumbers[plugin.initPoint ?? 'pre-daemon']}\ndeadline=${plugin.deadline ?? 5_000}\n\n`;
  const library = addSection(shimTemplate(), '.seikan.plugin', Buffer.concat([Buffer.from(settings), program]));
  // A running OpenVPN may have the old file mapped: it keeps the old one, the next start takes the new one.
  const fresh = `${output}.${process.pid}.new`;
  writeFileSync(fresh, library, { mode: 0o755 });
  renameSync(fresh, output);
  return { name: plugin.name, output, bytes: library.length };
}

function shimTemplate(): Buffer {
  const path = fileURLToPath(new URL('../build/plugin-shim.so', import.meta.url));
  try {
    accessSync(path, constants.R_OK);
  } catch (cause) {
    throw new Error(`the shim is not built (${path}): run "npm run build", which needs a C compiler once`, { cause });
  }
  return readFileSync(path);
}
