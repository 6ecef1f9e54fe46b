#!/usr/bin/env node
/**
 * The plugin verbs on their own: `seikan plugin` calls the same functions.
 *     seikan-plugin build acme.ts -o acme.so [--node /usr/bin/node]
 *     seikan-plugin test acme.ts [argument …] [--user ada --password secret] [--day steps.json] [--plugin-dir DIR]
 *     seikan-plugin trace /run/seikan/plugins.sock
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { buildPlugin } from './build-plugin.js';
import { type DayStep, formatDay, runDay, usualDay } from './plugin-day.js';
import { createMember } from './plugin-line.js';
import { readTrace } from './trace-socket.js';

const usage = 'usage: seikan-plugin build PLUGIN.ts -o PLUGIN.so | test PLUGIN [ARGUMENT …] | trace SOCKET';

async function main(argv: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: argv,
    allowPositionals: true,
    options: {
      output: { type: 'string', short: 'o' },
      node: { type: 'string' },
      user: { type: 'string', default: 'ada' },
      password: { type: 'string', default: 'secret' },
      day: { type: 'string' },
      'plugin-dir': { type: 'string', default: '/usr/lib/x86_64-linux-gnu/openvpn/plugins' },
    },
  });
  const [verb, name, ...args] = positionals;
  if (name === undefined) throw new Error(usage);
  switch (verb) {
    case 'build': {
      const output = values.output ?? name.replace(/\.[cm]?ts$/, '.so');
      const built = await buildPlugin(name, values.node === undefined ? { output } : { output, node: values.node });
      console.log(
        `${built.name}: ${built.output}, ${built.bytes} bytes. In OpenVPN's configuration: plugin ${built.output}`,
      );
      return 0;
    }
    case 'test': {
      const tmpDir = mkdtempSync(join(tmpdir(), 'seikan-plugin-test-'));
      try {
        const steps =
          values.day === undefined
            ? usualDay(values.user, values.password)
            : (JSON.parse(readFileSync(values.day, 'utf8')) as DayStep[]);
        const place = {
          pluginDir: values['plugin-dir'],
          folder: process.cwd(),
          version: { major: 2, minor: 6, patch: '.14' },
        };
        const env = { config: 'server.conf', verb: '3', daemon: '0', proto_1: 'udp', local_port_1: '1194' };
        const report = await runDay((log) => createMember({ name, parameters: args }, place, log), {
          steps,
          env,
          tmpDir,
        });
        for (const line of formatDay(report)) console.log(line);
        return report.good ? 0 : 1;
      } finally {
        rmSync(tmpDir, { recursive: true });
      }
    }
    case 'trace':
      for await (const line of readTrace(name)) console.log(line);
      return 0;
    default:
      throw new Error(usage);
  }
}

main(process.argv.slice(2)).then(
  (status) => {
    process.exitCode = status;
  },
  (error: unknown) => {
    console.error(error instanceof Error ? error.message : String(error));
    process.exitCode = 1;
  },
);
