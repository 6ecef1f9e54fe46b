/** Runs ./demo as a user would, and looks from outside whether it cleans up. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import {
  accessSync,
  chmodSync,
  constants,
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

const root = resolve(import.meta.dirname, '../../..');

interface Run {
  readonly status: number | null;
  readonly text: string;
}

/** A value in the environment by which this file finds the processes of a run, whatever the demo itself knows of them. */
let runs = 0;
const nextMark = (): string => `${process.pid}-${(runs += 1)}`;

function processesOf(mark: string): string[] {
  const own = (pid: string): boolean => {
    try {
      return readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').includes(`DEMO_TEST=${mark}`);
    } catch {
      return false; // gone meanwhile
    }
  };
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name) && own(name));
}

async function expectNothingOf(mark: string): Promise<void> {
  for (let tries = 0; tries < 100 && processesOf(mark).length > 0; tries += 1) await sleep(100);
  assert.deepEqual(processesOf(mark), []);
  assert.equal(existsSync('/run/demo'), false);
}

function start(
  mark: string,
  command: readonly string[],
): { child: ChildProcess; ended: Promise<Run>; shows: (text: string) => Promise<void> } {
  const [program = '', ...args] = command;
  const child = spawn(program, args, {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, DEMO_TEST: mark },
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
  const ended = new Promise<Run>((resolve) => {
    child.once('close', (status) => resolve({ status, text }));
  });
  const shows = async (wanted: string): Promise<void> => {
    for (let tries = 0; tries < 600 && !text.includes(wanted); tries += 1) {
      assert.equal(child.exitCode, null, text);
      await sleep(100);
    }
    assert.ok(text.includes(wanted), text);
  };
  return { child, ended, shows };
}

function expectTheShow({ status, text }: Run): void {
  assert.equal(status, 0, text);
  assert.ok(!text.includes('\x1b'), 'no colours and no redrawing where there is no terminal');
  for (const shown of [
    /\+\d+ ms {2}address resolved, transport open {2}UDPv4, 192\.0\.2\.1:1194/,
    /\+\d+ ms {2}TLS up, keys exchanged, login accepted {2}TLSv1\.3, TLS_/,
    /\+\d+ ms {2}data channel keyed {2}AES-256-GCM/,
    /\+\d+ ms {2}addresses and routes set: connected/,
    /ok {2}our client connects to our server +\d+ ms from start to connected/,
    /ok {2}pings both ways, IPv4 and IPv6 +20 of 20, /,
    /ok {2}bulk traffic +4\.2 MB, [\d.]+ MB\/s here, checksums agree/,
    /ok {2}stock client, our server +connected in \d+ ms, 8 of 8 pings, 8\.4 MB with equal checksums/,
    /ok {2}our client, stock server +connected in \d+ ms, 8 of 8 pings, 8\.4 MB with equal checksums/,
    /ok {2}after closing +devices, addresses, routes and rules as before/,
    /ok {2}nothing is left: /,
    /What to try next/,
  ])
    assert.match(text, shown);
}

test('shows a tunnel that connects, carries traffic and leaves nothing', async () => {
  const mark = nextMark();
  const { ended } = start(mark, ['./demo', '--mib', '2']);
  expectTheShow(await ended);
  await expectNothingOf(mark);
});

test('cleans up when it is interrupted in the middle of the traffic', async () => {
  const mark = nextMark();
  const { child, ended, shows } = start(mark, ['./demo', '--mib', '4096']);
  await shows('to server');
  child.kill('SIGINT');
  const { status, text } = await ended;
  assert.equal(status, 130, text);
  assert.match(text, /Interrupted: cleaning up/);
  assert.match(text, /ok {2}nothing is left/);
  await expectNothingOf(mark);
});

test('leaves nothing when it is killed outright', async () => {
  const mark = nextMark();
  const { child, ended, shows } = start(mark, ['./demo', '--mib', '4096']);
  await shows('to server');
  assert.ok(processesOf(mark).length >= 5, 'both halves, two tunnels and traffic are running');
  child.kill('SIGKILL');
  await ended;
  await expectNothingOf(mark);
});

/** A command that runs another as nobody, with a tun device that has the mode which udev gives it. */
const asNobody = [
  'unshare',
  '--mount',
  'sh',
  '-c',
  'mount -t tmpfs -o mode=755 tmpfs /dev/net && mknod -m 666 /dev/net/tun c 10 200 && exec "$@"',
  'sh',
  'setpriv',
  '--reuid=65534',
  '--regid=65534',
  '--clear-groups',
  '--',
];

function reasonNotAsNobody(): string | false {
  if (process.getuid?.() !== 0) return 'only root can become nobody';
  const [program = '', ...args] = asNobody;
  const probe = spawnSync(program, [...args, 'unshare', '-Urn', 'true'], { encoding: 'utf8' });
  return probe.status === 0 ? false : `no user namespaces here: ${probe.stderr}`;
}

test('works for an ordinary user, from a checkout that is not theirs', { skip: reasonNotAsNobody() }, async (t) => {
  const mark = nextMark();
  const copy = mkdtempSync(join(tmpdir(), 'seikan-demo-'));
  t.after(() => rmSync(copy, { recursive: true }));
  chmodSync(copy, 0o755);
  for (const name of ['demo', 'bin', 'packages', 'node_modules', 'package.json'])
    cpSync(join(root, name), join(copy, name), { recursive: true, verbatimSymlinks: true });
  spawnSync('chmod', ['-R', 'a+rX', copy]);
  accessSync(join(copy, 'demo'), constants.X_OK);
  const { ended } = start(mark, [...asNobody, join(copy, 'demo'), '--mib', '2']);
  const run = await ended;
  expectTheShow(run);
  assert.match(run.text, /as an ordinary user, in a user namespace/);
  await expectNothingOf(mark);
});

test('says what is in the way when there is no tun device', { skip: reasonNotAsNobody() }, async () => {
  const mark = nextMark();
  const hide = 'mount -t tmpfs -o mode=755 tmpfs /dev/net && exec "$@"';
  const { ended } = start(mark, ['unshare', '--mount', 'sh', '-c', hide, 'sh', './demo']);
  const { status, text } = await ended;
  assert.equal(status, 1);
  assert.match(text, /no tun device can be opened: .*ENOENT/);
  assert.match(text, /modprobe tun/);
});
