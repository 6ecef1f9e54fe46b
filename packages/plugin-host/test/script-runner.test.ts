import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { type Log, ScriptRunner, type ScriptSettings } from '@seikan/plugin-host';
import type { EventRequest, EventVerdict } from '@seikan/plugin-sdk';

import { certificate } from './certificate.js';

const home = mkdtempSync(join(tmpdir(), 'seikan-scripts-'));
after(() => rmSync(home, { recursive: true }));
let made = 0;

/** A script of its own with a tmp-dir of its own. */
function script(body: string): { path: string; tmpDir: string } {
  made += 1;
  const path = join(home, `script-${made}`);
  const tmpDir = mkdtempSync(join(home, 'tmp-'));
  writeFileSync(path, `#!/bin/sh\n${body}\n`);
  chmodSync(path, 0o755);
  return { path, tmpDir };
}

interface Run {
  readonly verdicts: EventVerdict[];
  readonly logged: string[];
  readonly final: Promise<EventVerdict>;
  readonly cancel: () => void;
}

function run(settings: ScriptSettings, request: Partial<EventRequest> & Pick<EventRequest, 'event'>): Run {
  const verdicts: EventVerdict[] = [];
  const logged: string[] = [];
  const log: Log = (level, text) => logged.push(`${level} ${text}`);
  const { promise: final, resolve } = resolvers<EventVerdict>();
  const cancel = new ScriptRunner(settings, log).run({ context: 1, argv: [], env: {}, ...request }, (verdict) => {
    verdicts.push(verdict);
    if (verdict.result === 'success' || verdict.result === 'failure') resolve(verdict);
  });
  return { verdicts, logged, final, cancel };
}

function resolvers<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve!: (value: T) => void;
  const promise = new Promise<T>((fulfil) => (resolve = fulfil));
  return { promise, resolve };
}

const until = async (what: () => boolean): Promise<void> => {
  for (let tries = 0; !what(); tries += 1) {
    assert.ok(tries < 400, 'waited too long');
    await new Promise((wake) => setTimeout(wake, 10));
  }
};

test('a script gets its words, the arguments and its environment, and nothing of ours', async () => {
  const { path, tmpDir } = script(
    `for a in "$0" "$@"; do echo "arg=$a"; done > ${home}/seen; env -i /usr/bin/env >/dev/null; cat /proc/$$/environ | tr '\\0' '\\n' >> ${home}/seen`,
  );
  const { final } = run(
    { security: 2, tmpDir, commands: { up: `${path} "two words" \\"q\\"` } },
    {
      event: 'up',
      argv: ['tun0', '1500', '0', '10.8.0.1', '', 'init'],
      env: { dev: 'tun0', password: 'secret', password_x: 'y' },
    },
  );
  assert.deepEqual(await final, { result: 'success' });
  assert.deepEqual(readFileSync(join(home, 'seen'), 'utf8').trim().split('\n'), [
    `arg=${path}`,
    'arg=two words',
    'arg="q"',
    'arg=tun0',
    'arg=1500',
    'arg=0',
    'arg=10.8.0.1',
    'arg=',
    'arg=init',
    'dev=tun0',
    'script_type=up',
  ]);
});

test('script-security 1 forbids scripts, and says so once', async () => {
  const { path, tmpDir } = script('exit 0');
  const logged: string[] = [];
  const runner = new ScriptRunner({ security: 1, tmpDir, commands: { up: path } }, (_, text) => logged.push(text));
  for (let round = 0; round < 2; round += 1)
    runner.run({ event: 'up', context: 0, argv: [], env: {} }, (verdict) => assert.equal(verdict.result, 'failure'));
  assert.deepEqual(
    logged.map((line) => line.slice(0, 40)),
    [
      'WARNING: External program may not be cal',
      'WARNING: Failed running command (--up/--',
      'WARNING: Failed running command (--up/--',
    ],
  );
});

test('via-env shows the password at script-security 3 only', async () => {
  const { path, tmpDir } = script('[ "$password" = secret ]');
  const request = { event: 'auth-user-pass-verify', env: { username: 'ada', password: 'secret' } } as const;
  const commands = { 'auth-user-pass-verify': path };
  assert.equal((await run({ security: 3, tmpDir, commands, authVia: 'env' }, request).final).result, 'success');
  assert.equal((await run({ security: 2, tmpDir, commands, authVia: 'env' }, request).final).result, 'failure');
  assert.deepEqual(readdirSync(tmpDir), [], 'no file is left');
});

