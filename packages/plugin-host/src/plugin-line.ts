/**
 * A `plugin` line of the configuration: what it names and with which arguments.
 *
 *     /path/x.so          as it is                 ./x.so   of the working directory
 *     x.so                of the plugin directory  ./x.ts   TypeScript, in process      @scope/x   an installed package
 *
 * Source: OpenVPN 2.6 src/openvpn/options.c (`plugin`), plugin.c plugin_init_item(). One argument is split again by the
 * rules of a configuration line; two or more are taken as they are.
 * Differs from OpenVPN 2.x: one argument that does not split keeps us from starting; there the plugin gets none.
 */
import { existsSync } from 'node:fs';
import { isAbsolute, join, resolve } from 'node:path';
import { splitLine } from './command-line.js';
import { CompiledMember } from './compiled-member.js';
import type { Log } from './log.js';
import { type Member, PluginError } from './member.js';
import { TypeScriptMember } from './typescript-member.js';

export interface PluginLine {
  /** The directive's first parameter. */
  readonly name: string;
  /** The others. */
  readonly parameters: readonly string[];
}

export interface PluginPlace {
  readonly pluginDir: string;
  /** What a relative name is relative to. */
  readonly folder: string;
  /** The version of OpenVPN that plugins are told. */
  readonly version: { readonly major: number; readonly minor: number; readonly patch: string };
}

/** Throws PluginError where the one argument does not split. */
export function createMember({ name, parameters }: PluginLine, place: PluginPlace, log: Log): Member {
  const args = parameters.length === 1 ? splitLine(parameters[0] ?? '') : parameters;
  if (args === undefined)
    throw new PluginError(`plugin ${name}: the quotes or backslashes in ${parameters[0] ?? ''} do not match`);
  const { major, minor, patch } = place.version;
  if (isTypeScript(name, place.pluginDir))
    return new TypeScriptMember({ name, args, folder: place.folder, version: `${major}.${minor}${patch}` }, log);
  const path = isAbsolute(name)
    ? name
    : name.startsWith('.')
      ? resolve(place.folder, name)
      : join(place.pluginDir, name);
  return new CompiledMember({ name, args, path, version: place.version }, log);
}

function isTypeScript(name: string, pluginDir: string): boolean {
  if (/\.[cm]?[jt]s$/.test(name)) return true;
  if (name.startsWith('@')) return true;
  return !/[./]/.test(name) && !existsSync(join(pluginDir, name));
}
