/**
 * What a client costs a server: CPU time for a full handshake (hard reset to push reply) and resident memory while it
 * is idle, for our server and for stock openvpn, under the same load and with the same configuration.
 *
 * A round is one fresh server of each: 100 clients connect to it (and warm it up), its memory is read, 900 more connect
 * while its CPU time is counted, and its memory is read again. The 900 come in blocks, to one server and the other by
 * turns, so that what else the machine does meets both alike; the medians are compared.
 * `--warm 3000` lets that many connect first instead of 100: then V8 has compiled what it will. `--node FOLDER` takes
 * the `node` of that folder for ours.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';

import { Load } from './load.js';
import { type Materials, makeMaterials } from './materials.js';
import { SERVER_PORTS, Server, type ServerName } from './server.js';

interface Round {
  readonly handshakesPerSecond: number;
  readonly cpuMsPerHandshake: number;
  readonly residentKbBefore: number;
  readonly residentKbAfter: number;
  readonly marginalKbPerClient: number;
}

const COUNTED = 900;
/** As many as make a tenth of a second or less. */
const BLOCK = 15;
/** Room for clients beside those that are counted. */
const SPARE = 1_000;
const CONCURRENCY = 16;
/** Memory is read after the server has come to rest. */
const SETTLE_MS = 1_000;

interface Plan {
  readonly materials: Materials;
  readonly warm: number;
  readonly cpu: number | undefined;
  readonly node: string | undefined;
}

const NAMES = ['openvpn', 'seikan'] as const;

/** One server and the clients that it has. */
class Contender {
  readonly name: ServerName;
  readonly #server: Server;
  readonly #load: Load;
  #cpuMs = 0;
  #seconds = 0;
  #residentKb = 0;

  private constructor(name: ServerName, server: Server, load: Load) {
    this.name = name;
    this.#server = server;
    this.#load = load;
  }

  static async start(name: ServerName, { materials, warm, cpu, node }: Plan): Promise<Contender> {
    const { folder } = materials;
    const server = await Server.start(name, { folder, cpu, node, maxClients: warm + COUNTED + SPARE });
    return new Contender(name, server, new Load(materials, { address: '127.0.0.1', port: SERVER_PORTS[name] }));
  }

  async warmUp(clients: number): Promise<void> {
    await this.#load.connect(clients, CONCURRENCY);
    await sleep(SETTLE_MS);
    this.#residentKb = this.#server.residentKb;
    this.#cpuMs = -this.#server.cpuMs;
  }

  async connect(clients: number): Promise<void> {
    this.#seconds += await this.#load.connect(clients, CONCURRENCY);
  }

  async result(): Promise<Round> {
    this.#cpuMs += this.#server.cpuMs;
    await sleep(SETTLE_MS);
    const residentKbAfter = this.#server.residentKb;
    return {
      handshakesPerSecond: COUNTED / this.#seconds,
      cpuMsPerHandshake: this.#cpuMs / COUNTED,
      residentKbBefore: this.#residentKb,
      residentKbAfter,
      marginalKbPerClient: (residentKbAfter - this.#residentKb) / COUNTED,
    };
  }

  async stop(): Promise<void> {
    this.#load.release();
    await this.#server.stop();
  }
}

async function runRound(plan: Plan, done: (name: ServerName, round: Round) => void): Promise<void> {
  const contenders: Contender[] = [];
  try {
    for (const name of NAMES) contenders.push(await Contender.start(name, plan));
    for (const contender of contenders) await contender.warmUp(plan.warm);
    for (let connected = 0; connected < COUNTED; connected += BLOCK) {
      for (const contender of contenders) await contender.connect(BLOCK);
    }
    for (const contender of contenders) done(contender.name, await contender.result());
  } finally {
    for (const contender of contenders) await contender.stop();
  }
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

function mediansOf(rounds: readonly Round[]): Round {
  const of = (field: keyof Round): number => median(rounds.map((round) => round[field]));
  return {
    handshakesPerSecond: of('handshakesPerSecond'),
    cpuMsPerHandshake: of('cpuMsPerHandshake'),
    residentKbBefore: of('residentKbBefore'),
    residentKbAfter: of('residentKbAfter'),
    marginalKbPerClient: of('marginalKbPerClient'),
  };
}

const ROWS: readonly (readonly [field: keyof Round, title: string, digits: number])[] = [
  ['handshakesPerSecond', 'full handshakes/s (the load generator shares the machine)', 0],
  ['cpuMsPerHandshake', 'server CPU per handshake, ms', 2],
  ['residentKbBefore', 'resident before, KB', 0],
  ['residentKbAfter', 'resident with 900 idle clients more, KB', 0],
  ['marginalKbPerClient', 'marginal memory per idle client, KB', 1],
];

function printTable(stock: Round, ours: Round): void {
  const print = (title: string, cells: readonly string[]): void =>
    console.log(`${title.padEnd(58)}${cells.map((cell) => cell.padStart(12)).join('')}`);
  print('', ['openvpn', 'seikan', 'ratio']);
  for (const [field, title, digits] of ROWS) {
    print(title, [stock[field].toFixed(digits), ours[field].toFixed(digits), (ours[field] / stock[field]).toFixed(2)]);
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      quick: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      rsa: { type: 'boolean', default: false },
      rounds: { type: 'string' },
      warm: { type: 'string', default: '100' },
      node: { type: 'string' },
    },
  });
  const count = Number(values.rounds ?? (values.quick ? 1 : 3));
  const certificates = values.rsa ? 'rsa' : 'ec';
  execFileSync('ip', ['link', 'set', 'lo', 'up']);
  const pinned = availableParallelism() > 1;
  // The server has one core for itself, the load another.
  if (pinned) execFileSync('taskset', ['-a', '-p', '-c', '1', String(process.pid)], { stdio: 'ignore' });
  const folder = mkdtempSync(join(tmpdir(), 'seikan-handshake-'));
  try {
    const materials = makeMaterials(folder, certificates);
    const plan = { materials, warm: Number(values.warm), cpu: pinned ? 0 : undefined, node: values.node };
    const rounds: Record<ServerName, Round[]> = { openvpn: [], seikan: [] };
    for (let round = 1; round <= count; round += 1) {
      await runRound(plan, (name, measured) => {
        rounds[name].push(measured);
        const { cpuMsPerHandshake, marginalKbPerClient } = measured;
        console.error(
          `round ${round} ${name}: ${cpuMsPerHandshake.toFixed(2)} ms CPU, ${marginalKbPerClient.toFixed(1)} KB a client`,
        );
      });
    }
    const stock = mediansOf(rounds.openvpn);
    const ours = mediansOf(rounds.seikan);
    const version = /^OpenVPN (\S+)/.exec(spawnSync('openvpn', ['--version'], { encoding: 'utf8' }).stdout)?.[1];
    if (values.json)
      console.log(JSON.stringify({ version, certificates, rounds, medians: { openvpn: stock, seikan: ours } }));
    else {
      console.log(
        `beside openvpn ${version}; ${certificates} certificates, tls-crypt, ${count} round(s), after ${values.warm} clients, medians`,
      );
      printTable(stock, ours);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}

await main();