test('via-file writes name and password to a private file that is gone afterwards', async () => {
  const { path, tmpDir } = script(
    `[ -z "$password" ] && [ "$(stat -c %a "$1")" = 600 ] && [ "$(cat "$1")" = "$(printf 'ada\\nse cret')" ]`,
  );
  const settings = { security: 3, tmpDir, commands: { 'auth-user-pass-verify': path }, authVia: 'file' } as const;
  const request = { event: 'auth-user-pass-verify', env: { username: 'ada', password: 'se cret' } } as const;
  assert.deepEqual(await run(settings, request).final, { result: 'success' });
  assert.deepEqual(readdirSync(tmpDir), []);
});

test('a failing check tells its reason', async () => {
  const { path, tmpDir } = script('echo "wrong token" > "$auth_failed_reason_file"; exit 1');
  const settings = { security: 2, tmpDir, commands: { 'auth-user-pass-verify': path } } as const;
  const verdict = await run(settings, { event: 'auth-user-pass-verify' }).final;
  assert.deepEqual(verdict, {
    result: 'failure',
    reason: 'wrong token',
    cause: 'auth-user-pass-verify script exited with error status: 1',
  });
});

test('exit 2 defers, the pending file asks the client, and the answer acts at once', async () => {
  const { path, tmpDir } = script(
    `printf '90\\nwebauth\\nWEB_AUTH::https://x\\n' > "$auth_pending_file"; echo "$auth_control_file" > ${home}/control; exit 2`,
  );
  const settings = { security: 2, tmpDir, commands: { 'auth-user-pass-verify': path } } as const;
  const { verdicts, final } = run(settings, { event: 'auth-user-pass-verify' });
  await until(() => verdicts.length === 1);
  assert.deepEqual(verdicts[0], { result: 'pending', timeout: 90, method: 'webauth', extra: 'WEB_AUTH::https://x' });
  const started = performance.now();
  writeFileSync(readFileSync(join(home, 'control'), 'utf8').trim(), '1');
  assert.deepEqual(await final, { result: 'success' });
  assert.ok(performance.now() - started < 500, 'sooner than the poll of a second');
  assert.deepEqual(readdirSync(tmpDir), []);
});

test('a pending file of two lines fails the login', async () => {
  const { path, tmpDir } = script(`printf '90\\nwebauth' > "$auth_pending_file"; exit 2`);
  const settings = { security: 2, tmpDir, commands: { 'auth-user-pass-verify': path } } as const;
  const { verdicts, final } = run(settings, { event: 'auth-user-pass-verify' });
  await final;
  assert.deepEqual(verdicts, [{ result: 'failure', cause: 'the auth_pending_file is malformed' }]);
});

test('a cancelled request answers nothing, removes its files and ends its script', async () => {
  const { path, tmpDir } = script(`echo $$ > ${home}/pid; exec sleep 60`);
  const settings = { security: 2, tmpDir, commands: { 'auth-user-pass-verify': path } } as const;
  const { verdicts, cancel } = run(settings, { event: 'auth-user-pass-verify' });
  await until(() => existsSync(join(home, 'pid')) && readFileSync(join(home, 'pid'), 'utf8').endsWith('\n'));
  cancel();
  const pid = readFileSync(join(home, 'pid'), 'utf8').trim();
  await until(() => !existsSync(`/proc/${pid}`));
  assert.deepEqual([verdicts, readdirSync(tmpDir)], [[], []]);
});

test('client-connect hands over its config, now or after a deferral', async () => {
  const now = script('echo "push \\"route 10.1.0.0 255.255.0.0\\"" > "$1"; [ "$1" = "$client_connect_config_file" ]');
  const settings = ({ path, tmpDir }: typeof now): ScriptSettings => ({
    security: 2,
    tmpDir,
    commands: { 'client-connect': path },
  });
  assert.deepEqual(await run(settings(now), { event: 'client-connect-script' }).final, {
    result: 'success',
    config: 'push "route 10.1.0.0 255.255.0.0"\n',
  });

  const later = script(
    'printf 2 > "$client_connect_deferred_file"; (sleep 0.1; echo "ifconfig-push 10.8.0.9 255.255.255.0" > "$1"; printf 1 > "$client_connect_deferred_file") >/dev/null 2>&1 &',
  );
  const deferred = run(settings(later), { event: 'client-connect-script' });
  assert.deepEqual(await deferred.final, { result: 'success', config: 'ifconfig-push 10.8.0.9 255.255.255.0\n' });
  assert.deepEqual(deferred.verdicts.length, 2);
  assert.deepEqual(deferred.verdicts[0], { result: 'deferred' });

  const no = script(
    'printf 2 > "$client_connect_deferred_file"; (sleep 0.1; printf 0 > "$client_connect_deferred_file") >/dev/null 2>&1 &',
  );
  assert.equal((await run(settings(no), { event: 'client-connect-script' }).final).result, 'failure');
  assert.deepEqual(readdirSync(later.tmpDir), []);
});

