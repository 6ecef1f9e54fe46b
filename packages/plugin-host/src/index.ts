/** Plugins and scripts of a tunnel: what runs them, and what turns a TypeScript plugin into a shared library. */
export { type BuildOptions, type Built, buildPlugin } from './build-plugin.js';
export { splitCommand, splitLine } from './command-line.js';
export { KeptEnv } from './kept-env.js';
export { loadPlugin } from './load-plugin.js';
export type { Log, LogLevel } from './log.js';
export { type Cancel, type ScriptDirective, ScriptRunner, type ScriptSettings } from './script-runner.js';
