/** Every case runs in a child process, which reports what became of it. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, test } from 'node:test';

import { hasCapability, lookUpIdentity, threadCapabilities } from '@seikan/native';

/** The checkout may lie in a folder of root's own: children see it where everybody may read. */
const checkout = resolve(import.meta.dirname, '../../..');
const view = mkdtempSync(join(tmpdir(), 'seikan-view-'));
after(() => rmSync(view, { recursive: true }));
const seen = (path: string): string => (path.startsWith(`${checkout}/`) ? view + path.slice(checkout.length) : path);
const index = seen(resolve(import.meta.dirname, '../dist/index.js'));
const node = seen(process.execPath);
const skip = process.getuid?.() === 0 ? false : 'needs root: only root can become another user';
const NET_ADMIN = (1 << 12).toString(16).padStart(16, '0');
const NOTHING = '0'.repeat(16);

function inChild(body: string): unknown {
  const script = `
    import * as native from ${JSON.stringify(index)};
    import { readdirSync, readFileSync, statSync } from 'node:fs';
    import { Worker } from 'node:worker_threads';
    const field = (thread, name) => readFileSync('/proc/self/task/' + thread + '/status', 'utf8').match(new RegExp('^' + name + ':\\\\s*(.*)$', 'm'))[1].trim();
    const threads = (name) => readdirSync('/proc/self/task').map((thread) => [Number(thread) === process.pid, field(thread, name)]);
    const refused = (act) => { try { act(); return 'allowed'; } catch (error) { return error.code; } };
    const print = (value) => console.log(JSON.stringify(value));
    ${body}`;
  const inView = ['--mount', 'sh', '-c', 'mount --bind "$0" "$1" && shift && exec "$@"', checkout, view];
  const run = spawnSync('unshare', [...inView, node, '--input-type=module', '-e', script], {
    encoding: 'utf8',
    timeout: 90_000,
  });
  assert.deepEqual([run.status, run.stderr], [0, '']);
  return JSON.parse(run.stdout);
}

test('dropping privileges changes every thread and leaves none of them a capability', { skip }, () => {
  const result = inChild(`
    await native.startThreadPool();
    native.dropPrivileges(native.lookUpIdentity('nobody', 'nogroup'));
    print({ ids: [...new Set(['Uid', 'Gid', 'Groups'].flatMap((name) => threads(name).map(([, ids]) => ids)))],
      capabilities: [...new Set(['CapEff', 'CapPrm', 'CapInh', 'CapAmb'].flatMap((name) => threads(name).map(([, set]) => set)))],
      threads: threads('Uid').length,
      back: [refused(() => process.setuid(0)), refused(() => process.setgid(0)), refused(() => native.setNice(-5))] });`);
  const { threads, ...rest } = result as { threads: number };
  assert.ok(threads >= 9, `${threads} threads`);
  assert.deepEqual(rest, {
    ids: ['65534\t65534\t65534\t65534', '65534'],
    capabilities: [NOTHING],
    back: ['EPERM', 'EPERM', 'ERR_SYSTEM_ERROR'],
  });
});

test('only the thread that asked keeps CAP_NET_ADMIN, and a worker gives up what it inherits', { skip }, () => {
  const result = inChild(`
    await native.startThreadPool();
    native.dropPrivileges(native.lookUpIdentity('nobody', 'nogroup'), ['CAP_NET_ADMIN']);
    const before = threads('CapEff');
    const worker = new Worker(\`
      import(\${JSON.stringify(${JSON.stringify(index)})}).then((native) => {
        const inherited = native.hasCapability('CAP_NET_ADMIN');
        native.dropThreadCapabilities();
        require('node:worker_threads').parentPort.postMessage([inherited, native.hasCapability('CAP_NET_ADMIN'), native.threadCapabilities()]);
        setInterval(() => {}, 1000);
      });\`, { eval: true, execArgv: [] });
    const worked = await new Promise((resolve) => worker.once('message', resolve));
    print({ main: before.filter(([main]) => main).map(([, set]) => set), others: [...new Set(before.filter(([main]) => !main).map(([, set]) => set))],
      permitted: threads('CapPrm').filter(([, set]) => set !== '${NOTHING}'), worked,
      uid: process.getuid(), back: [refused(() => process.setuid(0)), refused(() => native.limitThreadCapabilities(['CAP_SYS_ADMIN']))] });
    await worker.terminate();`);
  assert.deepEqual(result, {
    main: [NET_ADMIN],
    others: [NOTHING],
    permitted: [[true, NET_ADMIN]],
    worked: [true, false, [0, 0]],
    uid: 65_534,
    back: ['EPERM', 'EPERM'],
  });
});

