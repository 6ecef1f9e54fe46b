/**
 * The network: a namespace in which the tree lives, one for the VPN server, a link between them.
 *
 *     client namespace   eth0 192.0.2.10/24, 2001:db8::10/64, default routes   ───   s0 192.0.2.1, 2001:db8::1
 *     server             198.51.100.1
 *     tunnel             10.8.0.0/24, fd00:8::/64; pushed: 10.50.0.0/16, fd50::/48, DNS 10.8.0.1, corp.example
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { createAuthority, execute, inNamespace, ipBatch, Program, removeNamespaces, Teardown } from '@seikan/testkit';

export const TUNNEL = { ipv4: '10.8.0.1', ipv6: 'fd00:8::1', lan4: '10.50.0.1', lan6: 'fd50::1' } as const;
/** Beyond the server, for who sends everything through the tunnel. */
export const FAR = { ipv4: '203.0.113.9', ipv6: '2001:db8:ffff::9' } as const;
export const SERVER = '198.51.100.1';
const GATEWAY = '192.0.2.1';
/** The inside is reached through the tunnel only. */
const FIREWALL = `table inet filter {
  chain arriving {
    type filter hook input priority 0;
    iifname "s0" ip daddr { 10.8.0.0/24, 10.50.0.0/16, 203.0.113.9 } drop
    iifname "s0" ip6 daddr { fd00:8::/64, fd50::/48, 2001:db8:ffff::9 } drop
  }
}
`;
const PREFIX = 'seikan-netcfg';

let made = 0;

export class World {
  readonly teardown: Teardown;
  readonly client: string;
  readonly serverNamespace: string;
  readonly folder: string;
  #server: Program | undefined;
  readonly #serverLines: (readonly string[])[] = [];

  private constructor(teardown: Teardown, base: string, folder: string) {
    this.teardown = teardown;
    this.client = `${base}c`;
    this.serverNamespace = `${base}s`;
    this.folder = folder;
  }

  static async create(folder: string): Promise<World> {
    const teardown = new Teardown();
    made += 1;
    const world = new World(teardown, `${PREFIX}-${process.pid}-${made}`, folder);
    const { client, serverNamespace } = world;
    teardown.defer(() => removeNamespaces([client, serverNamespace]));
    await ipBatch([`netns add ${client}`, `netns add ${serverNamespace}`]);
    await ipBatch([`link add s0 netns ${serverNamespace} type veth peer eth0 netns ${client}`]);
    const link = (name: string, four: string, six: string) => [
      'link set lo up',
      `link set dev ${name} addrgenmode none up`,
      `addr add ${four}/24 dev ${name}`,
      `addr add ${six}/64 dev ${name} nodad`,
    ];
    await ipBatch(
      [
        ...link('s0', GATEWAY, '2001:db8::1'),
        `addr add ${SERVER}/32 dev lo`,
        `addr add ${TUNNEL.lan4}/32 dev lo`,
        `addr add ${TUNNEL.lan6}/128 dev lo nodad`,
        `addr add ${FAR.ipv4}/32 dev lo`,
        `addr add ${FAR.ipv6}/128 dev lo nodad`,
      ],
      serverNamespace,
    );
    await execute(inNamespace(serverNamespace, ['nft', '-f', '-']), { input: FIREWALL });
    await ipBatch(
      [
        ...link('eth0', '192.0.2.10', '2001:db8::10'),
        `route add default via ${GATEWAY}`,
        'route add default via 2001:db8::1',
      ],
      client,
    );
    return world;
  }

  /** Certificates of server and client, by openssl. */
  async makePki(): Promise<void> {
    mkdirSync(this.folder, { recursive: true });
    this.teardown.defer(() => rmSync(this.folder, { recursive: true }));
    const { issue } = await createAuthority(this.folder, { commonName: 'Test-CA', keys: 'P-256' });
    await issue('server', 'server');
    await issue('client', 'client');
  }

  file(name: string): string {
    return join(this.folder, name);
  }

  /** A stock openvpn; resolves when it listens. `lines`: what its configuration has besides, and what wins. */
  async startServer(lines: readonly string[] = []): Promise<void> {
    const config = [
      'dev tun',
      'proto udp',
      `local ${SERVER}`,
      'topology subnet',
      'server 10.8.0.0 255.255.255.0',
      'server-ipv6 fd00:8::/64',
      'push "route 10.50.0.0 255.255.0.0"',
      'push "route-ipv6 fd50::/48"',
      'push "dhcp-option DNS 10.8.0.1"',
      'push "dhcp-option DOMAIN-SEARCH corp.example"',
      'keepalive 1 4',
      'dh none',
      ...['ca ca.crt', 'cert server.crt', 'key server.key'].map((line) => line.replace(' ', ` ${this.folder}/`)),
      'verb 3',
      ...lines,
    ];
    writeFileSync(this.file('server.conf'), `${config.join('\n')}\n`);
    this.#server = new Program({
      name: 'server',
      command: ['openvpn', '--config', this.file('server.conf')],
      namespace: this.serverNamespace,
      teardown: this.teardown,
    });
    this.#serverLines.push(this.#server.lines);
    await this.#server.waitFor(/Initialization Sequence Completed/, { timeout: 60_000 });
  }

  /** What the servers have printed. */
  get serverLines(): readonly string[] {
    return this.#serverLines.flat();
  }

  async killServer(): Promise<void> {
    this.#server?.signal('SIGKILL');
    await this.#server?.exited;
  }

  /** `ip -j` in the client's namespace. */
  async ip(words: string): Promise<unknown> {
    const text = await execute(inNamespace(this.client, ['ip', '-j', ...words.split(' ')]));
    return JSON.parse(text === '' ? '[]' : text) as unknown;
  }

  /** Throws unless all addresses answer. Waits for routes and rekeyed tunnels to settle. */
  async pingAll(addresses: readonly string[] = Object.values(TUNNEL)): Promise<void> {
    for (const address of addresses) {
      await execute(inNamespace(this.client, ['ping', '-n', '-c', '3', '-i', '0.2', '-w', '15', address]));
    }
  }
}
