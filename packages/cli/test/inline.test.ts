/** Everything that a configuration may hold inside of itself, in sessions with stock peers. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { inNetworkNamespace } from '@seikan/testkit';

import { createPki, hasStock, ours, Running, run, stock, temporaryFolder } from './program.js';

const UP = 'Initialization Sequence Completed';

inNetworkNamespace(import.meta.filename, () => {
  const folder = temporaryFolder();
  const file = (name: string): string => join(folder, name);
  const read = (name: string): string => readFileSync(file(name), 'utf8');
  const write = (name: string, text: string): void => writeFileSync(file(name), text, { mode: 0o600 });
  const block = (tag: string, text: string): string => `<${tag}>\n${text.trimEnd()}\n</${tag}>\n`;
  const openssl = (...args: string[]): string => {
    const ran = spawnSync('openssl', args, { cwd: folder, encoding: 'utf8' });
    assert.equal(ran.status, 0, ran.stderr);
    return ran.stdout;
  };
  const skip = hasStock ? false : 'no openvpn to talk to';

  function prepare(): void {
    createPki(folder);
    openssl('pkcs12', '-export', '-inkey', 'client.key', '-in', 'client.crt', '-passout', 'pass:', '-out', 'p12');
    openssl('dhparam', '-dsaparam', '-out', 'dh.pem', '2048');
    write('ca.cnf', '[ca]\ndefault_ca=x\n[x]\ndatabase=index\ndefault_md=sha256\ndefault_crl_days=9\n');
    write('index', '');
    openssl('ca', '-config', 'ca.cnf', '-cert', 'ca.crt', '-keyfile', 'ca.key', '-gencrl', '-out', 'crl');
    for (const kind of ['secret', 'tls-auth', 'tls-crypt', 'tls-crypt-v2-server', 'auth-token'])
      run(stock, ['--genkey', kind, kind], folder);
    run(stock, ['--tls-crypt-v2', 'tls-crypt-v2-server', '--genkey', 'tls-crypt-v2-client', 'v2'], folder);
  }

  /** Without any file beside it. */
  function configurations(wrap: 'tls-auth' | 'tls-crypt' | 'tls-crypt-v2'): { server: string; client: string } {
    const fingerprint = openssl('x509', '-in', 'server.crt', '-noout', '-fingerprint', '-sha256').split('=')[1] ?? '';
    const direction = (value: number): string => (wrap === 'tls-auth' ? `key-direction ${value}\n` : '');
    const [keyOfServer, keyOfClient] = wrap === 'tls-crypt-v2' ? ['tls-crypt-v2-server', 'v2'] : [wrap, wrap];
    const server = [
      '\ufeffdev tun\nserver 10.99.0.0 255.255.255.0\ntopology subnet\nlport 11940\nverb 3\n',
      'auth-user-pass-verify /bin/true via-env\nscript-security 2\nauth-gen-token\n',
      direction(0),
      ...(['cert', 'key'] as const).map((tag) => block(tag, read(tag === 'cert' ? 'server.crt' : 'server.key'))),
      block('ca', read('ca.crt')),
      block('extra-certs', read('ca.crt')),
      block('dh', read('dh.pem')),
      block('crl-verify', read('crl')),
      block('auth-gen-token-secret', read('auth-token')),
      block(wrap, read(keyOfServer)),
    ];
    // With tls-auth the key and certificate one by one, else in one.
    const identity =
      wrap === 'tls-auth'
        ? block('cert', read('client.crt')) + block('key', read('client.key')) + block('ca', read('ca.crt'))
        : block('pkcs12', readFileSync(file('p12')).toString('base64').replace(/.{64}/g, '$&\n'));
    const client = [
      'client\ndev tun\nnobind\nverb 3\n<connection>\nremote 127.0.0.1 11940 udp\n</connection>\n',
      direction(1),
      identity,
      block('auth-user-pass', 'ada\nsecret'),
      block('peer-fingerprint', fingerprint),
      block(wrap, read(keyOfClient)),
    ];
    return { server: server.join(''), client: client.join('') };
  }

  async function connect(servers: string, clients: string, name: string, up: readonly string[]): Promise<void> {
    const start = (program: string, side: string): Running =>
      new Running(['--config', `${name}.${side}`], { program, cwd: folder, logFile: file(`${name}-${side}.log`) });
    const server = start(servers, 'server');
    await server.logged(up[0] ?? UP);
    const client = start(clients, 'client');
    await client.logged(UP);
    await server.logged(up[1] ?? UP);
    for (const peer of [client, server]) {
      peer.kill('SIGTERM');
      assert.equal(await peer.exit(), 0, peer.log);
    }
  }

  const pairs = [
    ['our server', ours, stock],
    ['our client', stock, ours],
  ] as const;

  test('keys are made', { skip }, prepare);

  for (const wrap of ['tls-auth', 'tls-crypt', 'tls-crypt-v2'] as const)
    for (const [who, servers, clients] of pairs)
      test(`${who} has certificates, keys, list, login, token key and ${wrap} in its configuration`, {
        skip,
      }, async () => {
        const { server, client } = configurations(wrap);
        write(`${wrap}.server`, server);
        write(`${wrap}.client`, client);
        await connect(servers, clients, wrap, [UP, 'SENT CONTROL [client]: ']);
      });

  for (const [who, servers, clients] of pairs)
    test(`a static key too: ${who}`, { skip }, async () => {
      const common = `dev tun\ncipher AES-256-CBC\nping 1\nverb 3\n${block('secret', read('secret'))}`;
      write('static.server', `${common}ifconfig 10.98.0.1 10.98.0.2\nlport 11940\nkey-direction 0\n`);
      const remote = 'nobind\nremote 127.0.0.1 11940\n';
      write('static.client', `${common}ifconfig 10.98.0.2 10.98.0.1\n${remote}key-direction 1\n`);
      await connect(servers, clients, 'static', ['link remote: [AF_UNSPEC]', UP]);
    });
});