test('tls-verify exports the certificate and tls-crypt-v2-verify the metadata', async () => {
  const der = certificate(join(home, 'cert.pem'));
  const verify = script(`[ "$1 $2" = "0 CN=ada" ] && cmp -s "$peer_cert" ${home}/cert.pem`);
  const settings = {
    security: 2,
    tmpDir: verify.tmpDir,
    commands: { 'tls-verify': verify.path },
    exportCertDir: verify.tmpDir,
  } as const;
  const request = { event: 'tls-verify', argv: ['0', 'CN=ada'], certificate: { depth: 0, der } } as const;
  assert.deepEqual(await run(settings, request).final, { result: 'success' });
  assert.deepEqual(readdirSync(verify.tmpDir), []);

  const v2 = script('[ "$metadata_type:$(cat "$metadata_file")" = "0:hello" ]');
  assert.deepEqual(
    await run(
      { security: 2, tmpDir: v2.tmpDir, commands: { 'tls-crypt-v2-verify': v2.path } },
      { event: 'tls-crypt-v2-verify', env: { metadata_type: '0' }, metadata: Buffer.from('hello') },
    ).final,
    { result: 'success' },
  );
});

test('a script that cannot run, dies or runs too long has failed', async () => {
  const { tmpDir } = script('exit 0');
  const verdict = async (line: string, deadline?: number): Promise<string> => {
    const { final, logged } = run(
      { security: 2, tmpDir, commands: { 'learn-address': line } },
      { event: 'learn-address', ...(deadline === undefined ? {} : { deadline }) },
    );
    assert.equal((await final).result, 'failure');
    return logged.join('\n');
  };
  assert.match(
    await verdict('/nonexistent/script'),
    /Failed running command \(--learn-address\): .*could not be executed.*ENOENT/,
  );
  assert.match(await verdict('sh'), /ENOENT/, 'PATH is not searched');
  assert.match(await verdict(script('kill -9 $$').path), /ended by SIGKILL/);
  assert.match(await verdict(script('exec sleep 60').path, 100), /ran longer than 100 ms and was killed/);
  assert.match(await verdict(script('exit 7').path), /exited with error status: 7/);
});

test('bytes that are no UTF-8 reach a script as they are', async () => {
  const { path, tmpDir } = script(
    `printf %s "$username" | od -An -tx1 | tr -d ' \\n' > ${home}/bytes; printf %s "$1" | od -An -tx1 >> ${home}/bytes; exit 3`,
  );
  const settings = { security: 2, tmpDir, commands: { 'auth-user-pass-verify': path } } as const;
  const { final } = run(settings, { event: 'auth-user-pass-verify', argv: ['é\udc80'], env: { username: 'a\udcff' } });
  const verdict = await final;
  assert.ok(verdict.result === 'failure' && verdict.cause?.includes('status: 3'));
  assert.equal(readFileSync(join(home, 'bytes'), 'utf8'), '61ff c3 a9 80\n');
  assert.deepEqual(readdirSync(tmpDir), []);
});

const skip = process.getuid?.() === 0 ? false : 'needs root: only root can become a user without processes';

/** Runs a dozen at once as a user whose processes are limited: node's own threads leave room for three or four. */
function runDozen(body: string, deadline: number): string {
  const { path, tmpDir } = script(body);
  for (const folder of [home, tmpDir]) chmodSync(folder, 0o777);
  const child = `
    import { ScriptRunner } from ${JSON.stringify(import.meta.resolve('@seikan/plugin-host'))};
    process.setgid(54321);
    process.setuid(54321);
    const settings = { security: 2, deadline: ${deadline}, commands: { 'tls-verify': ${JSON.stringify(path)} }, tmpDir: ${JSON.stringify(tmpDir)} };
    const runner = new ScriptRunner(settings, () => {});
    for (let context = 1; context <= 12; context += 1)
      runner.run({ event: 'tls-verify', context, argv: [], env: {} }, ({ result }) => console.log(result));`;
  const node = [process.execPath, '--v8-pool-size=1', '--input-type=module', '-e', child];
  const ran = spawnSync('prlimit', ['--nproc=12:12', ...node], { encoding: 'utf8', timeout: 60_000 });
  assert.deepEqual([ran.status, ran.stderr], [0, '']);
  return ran.stdout;
}

test('scripts wait for one another where the number of processes is limited', { skip }, () => {
  assert.equal(runDozen('exec sleep 0.3', 30_000), 'success\n'.repeat(12));
});

test('a script that found no room within its deadline has failed, and does not begin afterwards', { skip }, () => {
  const started = performance.now();
  assert.equal(runDozen('exec sleep 30', 1_500), 'failure\n'.repeat(12));
  assert.ok(performance.now() - started < 20_000, 'one of them began and ran to its end');
});
