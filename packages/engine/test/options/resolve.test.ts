import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigError, checkFiles, type Options, parseArguments, parseConfig } from '@seikan/engine';
import { createCrypto } from '@seikan/native';

const credentials = 'ca a\ncert b\nkey c\n';

function parse(text: string, files: Readonly<Record<string, string>> = {}): Options {
  return parseConfig(text, 'f', { read: (path) => files[path] }).options;
}

function refusal(text: string): ConfigError {
  try {
    parse(text);
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error;
  }
  return assert.fail(`${text} was taken`);
}

function bound(text: string): unknown {
  const [connection] = parse(text).connections;
  return [connection?.bind, connection?.localPort];
}

function mssfix(extra: string): unknown {
  return parse(`client\ndev tun\nremote a\n${extra}${credentials}`).connections[0]?.mssfix;
}

function action(...argv: string[]): unknown {
  return parseArguments(argv, { read: () => undefined }).options.action;
}

test('each remote inherits what is common and keeps its own port and protocol', () => {
  const { connections } = parse(
    `client\ndev tun\nproto tcp\nremote a\nremote b 443 udp4\nport 1195\nconnect-retry 2 40\n${credentials}`,
  );
  assert.deepEqual(
    connections.map(({ remote, remotePort, protocol, family, connectRetryMaximum }) => [
      remote,
      remotePort,
      protocol,
      family,
      connectRetryMaximum,
    ]),
    [
      ['a', 1_195, 'tcp-client', undefined, 40],
      ['b', 443, 'udp', 4, 40],
    ],
  );
});

test('connection blocks inherit what stands before them and have keys of their own', () => {
  const { connections } = parse(
    `client\ndev tun\nfragment 1300\ntls-auth common 1\n<connection>\nremote a 1\n</connection>\n<connection>\nremote b 2\ntun-mtu 1400\nfragment 1200\n<tls-crypt>\nkey\n</tls-crypt>\n</connection>\n${credentials}`,
  );
  assert.deepEqual(
    connections.map(({ remote, tunMtu, fragment, mssfix, wrap }) => ({ remote, tunMtu, fragment, mssfix, wrap })),
    [
      {
        remote: 'a',
        tunMtu: 1_500,
        fragment: 1_300,
        mssfix: { size: 1_300, measure: 'mtu' },
        wrap: {
          tlsAuth: { key: { from: 'file', path: 'common' }, direction: 1 },
          tlsCrypt: undefined,
          tlsCryptV2: undefined,
        },
      },
      {
        remote: 'b',
        tunMtu: 1_400,
        fragment: 1_200,
        mssfix: { size: 1_200, measure: 'mtu' },
        wrap: { tlsAuth: undefined, tlsCrypt: { from: 'inline', text: 'key\n' }, tlsCryptV2: undefined },
      },
    ],
  );
});

test('an error inside a connection block has the line of the file, and OpenVPN’s count of lines', () => {
  const error = refusal('client\n\n<connection>\nremote a\n  proto foo\n</connection>\n');
  assert.deepEqual([error.file, error.line, error.column], ['f', 5, 9]);
  const unknown = refusal('client\n\n<connection>\nremote a\nfoo\n</connection>\n');
  assert.match(unknown.upstream, /in \[CONNECTION-OPTIONS\]:2: foo/);
  assert.equal(unknown.line, 5);
});

test('an error about a line of an inline block points to that line', () => {
  const error = refusal(`client\n<peer-fingerprint>\n# mine\n${'ab:'.repeat(31)}ab\nzz\n</peer-fingerprint>\n`);
  assert.deepEqual([error.line, error.column, error.directive], [5, 1, 'peer-fingerprint']);
});

test('files are read below cd, and may nest ten deep', () => {
  const { dev, verb } = { dev: 'dev tun9\n', verb: 'verb 5\n' };
  const options = parse(`cd /etc/vpn\nconfig a\nclient\nremote x\n${credentials}`, {
    '/etc/vpn/a': `${dev}config /b\n`,
    '/b': verb,
  });
  assert.equal(options.device.name, 'tun9');
  assert.equal(options.log.verb, 5);
  const deep = Object.fromEntries(Array.from({ length: 12 }, (_, index) => [`f${index}`, `config f${index + 1}\n`]));
  assert.doesNotThrow(() => parse(`config f2\nclient\nremote x\ndev tun\n${credentials}`, { ...deep, f10: '' }));
  assert.throws(() => parse('config f1\n', { ...deep, f10: '' }), /Maximum recursive include levels exceeded/);
});

