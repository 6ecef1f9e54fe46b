/**
 * Tests of what becomes of a tunnel when a plugin or a script says no: the same in a stock OpenVPN and in ours, event by event.
 * A refused route-predown or down, and a refused up, end the process with status 1; whoever asks to come in is sent away;
 * the rest goes on.
 */
import assert from 'node:assert/strict';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { eventNumbers, type PluginEventName } from '@seikan/plugin-sdk';
import { buildRecorder, readRecording } from './recording.js';
import { ours, type StockNetwork, stock, until, type Watched } from './stock.js';
import { withNetwork } from './with-network.js';

let network: StockNetwork;
let record: string;
let failing: string;

const skip = withNetwork((made) => {
  network = made;
  record = join(network.folder, 'record');
  failing = join(network.folder, 'failing');
  buildRecorder(join(network.folder, 'recorder.so'));
});

/** Something that stands behind all events, tells which came, and says no to those that it is told to. */
interface Witness {
  readonly kind: 'plugin' | 'script';
  /** The lines of a server's or a client's configuration. */
  readonly lines: (role: 'server' | 'client') => string[];
  readonly fail: (...events: PluginEventName[]) => void;
  /** The events so far, without what has no fixed moment. */
  readonly seen: () => string[];
}

/** A compiled plugin that records. */
export const plugin: Witness = {
  kind: 'plugin',
  lines: () => [`plugin ${join(network.folder, 'recorder.so')} ${record} fail=${failing}`],
  fail: (...events) => writeFileSync(failing, events.map((event) => eventNumbers[event]).join('\n')),
  seen: () =>
    readRecording(record)
      .filter(({ call, argv }) => call !== 'ctor' && call !== 'dtor' && argv[1] !== 'delete')
      .map(({ call }) => call),
};

const scriptTypes: Partial<Record<PluginEventName, string>> = {
  'route-predown': 'route-pre-down',
  'auth-user-pass-verify': 'user-pass-verify',
};

export const script: Witness = {
  kind: 'script',
  lines: (role) => {
    const path = join(network.folder, 'witness.sh');
    writeFileSync(
      path,
      `#!/bin/sh
[ "$1" = delete ] || echo "$script_type" >> ${record}
! grep -qx "$script_type" ${failing}
`,
      { mode: 0o755 },
    );
    const both = ['up', 'down', 'route-up', 'route-pre-down', 'tls-verify'];
    const servers = ['client-connect', 'client-disconnect', 'learn-address'];
    const directives = [...both, ...(role === 'server' ? servers : ['ipchange'])];
    return [
      'script-security 2',
      ...directives.map((directive) => `${directive} ${path}`),
      ...(role === 'server' ? [`auth-user-pass-verify ${path} via-env`] : []),
    ];
  },
  fail: (...events) => writeFileSync(failing, events.map((event) => scriptTypes[event] ?? event).join('\n')),
  seen: () => readFileSync(record, 'utf8').trim().split('\n'),
};

function begin(witness: Witness, ...events: PluginEventName[]): void {
  rmSync(record, { force: true });
  writeFileSync(record, '');
  witness.fail(...events);
}

/** How a process ended, with the lines about what failed. */
interface Ending {
  readonly status: number | null;
  readonly fatal: boolean;
  readonly seen: readonly string[];
}

async function ending(of: Watched, witness: Witness, from = 0): Promise<Ending> {
  await until(() => of.ended, 'it ended', 150_000);
  return { status: of.status, fatal: /Exiting due to fatal error/.test(of.log), seen: witness.seen().slice(from) };
}

/** What a client of the server sees, and which events it caused. */
interface Visit {
  readonly outcome: string;
  readonly reachable: boolean;
  readonly seen: readonly string[];
}

async function visit(witness: Witness, lines: readonly string[] = []): Promise<Visit> {
  const from = witness.seen().length;
  const client = network.startClient('ada', 'secret', [
    'explicit-exit-notify 1',
    'tls-exit',
    'hand-window 8',
    ...lines,
  ]);
  await until(
    () => client.ended || /Initialization Sequence Completed/.test(client.log),
    'the client is in or sent away',
  );
  const isIn = !client.ended;
  const reachable = isIn && (await ping());
  await client.stop();
  if (isIn) await until(() => witness.seen().slice(from).includes('client-disconnect'), 'the server has seen it go');
  const outcome = isIn ? 'in' : /AUTH_FAILED/.test(client.log) ? 'AUTH_FAILED' : 'no session';
  return { outcome, reachable, seen: witness.seen().slice(from) };
}

