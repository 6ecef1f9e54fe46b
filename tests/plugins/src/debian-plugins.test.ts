/**
 * Debian's own two plugins in a stock OpenVPN and in ours, with stock clients. auth-pam asks a service of the test's own,
 * in a mount namespace in which /etc/pam.d is a copy (`ip netns exec` makes one).
 */
import assert from 'node:assert/strict';
import { cpSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { descendants, ours, type StockNetwork, stock, until } from './stock.js';
import { withNetwork } from './with-network.js';

const folder = '/usr/lib/x86_64-linux-gnu/openvpn/plugins';
const none = existsSync(`${folder}/openvpn-plugin-auth-pam.so`) ? false : 'there are no plugins of Debian';
let network: StockNetwork;

const skip = withNetwork((made) => {
  network = made;
  const check = join(network.folder, 'check.sh');
  writeFileSync(check, `#!/bin/sh\n[ "$PAM_USER $(tr -d '\\0')" = "ada secret" ]\n`, { mode: 0o755 });
  cpSync('/etc/pam.d', join(network.folder, 'pam.d'), { recursive: true });
  const service = `auth required pam_exec.so expose_authtok ${check}\naccount required pam_permit.so\n`;
  writeFileSync(join(network.folder, 'pam.d/seikan-test'), service);
}, none);

/** The program, with the test's PAM services in its mount namespace. */
function withPam(program: string): string {
  const path = join(network.folder, `pam-${program === ours ? 'ours' : 'stock'}`);
  const text = `#!/bin/sh\nmount --bind ${network.folder}/pam.d /etc/pam.d && exec ${program} "$@"\n`;
  writeFileSync(path, text, { mode: 0o755 });
  return path;
}

for (const program of [stock, ours])
  for (const deferred of [false, true]) {
    const where = program === ours ? 'ours' : 'a stock server';
    test(`auth-pam in ${where} checks passwords${deferred ? ', deferred' : ''}`, { skip }, async () => {
      const lines = [
        'plugin openvpn-plugin-auth-pam.so seikan-test',
        ...(deferred ? ['setenv deferred_auth_pam 1'] : []),
      ];
      const server = await network.server([...lines, 'user nobody', 'group nogroup'], withPam(program));
      for (const [username, password, good] of [
        ['ada', 'secret', true],
        ['ada', 'wrong', false],
        ['eve', 'secret', false],
        ['ada', 'secret', true],
      ] as const) {
        const { client, connected } = await network.client(username, password);
        await client.stop();
        assert.equal(connected, good, `${username} ${password}\n${server.log}`);
      }
      assert.equal(server.lines(/authentication deferred for username/).length, deferred ? 4 : 0);
      const family = descendants(server.process.pid ?? 0);
      assert.ok(family.length > 0, 'it checks in a process of its own, as root');
      await server.stop();
      assert.equal(server.status, 0, server.log);
      await until(() => family.every(({ pid }) => !existsSync(`/proc/${pid}`)), 'nothing is left of it');
    });
  }

for (const program of [stock, ours])
  test(`down-root in ${program === ours ? 'ours' : 'a stock server'} runs its command as root when privileges are gone`, {
    skip,
  }, async () => {
    const told = join(network.folder, 'told');
    rmSync(told, { force: true });
    const script = join(network.folder, 'down.sh');
    writeFileSync(script, `#!/bin/sh\n{ id -u; echo "$script_type $dev $*"; } > ${told}\n`, { mode: 0o755 });
    const line = `plugin openvpn-plugin-down-root.so "${script} 'my word'"`;
    const server = await network.server([line, 'user nobody', 'group nogroup'], program);
    assert.match(readFileSync(`/proc/${server.process.pid}/status`, 'utf8'), /^Uid:\t65534/m);
    await server.stop();
    assert.equal(server.status, 0, server.log);
    await until(() => existsSync(told), 'the command has run');
    assert.match(readFileSync(told, 'utf8'), /^0\n.*my word/);
  });
