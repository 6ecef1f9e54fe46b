export { loadAddon } from './addon.js';