test('who binds: servers and plain peers do, clients and TCP clients do not unless asked', () => {
  assert.deepEqual(bound(`client\ndev tun\nremote a\n${credentials}`), [false, 0]);
  assert.deepEqual(bound(`client\ndev tun\nremote a\nlport 0\n${credentials}`), [true, 0]);
  assert.deepEqual(bound(`client\ndev tun\nremote a\nlocal 192.0.2.1\n${credentials}`), [true, 1_194]);
  assert.deepEqual(bound(`dev tun\ntls-client\nremote a\n${credentials}`), [true, 1_194]);
  assert.deepEqual(bound(`dev tun\ntls-client\nremote a\nproto tcp-client\n${credentials}`), [false, 0]);
  assert.deepEqual(bound(`dev tun\nserver 10.8.0.0 255.255.255.0\ndh none\n${credentials}`), [true, 1_194]);
});

test('mssfix follows tun-mtu, unless it is said', () => {
  assert.deepEqual(mssfix(''), { size: 1_492, measure: 'mtu' });
  assert.deepEqual(mssfix('tun-mtu 1400\n'), { size: 1_400, measure: 'fixed' });
  assert.deepEqual(mssfix('mssfix 0\n'), { size: 0, measure: 'packet' });
  assert.deepEqual(mssfix('mssfix 1300 mtu\n'), { size: 1_300, measure: 'mtu' });
  assert.deepEqual(mssfix('max-packet-size 1000\n'), { size: 1_000, measure: 'mtu' });
  assert.deepEqual(mssfix('link-mtu 1400\n'), { size: 0, measure: 'mtu' });
});

test('server with net30 leaves room at both ends, and tells clients the way', () => {
  const text = `dev tun\nserver 10.8.0.0 255.255.255.0\ndh none\n${credentials}`;
  const { addresses, server, push, routing } = parse(text);
  assert.deepEqual(addresses.ipv4, { local: '10.8.0.1', remoteOrNetmask: '10.8.0.2' });
  assert.deepEqual(server.pool, { start: '10.8.0.4', end: '10.8.0.251', netmask: undefined });
  assert.deepEqual(push, ['route 10.8.0.1', 'topology net30']);
  assert.deepEqual(routing.routes[0]?.netmask, '255.255.255.0');
  assert.deepEqual(parse(`${text}client-to-client\n`).push, ['route 10.8.0.0 255.255.255.0', 'topology net30']);
  assert.deepEqual(parse(text.replace('255.255.255.0', '255.255.255.248')).server.pool?.end, '10.8.0.7');
});

test('server with tap, and server-bridge, give clients addresses of the LAN', () => {
  const tap = parse(`dev tap\nserver 10.8.0.0 255.255.255.0\ndh none\n${credentials}`);
  assert.deepEqual(tap.server.pool, { start: '10.8.0.2', end: '10.8.0.254', netmask: '255.255.255.0' });
  assert.deepEqual(tap.push, ['route-gateway 10.8.0.1']);
  assert.equal(tap.connections[0]?.tunMtuExtra, 32);
  const bridge = parse(`dev tap\nserver-bridge\ndh none\n${credentials}`);
  assert.equal(bridge.server.pool, undefined);
  assert.deepEqual(bridge.push, ['route-gateway dhcp']);
});

test('compat-mode loosens what older versions need', () => {
  const { tls, data } = parse(`client\ndev tun\nremote a\ncompat-mode 2.3.6\ncipher AES-128-CBC\n${credentials}`);
  assert.equal(tls.versionMin, '1.0');
  assert.equal(data.fallback, true);
  assert.ok(data.dataCiphers.includes('AES-128-CBC'));
  assert.equal(data.compression.allow, 'asym');
  assert.equal(parse(`client\ndev tun\nremote a\n${credentials}`).data.compression.allow, 'no');
});

