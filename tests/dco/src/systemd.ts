/**
 * Runs in the virtual machine under systemd as process 1: the netcfg service started by the bus, and Debian's unmodified
 * units openvpn-server@ and openvpn-client@ with our program as /usr/sbin/openvpn, against stock peers.
 */
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

import { Peer, WORK } from './peer.js';
import { check, execute, failures, LONG, must, say } from './report.js';

const KEYS = '/keys';
const STOCK = ['/usr/sbin/openvpn.stock'] as const;
const NETCFG = 'seikan-netcfg.service';
const ORDINARY_USER = 'ada';
/** Of linux/capability.h. */
const CAPABILITIES = (
  'CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE ' +
  'NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT ' +
  'SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE ' +
  'AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ ' +
  'PERFMON BPF CHECKPOINT_RESTORE'
).split(' ');

/** As `systemctl show` has it. */
function property(unit: string, name: string): string {
  return must('systemctl', 'show', '--value', '--property', name, unit).trim();
}

/** A line of /proc/PID/status. */
function statusOf(pid: string, field: string): string {
  return new RegExp(`^${field}:\\s*(.*)$`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '';
}

function capabilities(mask: string): string[] {
  const bits = BigInt(`0x${mask}`);
  return CAPABILITIES.filter((_, bit) => ((bits >> BigInt(bit)) & 1n) === 1n).toSorted();
}

async function eventually(holds: () => boolean, limit = LONG): Promise<boolean> {
  for (const end = Date.now() + limit; Date.now() < end; await sleep(200)) if (holds()) return true;
  return false;
}

function links(): string[] {
  return must('ip', '-o', 'link', 'show')
    .trim()
    .split('\n')
    .map((line) => /^\d+: ([^:@]+)/.exec(line)?.[1] ?? '');
}

function routes(): string {
  return must('ip', 'route', 'show', 'table', 'main');
}

function prepare(): void {
  mkdirSync(WORK, { recursive: true });
  must('modprobe', 'tun');
  must('ip', 'netns', 'add', 'server');
  must('ip', 'netns', 'add', 'client');
  for (const [number, name] of ['server', 'client'].entries()) {
    must('ip', 'link', 'add', `to-${name}`, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name);
    must('ip', 'address', 'add', `10.99.${number}.254/24`, 'dev', `to-${name}`);
    must('ip', 'link', 'set', `to-${name}`, 'up');
    must('ip', '-n', name, 'address', 'add', `10.99.${number}.1/24`, 'dev', 'eth0');
    for (const link of ['lo', 'eth0']) must('ip', '-n', name, 'link', 'set', link, 'up');
  }
  // With a way out, the service keeps its clients' transport on it by a route of its own.
  must('ip', 'route', 'add', 'default', 'via', '10.99.0.1');
  renameSync('/usr/sbin/openvpn', STOCK[0]);
  symlinkSync('/seikan/bin/openvpn', '/usr/sbin/openvpn');
  for (const unit of ['openvpn-server@', 'openvpn-client@']) {
    const folder = `/etc/systemd/system/${unit}.service.d`;
    mkdirSync(folder, { recursive: true });
    // Later versions of the unit have a limit of their own; this is the strictest.
    writeFileSync(`${folder}/tasks.conf`, '[Service]\nTasksMax=10\n');
  }
  for (const role of ['server', 'client']) chmodSync(`${KEYS}/${role}.key`, 0o600);
}

function serverConfig(port: number): string {
  return [
    'dev tun',
    'proto udp4',
    `port ${port}`,
    'topology subnet',
    'server 10.8.0.0 255.255.255.0',
    'dh none',
    'keepalive 2 20',
    ...keys('server'),
    '',
  ].join('\n');
}

function clientConfig(remote: string, port: number): string {
  return ['client', 'dev tun', `remote ${remote} ${port}`, 'remote-cert-tls server', ...keys('client'), ''].join('\n');
}

function stockPeer(role: 'server' | 'client', config: string): Peer {
  return Peer.openvpn(`stock ${role}`, { namespace: role, file: `${WORK}/${role}.conf` }, STOCK, config);
}

function keys(role: string): string[] {
  return [`ca ${KEYS}/ca.crt`, `cert ${KEYS}/${role}.crt`, `key ${KEYS}/${role}.key`, 'verb 3', 'disable-dco'];
}

function pings(to: string, namespace?: string): boolean {
  const where = namespace === undefined ? [] : ['ip', 'netns', 'exec', namespace];
  return execute(...where, 'ping', '-n', '-c', '3', '-i', '0.5', '-W', '20', to).status === 0;
}

/** What is true of a unit that runs our openvpn. */
async function checkRunning(
  unit: string,
  report: (what: string, good: boolean, detail?: string) => void,
): Promise<void> {
  report('is active', property(unit, 'ActiveState') === 'active', property(unit, 'ActiveState'));
  report(
    'has told systemd how it stands (Type=notify)',
    property(unit, 'Type') === 'notify' &&
      (await eventually(() => property(unit, 'StatusText') === 'Initialization Sequence Completed')),
    property(unit, 'StatusText'),
  );
  const pid = property(unit, 'MainPID');
  const group = `/sys/fs/cgroup${property(unit, 'ControlGroup')}`;
  const tasks = Number(readFileSync(`${group}/pids.current`, 'utf8'));
  const peak = existsSync(`${group}/pids.peak`) ? readFileSync(`${group}/pids.peak`, 'utf8').trim() : '-';
  report(
    'keeps to TasksMax=10',
    readFileSync(`${group}/pids.max`, 'utf8').trim() === '10' &&
      /^max 0$/m.test(readFileSync(`${group}/pids.events`, 'utf8')),
    `${tasks} tasks, peak ${peak}`,
  );
  const allowed = property(unit, 'CapabilityBoundingSet')
    .split(' ')
    .map((name) => name.replace('cap_', '').toUpperCase())
    .toSorted();
  const bounding = capabilities(statusOf(pid, 'CapBnd'));
  const effective = capabilities(statusOf(pid, 'CapEff'));
  report(
    'is bounded by the capabilities of the unit',
    bounding.join() === allowed.join() && effective.every((name) => allowed.includes(name)),
    bounding.join(' '),
  );
}

async function checkStopped(
  unit: string,
  report: (what: string, good: boolean, detail?: string) => void,
): Promise<void> {
  const group = `/sys/fs/cgroup${property(unit, 'ControlGroup')}`;
  const pid = property(unit, 'MainPID');
  must('systemctl', 'stop', unit);
  report(
    'stops in good order',
    property(unit, 'ActiveState') === 'inactive' && property(unit, 'Result') === 'success',
    `${property(unit, 'ActiveState')}, ${property(unit, 'Result')}`,
  );
  report(
    'and leaves no process, device or route',
    !existsSync(`/proc/${pid}`) &&
      !existsSync(group) &&
      !links().some((name) => name.startsWith('tun')) &&
      !routes().includes('10.8.0.'),
    `${links().join(' ')} | ${routes()}`,
  );
}

async function serverUnit(): Promise<void> {
  const unit = 'openvpn-server@office.service';
  const report = (what: string, good: boolean, detail = ''): void => check(`${unit}: ${what}`, good, detail);
  writeFileSync('/etc/openvpn/server/office.conf', serverConfig(1194));
  report('starts', execute('systemctl', 'start', unit).status === 0);
  await checkRunning(unit, report);
  const client = stockPeer('client', clientConfig('10.99.1.254', 1194));
  report('a stock client connects', await client.logged(/Initialization Sequence Completed/));
  report('ping from it', pings('10.8.0.1', 'client'));
  report('ping to it', pings('10.8.0.2'));
  report('writes its status file', await eventually(() => /^CLIENT_LIST,client/m.test(readStatusFile())));
  const [first, again] = [property(unit, 'MainPID'), /Initialization Sequence Completed/];
  must('systemctl', 'kill', '--signal=KILL', '--kill-who=main', unit);
  report(
    'killed, it is started again (Restart=on-failure)',
    await eventually(() => property(unit, 'ActiveState') === 'active' && property(unit, 'MainPID') !== first),
  );
  report('and the client comes back', await client.logged(again, { times: 2 }));
  await checkRunning(unit, (what, good, detail) => report(`after that ${what}`, good, detail));
  await checkStopped(unit, report);
  if (failures() > 0) client.show();
  await client.stop();

  writeFileSync('/etc/openvpn/server/bad.conf', `${serverConfig(1195)}no-such-option\n`);
  const bad = execute('systemctl', 'start', 'openvpn-server@bad.service');
  const journal = execute('journalctl', '--no-pager', '--unit', 'openvpn-server@bad.service').text;
  report(
    'with a wrong configuration it does not start, and the journal says why',
    bad.status !== 0 && journal.includes('no-such-option'),
    journal.split('\n').find((line) => line.includes('no-such-option')) ?? bad.text,
  );
  must('systemctl', 'stop', 'openvpn-server@bad.service');
}

function readStatusFile(): string {
  const file = '/run/openvpn-server/status-office.log';
  return existsSync(file) ? readFileSync(file, 'utf8') : '';
}

async function clientUnit(server: Peer): Promise<void> {
  const unit = 'openvpn-client@office.service';
  const report = (what: string, good: boolean, detail = ''): void => check(`${unit}: ${what}`, good, detail);
  writeFileSync('/etc/openvpn/client/office.conf', clientConfig('10.99.0.1', 1194));
  report('starts', execute('systemctl', 'start', unit).status === 0);
  await checkRunning(unit, report);
  report('ping through it', pings('10.8.0.1'));
  await checkStopped(unit, report);
  report('the server is told', await server.logged(/SIGTERM|client-instance exiting|Inactivity timeout/));
}

async function netcfgUnit(): Promise<void> {
  const report = (what: string, good: boolean, detail = ''): void => check(`${NETCFG}: ${what}`, good, detail);
  must('/seikan/tools/install-netcfg', '--user', 'seikan', '--program', '/seikan/bin/seikan-netcfg');
  must('systemctl', 'daemon-reload');
  must('busctl', 'call', 'org.freedesktop.DBus', '/org/freedesktop/DBus', 'org.freedesktop.DBus', 'ReloadConfig');
  const before = `${links().join()} ${routes()}`;
  const asUser = (...words: string[]): string[] => [
    'setpriv',
    '--reuid',
    ORDINARY_USER,
    '--regid',
    ORDINARY_USER,
    '--init-groups',
    '--reset-env',
    '/seikan/bin/seikan',
    ...words,
  ];
  report('does not run before it is called', property(NETCFG, 'ActiveState') === 'inactive');
  const status = execute(...asUser('netcfg', 'status'));
  report('a call of an ordinary user starts it', status.status === 0, status.text.split('\n')[0]);
  const pid = property(NETCFG, 'MainPID');
  report('as the unit, by the bus', property(NETCFG, 'ActiveState') === 'active' && pid !== '0', `process ${pid}`);
  report(
    'as its own user',
    statusOf(pid, 'Uid')
      .split(/\s+/)
      .every((id) => id === '990'),
    statusOf(pid, 'Uid'),
  );
  for (const set of ['CapEff', 'CapPrm', 'CapBnd'])
    report(`${set} is CAP_NET_ADMIN`, capabilities(statusOf(pid, set)).join() === 'NET_ADMIN', statusOf(pid, set));
  report('NoNewPrivs', statusOf(pid, 'NoNewPrivs') === '1');
  report('runs', true, `${property(NETCFG, 'TasksCurrent')} tasks, ${statusOf(pid, 'VmRSS')}`);

  const profile = `${WORK}/office.ovpn`;
  writeFileSync(profile, clientConfig('10.99.0.1', 1194));
  for (const file of [profile, `${KEYS}/client.key`]) chmodSync(file, 0o644);
  const up = (): Peer => new Peer('seikan up', asUser('up', profile));
  const first = up();
  report('seikan up as an ordinary user', await first.logged(/Initialization Sequence Completed/));
  report('ping through it', pings('10.8.0.1'));
  must('systemctl', 'kill', '--signal=KILL', NETCFG);
  report('killed under a tunnel', await eventually(() => property(NETCFG, 'ActiveState') === 'failed'));
  first.kill('SIGKILL');
  await first.ended;
  must('systemctl', 'reset-failed', NETCFG);
  const second = up();
  report(
    'it is started again by the next call, and takes back what was left',
    await second.logged(/Initialization Sequence Completed/),
  );
  report('ping again', pings('10.8.0.1'));
  report('the client ends in good order', (await second.stop()) === 0);
  report(
    'nothing is left of either',
    await eventually(() => `${links().join()} ${routes()}` === before),
    `${links().join(' ')} | ${routes()}`,
  );
  const last = property(NETCFG, 'MainPID');
  must('systemctl', 'stop', NETCFG);
  report(
    'stops in good order',
    property(NETCFG, 'ActiveState') === 'inactive' &&
      property(NETCFG, 'Result') === 'success' &&
      !existsSync(`/proc/${last}`),
    property(NETCFG, 'Result'),
  );
  if (failures() > 0) for (const peer of [first, second]) peer.show();
}

const booted = execute('systemctl', 'is-system-running', '--wait').text.trim();
say(`${must('systemctl', '--version').split('\n')[0]}, kernel ${must('uname', '-r').trim()}, node ${process.version}`);
check('systemd has booted as process 1', readFileSync('/proc/1/comm', 'utf8').trim() === 'systemd', booted);
try {
  prepare();
  await serverUnit();
  const server = stockPeer('server', serverConfig(1194));
  await server.logged(/Initialization Sequence Completed/);
  await clientUnit(server);
  await netcfgUnit();
  if (failures() > 0) server.show();
  await server.stop();
} catch (error) {
  check('systemd', false, String(error));
}
if (failures() > 0) process.stdout.write(execute('journalctl', '--no-pager', '--boot', '--lines=300').text);
say(`${failures()} failed`);
say('done');
