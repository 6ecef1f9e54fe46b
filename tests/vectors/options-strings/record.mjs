/**
 * Records the options strings that the installed openvpn makes of a set of command lines: `node record.mjs > recorded.json`.
 * Needs root (network namespaces of their own) and openssl.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const p2p = '--ifconfig 10.9.0.1 10.9.0.2';
const lines = [
  '--client --dev tun',
  '--client --dev tun --proto udp6',
  '--client --dev tun --proto tcp-client',
  '--client --dev tun --proto tcp6-client --tls-auth s.key',
  '--client --dev tap',
  '--client --dev tun --tls-auth s.key 1 --auth SHA512',
  '--client --dev tun --auth sha256',
  '--client --dev tun --auth none',
  '--client --dev tun --cipher AES-256-GCM',
  '--client --dev tun --cipher AES-128-CBC',
  '--client --dev tun --cipher AES-128-CBC --data-ciphers AES-128-CBC:AES-256-GCM',
  '--client --dev tun --cipher CHACHA20-POLY1305',
  '--client --dev tun --tun-mtu 1400',
  '--client --dev tun --fragment 1300',
  '--client --dev tun --comp-lzo no',
  '--client --dev tun --comp-lzo',
  '--client --dev tun --compress',
  '--client --dev tun --compress stub-v2',
  '--client --dev tun --compress lz4-v2',
  '--client --dev tun --socks-proxy 127.0.0.1 9',
  '--client --dev tap --tun-mtu-extra 40',
  `--tls-client --dev tun ${p2p}`,
  `--tls-server --dh none --dev tun ${p2p} --cipher AES-256-GCM`,
  `--tls-server --dh none --dev tun ${p2p} --proto tcp-server`,
  '--tls-server --dh none --dev tun --ifconfig 10.9.0.1 255.255.255.0 --topology subnet',
  `--tls-client --dev tun ${p2p} --ifconfig-ipv6 fd00::1/64 fd00::2`,
  `--tls-client --dev tun ${p2p} --ifconfig-nowarn`,
  '--tls-client --dev tap --ifconfig 10.9.0.1 255.255.255.0 --proto tcp-client --comp-lzo no --tls-auth s.key 0 --cipher AES-128-CBC',
  `--secret s.key --dev tun ${p2p} --cipher AES-256-CBC`,
  `--secret s.key 1 --dev tun ${p2p} --cipher AES-256-CBC --auth SHA256`,
  `--secret s.key 0 --dev tun ${p2p} --cipher AES-192-CBC --proto tcp-server`,
  '--client --dev tun --cipher AES-256-CFB --data-ciphers AES-256-CFB',
  `--tls-client --dev tun ${p2p} --cipher AES-192-OFB --data-ciphers AES-192-OFB`,
  `--secret s.key --dev tun ${p2p} --cipher none --auth none`,
  `--secret s.key --dev tun ${p2p} --cipher none --fragment 1200`,
];

const folder = mkdtempSync(join(tmpdir(), 'options-strings-'));
const run = (command, ...args) => spawnSync(command, args, { cwd: folder, encoding: 'utf8' });
const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'];
run('openssl', 'req', '-x509', ...curve, '-nodes', '-keyout', 'k.pem', '-out', 'c.pem', '-subj', '/CN=x');
run('openvpn', '--genkey', 'secret', 's.key');
const recorded = lines.map((line) => {
  const tls = line.includes('--secret') ? '' : ' --ca c.pem --cert c.pem --key k.pem';
  const remote = line.includes('tcp-server') ? '' : ' --remote 127.0.0.1 9';
  const args = `-n timeout 0.7 openvpn --verb 7 --suppress-timestamps ${line}${tls}${remote}`.split(' ');
  const log = run('unshare', ...args).stdout;
  const string = (name) => new RegExp(`${name} Options String .*'(.*)'`).exec(log)?.[1];
  const [local, remoteView] = [string('Local'), string('Expected Remote')];
  if (local === undefined || remoteView === undefined) throw new Error(`${line}\n${log.slice(-500)}`);
  return { line, local, remote: remoteView };
});
rmSync(folder, { recursive: true });
console.log(JSON.stringify(recorded, undefined, 1));
