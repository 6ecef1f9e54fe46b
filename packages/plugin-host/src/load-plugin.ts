/**
 * Finds a TypeScript plugin and loads it into this process or thread: a `.ts` or `.js` file, or the name of an installed
 * package. A `.ts` file is bundled first (Node 20 runs none); what it imports is resolved from where it stands.
 */
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Plugin } from '@seikan/plugin-sdk';
import { bundlePlugin } from './bundle-plugin.js';
import { pluginOf } from './plugin-thread.js';

/** The file that a `plugin` line names; undefined where it names a package. */
export function pluginFile(name: string, from: string): string | undefined {
  if (!/^[./]/.test(name) && (name.startsWith('@') || !/\.[cm]?[jt]s$/.test(name))) return undefined;
  return resolve(from, name);
}

export function isTypeScriptFile(path: string): boolean {
  return /\.[cm]?ts$/.test(path);
}

/** Loads a plugin's file. Throws with what to do where there is none or its default export is no plugin. */
export async function loadPlugin(path: string): Promise<Plugin> {
  return pluginOf(await importPlugin(resolve(path), process.cwd()), path);
}

/**
 * The module that a `plugin` line names. A package is looked for in the node_modules of the folder and those above it,
 * by the rules of an `import` there; only a thread with --experimental-import-meta-resolve can.
 */
export async function importPlugin(name: string, folder: string): Promise<{ readonly default?: unknown }> {
  const file = pluginFile(name, folder);
  const url = file === undefined ? packageEntry(name, folder) : pathToFileURL(file).href;
  const program = isTypeScriptFile(url) ? moduleOf(await bundlePlugin({ path: file ?? url })) : url;
  return (await import(program)) as { readonly default?: unknown };
}

/** An address that a program can be imported from, or started as a thread. */
export function moduleOf(program: Uint8Array): string {
  return `data:text/javascript;base64,${Buffer.from(program).toString('base64')}`;
}

function packageEntry(name: string, folder: string): string {
  try {
    return import.meta.resolve(name, pathToFileURL(join(folder, 'plugin.js')).href);
  } catch (cause) {
    const why = cause instanceof Error ? `: ${cause.message.split('\n')[0] ?? ''}` : '';
    throw new Error(
      `there is no plugin package '${name}' to be found from ${folder}: install it there (npm install ${name}), or write ./ before a file${why}`,
      { cause },
    );
  }
}
