import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

/** What require() gave: looking it up there again costs as much as sealing ten packets. */
let addon: unknown;

/** Loads the compiled addon once per thread. Every room of this package asserts the type of its own part of it. */
export function loadAddon(): unknown {
  addon ??= load();
  return addon;
}

function load(): unknown {
  const path = fileURLToPath(new URL('../build/seikan.node', import.meta.url));
  try {
    return createRequire(import.meta.url)(path);
  } catch (error) {
    throw new Error(
      `cannot load the native addon ${path}: build it with "npm run build" (needs gcc, libssl-dev and libuv1-dev)`,
      { cause: error },
    );
  }
}

/** Whether the addon is there: what can do without it asks first. */
export function addonLoads(): boolean {
  try {
    loadAddon();
    return true;
  } catch {
    return false;
  }
}
