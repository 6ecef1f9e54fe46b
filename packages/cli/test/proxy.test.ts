/**
 * Clients behind a real proxy, which alone reaches the stock server: the client's network has no other way out.
 *
 *   client 10.9.0.2 ── 10.9.0.1 Squid, Dante 10.9.1.3 ── 10.9.1.1 openvpn
 *
 * For NTLM, which Squid knows with a domain's controller behind it only, it is a proxy of the tests' own.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';

import { bulk, inNetworkNamespace, ping, Teardown } from '@seikan/testkit';

import { NTLM_LOGIN, type NtlmProxy, startNtlmProxy } from './ntlm-proxy.js';
import { createPki, end, hasStock, ours, Running, stock, temporaryFolder, until } from './program.js';
import {
  fetchProxies,
  PROXY_PASSWORD,
  PROXY_USER,
  type Proxy,
  prepareProxies,
  startDante,
  startSquid,
} from './proxies.js';

const UP = 'Initialization Sequence Completed';
const PORTS = { open: 3_128, withLogin: 3_129, socks: 1_080, socksWithLogin: 1_081, ntlm: 3_130 } as const;

function ip(...args: string[]): void {
  const ran = spawnSync('ip', args, { encoding: 'utf8' });
  assert.equal(ran.status, 0, `ip ${args.join(' ')}: ${ran.stderr}`);
}

inNetworkNamespace(
  import.meta.filename,
  () => {
    const onlyRoot = spawnSync('grep', ['-cw', '4294967295', '/proc/self/uid_map']).status !== 0;
    const skip = !hasStock ? 'no openvpn to compare with' : onlyRoot && 'proxies drop to a user that is not here';
    const folder = temporaryFolder();
    const file = (name: string, text: string): string => {
      writeFileSync(join(folder, name), text, { mode: 0o600 });
      return join(folder, name);
    };
    const servers: Running[] = [];
    const clients: Running[] = [];
    const proxies: Proxy[] = [];
    let ntlmProxy: NtlmProxy | undefined;
    let stands = false;

    test('the network stands: a client that reaches proxies only, stock servers that only proxies reach', {
      skip,
    }, async () => {
      prepareProxies();
      ip('netns', 'add', 'client');
      ip('link', 'add', 'outside', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', 'client');
      for (const address of ['10.9.1.1/32', '10.9.1.3/32']) ip('address', 'add', address, 'dev', 'lo');
      ip('address', 'add', '10.9.0.1/24', 'dev', 'outside');
      ip('link', 'set', 'outside', 'up');
      ip('-n', 'client', 'link', 'set', 'lo', 'up');
      ip('-n', 'client', 'address', 'add', '10.9.0.2/24', 'dev', 'eth0');
      ip('-n', 'client', 'link', 'set', 'eth0', 'up');
      createPki(folder);
      for (const [proto, network] of [
        ['udp', '10.97'],
        ['tcp-server', '10.98'],
      ] as const) {
        const args =
          `--dev tun --proto ${proto} --local 10.9.1.1 --lport 11940 --server ${network}.0.0 255.255.255.0 --server-ipv6 fd00:${network.slice(3)}::/64 --topology subnet --dh none --ca ca.crt --cert server.crt --key server.key --keepalive 10 60 --verb 3`.split(
            ' ',
          );
        servers.push(new Running(args, { program: stock, cwd: folder, logFile: join(folder, `${proto}.log`) }));
      }
      for (const server of servers) await server.logged(UP);
      const place = { address: '10.9.0.1', from: '10.9.1.3' };
      proxies.push(await startSquid({ ...place, open: PORTS.open, withLogin: PORTS.withLogin }));
      proxies.push(await startDante({ ...place, port: PORTS.socks, login: false }));
      proxies.push(await startDante({ ...place, port: PORTS.socksWithLogin, login: true }));
      ntlmProxy = await startNtlmProxy(place.address, PORTS.ntlm, place.from);
      stands = true;
    });

    const tell = (): string => proxies.map((proxy) => `${proxy.name}:\n${proxy.log()}`).join('\n');
    const start = (name: string, proto: 'udp' | 'tcp-client', proxy: readonly string[], program = ours): Running => {
      assert.ok(stands, 'the network does not stand');
      const common =
        `--client --dev tun --proto ${proto} --remote 10.9.1.1 11940 --nobind --ca ca.crt --cert client.crt --key client.key --remote-cert-tls server --connect-retry 1 --verb 4`.split(
          ' ',
        );
      const client = new Running([...common, ...proxy], {
        program,
        cwd: folder,
        logFile: join(folder, `${name}.log`),
        namespace: 'client',
      });
      clients.push(client);
      return client;
    };
    // A test that fails leaves them behind.
    after(() => {
      for (const one of [...clients, ...servers]) one.kill('SIGKILL');
      ntlmProxy?.close();
    });
    const login = (): string => file('login', `${PROXY_USER}\n${PROXY_PASSWORD}\n`);
    const domainLogin = (): string => file('domain-login', NTLM_LOGIN);

    const squid = ['--http-proxy', '10.9.0.1'] as const;
    const socks = ['--socks-proxy', '10.9.0.1'] as const;
    const ways: readonly (readonly [string, 'udp' | 'tcp-client', () => readonly string[], RegExp])[] = [
      [
        'an HTTP proxy without login, a header and an agent of our own',
        'tcp-client',
        () => [
          ...squid,
          `${PORTS.open}`,
          '--http-proxy-option',
          'AGENT',
          'Test/1',
          '--http-proxy-option',
          'CUSTOM-HEADER',
          'X-A',
          'b',
        ],
        /Send to HTTP proxy: 'CONNECT 10\.9\.1\.1:11940 HTTP\/1\.0'[^]*Send to HTTP proxy: 'X-A: b'[^]*HTTP proxy returned: 'HTTP\/1\.1 200 /,
      ],
      [
        'an HTTP proxy with Basic',
        'tcp-client',
        () => [...squid, `${PORTS.withLogin}`, login(), 'basic'],
        /Attempting Basic Proxy-Authorization[^]*HTTP proxy returned: 'HTTP\/1\.1 200 /,
      ],
      [
        'an HTTP proxy that asks for Digest',
        'tcp-client',
        () => [...squid, `${PORTS.withLogin}`, 'auto-nct', '--http-proxy-user-pass', login()],
        /HTTP proxy returned: 'HTTP\/1\.1 407 [^]*Attempting Digest Proxy-Authorization[^]*HTTP proxy returned: 'HTTP\/1\.1 200 /,
      ],
      [
        'an HTTP proxy with NTLM',
        'tcp-client',
        () => [...squid, `${PORTS.ntlm}`, domainLogin(), 'ntlm2'],
        /Attempting NTLM Proxy-Authorization phase 1[^]*HTTP\/1\.1 407 [^]*phase 3[^]*HTTP proxy returned: 'HTTP\/1\.1 200 /,
      ],
      [
        'an HTTP proxy that asks for NTLM or Basic',
        'tcp-client',
        () => [...squid, `${PORTS.ntlm}`, 'auto', '--http-proxy-user-pass', domainLogin()],
        /HTTP\/1\.1 407 [^]*Attempting NTLM Proxy-Authorization phase 1[^]*HTTP proxy returned: 'HTTP\/1\.1 200 /,
      ],
      [
        'SOCKS over TCP',
        'tcp-client',
        () => [...socks, `${PORTS.socks}`],
        /TCP connection established with \[AF_INET\]10\.9\.0\.1:1080/,
      ],
      ['SOCKS over TCP with a login', 'tcp-client', () => [...socks, `${PORTS.socksWithLogin}`, login()], /:1081/],
      [
        'SOCKS over UDP',
        'udp',
        () => [...socks, `${PORTS.socks}`],
        /SOCKS proxy wants us to send UDP to \[AF_INET\]10\.9\.0\.1:/,
      ],
      [
        'SOCKS over UDP with a login',
        'udp',
        () => [...socks, `${PORTS.socksWithLogin}`, login()],
        /SOCKS proxy wants us to send UDP/,
      ],
    ];
    for (const [way, proto, options, shown] of ways) {
      test(`our client reaches a stock server through ${way}, and traffic flows`, { skip }, async () => {
        const client = start(way.replaceAll(' ', '-'), proto, options());
        await client.logged(UP).catch((error: unknown) => assert.fail(`${String(error)}\n${tell()}`));
        assert.match(client.log, shown);
        assert.doesNotMatch(client.log, /it is "secret"|Password$/m);
        // The server sees the proxy.
        const seen = servers[proto === 'udp' ? 0 : 1]?.log ?? '';
        assert.match(seen, /Peer Connection Initiated with \[AF_INET\]10\.9\.1\.3:/);
        const network = proto === 'udp' ? '10.97' : '10.98';
        const whole = await ping({ from: 'client', to: `${network}.0.1`, count: 5, size: 1_400 });
        assert.ok(whole.received >= 3, `${whole.received} of 5 pings`);
        await end(client);
      });
    }

    test('the stock client logs in at the same NTLM proxy, which refuses a wrong password', { skip }, async () => {
      const proxy = ntlmProxy ?? assert.fail('no proxy');
      // OpenSSL 3 has put MD4 aside; without it 2.6 ends.
      const legacy = ['--providers', 'legacy', 'default'];
      for (const [name, password, last] of [
        ['stock-ntlm', 'Password', 'Domain\\User'],
        ['stock-ntlm-wrong', 'password', 'wrong'],
      ] as const) {
        proxy.seen.length = 0;
        const secret = file(name, `Domain\\User\n${password}\n`);
        const client = start(name, 'tcp-client', [...squid, `${PORTS.ntlm}`, secret, 'ntlm2', ...legacy], stock);
        await client.logged(last === 'wrong' ? 'SIGUSR1[soft,HTTP proxy error]' : UP);
        assert.deepEqual(proxy.seen.slice(0, 2), ['negotiate', last]);
        await end(client);
      }
    });

    test('bulk traffic crosses a UDP relay whole, both ways', { skip }, async () => {
      const client = start('bulk', 'udp', [...socks, `${PORTS.socks}`]);
      await client.logged(UP);
      const address = /ifconfig (10\.97\.0\.\d+)/.exec(client.log)?.[1] ?? assert.fail(client.log);
      ip('netns', 'attach', 'server', `${process.pid}`);
      const teardown = new Teardown();
      const [server, peer] = [
        { namespace: 'server', ipv4: '10.97.0.1', ipv6: 'fd00:97::1' },
        { namespace: 'client', ipv4: address, ipv6: '' },
      ] as const;
      await bulk([server, peer], { bytes: 4_000_000, timeout: 60_000, teardown });
      await end(client);
    });

    test('a proxy that refuses is one line of the log, and the next remote is tried', { skip }, async () => {
      const wrong = file('wrong', `${PROXY_USER}\nwrong\n`);
      const refused: readonly (readonly [string, readonly string[], string])[] = [
        [
          'basic',
          [...squid, `${PORTS.withLogin}`, wrong, 'basic'],
          'SIGUSR1[soft,HTTP proxy error] received, process restarting',
        ],
        ['none', [...squid, `${PORTS.withLogin}`], 'HTTP proxy: no support for proxy authentication method'],
        [
          'digest',
          [...squid, `${PORTS.withLogin}`, 'auto', '--http-proxy-user-pass', wrong],
          'HTTP proxy: the login was refused',
        ],
        ['ntlm', [...squid, `${PORTS.ntlm}`, wrong, 'ntlm2'], 'HTTP proxy: the login was refused'],
        [
          'socks',
          [...socks, `${PORTS.socksWithLogin}`, wrong],
          'socks_username_password_auth: server refused the authentication',
        ],
        ['method', [...socks, `${PORTS.socksWithLogin}`], 'socks_handshake: Socks proxy returned unexpected auth'],
        ['nobody', [...socks, '9'], 'TCP: connect to [AF_INET]10.9.0.1:9 failed: '],
      ];
      await Promise.all(
        refused.map(async ([name, proxy, line]) => {
          const client = start(`refused-${name}`, 'tcp-client', proxy);
          await client.logged(line);
          await client.logged('Restart pause, 1 second(s)');
          // It goes on trying.
          await client.logged('Attempting to establish TCP connection', 2);
          await end(client);
        }),
      );
    });

    test('a relay ends with the connection to its proxy, and the client comes back when the proxy does', {
      skip,
    }, async () => {
      const place = { address: '10.9.0.1', from: '10.9.1.3', port: 1_082, login: false };
      const first = await startDante(place);
      const client = start('relay-ends', 'udp', [...socks, '1082']);
      await client.logged(UP);
      await first.stop();
      await client.logged('Connection reset, restarting [the SOCKS proxy closed its connection]');
      await client.logged('SIGUSR1[soft,connection-reset]');
      await startDante(place);
      await client.logged(UP, 2);
      await end(client);
    });

    test('nothing is left', { skip }, async () => {
      for (const server of servers) server.kill('SIGTERM');
      for (const server of servers) await server.exit();
      for (const proxy of proxies) await proxy.stop();
      await until('the ends of the servers', () => servers.every(({ child }) => child.exitCode !== null));
    });
  },
  fetchProxies,
);
