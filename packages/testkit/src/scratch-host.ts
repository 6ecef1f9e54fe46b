/** A host's network in the namespace of a test, and what iproute2 sees of it. */
import { execFileSync } from 'node:child_process';

/** One iproute2 command, words separated by spaces. */
export function ip(command: string): string {
  return execFileSync('ip', command.split(' '), { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

function lines(command: string): string[] {
  return ip(command)
    .replaceAll(/(expires|valid_lft|preferred_lft) \S+| tentative\b/g, '$1')
    .split('\n');
}

/** What iproute2 sees of the network, without what changes by itself. */
export function hostState(): string[] {
  return [
    ...lines('-d -o link show'),
    ...lines('-o addr show'),
    ...lines('-4 -d route show table all'),
    // Their order says which came first among devices, nothing more.
    ...lines('-6 -d route show table all').toSorted(),
    ...lines('rule show'),
    ...lines('-6 rule show'),
  ];
}

/** Ethernet e0 with 192.0.2.10/24 and 2001:db8::10/64, default routes through .1 and ::1, and a second one, e2. */
export function makeHost(): void {
  for (const command of [
    'link set lo up',
    'link add e0 type veth peer name e1',
    'link add e2 type veth peer name e3',
    'addr add 192.0.2.10/24 broadcast 192.0.2.255 dev e0',
    'addr add 203.0.113.10/24 dev e2',
    '-6 addr add 2001:db8::10/64 dev e0 nodad',
    ...['e0', 'e1', 'e2', 'e3'].map((name) => `link set ${name} addrgenmode none up`),
    'route add default via 192.0.2.1 dev e0 metric 50',
    'route add default via 203.0.113.1 dev e2 metric 500',
    '-6 route add default via 2001:db8::1 dev e0 metric 200',
    'route add 10.250.0.0/16 via 192.0.2.77 mtu 1300',
  ])
    ip(command);
}

/** Has been up once already: that attaches its queue discipline for good. */
export function makeTun(name: string): void {
  ip(`tuntap add dev ${name} mode tun`);
  ip(`link set ${name} addrgenmode none`);
  ip(`link set ${name} up`);
  ip(`link set ${name} down`);
}