async function ping(): Promise<boolean> {
  const watched = network.besideClients('ping', '-c', '3', '-i', '0.3', '-W', '3', '10.8.0.1');
  await until(() => watched.ended, 'the pings are over');
  return watched.status === 0;
}

const onlyWarned: Readonly<Record<Witness['kind'], readonly PluginEventName[]>> = {
  plugin: ['route-up', 'ipchange', 'client-disconnect'],
  // A server takes no ipchange script.
  script: ['route-up', 'client-disconnect'],
};
const decided = {
  plugin: ['tls-verify', 'auth-user-pass-verify', 'tls-final', 'client-connect', 'client-connect-v2', 'learn-address'],
  script: ['tls-verify', 'auth-user-pass-verify', 'client-connect', 'learn-address'],
} as const;

interface ClientEnding extends Ending {
  readonly connected: number;
}

const clientCases: readonly {
  readonly title: string;
  readonly lines?: readonly string[];
  readonly plugin?: boolean;
  /** While it connects, and from when it is connected. */
  readonly first: readonly PluginEventName[];
  readonly later?: readonly PluginEventName[];
  readonly signal?: NodeJS.Signals;
  readonly status: number;
  readonly connected: number;
}[] = [
  {
    title: 'route-up and ipchange only warn, route-predown ends it',
    first: ['route-up', 'ipchange'],
    later: ['route-predown'],
    status: 1,
    connected: 1,
  },
  { title: 'tls-verify refuses the server', first: ['tls-verify'], status: 0, connected: 0 },
  { title: 'tls-final refuses the server', plugin: true, first: ['tls-final'], status: 0, connected: 0 },
  { title: 'down at a restart', first: [], later: ['down'], signal: 'SIGUSR1', status: 1, connected: 1 },
  {
    title: 'down at a restart that keeps the tun',
    lines: ['persist-tun', 'up-restart'],
    first: [],
    later: ['down'],
    signal: 'SIGUSR1',
    status: 1,
    connected: 1,
  },
  {
    title: 'up at a restart that keeps the tun',
    lines: ['persist-tun', 'up-restart'],
    first: [],
    later: ['up'],
    signal: 'SIGUSR1',
    status: 1,
    connected: 1,
  },
  { title: 'down before the tun is closed', lines: ['down-pre'], first: [], later: ['down'], status: 1, connected: 1 },
];

const outcomes: Readonly<Record<string, string>> = {
  'tls-verify': 'no session false',
  'auth-user-pass-verify': 'AUTH_FAILED false',
  'tls-final': 'AUTH_FAILED false',
  'client-connect': 'AUTH_FAILED false',
  'client-connect-v2': 'AUTH_FAILED false',
  'learn-address': 'in false',
};