test('ciphers beside those that are everywhere are asked for; a static key takes none whose nonces would repeat', () => {
  const client = 'client\ndev tun\nremote a\n';
  const crypto = createCrypto();
  const withRare = (line: string): Options =>
    parseConfig(`${client}${line}\n${credentials}`, 'f', { read: () => undefined, crypto }).options;
  assert.deepEqual(withRare('data-ciphers aria-128-gcm:CAMELLIA-256-CBC:AES-256-CFB8').data.dataCiphers, [
    'ARIA-128-GCM',
    'CAMELLIA-256-CBC',
    'AES-256-CFB8',
  ]);
  for (const name of ['BF-CBC', 'DES-EDE3-CBC', 'aes256', 'id-aes256-GCM', 'AES-256-CTR', 'AES-256-CCM', 'none'])
    assert.throws(() => withRare(`data-ciphers ${name}`), /contains unsupported ciphers/, name);
  assert.match(refusal(`${client}data-ciphers ARIA-128-GCM\n${credentials}`).message, /unsupported ciphers/);

  assert.throws(() => withRare('cipher nosuch'), /Cipher NOSUCH not supported/);
  for (const name of ['BF-CBC', 'DES-EDE3-CBC', 'none', 'aes-256-cbc', 'ARIA-128-GCM'])
    assert.doesNotThrow(() => withRare(`cipher ${name}`), name);

  const secret = (cipher: string): Options =>
    parseConfig(`dev tun\nsecret k\ncipher ${cipher}\n`, 'f', { read: () => undefined, crypto }).options;
  assert.equal(secret('ARIA-192-CBC').data.cipher, 'ARIA-192-CBC');
  for (const name of ['AES-256-GCM', 'CHACHA20-POLY1305', 'AES-256-CFB', 'AES-256-OFB'])
    assert.throws(() => secret(name), new RegExp(`Cipher '${name}' mode not supported`));
});

test('tokens are renewed as often as keys unless it is said', () => {
  const text = `dev tun\nserver 10.8.0.0 255.255.255.0\ndh none\nreneg-sec 1000\nauth-gen-token 7200\n${credentials}`;
  assert.deepEqual(parse(text).auth.genToken, {
    lifetime: 7_200,
    renewal: 1_000,
    externalAuth: false,
    secret: undefined,
  });
});

test('actions need no tunnel, and what is asked for at once ends the reading', () => {
  assert.deepEqual(action('--version', '--foo'), { do: 'version' });
  assert.deepEqual(action(), { do: 'help' });
  assert.deepEqual(action('--show-curves'), { do: 'show-groups', argument: undefined });
  const key = { do: 'genkey', type: 'secret', file: 'k', metadata: undefined, serverKey: undefined };
  assert.deepEqual(action('--genkey', 'tls-crypt', 'k'), key);
  assert.deepEqual(action('--genkey', '--secret', 'k'), key);
  assert.deepEqual(action('--tls-crypt-v2', 's', '--genkey', 'tls-crypt-v2-client', 'k', 'AA=='), {
    do: 'genkey',
    type: 'tls-crypt-v2-client',
    file: 'k',
    metadata: 'AA==',
    serverKey: { from: 'file', path: 's' },
  });
  assert.throws(() => action('--genkey', 'tls-crypt-v2-client'), /requires a server key/);
  assert.throws(() => action('--mktun'), /You must define TUN\/TAP device/);
});

test('files are looked for where they will be used, below chroot too', () => {
  const text = `dev tun\nserver 10.8.0.0 255.255.255.0\ndh none\nchroot /jail\nclient-config-dir ccd\nstatus log/status\n${credentials}`;
  const configuration = parseConfig(text, 'f', { read: () => undefined });
  const asked: string[] = [];
  const warnings = checkFiles(configuration, {
    access(path, mode) {
      asked.push(`${path} ${mode}`);
      return undefined;
    },
    permissions: () => 0o644,
  });
  assert.deepEqual(asked, [
    'a r',
    'b r',
    'c r',
    '/jail rx',
    'log rwx',
    'log/status ',
    'log/status w',
    '/jail/ccd rx',
    '/jail/tmp rwx',
  ]);
  assert.deepEqual(
    warnings.map((warning) => warning.text),
    ["WARNING: file 'c' is group or others accessible"],
  );
  assert.throws(
    () =>
      checkFiles(configuration, {
        access: (path) => (path === 'b' ? { text: 'Permission denied', errno: 13 } : undefined),
        permissions: () => undefined,
      }),
    {
      upstream:
        "Options error: --cert fails with 'b': Permission denied (errno=13)\nOptions error: Please correct this error.",
      line: 8,
    },
  );
});

test('tls-auth without a digest is refused before anything is sent', () => {
  const { message } = refusal(
    'client\ndev tun\nremote 198.51.100.1\nca a.pem\ncert a.pem\nkey key\nauth none\ntls-auth ta.key\n',
  );
  assert.match(message, /^Options error: ERROR: tls-auth enabled, but no valid --auth algorithm specified \('none'\)/);
});

test('setenv has some words that are directives', () => {
  const base = `client\ndev tun\nremote a\n${credentials}`;
  const options = parse(`${base}setenv SERVER_POLL_TIMEOUT 7\nsetenv REMOTE_RANDOM_HOSTNAME\nsetenv PUSH_PEER_INFO\n`);
  assert.equal(options.connections[0]?.connectTimeout, 7);
  assert.equal(options.connecting.randomHostname, true);
  assert.equal(options.tls.pushPeerInfo, true);
});
