/**
 * DNS by the resolvconf program (Debian's, openresolv): it merges what each interface brings. A tunnel's part is named
 * DEVICE.seikan, which both sort with the devices' own names.
 */
import { spawn } from 'node:child_process';

import { type DnsBackend, type DnsResult, type DnsSettings, plainDns } from './dns-backend.js';
import { DnsRecords } from './dns-records.js';

export interface ResolvconfProgramOptions {
  readonly program?: string;
  /** Where the records of all processes lie. */
  readonly stateFolder?: string;
}

/** resolvconf refused; the message has its status and what it said. */
export class ResolvconfError extends Error {
  override readonly name = 'ResolvconfError';
}

const LONGEST_COMPLAINT = 500;

export class ResolvconfProgram implements DnsBackend {
  readonly moment = 'before-up';
  readonly #program: string;
  readonly #records: DnsRecords;

  constructor({ program = '/sbin/resolvconf', stateFolder = '/run/seikan/resolvconf' }: ResolvconfProgramOptions = {}) {
    this.#program = program;
    this.#records = new DnsRecords(stateFolder);
  }

  async apply(device: string, settings: DnsSettings): Promise<DnsResult> {
    const { servers, searchDomains, warnings } = plainDns(settings);
    const lines = servers.map((server) => `nameserver ${server}\n`);
    if (searchDomains.length > 0) lines.push(`search ${searchDomains.join(' ')}\n`);
    await this.#records.exclusively(async () => {
      await this.#records.put(device, { order: 0, servers, searchDomains });
      await this.#run(['-a', partName(device)], lines.join(''));
    });
    return { warnings };
  }

  async revert(device: string): Promise<void> {
    await this.#records.exclusively(async (live) => {
      if (live.some((record) => record.device === device)) await this.#run(['-d', partName(device)]);
      await this.#records.remove(device);
    });
  }

  async recover(): Promise<void> {
    await this.#records.exclusively(async (_live, dead) => {
      for (const { device } of dead) await this.#run(['-d', partName(device)]);
    });
  }

  #run(args: readonly string[], input = ''): Promise<void> {
    return new Promise((resolve, reject) => {
      const child = spawn(this.#program, args, {
        stdio: ['pipe', 'ignore', 'pipe'],
        env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
        timeout: 10_000,
      });
      let complaint = '';
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        complaint = (complaint + text).slice(0, LONGEST_COMPLAINT);
      });
      child.once('error', reject);
      child.once('close', (code, signal) => {
        if (code === 0) resolve();
        else {
          const how = code === null ? `was killed by ${signal}` : `ended with status ${code}`;
          reject(new ResolvconfError(`${this.#program} ${args.join(' ')} ${how}: ${complaint.trim()}`));
        }
      });
      // A program that does not read its input ends with a status; the broken pipe says nothing more.
      child.stdin.on('error', () => {}).end(input);
    });
  }
}

function partName(device: string): string {
  return `${device}.seikan`;
}
