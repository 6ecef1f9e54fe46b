import assert from 'node:assert/strict';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { parseAuthTokenKey, parseClientKey, parseServerKey, parseStaticKey, unwrapClientKey } from '@seikan/core';
import { createCrypto } from '@seikan/native';

import { hasStock, lines, ours, run, stock, temporaryFolder } from './program.js';

const folder = temporaryFolder();
const file = (name: string): string => join(folder, name);
const text = (name: string): string => readFileSync(file(name), 'utf8');

test('--version and --help exit as openvpn does, and the help lists supported options only', () => {
  const version = run(ours, ['--version']);
  assert.equal(version.status, 0);
  assert.match(version.output, /^OpenVPN 2\.6\.14 /);
  const help = run(ours, ['--help']);
  assert.equal(help.status, 1);
  assert.match(help.output, /^--tls-crypt ARG \[ARG\]   or <tls-crypt>/m);
  assert.doesNotMatch(help.output, /^--management /m);
});

test('each kind of key is made, for its owner alone', () => {
  for (const [kind, parse] of [
    ['secret', parseStaticKey],
    ['tls-auth', parseStaticKey],
    ['tls-crypt', parseStaticKey],
    ['auth-token', parseAuthTokenKey],
    ['tls-crypt-v2-server', parseServerKey],
  ] as const) {
    writeFileSync(file(kind), 'old', { mode: 0o644 });
    assert.deepEqual(run(ours, ['--genkey', kind, file(kind)]), { status: 0, output: '' });
    assert.equal(statSync(file(kind)).mode & 0o777, 0o600);
    assert.notEqual(parse(text(kind)), undefined, kind);
  }
});

test('a tls-crypt-v2 client key is wrapped for its server, with the metadata given', () => {
  const key = ['--tls-crypt-v2', file('tls-crypt-v2-server'), '--genkey', 'tls-crypt-v2-client', file('client')];
  assert.equal(run(ours, [...key, 'aGVsbG8=']).status, 0);
  const client = parseClientKey(text('client'));
  const serverKey = parseServerKey(text('tls-crypt-v2-server'));
  assert.ok(client !== undefined && serverKey !== undefined);
  const opened = unwrapClientKey({ crypto: createCrypto(), serverKey, wrapped: client.wrapped });
  assert.ok(typeof opened !== 'string');
  assert.deepEqual(opened.metadata, { type: 0, data: new TextEncoder().encode('hello') });
  assert.deepEqual(opened.key, client.key);
});

test('a provider that is not there ends the start, and none can be without the default one', () => {
  const missing = run(ours, ['--providers', 'default', 'nonexistent', '--show-ciphers']);
  assert.equal(missing.status, 1);
  assert.match(
    missing.output,
    /OpenSSL: error:.*nonexistent.*\n.*failed to load provider 'nonexistent'\n.*Exiting due to fatal error/,
  );
  const alone = run(ours, ['--providers', 'fips', '--show-ciphers']);
  assert.equal(alone.status, 1);
  assert.match(alone.output, /^Options error: providers fips: .*\n\[CMD-LINE\]:1:1: .* Name default too/);
  assert.equal(run(ours, ['--providers', 'legacy', 'default', '--show-ciphers']).status, 0);
});

/** Command lines that both must answer alike: exit status and log lines. */
const alike: readonly (readonly string[])[] = [
  ['--genkey', 'secret', '/nonexistent/x'],
  ['--tls-crypt-v2', 'tls-crypt-v2-server', '--genkey', 'tls-crypt-v2-client', 'out', 'a?b'],
  ['--tls-crypt-v2', 'tls-crypt-v2-server', '--genkey', 'tls-crypt-v2-client', 'out', 'AAAA'.repeat(300)],
  ['--show-gateway'],
  ['--test-crypto', '--secret', 'secret', '--cipher', 'AES-128-CBC', '--verb', '0'],
  ['--test-crypto', '--secret', 'secret', '--cipher', 'CAMELLIA-128-CBC', '--verb', '0'],
  ['--test-crypto', '--secret', 'secret'],
  ['--client', '--remote', 'h', '--dev', 'tun', '--cd', '/nonexistent', '--ca', 'secret', '--auth-user-pass', 'x'],
];

for (const args of alike) {
  test(`openvpn ${args.join(' ').slice(0, 70)} says what openvpn says`, { skip: !hasStock }, () => {
    const [mine, theirs] = [run(ours, args, folder), run(stock, args, folder)];
    assert.equal(mine.status, theirs.status);
    const notes = /^(Note: |DEPRECAT|OpenVPN 2|library versions|DCO version)/;
    const said = (ran: typeof mine): string[] => lines(ran).filter((line) => !notes.test(line));
    assert.deepEqual(said(mine), said(theirs));
  });
}

/** Early errors: upstream's lines come first and last; in between ours says more. */
const refused: readonly (readonly string[])[] = [
  ['--foo'],
  ['--config', 'nonexistent'],
  ['--genkey', 'foo'],
  ['--genkey', 'tls-crypt-v2-client', 'x'],
  ['--test-crypto'],
  ['--mktun'],
  ['--client', '--dev', 'tun', '--remote', 'h', '--ca', 'none', '--cert', 'gone', '--key', 'secret'],
  ['--client', '--dev', 'tun', '--remote', 'h', '--ca', 'secret', '--auth-user-pass', 'none', '--writepid', '/no/pid'],
];

for (const args of refused) {
  test(`openvpn ${args.join(' ')} is refused as openvpn refuses it`, { skip: !hasStock }, () => {
    const [mine, theirs] = [run(ours, args, folder), run(stock, args, folder)];
    assert.equal(mine.status, theirs.status);
    const plain = (ran: typeof mine): string[] =>
      ran.output.split('\n').filter((line) => /^Options error|^Use/.test(line));
    assert.deepEqual(plain(mine), plain(theirs));
  });
}

test('lists are those of openvpn, as far as our OpenSSL has them', { skip: !hasStock }, () => {
  const rows = (program: string, args: string[], row: RegExp): string[] =>
    lines(run(program, args)).filter((line) => row.test(line));
  // Blocks of 64 bits are left out.
  assert.deepEqual(
    rows(ours, ['--show-ciphers'], / bit key/),
    rows(stock, ['--show-ciphers'], / bit key/).filter((line) => !line.includes(' 64 bit block')),
  );
  assert.deepEqual(
    rows(ours, ['--show-tls'], /^(TLS[-_][A-Z]|For |Avail)/),
    rows(stock, ['--show-tls'], /^(TLS[-_][A-Z]|For |Avail)/),
  );
  const digests = rows(ours, ['--show-digests'], /digest size$/);
  const known = new Set(rows(stock, ['--show-digests'], /digest size$/));
  assert.deepEqual(
    digests.filter((line) => !known.has(line)),
    [],
  );
  assert.ok(digests.includes('SHA256 256 bit digest size'));
  const curves = new Set(rows(ours, ['--show-curves'], /^\S+$/));
  assert.deepEqual(
    rows(stock, ['--show-curves'], /^\S+$/).filter((line) => !curves.has(line)),
    [],
  );
});
