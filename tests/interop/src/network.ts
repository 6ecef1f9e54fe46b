/**
 * The test network: one namespace for the server, one for each client, a veth pair between the server and each.
 *
 *     server namespace                 client namespace i
 *       c0 198.18.0.1, fd53::1  ─────  eth0 198.18.1.i, fd53:1::i   (first address)
 *                                           198.18.2.i, fd53:2::i   (the address that a float moves to)
 *
 * The server has the same addresses on every pair, so no bridge is needed and any number of clients reach it.
 * Link-local addresses are off: they come seconds late and would look like something left behind.
 */
import { execute, inNamespace, ipBatch, removeNamespaces, type Teardown } from '@seikan/testkit';

export const namespacePrefix = 'seikan-interop';
let created = 0;

/** Linux 6.15 has a longest pause; older kernels only know thin streams, which repeat six times before they pause longer. */
const STEADY_TCP =
  'cd /proc/sys/net/ipv4; echo 1 > tcp_thin_linear_timeouts; [ ! -e tcp_rto_max_ms ] || echo 2000 > tcp_rto_max_ms';

export const serverAddress = { ipv4: '198.18.0.1', ipv6: 'fd53::1' } as const;

export class Network {
  readonly server: string;
  readonly clients: readonly string[];

  private constructor(server: string, clients: readonly string[]) {
    this.server = server;
    this.clients = clients;
  }

  static async create({ clients, teardown }: { clients: number; teardown: Teardown }): Promise<Network> {
    created += 1;
    const base = `${namespacePrefix}-${process.pid}-${created}`;
    const network = new Network(
      `${base}s`,
      Array.from({ length: clients }, (_, index) => `${base}c${index + 1}`),
    );
    const all = [network.server, ...network.clients];
    teardown.defer(() => removeNamespaces(all));
    await ipBatch(all.map((name) => `netns add ${name}`));
    await ipBatch(
      network.clients.map(
        (name, index) => `link add c${index} netns ${network.server} type veth peer eth0 netns ${name}`,
      ),
    );
    await ipBatch(
      [
        'link set lo up',
        ...network.clients.flatMap((_, index) => {
          const link = `dev c${index}`;
          const at = index + 1;
          return [
            `link set ${link} addrgenmode none`,
            `link set ${link} up`,
            `addr add ${serverAddress.ipv4}/32 ${link}`,
            `addr add ${serverAddress.ipv6}/128 ${link} nodad`,
            `route add 198.18.1.${at}/32 ${link} src ${serverAddress.ipv4}`,
            `route add 198.18.2.${at}/32 ${link} src ${serverAddress.ipv4}`,
            `route add fd53:1::${at.toString(16)}/128 ${link} src ${serverAddress.ipv6}`,
            `route add fd53:2::${at.toString(16)}/128 ${link} src ${serverAddress.ipv6}`,
          ];
        }),
      ],
      network.server,
    );
    for (const [index, name] of network.clients.entries()) {
      const at = index + 1;
      await ipBatch(
        [
          'link set lo up',
          'link set eth0 addrgenmode none',
          'link set eth0 up',
          ...[1, 2].flatMap((net) => [
            `addr add 198.18.${net}.${at}/32 dev eth0`,
            `addr add fd53:${net}::${at.toString(16)}/128 dev eth0 nodad`,
          ]),
          ...sourceRoutes('add', 1, at),
        ],
        name,
      );
    }
    return network;
  }

  /** From now on the first client's packets leave from its other address, as after a change of network. */
  async float(to: 'second' | 'first'): Promise<void> {
    await ipBatch(sourceRoutes('replace', to === 'second' ? 2 : 1, 1), this.clients[0]);
  }

  /**
   * Drops each packet that arrives over a link with the given chance, in every namespace. TCP inside the tunnel then
   * repeats at a steady pace: its doubling pauses (minutes, at 30 %) would be what a trial measures.
   */
  async loss(percent: number): Promise<void> {
    const rules = [
      'table inet loss {',
      '  chain arriving {',
      '    type filter hook input priority 0;',
      `    iifname { "eth0", "c0" } numgen random mod 100 < ${percent} counter drop`,
      '  }',
      '}',
    ].join('\n');
    for (const name of [this.server, ...this.clients])
      await execute(inNamespace(name, ['sh', '-c', `${STEADY_TCP}; exec nft -f -`]), { input: rules });
  }
}

function sourceRoutes(verb: 'add' | 'replace', net: 1 | 2, at: number): string[] {
  return [
    `route ${verb} ${serverAddress.ipv4}/32 dev eth0 src 198.18.${net}.${at}`,
    `route ${verb} ${serverAddress.ipv6}/128 dev eth0 src fd53:${net}::${at.toString(16)}`,
  ];
}
