/**
 * Drives Debian's two plugins in our host and prints what came out as JSON. Runs in a mount namespace of its own, in
 * which /etc/pam.d has the service `seikan-test` (see debian-plugins.test.ts).
 *     node debian-run.js FOLDER
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createMember, type Member, PluginCascade, PluginSet } from '@seikan/plugin-host';
import type { EventRequest, EventVerdict } from '@seikan/plugin-sdk';
import { descendants } from './stock.js';

const folder = process.argv[2] ?? '';
const place = {
  pluginDir: '/usr/lib/x86_64-linux-gnu/openvpn/plugins',
  folder,
  version: { major: 2, minor: 6, patch: '.14' },
};
const logged: string[] = [];
const log = (level: string, text: string): void => {
  logged.push(`${level} ${text}`);
};

async function cascadeOf(member: Member, env: Record<string, string>): Promise<PluginCascade> {
  const cascade = new PluginCascade(
    new PluginSet([member], log),
    { scripts: { security: 1, commands: {}, tmpDir: folder } },
    log,
  );
  await cascade.plugins.load();
  await cascade.plugins.open(2, env);
  cascade.openContext(1);
  return cascade;
}

async function ask(
  cascade: PluginCascade,
  request: Omit<EventRequest, 'context' | 'argv'> & { argv?: string[] },
): Promise<string> {
  const results: string[] = [];
  await new Promise<void>((done) => {
    cascade.run({ context: 1, argv: [], ...request }, (verdict: EventVerdict) => {
      results.push(verdict.result);
      if (verdict.result === 'success' || verdict.result === 'failure') done();
    });
  });
  return results.join(' ');
}

const login = (env: Record<string, string>, username: string, password: string) => ({
  event: 'auth-user-pass-verify' as const,
  env: { ...env, common_name: 'client', username, password },
});

const result: Record<string, unknown> = {};

for (const [mode, env] of [
  ['direct', {}],
  ['deferred', { deferred_auth_pam: '1' }],
] as const) {
  const member = createMember({ name: 'openvpn-plugin-auth-pam.so', parameters: ['seikan-test'] }, place, log);
  const cascade = await cascadeOf(member, env);
  result[mode] = [
    await ask(cascade, login(env, 'ada', 'secret')),
    await ask(cascade, login(env, 'ada', 'wrong')),
    await ask(cascade, login(env, 'ada', 'secret')),
  ];
  await cascade.plugins.close();
}

const uidFile = join(folder, 'uid');
writeFileSync(join(folder, 'down.sh'), `#!/bin/sh\nid -u > ${uidFile}\necho "$@" >> ${uidFile}\n`, { mode: 0o755 });
const down = createMember(
  { name: 'openvpn-plugin-down-root.so', parameters: [join(folder, 'down.sh'), 'my word'] },
  place,
  log,
);
const cascade = await cascadeOf(down, {});
const device = ['tun0', '1500', '0', '10.8.0.1', '255.255.255.0', 'init'];
result['up'] = await ask(cascade, { event: 'up', argv: device, env: { dev: 'tun0', daemon: '0' } });
await cascade.plugins.dropPrivileges({ uid: 65_534, gid: 65_534 });
result['down'] = await ask(cascade, { event: 'down', argv: device, env: { dev: 'tun0', daemon: '0' } });
await cascade.plugins.close();
result['downRan'] = readFileSync(uidFile, 'utf8').trim().split('\n');
result['left'] = descendants(process.pid);
result['logged'] = logged;
process.stdout.write(JSON.stringify(result));
