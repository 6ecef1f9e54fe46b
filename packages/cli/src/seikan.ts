/**
 * `seikan`: our own verbs. Exit status: 0 done, 1 it did not work, 2 the command line is wrong.
 * `seikan openvpn …` is taken by bin/seikan, so that it starts as bin/openvpn does; it stands here for the help.
 */

import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { buildPlugin, createMember, type DayStep, formatDay, readTrace, runDay, usualDay } from '@seikan/plugin-host';
import { pluginFolder, socketOf, tracedProcesses } from '@seikan/runtime';
import { Command, CommanderError } from 'commander';

import { netcfgMonitor, netcfgStatus, up } from './network-verbs.js';
import { openvpnMain } from './openvpn.js';
import { product, versionText } from './product.js';

const EXIT_USAGE = 2;

/** Runs `seikan` with these arguments and gives its exit status. */
export async function seikanMain(argv: readonly string[]): Promise<number> {
  let status = 0;
  const done = (result: number): void => {
    status = result;
  };
  try {
    await program(done).parseAsync(argv, { from: 'user' });
    return status;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_USAGE;
    process.stderr.write(`seikan: ${error instanceof Error ? error.message : String(error)}\n`);
    return 1;
  }
}

function program(done: (status: number) => void): Command {
  const seikan = new Command('seikan')
    .description('OpenVPN-compatible tunnels')
    .exitOverride()
    .enablePositionalOptions()
    .showHelpAfterError();
  seikan
    .command('openvpn')
    .description("a tunnel by OpenVPN's own command line")
    .argument('[arguments...]')
    .allowUnknownOption()
    .helpOption(false)
    .passThroughOptions()
    .action(async (words: string[]) => done(await openvpnMain(words)));
  seikan
    .command('version')
    .description('what this is')
    .action(() => void process.stdout.write(versionText()));
  seikan
    .command('up')
    .description('brings up the tunnel of a profile; without root through the netcfg service')
    .argument('<profile>', 'an OpenVPN configuration file')
    .argument('[options...]', "more of OpenVPN's options, after --")
    .option('--service', 'use the netcfg service even as root')
    .action(async (profile: string, words: string[], { service }: { service?: true }) =>
      done(await up(profile, words, { service })),
    );
  const netcfg = seikan.command('netcfg').description('the service that configures networks').helpCommand(false);
  netcfg
    .command('status')
    .description('its settings, and the devices that you may use')
    .action(() => netcfgStatus(writeLine));
  netcfg
    .command('monitor')
    .description('shows its changes of the network as they happen')
    .action(() => netcfgMonitor(writeLine, once(process, 'SIGINT')));
  const plugin = seikan.command('plugin').description('plugins written in TypeScript').helpCommand(false);
  plugin
    .command('build')
    .description('turns a TypeScript plugin into a shared library for a stock OpenVPN')
    .argument('<source>', 'the plugin, a .ts file')
    .option('-o, --output <library>', 'the file to write; by default beside the source')
    .option('--node <path>', 'the node that OpenVPN shall start')
    .action(async (source: string, { output, node }: { output?: string; node?: string }) => {
      const to = output ?? source.replace(/\.[cm]?ts$/, '.so');
      const built = await buildPlugin(source, { output: to, ...(node === undefined ? {} : { node }) });
      process.stdout.write(`${built.name}: ${built.output}, ${built.bytes} bytes\nplugin ${built.output}\n`);
    });
  plugin
    .command('test')
    .description('runs a plugin through the events of a day, without a VPN')
    .argument('<plugin>')
    .argument('[arguments...]')
    .option('--user <name>', 'who logs in', 'ada')
    .option('--password <text>', 'with this password', 'secret')
    .option('--day <file>', 'the events, as JSON')
    .option('--plugin-dir <folder>', 'where a bare name is looked for', pluginFolder())
    .action(async (name: string, parameters: string[], options: TestOptions) =>
      done(await testPlugin(name, parameters, options)),
    );
  plugin
    .command('trace')
    .description("prints each call of a running server's plugins as JSON, after what has been counted so far")
    .argument('[pid]', 'the process; needed where several have plugins')
    .action(async (pid: string | undefined) => {
      for await (const line of readTrace(socketOf(tracedProcess(pid)))) process.stdout.write(`${line}\n`);
    });
  return seikan;
}

function writeLine(line: string): void {
  process.stdout.write(`${line}\n`);
}

function tracedProcess(asked: string | undefined): number {
  if (asked !== undefined) return Number(asked);
  const [first, ...others] = tracedProcesses();
  if (first === undefined) throw new Error('no running process has plugins, or you may not see them: be root');
  if (others.length > 0) throw new Error(`several processes have plugins, name one: ${[first, ...others].join(', ')}`);
  return first;
}

interface TestOptions {
  readonly user: string;
  readonly password: string;
  readonly day?: string;
  readonly pluginDir: string;
}

async function testPlugin(name: string, parameters: readonly string[], options: TestOptions): Promise<number> {
  const { user, password, day, pluginDir } = options;
  const tmpDir = mkdtempSync(join(tmpdir(), 'seikan-plugin-test-'));
  try {
    const steps = day === undefined ? usualDay(user, password) : (JSON.parse(readFileSync(day, 'utf8')) as DayStep[]);
    const [major = 2, minor = 6, patch = 0] = product.openvpnVersion.split('.').map(Number);
    const place = { pluginDir, folder: process.cwd(), version: { major, minor, patch: `.${patch}` } };
    const env = { config: 'server.conf', verb: '3', daemon: '0', proto_1: 'udp', local_port_1: '1194' };
    const report = await runDay((log) => createMember({ name, parameters }, place, log), { steps, env, tmpDir });
    for (const line of formatDay(report)) process.stdout.write(`${line}\n`);
    return report.good ? 0 : 1;
  } finally {
    rmSync(tmpDir, { recursive: true });
  }
}