/** The tests with one kind of witness. */
export function testRefusals(witness: Witness): void {
  test(`a server whose ${witness.kind}s say no to one thing after the other does what a stock one does`, {
    skip,
  }, async (context) => {
    const warnings = onlyWarned[witness.kind];
    const day = async (program: string): Promise<{ visits: Record<string, Visit>; end: Ending; warned: string[] }> => {
      begin(witness, ...warnings);
      const server = await network.server(witness.lines('server'), program);
      const visits: Record<string, Visit> = { nothing: await visit(witness) };
      for (const event of decided[witness.kind]) {
        witness.fail(...warnings, event);
        visits[event] = await visit(witness);
      }
      witness.fail('route-predown');
      const from = witness.seen().length;
      await server.stop();
      const warned = warnings.filter((event) =>
        new RegExp(`WARNING: (?:${event} plugin call failed|Failed running command \\(--${event}\\))`).test(server.log),
      );
      return { visits, end: await ending(server, witness, from), warned };
    };
    const theirs = await day(stock);
    const mine = await day(ours);
    context.diagnostic(JSON.stringify(theirs));
    assert.deepEqual(mine, theirs);
    assert.deepEqual(
      Object.entries(theirs.visits).map(([event, { outcome, reachable }]) => `${event}: ${outcome} ${reachable}`),
      ['nothing: in true', ...decided[witness.kind].map((event) => `${event}: ${outcomes[event]}`)],
    );
    assert.deepEqual(theirs.warned, warnings);
    assert.equal(theirs.end.status, 1);
    assert.deepEqual(theirs.end.seen, witness.kind === 'plugin' ? ['route-predown', 'abort'] : ['route-pre-down']);
  });

  for (const event of ['up', 'down'] as const)
    for (const role of ['server', 'client'] as const)
      test(`a ${role} whose ${event} ${witness.kind} says no ends as a stock one does`, { skip }, async () => {
        const run = async (program: string): Promise<Ending> => {
          begin(witness, event);
          const started =
            role === 'server'
              ? network.startServer(witness.lines('server'), program)
              : network.startClient('ada', 'secret', witness.lines('client'), program);
          if (event === 'down') {
            await started.line(/Initialization Sequence Completed/);
            await started.stop();
          }
          return await ending(started, witness);
        };
        if (role === 'client') await network.server([]);
        const theirs = await run(stock);
        const mine = await run(ours);
        assert.deepEqual(mine, theirs);
        assert.deepEqual([theirs.status, theirs.fatal], [1, true]);
        assert.ok(theirs.seen.includes(event));
      });

  test(`a client whose ${witness.kind}s say no does what a stock one does`, { skip }, async (context) => {
    await network.server(['push "route 10.50.0.0 255.255.0.0"']);
    for (const { title, lines = [], plugin: only = false, first, later, signal, status, connected } of clientCases) {
      if (only && witness.kind === 'script') continue;
      const run = async (program: string): Promise<ClientEnding> => {
        begin(witness, ...first);
        const all = [...witness.lines('client'), 'tls-exit', 'hand-window 8', ...lines];
        const client = network.startClient('ada', 'secret', all, program);
        if (later !== undefined) {
          await client.line(/Initialization Sequence Completed/);
          witness.fail(...later);
          if (signal === undefined) await client.stop();
          else client.process.kill(signal);
        }
        const end = await ending(client, witness);
        return { ...end, connected: client.lines(/Initialization Sequence Completed/).length };
      };
      const theirs = await run(stock);
      const mine = await run(ours);
      context.diagnostic(`${title}: ${JSON.stringify(theirs)}`);
      assert.deepEqual(mine, theirs, title);
      assert.deepEqual([theirs.status, theirs.connected], [status, connected], title);
    }
  });
}

/** Scripts are asked the same way; a plugin shows it. */
export function testRefusedAddress(): void {
  test("an address behind a tap client that learn-address refuses is nobody's, as in a stock server", {
    skip,
  }, async () => {
    /** The addresses that learn-address was asked about, each once, as `add MAC@0 client`. */
    const learned = (): string[] => {
      const asked = readRecording(record).filter(({ call }) => call === 'learn-address');
      const shapes = asked.map(({ argv }) =>
        argv
          .slice(1)
          .join(' ')
          .replace(/(?:[\da-f]{2}:){5}[\da-f]{2}/, 'MAC'),
      );
      return [...new Set(shapes)];
    };
    const run = async (program: string): Promise<object> => {
      begin(plugin);
      const server = await network.server([...plugin.lines('server'), 'dev tap'], program);
      const allowed = await visit(plugin, ['dev tap']);
      plugin.fail('learn-address');
      const refused = await visit(plugin, ['dev tap']);
      const adds = learned().filter((shape) => !shape.startsWith('delete'));
      await server.stop();
      assert.deepEqual(learned(), [...adds, 'delete MAC@0']);
      return { allowed: [allowed.outcome, allowed.reachable], refused: [refused.outcome, refused.reachable], adds };
    };
    const theirs = await run(stock);
    const mine = await run(ours);
    assert.deepEqual(mine, theirs);
    assert.deepEqual(theirs, { allowed: ['in', true], refused: ['in', false], adds: ['add MAC@0 client'] });
  });
}
