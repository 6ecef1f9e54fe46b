/** The service in this process, on a bus of its own, with a host's network around it. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import {
  type CommandLine,
  type DcoPort,
  NetcfgClient,
  noDco,
  parseCommandLine,
  Service,
  type ServiceOptions,
} from '@seikan/netcfg';

import { type PrivateBus, startBus } from '@seikan/testkit';

/** Options that the command line cannot say, and the port. */
type BenchOptions = Partial<ServiceOptions> & { readonly port?: DcoPort };

export class Bench {
  readonly bus: PrivateBus;
  readonly service: Service;
  readonly folder: string;
  readonly logLines: string[];

  private constructor(bus: PrivateBus, service: Service, folder: string, logLines: string[]) {
    this.bus = bus;
    this.service = service;
    this.folder = folder;
    this.logLines = logLines;
  }

  static async open(argv: readonly string[] = [], more: BenchOptions = {}): Promise<Bench> {
    const { port = noDco, ...changed } = more;
    const line: CommandLine = parseCommandLine(['--log-level', '6', ...argv], () => undefined);
    if (line.kind !== 'run') throw new Error(`not options to run with: ${argv.join(' ')}`);
    const folder = mkdtempSync(join(tmpdir(), 'seikan-netcfg-'));
    const logLines: string[] = [];
    const bus = await startBus();
    const service = await Service.start(
      { ...line.options, ...changed },
      {
        address: bus.address,
        stateFolder: folder,
        dco: port,
        writeLog: (text) => void logLines.push(text),
        complain: () => {},
      },
    );
    return new Bench(bus, service, folder, logLines);
  }

  client(): Promise<NetcfgClient> {
    return NetcfgClient.open({ address: this.bus.address });
  }

  async close(): Promise<void> {
    await this.service.close();
    await this.bus.close();
    rmSync(this.folder, { recursive: true });
  }
}

/** Resolves when `condition` holds; rejects after some seconds with what it was about. */
export async function eventually(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`${what}: not within 20 s`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
