import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';

import { type Options, parseConfig } from '@seikan/engine';
import { MaterialError, readCredentials, readPassphrase } from '@seikan/runtime';

const folder = mkdtempSync(join(tmpdir(), 'seikan-credentials-'));
after(() => rmSync(folder, { recursive: true }));
const file = (name: string): string => join(folder, name);

function client(lines: string): Options {
  return parseConfig(`client\ndev tun\nremote h\nca ca\n${lines}\n`, 'c', { read: () => undefined }).options;
}

/** A person who answers, and what was asked. */
function person(...answers: string[]): {
  asked: string[];
  prompt: (question: string, echo: boolean) => Promise<string>;
} {
  const asked: string[] = [];
  return {
    asked,
    prompt: async (question, echo) => {
      asked.push(`${question} ${echo ? 'shown' : 'hidden'}`);
      return await Promise.resolve(answers.shift() ?? '');
    },
  };
}

test('a user name and password come from a file, from the configuration, or from a person', async () => {
  writeFileSync(file('both'), 'ada\nlovelace\n');
  writeFileSync(file('name'), 'ada\n');
  const nobody = person();
  const known = { username: 'ada', password: 'lovelace' };
  assert.deepEqual(await readCredentials(client(`auth-user-pass ${file('both')}`), nobody.prompt), known);
  const inline = client('<auth-user-pass>\nada\nlovelace\n</auth-user-pass>');
  assert.deepEqual(await readCredentials(inline, nobody.prompt), known);
  assert.deepEqual(nobody.asked, []);

  writeFileSync(file('odd'), 'a\td\u001ba\nlove\u007flace\t\n');
  assert.deepEqual(await readCredentials(client(`auth-user-pass ${file('odd')}`), nobody.prompt), known);

  const half = person('lovelace');
  assert.deepEqual(await readCredentials(client(`auth-user-pass ${file('name')}`), half.prompt), known);
  assert.deepEqual(half.asked, ['Enter Auth Password: hidden']);
  const whole = person('ada', 'lovelace');
  assert.deepEqual(await readCredentials(client('auth-user-pass'), whole.prompt), known);
  assert.deepEqual(whole.asked, ['Enter Auth Username: shown', 'Enter Auth Password: hidden']);

  const challenged = person('482913');
  const answer = { username: 'ada', password: 'SCRV1:bG92ZWxhY2U=:NDgyOTEz' };
  const challenge = `auth-user-pass ${file('both')}\nstatic-challenge "Your code" 0`;
  assert.deepEqual(await readCredentials(client(challenge), challenged.prompt), answer);
  assert.deepEqual(challenged.asked, ['CHALLENGE: Your code hidden']);

  const asked = person('4711');
  const question = { username: 'eve', state: 's:1', text: 'How many?', echo: true };
  assert.deepEqual(await readCredentials(client(challenge), asked.prompt, question), {
    username: 'eve',
    password: 'CRV1::s:1::4711',
  });
  assert.deepEqual(asked.asked, ['CHALLENGE: How many? shown']);

  const missing = await readCredentials(client(`auth-user-pass ${file('none')}`), nobody.prompt);
  assert.match('error' in missing ? missing.error : '', /none.*No such file or directory \(errno=2\)/);
});

test('the passphrase is asked for only when the key has one', async () => {
  const openssl = (...args: string[]): void => {
    const ran = spawnSync('openssl', args, { cwd: folder, encoding: 'utf8' });
    assert.equal(ran.status, 0, ran.stderr);
  };
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-subj', '/CN=x'];
  openssl('req', '-x509', ...key, '-nodes', '-keyout', 'plain.key', '-out', 'plain.crt');
  openssl('req', '-x509', ...key, '-passout', 'pass:open sesame', '-keyout', 'locked.key', '-out', 'locked.crt');
  const pair = (name: string): string => `cert ${file(`${name}.crt`)}\nkey ${file(`${name}.key`)}`;
  const user = person('open sesame');
  assert.equal(await readPassphrase(client(pair('plain')), user.prompt), undefined);
  assert.deepEqual(user.asked, []);
  assert.equal(await readPassphrase(client(pair('locked')), user.prompt), 'open sesame');
  assert.deepEqual(user.asked, ['Enter Private Key Password: hidden']);
  writeFileSync(file('pass'), 'open sesame\n');
  assert.equal(await readPassphrase(client(`${pair('locked')}\naskpass ${file('pass')}`), user.prompt), 'open sesame');
  await assert.rejects(
    readPassphrase(client(`${pair('locked')}\naskpass ${file('none')}`), user.prompt),
    MaterialError,
  );
});

test('at a terminal the name is shown and the password is not', () => {
  const program = `
    import { readCredentials } from ${JSON.stringify(new URL('../dist/index.js', import.meta.url).href)};
    import { writeFileSync } from 'node:fs';
    const options = { auth: { userPass: { from: 'stdin' } } };
    writeFileSync(${JSON.stringify(file('answer'))}, JSON.stringify(await readCredentials(options)));`;
  writeFileSync(file('ask.mjs'), program);
  // script(1) gives a terminal; each answer is typed when its prompt is on the screen
  const shown = (prompt: string): string =>
    `until grep -q '${prompt}' ${file('screen')} 2>/dev/null; do sleep 0.05; done`;
  const typing = `(${shown('Username: ')}; echo ada; ${shown('Password: ')}; printf 'lovelacX\\177e\\n'; until [ -s ${file('answer')} ]; do sleep 0.05; done)`;
  const run = spawnSync(
    'sh',
    ['-c', `${typing} | script -qfec '${process.execPath} ${file('ask.mjs')}' ${file('screen')}`],
    { encoding: 'utf8', timeout: 60_000 },
  );
  assert.equal(run.status, 0, run.stderr);
  assert.deepEqual(JSON.parse(readFileSync(file('answer'), 'utf8')), { username: 'ada', password: 'lovelace' });
  const screen = readFileSync(file('screen'), 'utf8');
  assert.match(screen, /Enter Auth Username: ada\r?\nEnter Auth Password: \r?\n/);
  assert.doesNotMatch(screen, /lovelac/);
});

test('without a terminal nobody is asked, and the error says so as openvpn does', () => {
  const module = JSON.stringify(new URL('../dist/index.js', import.meta.url).href);
  const text = `import(${module}).then(async (m) => console.log((await m.readCredentials({ auth: { userPass: { from: 'stdin' } } })).error))`;
  const run = spawnSync('setsid', ['--wait', process.execPath, '-e', text], { encoding: 'utf8', timeout: 60_000 });
  assert.match(run.stdout, /^neither stdin nor stderr are a tty device .* can't ask for 'Enter Auth Username:'\./);
});
