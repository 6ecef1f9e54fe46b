/**
 * Logins that take more than a password, with the example plugins in our server: a one-time code by static challenge and
 * single sign-on in a browser, each with a stock client and with ours.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { buildPlugin } from '@seikan/plugin-host';
import { ours, type StockNetwork, stock, until } from './stock.js';
import { withNetwork } from './with-network.js';

const examples = fileURLToPath(new URL('../../../examples/plugins/', import.meta.url));
const clients = [
  ['stock', stock],
  ['ours', ours],
] as const;
let network: StockNetwork;

const skip = withNetwork((made) => {
  network = made;
});

test('a one-time code, asked for at the terminal, lets in once', { skip }, async () => {
  // What the example reckons with is checked against RFC 6238 in its own test.
  const { base32, code } = (await import(join(examples, 'dist/totp.js'))) as {
    base32: (text: string) => Uint8Array;
    code: (secret: Uint8Array, step: number) => string;
  };
  const secret = 'GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ';
  const secrets = join(network.folder, 'secrets.json');
  writeFileSync(secrets, JSON.stringify({ stock: secret, ours: secret }));
  const server = await network.server([`plugin ${examples}src/totp.ts ${secrets}`], ours);
  for (const [name, program] of clients) {
    const login = async (answer: string): Promise<string> => {
      const lines = ['static-challenge "Your code" 1', 'auth-retry none'];
      const client = network.startClient(name, 'secret', lines, network.atTerminal(program));
      await client.line(/CHALLENGE: Your code/);
      client.type(answer);
      const line = await client.line(/Initialization Sequence Completed|AUTH_FAILED/);
      await client.stop();
      return line;
    };
    assert.match(await login('000000'), /AUTH_FAILED,Wrong code/, name);
    const now = code(base32(secret), Math.floor(Date.now() / 30_000));
    assert.match(await login(now), /Initialization Sequence Completed/, name);
    assert.match(await login(now), /AUTH_FAILED,Wrong code/, name);
    const without = await network.client(name, 'secret', ['auth-retry none'], program);
    await without.client.stop();
    assert.match(without.client.log, /AUTH_FAILED,This server asks for a code: add static-challenge/, name);
  }
  await server.stop();
});

test('a question instead of an answer (CRV1) is put to the user, whose answer lets in', { skip }, async () => {
  const script = join(network.folder, 'question.sh');
  writeFileSync(
    script,
    `#!/bin/sh
{ read -r user; read -r password; } < "$1"
case "$user $password" in
  'ada secret') printf 'CRV1:R,E:state-1:YWRh:Capital: of Malta?' > "$auth_failed_reason_file"; exit 1 ;;
  'ada CRV1::state-1::Valletta') exit 0 ;;
esac
exit 1
`,
    { mode: 0o755 },
  );
  const server = await network.server(['script-security 2', `auth-user-pass-verify ${script} via-file`]);
  for (const [name, program] of clients) {
    const client = network.startClient('ada', 'secret', ['auth-retry interact'], network.atTerminal(program));
    for (const [times, answer] of [
      [1, 'Sliema'],
      [2, 'Valletta'],
    ] as const) {
      await until(() => client.lines(/CHALLENGE: Capital: of Malta\?/).length >= times, `${name} asks`);
      client.type(answer);
      if (times === 1)
        await until(() => client.lines(/AUTH_FAILED\r?$/).length > 0, `${name}: the wrong answer is refused`);
    }
    await client.line(/Initialization Sequence Completed/);
    await client.stop();

    const silent = await network.client('ada', 'secret', ['auth-retry none'], program);
    await silent.client.stop();
    assert.equal(silent.connected, false, name);
    if (program === ours) assert.match(silent.client.log, /answered with auth-retry interact only/);
  }
  await server.stop();
});

test('a question of a plugin (CR_TEXT) reaches a stock client, whose answer reaches the plugin in either server', {
  skip,
}, async () => {
  const source = fileURLToPath(new URL('../src/riddle.ts', import.meta.url));
  const library = join(network.folder, 'riddle.so');
  await buildPlugin(source, { output: library });
  for (const [program, plugin] of [
    [stock, library],
    [ours, source],
  ] as const) {
    const server = await network.server([`plugin ${plugin}`], program);
    for (const answer of ['Sliema', 'Valletta']) {
      const management = join(network.folder, 'management');
      const lines = ['setenv IV_SSO crtext', 'auth-retry none', `management ${management} unix`];
      const client = network.startClient('ada', 'secret', lines);
      await client.line(/MANAGEMENT: unix domain socket listening/);
      // A stock client knows no other way to ask its user.
      const user = connect(management);
      let heard = '';
      user.setEncoding('utf8').on('data', (text: string) => {
        heard += text;
        if (!/^>INFOMSG:CR_TEXT:R,E:Capital of Malta\?/m.test(heard)) return;
        heard = '';
        user.write(`cr-response ${Buffer.from(answer).toString('base64')}\n`);
      });
      user.on('error', () => {}); // the client ends
      const line = await client.line(/Initialization Sequence Completed|AUTH_FAILED/);
      assert.match(line, answer === 'Valletta' ? /Initialization/ : /AUTH_FAILED,That is not it/, program);
      user.destroy();
      await client.stop();
      await server.line(new RegExp(`PLUGIN riddle: answer ${answer} of client \\d`));
    }
    await server.stop();
  }
});

test('single sign-on: the client is told where to go, and comes in when its user has signed in there', {
  skip,
}, async () => {
  const provider = network.beside(process.execPath, join(examples, 'dist/openid-provider.js'), '8090', 'ada');
  await provider.line(/serving/);
  const settings = join(network.folder, 'oidc.json');
  const oidc = { issuer: 'http://127.0.0.1:8090', clientId: 'vpn', clientSecret: 's', listen: 9000, timeout: 60 };
  writeFileSync(settings, JSON.stringify({ ...oidc, callback: 'http://127.0.0.1:9000/callback', insecure: true }));
  const server = await network.server([`plugin ${examples}src/oidc.ts ${settings}`, 'hand-window 20'], ours);
  for (const [name, program] of clients)
    for (const [user, good] of [
      ['ada', true],
      ['eve', false],
    ] as const) {
      const client = network.startClient(user, 'none', ['setenv IV_SSO openurl,webauth', 'auth-retry none'], program);
      await client.line(/AUTH_PENDING received, extending handshake timeout from 20s to (?:60|59)s/);
      const shown = await client.line(/Info command was pushed by server/);
      const [, url = ''] = /WEB_AUTH::(http[^']*)/.exec(shown) ?? [];
      const fetched = 'fetch(process.argv[1]).then(async (page) => console.log("page:", await page.text()))';
      const browser = network.beside(process.execPath, '-e', fetched, url);
      await browser.line(good ? /page: You are signed in/ : /page: You signed in as somebody else/);
      const line = await client.line(/Initialization Sequence Completed|AUTH_FAILED/);
      await client.stop();
      assert.match(line, good ? /Initialization/ : /AUTH_FAILED,You signed in as somebody else/, `${name} ${user}`);
    }
  const blind = await network.client('ada', 'none', ['auth-retry none']);
  await blind.client.stop();
  assert.match(blind.client.log, /AUTH_FAILED,Your client cannot open a browser/);
  await server.stop();
});
