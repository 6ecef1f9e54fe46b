/**
 * Where the demo runs, and whether something of it is left: network, mounts and files of its own, which vanish with
 * its last process, for root as for whoever may make user namespaces.
 */
import { spawnSync } from 'node:child_process';
import { closeSync, openSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** Every process of a run carries this variable with the run's own value. */
export const MARK = 'SEIKAN_DEMO';

export interface Isolation {
  readonly kind: 'root' | 'user namespace';
  /** What to put before a command to run it inside. */
  readonly prefix: readonly [string, ...string[]];
  /** What to put before a command, and `--target PID`, to join from another terminal. */
  readonly join: string;
}

const root: Isolation = { kind: 'root', prefix: ['unshare', '--net', '--mount'], join: 'nsenter --mount' };
const user: Isolation = {
  kind: 'user namespace',
  prefix: ['unshare', '--user', '--map-root-user', '--net', '--mount'],
  join: 'nsenter --user --preserve-credentials --mount',
};

/** How the demo can be isolated here, or what is in the way and what to do about it. */
export function findIsolation(): Isolation | { readonly obstacle: string } {
  const device = tunObstacle();
  if (device !== undefined) return { obstacle: device };
  const candidates = process.getuid?.() === 0 ? [root, user] : [user];
  const reasons: string[] = [];
  for (const isolation of candidates) {
    const [program, ...args] = isolation.prefix;
    const probe = spawnSync(program, [...args, 'mount', '-t', 'tmpfs', 'demo', '/run'], { encoding: 'utf8' });
    if (probe.status === 0) return isolation;
    reasons.push(probe.stderr.trim() || String(probe.error ?? `${program} ended with ${probe.status}`));
  }
  return { obstacle: [...reasons, ...namespaceAdvice()].join('\n') };
}

function tunObstacle(): string | undefined {
  try {
    closeSync(openSync('/dev/net/tun', 'r+'));
    return undefined;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const advice =
      code === 'EACCES'
        ? 'As root, once:  chmod 666 /dev/net/tun   (the mode that udev gives it)\nor:             sudo ./demo'
        : 'On a machine of your own:  modprobe tun\nIn a container:            start it with --device /dev/net/tun';
    return `no tun device can be opened: ${message}\n${advice}`;
  }
}

function namespaceAdvice(): string[] {
  const setting = (path: string): string | undefined => {
    try {
      return readFileSync(`/proc/sys/${path}`, 'utf8').trim();
    } catch {
      return undefined;
    }
  };
  if (process.getuid?.() === 0)
    return ['This root may not make network namespaces. In a container: start it with --cap-add SYS_ADMIN,NET_ADMIN.'];
  const advice = ['An ordinary user needs user namespaces, and this machine does not allow them:'];
  if (setting('kernel/unprivileged_userns_clone') === '0') advice.push('  kernel.unprivileged_userns_clone is 0');
  if (setting('kernel/apparmor_restrict_unprivileged_userns') === '1')
    advice.push('  kernel.apparmor_restrict_unprivileged_userns is 1');
  if (setting('user/max_user_namespaces') === '0') advice.push('  user.max_user_namespaces is 0');
  return [...advice, 'Run it as root:  sudo ./demo'];
}

/** Names of what still exists of a run: its processes, and whatever holds one of its network namespaces. */
export function leftovers(mark: string, networks: ReadonlySet<string>): string[] {
  const found: string[] = [];
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name) && name !== `${process.pid}`)) {
    if (readText(`/proc/${pid}/environ`).split('\0').includes(`${MARK}=${mark}`)) found.push(`process ${pid}`);
    else if (networks.has(networkOf(pid))) found.push(`process ${pid} in a namespace of the demo`);
  }
  for (const line of readText('/proc/self/mountinfo').split('\n')) {
    const network = /net:\[\d+\]/.exec(line)?.[0];
    if (network !== undefined && networks.has(network)) found.push(`mount ${line.split(' ')[4]}`);
  }
  return found;
}

/** The network namespace of a process as the kernel names it, `net:[4026532008]`; empty when it is gone or not ours. */
function networkOf(pid: string): string {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`);
  } catch {
    return '';
  }
}

/** Empty for what is gone, or belongs to somebody else. */
function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
