/**
 * Loads a TypeScript plugin into this process: a `.ts` or `.js` file, or the name of an installed package. A `.ts` file
 * is bundled first (Node 20 runs none); what it imports is resolved from where it stands.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { isPlugin, type Plugin } from '@seikan/plugin-sdk';
import { bundlePlugin } from './bundle-plugin.js';

/** Throws with what to do where there is no such module or its default export is no plugin. */
export async function loadPlugin(name: string, from = process.cwd()): Promise<Plugin> {
  const isFile = name.startsWith('.') || name.startsWith('/') || /\.[cm]?[jt]s$/.test(name);
  const path = isFile ? resolve(from, name) : packageEntry(name, from);
  const module: unknown = /\.[cm]?ts$/.test(path)
    ? await importTypeScript(path)
    : await import(`${pathToFileURL(path).href}?seikan=${Date.now()}`);
  const plugin = typeof module === 'object' && module !== null && 'default' in module ? module.default : undefined;
  if (!isPlugin(plugin))
    throw new TypeError(
      `${name}: its default export is no plugin; write: export default definePlugin({ name, open, event })`,
    );
  return plugin;
}

function packageEntry(name: string, from: string): string {
  try {
    return createRequire(join(from, 'plugin.js')).resolve(name);
  } catch (cause) {
    throw new Error(
      `there is no plugin package '${name}' to be found from ${from}: install it, or write ./ before a file`,
      { cause },
    );
  }
}

async function importTypeScript(path: string): Promise<unknown> {
  const folder = mkdtempSync(join(tmpdir(), 'seikan-plugin-'));
  try {
    const file = join(folder, `${basename(path)}.mjs`);
    writeFileSync(file, await bundlePlugin({ path }));
    return await import(pathToFileURL(file).href);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