test("a program executed in this one's place has the kept capabilities in every thread, and can get no others", {
  skip,
}, () => {
  // Run by node itself, so that it has threads.
  const second = `const { readdirSync, readFileSync } = require('node:fs');
    require('node:fs').promises.stat('/').then(() => console.log(JSON.stringify([...new Set(readdirSync('/proc/self/task')
      .map((t) => readFileSync('/proc/self/task/' + t + '/status', 'utf8').match(/^(Uid|Groups|Cap(Eff|Prm|Bnd|Amb)):.*$/gm).map((line) => line.replace(/\\s+/g, ' ').trim()).join(', ')))])))`;
  const result = inChild(`
    await native.startThreadPool();
    native.executeAs(native.lookUpIdentity('nobody', 'nogroup'), ['CAP_NET_ADMIN'], [${JSON.stringify(node)}, '-e', ${JSON.stringify(second)}]);`);
  const sets = ['CapPrm', 'CapEff', 'CapBnd', 'CapAmb'].map((name) => `${name}: ${NET_ADMIN}`).join(', ');
  assert.deepEqual(result, [`Uid: 65534 65534 65534 65534, Groups: 65534, ${sets}`]);
});

test('a folder becomes the root, and ids looked up before still hold', { skip }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'seikan-root-'));
  chmodSync(folder, 0o755);
  writeFileSync(join(folder, 'here'), 'inside');
  const result = inChild(`
    await native.startThreadPool();
    const identity = native.lookUpIdentity('nobody', undefined);
    native.changeRoot(${JSON.stringify(folder)});
    native.dropPrivileges(identity);
    print([readdirSync('/'), readFileSync('here', 'utf8'), process.cwd(), process.getuid(), process.getgroups()]);`);
  rmSync(folder, { recursive: true });
  assert.deepEqual(result, [['here'], 'inside', '/', 65_534, [65_534]]);
});

test('niceness reaches every thread', { skip }, () => {
  const result = inChild(`
    native.setNice(7);
    print([...new Set(readdirSync('/proc/self/task').map((thread) => readFileSync('/proc/self/task/' + thread + '/stat', 'utf8').split(') ')[1].split(' ')[16]))]);`);
  assert.deepEqual(result, ['7']);
});

test('a process that dropped privileges leaves no core dump until it is told so', { skip }, () => {
  // The kernel shows it in who owns the process's files: root when it must not be looked into.
  const result = inChild(`
    native.dropPrivileges(native.lookUpIdentity('nobody', 'nogroup'));
    const owners = [statSync('/proc/self/environ').uid];
    for (const on of [true, false]) { native.setDumpable(on); owners.push(statSync('/proc/self/environ').uid); }
    print(owners);`);
  assert.deepEqual(result, [0, 65_534, 0]);
});

test('users and groups are found by name and by id, and what does not exist is named', () => {
  assert.deepEqual(lookUpIdentity('root', undefined).uid, 0);
  assert.deepEqual(lookUpIdentity('0', '65534'), { uid: 0, gid: 65_534, groups: [65_534] });
  assert.deepEqual(lookUpIdentity(undefined, undefined), { uid: undefined, gid: undefined, groups: [] });
  assert.equal(lookUpIdentity(undefined, 'root').gid, 0);
  assert.throws(() => lookUpIdentity('nosuchuser', undefined), /no user nosuchuser/);
  assert.throws(() => lookUpIdentity('root', 'nosuchgroup'), /no group nosuchgroup/);
  assert.throws(() => lookUpIdentity('', undefined), /no user/);
});

test('the capabilities of this thread are those that the kernel shows', () => {
  const [low, high] = threadCapabilities();
  const shown = spawnSync('grep', ['CapEff', `/proc/${process.pid}/status`], { encoding: 'utf8' }).stdout;
  assert.equal(shown.split(/\s+/)[1], `${high.toString(16).padStart(8, '0')}${low.toString(16).padStart(8, '0')}`);
  assert.equal(hasCapability('CAP_NET_ADMIN'), (low & (1 << 12)) !== 0);
});
