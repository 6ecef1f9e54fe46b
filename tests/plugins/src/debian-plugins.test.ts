/** Debian's own compiled plugins, auth-pam and down-root, in our host. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { missing } from './stock.js';

const plugins = '/usr/lib/x86_64-linux-gnu/openvpn/plugins/openvpn-plugin-auth-pam.so';
const skip = missing() ?? (existsSync(plugins) ? false : 'there are no plugins of Debian');

test('auth-pam checks passwords, directly and deferred; down-root runs its command as root after the drop', {
  skip,
}, () => {
  const folder = mkdtempSync(join(tmpdir(), 'seikan-pam-'));
  try {
    const check = join(folder, 'check.sh');
    writeFileSync(check, `#!/bin/sh\n[ "$(tr -d '\\0')" = secret ]\n`, { mode: 0o755 });
    const service = `auth required pam_exec.so expose_authtok ${check}\naccount required pam_permit.so\n`;
    const run = fileURLToPath(new URL('./debian-run.js', import.meta.url));
    const inside = [
      `cp -a /etc/pam.d ${folder}/pam.d`,
      `printf '${service.replaceAll('\n', '\\n')}' > ${folder}/pam.d/seikan-test`,
      `mount --bind ${folder}/pam.d /etc/pam.d`,
      `exec ${process.execPath} ${run} ${folder}`,
    ].join(' && ');
    const output = execFileSync('unshare', ['--mount', 'sh', '-c', inside], { encoding: 'utf8', timeout: 60_000 });
    const { logged, ...result } = JSON.parse(output) as Record<string, unknown> & { logged: string[] };
    assert.deepEqual(result, {
      direct: ['success', 'failure', 'success'],
      deferred: ['deferred success', 'deferred failure', 'deferred success'],
      up: 'success',
      down: 'success',
      downRan: ['0', 'my word'],
      left: [],
    });
    assert.ok(logged.includes('note PLUGIN AUTH-PAM: BACKGROUND: initialization succeeded'), logged.join('\n'));
  } finally {
    rmSync(folder, { recursive: true });
  }
});
