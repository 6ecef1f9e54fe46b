/** Plugins and scripts of a tunnel: what runs them, and what turns a TypeScript plugin into a shared library. */
export { type BuildOptions, type Built, buildPlugin } from './build-plugin.js';
export { type CallResult, type CallStat, CallStats, durationBounds } from './call-stats.js';
export { splitCommand, splitLine } from './command-line.js';
export { CompiledMember, type CompiledSettings } from './compiled-member.js';
export { KeptEnv } from './kept-env.js';
export { loadPlugin } from './load-plugin.js';
export type { Log, LogLevel } from './log.js';
export {
  type InitNumber,
  type Member,
  type MemberCall,
  type MemberOutcome,
  PluginError,
  type Privileges,
} from './member.js';
export { type CascadeSettings, PluginCascade } from './plugin-cascade.js';
export {
  type DayPlan,
  type DayReport,
  type DayStep,
  formatDay,
  runDay,
  type StepReport,
  usualDay,
} from './plugin-day.js';
export { createMember, type PluginLine, type PluginPlace } from './plugin-line.js';
export { PluginSet } from './plugin-set.js';
export { type Cancel, type ScriptDirective, ScriptRunner, type ScriptSettings } from './script-runner.js';
export { formatTrace, type TraceRecord } from './trace.js';
export { readTrace, serveTrace } from './trace-socket.js';
export { TypeScriptMember, type TypeScriptSettings } from './typescript-member.js';
