import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

/** Loads the compiled addon once per thread. Every room of this package gives its own part of it a type. */
export function loadAddon<Exports>(): Exports {
  const path = fileURLToPath(new URL('../build/seikan.node', import.meta.url));
  try {
    return createRequire(import.meta.url)(path) as Exports;
  } catch (error) {
    throw new Error(`cannot load the native addon ${path}: build it with "npm run build" (needs gcc and libssl-dev)`, {
      cause: error,
    });
  }
}
