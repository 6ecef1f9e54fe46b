/**
 * A root tree of another Debian suite, entered: an overlay that keeps the tree as it is, process ids of its own, the
 * network of a namespace, its own system bus. Nothing of it reaches the machine; everything ends with the holder process.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

import { execute, Program, type Teardown } from '@seikan/testkit';

export const house = resolve(import.meta.dirname, '../../..');

/** Whose service answers to net.openvpn.v3.netcfg. */
export type Implementation = 'original' | 'ours';

export interface TreeOptions {
  readonly suite: string;
  readonly implementation: Implementation;
  readonly namespace: string;
  /** The service's options, as the JSON file of its state folder. */
  readonly config: Readonly<Record<string, string | boolean>>;
  /** The log service prints all that the others say. */
  readonly verbose?: boolean;
  readonly teardown: Teardown;
}

export interface RunOptions {
  readonly user?: string | undefined;
  readonly timeout?: number;
  readonly input?: string;
}

/** An ordinary user of the tree, who is in the group that may use our service. */
export const ORDINARY_USER = 'ada';
/** One who is not. */
export const OUTSIDER = 'bob';
/** The user of OpenVPN 3's services, for calls that only they may make. */
export const SERVICE_USER = '_openvpn';

/** Runs as process 1 of the tree: mounts, then holds the namespaces until it is killed. */
const HOLDER = `set -e
tree=$1 place=$2 house=$3 node=$4
mount -t tmpfs none "$place"
mkdir "$place"/upper "$place"/work "$place"/root
root=$place/root
mount -t overlay overlay -o "lowerdir=$tree,upperdir=$place/upper,workdir=$place/work" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
# Services open it as users of their own; on the machine it may be root's alone.
mount -t tmpfs none "$root/dev/net"
mknod -m 666 "$root/dev/net/tun" c 10 200
mount -t tmpfs none "$root/run"
mount -t tmpfs none "$root/tmp"
chmod 1777 "$root/tmp"
mkdir -p "$root/run/dbus" "$root/opt/seikan"
mount --bind "$house" "$root/opt/seikan"
mount -o remount,bind,ro "$root/opt/seikan"
cp "$node" "$root/usr/local/bin/node"
rm -f "$root"/usr/share/dbus-1/system-services/org.freedesktop.hostname1.service
rm -f "$root/etc/resolv.conf" "$root/etc/machine-id"
chroot "$root" dbus-uuidgen --ensure=/etc/machine-id
echo '${ORDINARY_USER}:x:1000:1000::/tmp:/bin/sh' >>"$root/etc/passwd"
echo '${ORDINARY_USER}:x:1000:' >>"$root/etc/group"
echo '${OUTSIDER}:x:1002:1002::/tmp:/bin/sh' >>"$root/etc/passwd"
echo '${OUTSIDER}:x:1002:' >>"$root/etc/group"
echo 'seikan:x:1001:${ORDINARY_USER}' >>"$root/etc/group"
# Said from inside: until then /proc/PID/root is the machine's.
exec chroot "$root" sh -c 'echo ready; exec sleep infinity'
`;

let entered = 0;

export class Tree {
  readonly #options: TreeOptions;
  readonly #holder: Program;
  readonly #pid: number;
  #bus: Program | undefined;

  private constructor(options: TreeOptions, holder: Program, pid: number) {
    this.#options = options;
    this.#holder = holder;
    this.#pid = pid;
  }

  static async enter(options: TreeOptions): Promise<Tree> {
    const { suite, namespace, teardown } = options;
    const place = join(house, `.cache/netcfg/${process.pid}-${entered++}`);
    mkdirSync(place, { recursive: true });
    teardown.defer(() => rmSync(place, { recursive: true }));
    const root = join(house, `.cache/trees/${suite}/root`);
    const unshare = ['unshare', '--mount', '--pid', '--fork', '--kill-child', '--propagation', 'private'] as const;
    const command = [...unshare, 'bash', '-c', HOLDER, 'holder', root, place, house, process.execPath] as const;
    const holder = new Program({ name: 'tree', command, namespace, teardown });
    await holder.waitFor(/^ready$/, { timeout: 120_000 });
    const children = readFileSync(`/proc/${holder.pid}/task/${holder.pid}/children`, 'utf8');
    const tree = new Tree(options, holder, Number(children.trim().split(' ')[0]));
    await tree.#install();
    const bus = tree.start('bus', [
      'dbus-daemon',
      '--system',
      '--nofork',
      '--nopidfile',
      '--nosyslog',
      '--print-address=1',
    ]);
    await bus.waitFor(/^unix:/, { timeout: 60_000 });
    tree.#bus = bus;
    return tree;
  }

  /** What the bus and the services that it started have printed. */
  get lines(): readonly string[] {
    return this.#bus?.lines ?? [];
  }

  /** A path of the tree as it is reached from outside. */
  path(inside: string): string {
    return `/proc/${this.#pid}/root${inside}`;
  }

  read(path: string): string {
    return readFileSync(this.path(path), 'utf8');
  }

  write(path: string, text: string): void {
    writeFileSync(this.path(path), text);
  }

  /** The command that runs another one inside, to be killed with it: nsenter has it as a child. */
  command(words: readonly string[], user?: string): readonly [string, ...string[]] {
    const enter = ['--target', `${this.#pid}`, '--mount', '--pid', '--root', '--wd'];
    const become = user === undefined ? [] : ['--reuid', user, '--regid', user, '--init-groups', '--reset-env'];
    return ['nsenter', ...enter, '--', 'setpriv', '--pdeathsig', 'KILL', ...become, ...words];
  }

  start(name: string, words: readonly string[], user?: string): Program {
    const { namespace, teardown } = this.#options;
    const program = new Program({ name, command: this.command(words, user), namespace, teardown });
    // nsenter passes no signals on: process 1 takes all others with it.
    teardown.defer(() => this.#holder.signal('SIGKILL'));
    return program;
  }

  run(words: readonly string[], { user, timeout = 30_000, input }: RunOptions = {}): Promise<string> {
    const [program, ...rest] = this.command(words, user);
    const net = `--net=/run/netns/${this.#options.namespace}`;
    return execute([program, net, ...rest], { timeout, ...(input === undefined ? {} : { input }) });
  }

  /** Process ids inside whose command line matches. */
  async processes(pattern: RegExp): Promise<number[]> {
    const lines = (await this.run(['ps', '-eo', 'pid=,args='])).split('\n');
    return lines.filter((line) => pattern.test(line)).map((line) => Number.parseInt(line, 10));
  }

  async #install(): Promise<void> {
    const { implementation, config, verbose = false } = this.#options;
    mkdirSync(this.path('/var/lib/openvpn3'), { recursive: true });
    this.write('/var/lib/openvpn3/netcfg.json', JSON.stringify(config));
    if (verbose) {
      const file = '/usr/share/dbus-1/system-services/net.openvpn.v3.log.service';
      this.write(file, this.read(file).replace(/^Exec=.*$/m, '$& --log-level 6'));
    }
    if (implementation === 'original') return;
    rmSync(this.path('/usr/share/dbus-1/system-services/net.openvpn.v3.netcfg.service'));
    rmSync(this.path('/usr/share/dbus-1/system.d/net.openvpn.v3.netcfg.conf'));
    rmSync(this.path('/usr/share/polkit-1/rules.d/net.openvpn.v3.rules'));
    const to = ['--root', this.path(''), '--program', '/opt/seikan/bin/seikan-netcfg'];
    await execute([join(house, 'tools/install-netcfg'), ...to], { timeout: 120_000 });
  }
}
