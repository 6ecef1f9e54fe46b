/**
 * What happened around an offloaded tunnel, from all who know a part of it, in one order: calls of the service and what is
 * logged over the bus (never a call's strings: a key is one), the kernel's module, the stock server, pings.
 */
import { execute, Program } from '@seikan/testkit';

import type { Tree } from './tree.js';
import type { World } from './world.js';

const NETCFG = 'net.openvpn.v3.netcfg';
/** Of the kernel's own lines on how it gets on, which it does not print otherwise. */
const DYNAMIC_DEBUG = '/proc/dynamic_debug/control';
/** Lines of the same words so close together are one line with a number, in seconds. */
const SERIES = 6;
const LAST = 400;

interface Happening {
  /** Seconds since 1970. */
  readonly time: number;
  readonly source: string;
  readonly text: string;
}

interface Message extends Happening {
  readonly kind: string;
  readonly member: string;
}

export class OffloadRecord {
  readonly #world: World;
  readonly #monitor: Program;
  /** Pings, with the time of each (`-D`). */
  readonly #pings: Program[] = [];

  private constructor(world: World, monitor: Program) {
    this.#world = world;
    this.#monitor = monitor;
  }

  /** The module is loaded. */
  static async begin(tree: Tree, world: World): Promise<OffloadRecord> {
    await execute(['sh', '-c', `echo 'module ovpn_dco_v2 +p' >${DYNAMIC_DEBUG}`]);
    const rules = [`interface='${NETCFG}'`, `member='Log'`, `member='StatusChange'`];
    const monitor = tree.start('monitor', ['dbus-monitor', '--system', ...rules]);
    await monitor.waitFor(/member=NameLost/, { timeout: 60_000 });
    return new OffloadRecord(world, monitor);
  }

  /** How often the service was called so. */
  calls(member: string): number {
    return this.#messages().filter((message) => message.kind === 'method call' && message.member === member).length;
  }

  /** A ping through the tunnel, twice a second, until it is told to stop. */
  startPing(address: string): Program {
    const { client: namespace, teardown } = this.#world;
    const command = ['ping', '-n', '-D', '-O', '-i', '0.5', address] as const;
    const ping = new Program({ name: 'ping', command, namespace, teardown });
    this.#pings.push(ping);
    return ping;
  }

  /** The last of it. */
  async lines(): Promise<string[]> {
    const happenings = [
      ...this.#messages(),
      ...(await kernelHappenings()),
      ...this.#world.serverLines.flatMap((line) => stamped('server', /^(\d+\.\d+) \S+ (\S.*)$/, line)),
      ...this.#pings.flatMap(({ lines }) => lines).flatMap((line) => stamped('ping', /^\[(\d+\.\d+)\] (.*)$/, line)),
    ];
    const shown = inSeries(happenings.toSorted((one, other) => one.time - other.time));
    const links = await Promise.all(
      [this.#world.client, this.#world.serverNamespace].map((namespace) =>
        execute(['ip', '-n', namespace, '-d', '-s', 'link', 'show']),
      ),
    );
    return [...shown.slice(-LAST), ...links.flatMap((text) => text.split('\n'))];
  }

  #messages(): Message[] {
    const messages: Message[] = [];
    let last: { time: number; kind: string; member: string; words: string[] } | undefined;
    const end = (): void => {
      if (last === undefined) return;
      const { time, kind, member, words } = last;
      messages.push({ time, kind, member, source: 'bus', text: [kind, member, ...words].join(' ') });
    };
    for (const line of this.#monitor.lines) {
      const [, kind, time, path, member] =
        /^(method call|signal|error|method return) time=(\S+) .*?(?:path=(\S+);.* member=(\S+))?$/.exec(line) ?? [];
      if (kind !== undefined) {
        end();
        const named = path === undefined || member === undefined ? undefined : { path, member };
        last = named && { time: Number(time), kind, member: named.member, words: [named.path.split('/').at(-1) ?? ''] };
        continue;
      }
      const [, type = '', value = ''] = /^ {3}(\w+) (.*)$/.exec(line) ?? [];
      if (last !== undefined && (type === 'uint32' || (type === 'string' && last.kind === 'signal')))
        last.words.push(value);
    }
    end();
    return messages;
  }
}

function stamped(source: string, pattern: RegExp, line: string): Happening[] {
  const [, time, text] = pattern.exec(line) ?? [];
  return time === undefined || text === undefined ? [] : [{ time: Number(time), source, text }];
}

async function kernelHappenings(): Promise<Happening[]> {
  const [uptime = ''] = (await execute(['cat', '/proc/uptime'])).split(' ');
  const boot = Date.now() / 1_000 - Number(uptime);
  const lines = (await execute(['dmesg'])).split('\n');
  return lines
    .flatMap((line) => stamped('kernel', /^\[ *(\d+\.\d+)\] ([^*].*)$/, line))
    .map(({ time, source, text }) => ({ time: time + boot, source, text }));
}

function inSeries(happenings: readonly Happening[]): string[] {
  const all: { readonly first: Happening; count: number; until: number }[] = [];
  const open = new Map<string, (typeof all)[number]>();
  for (const happening of happenings) {
    const { time, source, text } = happening;
    const words = `${source} ${text.replace(/\d+/g, '#')}`;
    const series = open.get(words);
    if (series !== undefined && time - series.until < SERIES) {
      series.count += 1;
      series.until = time;
      continue;
    }
    const begun = { first: happening, count: 1, until: time };
    open.set(words, begun);
    all.push(begun);
  }
  return all.map(({ first: { time, source, text }, count, until }) => {
    const more = count === 1 ? '' : ` (${count} times until ${until.toFixed(3)})`;
    return `${time.toFixed(3)} ${source}: ${text}${more}`;
  });
}
