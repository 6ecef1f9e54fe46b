/**
 * What a client costs a server: CPU time for a full handshake (hard reset to push reply) and resident memory while it
 * is idle, for our server and for stock openvpn, under the same load and with the same configuration.
 *
 * A round is one fresh server: 100 clients connect (and warm it up), its memory is read, 900 more connect while its
 * CPU time is counted, and its memory is read again. Rounds alternate between the two; the medians are compared.
 * `--warm 3000` lets that many connect first instead of 100: then V8 has compiled what it will.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';

import { Load } from './load.js';
import { makeMaterials } from './materials.js';
import { SERVER_PORT, Server, type ServerName } from './server.js';

interface Round {
  readonly handshakesPerSecond: number;
  readonly cpuMsPerHandshake: number;
  readonly residentKbBefore: number;
  readonly residentKbAfter: number;
  readonly marginalKbPerClient: number;
}

const COUNTED = 900;
/** Room for clients beside those that are counted. */
const SPARE = 1_000;
const CONCURRENCY = 16;
/** Memory is read after the server has come to rest. */
const SETTLE_MS = 1_000;

interface Plan {
  readonly load: Load;
  readonly folder: string;
  readonly warm: number;
  readonly cpu: number | undefined;
}

async function runRound(name: ServerName, { load, folder, warm, cpu }: Plan): Promise<Round> {
  const server = await Server.start(name, { folder, cpu, maxClients: warm + COUNTED + SPARE });
  try {
    await load.connect(warm, CONCURRENCY);
    await sleep(SETTLE_MS);
    const residentKbBefore = server.residentKb;
    const before = server.cpuMs;
    const seconds = await load.connect(COUNTED, CONCURRENCY);
    const spent = server.cpuMs - before;
    await sleep(SETTLE_MS);
    const residentKbAfter = server.residentKb;
    return {
      handshakesPerSecond: COUNTED / seconds,
      cpuMsPerHandshake: spent / COUNTED,
      residentKbBefore,
      residentKbAfter,
      marginalKbPerClient: (residentKbAfter - residentKbBefore) / COUNTED,
    };
  } finally {
    load.release();
    await server.stop();
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
    const load = new Load(makeMaterials(folder, certificates), { address: '127.0.0.1', port: SERVER_PORT });
    const rounds: Record<ServerName, Round[]> = { openvpn: [], seikan: [] };
    for (let round = 1; round <= count; round += 1) {
      for (const name of ['openvpn', 'seikan'] as const) {
        const measured = await runRound(name, { load, folder, warm: Number(values.warm), cpu: pinned ? 0 : undefined });
        rounds[name].push(measured);
        const { cpuMsPerHandshake, marginalKbPerClient } = measured;
        console.error(
          `round ${round} ${name}: ${cpuMsPerHandshake.toFixed(2)} ms CPU, ${marginalKbPerClient.toFixed(1)} KB a client`,
        );
      }
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
