import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { inNetworkNamespace, ip } from '@seikan/testkit';
import { NetlinkError } from '#src/netlink/connection.js';
import { RouteNetlink } from '#src/netlink/route-netlink.js';
import { OwnedLink, recoverLinks } from '#src/owned-link.js';

/** A process that makes a veth and prints its name; then it dies, or lives until its input ends. */
const MAKER = `
import { OwnedLink } from ${JSON.stringify(new URL('../dist/owned-link.js', import.meta.url).href)};
import { RouteNetlink } from ${JSON.stringify(new URL('../dist/netlink/route-netlink.js', import.meta.url).href)};
const [folder, name, end] = process.argv.slice(1);
const netlink = new RouteNetlink();
const create = async () => {
  if (end === 'before') process.kill(process.pid, 'SIGKILL');
  await netlink.createLink(name, 'veth');
  if (end === 'between') process.kill(process.pid, 'SIGKILL');
  return netlink.link(name);
};
await OwnedLink.make({ netlink, name, kind: 'veth', create, folder });
if (end === 'after') process.kill(process.pid, 'SIGKILL');
console.log(name);
process.stdin.resume().on('end', () => process.exit());
`;

inNetworkNamespace(import.meta.filename, () => {
  const folder = mkdtempSync(join(tmpdir(), 'seikan-links-'));
  let netlink: RouteNetlink;
  const exists = async (name: string): Promise<boolean> => (await netlink.link(name)) !== undefined;
  const makerArgs = (name: string, end: string): string[] => ['--input-type=module', '-e', MAKER, folder, name, end];
  const create = (name: string) => async (): Promise<{ index: number }> => {
    await netlink.createLink(name, 'veth');
    const link = await netlink.link(name);
    assert(link !== undefined);
    return link;
  };

  before(() => {
    netlink = new RouteNetlink();
  });

  after(() => {
    netlink.close();
    rmSync(folder, { recursive: true });
  });

  test('whoever dies while it makes a link, or with one, leaves none after the next recovery', async () => {
    for (const [end, left] of [
      ['before', false],
      ['between', true],
      ['after', true],
    ] as const) {
      assert.equal(spawnSync(process.execPath, makerArgs('doomed', end)).signal, 'SIGKILL');
      assert.equal(await exists('doomed'), left, end);
      assert.deepEqual(await recoverLinks(folder), left ? ['doomed'] : [], end);
      assert.equal(await exists('doomed'), false, end);
      assert.deepEqual(readdirSync(folder), []);
    }
  });

  test('a link of a process that lives is left alone', async () => {
    const maker = spawn(process.execPath, makerArgs('alive', 'never'), { stdio: ['pipe', 'pipe', 'inherit'] });
    await once(maker.stdout, 'data');
    assert.deepEqual(await recoverLinks(folder), []);
    assert.equal(await exists('alive'), true);
    maker.stdin.end();
    await once(maker, 'exit');
    assert.deepEqual(await recoverLinks(folder), ['alive']);
  });

  test('a name that no link can have is refused before anything is written or made', async () => {
    const before = ip('-o link show');
    for (const [name, code] of [
      ['../escaped', 'EINVAL'],
      ['', 'EINVAL'],
      ['.', 'EINVAL'],
      ['..', 'EINVAL'],
      ['a b', 'EINVAL'],
      ['a:b', 'EINVAL'],
      ['pattern%d', 'EINVAL'],
      ['sixteenlettersxx', 'ERANGE'],
      ['ä'.repeat(8), 'ERANGE'],
    ] as const) {
      const make = OwnedLink.make({ netlink, name, kind: 'veth', create: create(name), folder: join(folder, 'inner') });
      await assert.rejects(make, { code }, JSON.stringify(name));
    }
    assert.equal(ip('-o link show'), before);
    assert.deepEqual(readdirSync(folder), []);
  });

  test('a link that somebody else made in its place is theirs', async () => {
    assert.equal(spawnSync(process.execPath, makerArgs('swapped', 'after')).signal, 'SIGKILL');
    ip('link delete swapped');
    ip('link add swapped type veth');
    assert.deepEqual(await recoverLinks(folder), []);
    assert.equal(await exists('swapped'), true);
    ip('link delete swapped');
    assert.deepEqual(readdirSync(folder), []);
  });

  test('a name that is taken is refused, and nothing is written down that could make it ours', async () => {
    ip('link add taken type veth');
    const taken = OwnedLink.make({ netlink, name: 'taken', kind: 'veth', create: create('taken'), folder });
    await assert.rejects(taken, (error) => error instanceof NetlinkError && error.code === 'EEXIST');
    assert.deepEqual(readdirSync(folder), []);
    ip('link delete taken');
  });

  test('a link that is removed leaves no journal, also when it was gone already', async () => {
    for (const gone of [false, true]) {
      const link = await OwnedLink.make({ netlink, name: 'mine', kind: 'veth', create: create('mine'), folder });
      assert.equal(readdirSync(folder).length, 1);
      if (gone) ip('link delete mine');
      await link.remove();
      assert.equal(await exists('mine'), false);
      assert.deepEqual(readdirSync(folder), []);
    }
  });

  test('without a place for the journal a link is refused, or made after a word', async () => {
    const file = join(folder, 'no folder');
    writeFileSync(file, '');
    const making = { netlink, name: 'bold', kind: 'veth', create: create('bold'), folder: join(file, 'x') };
    await assert.rejects(OwnedLink.make(making), /ENOTDIR/);
    assert.equal(await exists('bold'), false);
    const said: string[] = [];
    const link = await OwnedLink.make({ ...making, unjournalled: ({ message }) => void said.push(message) });
    assert.equal(said.length, 1);
    await link.remove();
    assert.equal(await exists('bold'), false);
    rmSync(file);
    assert.deepEqual(await recoverLinks(join(folder, 'nowhere')), []);
  });
});
