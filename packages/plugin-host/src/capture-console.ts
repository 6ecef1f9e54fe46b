/** A plugin's console writes to the log of its VPN. */
import { format } from 'node:util';
import type { Log } from './log.js';

export function captureConsole(log: Log): void {
  for (const [method, level] of [
    ['log', 'note'],
    ['info', 'note'],
    ['warn', 'warn'],
    ['error', 'error'],
    ['debug', 'debug'],
  ] as const)
    console[method] = (...values: unknown[]) => log(level, format(...values));
}
