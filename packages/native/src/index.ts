export { loadAddon } from './addon.js';
export { createCrypto } from './node-crypto.js';
