/** Whatever stands in a configuration, on a command line or in a push: no exception but ConfigError, and true spans. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  ConfigError,
  directiveTable,
  encodePushReply,
  PushReader,
  parseArguments,
  parseClientConfig,
  parseConfig,
} from '@seikan/engine';
import * as fc from 'fast-check';

const names = [...directiveTable.keys()];
const word = fc.oneof(
  fc.constantFrom(
    '10.8.0.0',
    '255.255.255.0',
    'fd00::/64',
    '::1',
    '1',
    '0',
    '-1',
    '65536',
    '4294967296',
    '9'.repeat(400),
    'tun',
    'udp',
    'none',
    'server',
    'a:b:c',
    '__proto__',
    'constructor',
    'toString',
    '"',
    "'",
    '\\',
    '<ca>',
    '</ca>',
    'AES-256-GCM',
    '?x',
    ':',
    '1.2',
    'x,y',
    '\ufeff',
    '\0',
  ),
  fc.string({ maxLength: 20 }),
  fc.string({ unit: 'binary', maxLength: 8 }),
);
const line = fc
  .tuple(
    fc.oneof({ weight: 9, arbitrary: fc.constantFrom(...names) }, { weight: 1, arbitrary: word }),
    fc.array(word, { maxLength: 5 }),
  )
  .map(([name, words]) => [name, ...words].join(' '));
const block = fc
  .tuple(
    fc.constantFrom('ca', 'connection', 'peer-fingerprint', 'tls-auth', 'port', '__proto__'),
    fc.array(line, { maxLength: 3 }),
  )
  .map(([tag, lines]) => `<${tag}>\n${lines.join('\n')}\n</${tag}>`);
const bases = [
  '',
  'client\ndev tun\nremote a\nca a\ncert b\nkey c\n',
  'server 10.8.0.0 255.255.255.0\ndev tun\nca a\ncert b\nkey c\ndh none\n',
  'dev tun\nsecret a\ncipher AES-256-CBC\n',
];
const text = fc
  .tuple(fc.constantFrom(...bases), fc.array(fc.oneof({ weight: 5, arbitrary: line }, block), { maxLength: 6 }))
  .map(([base, lines]) => base + lines.join('\n'));

/** Files that include themselves, or are rubbish. */
const files = { read: (path: string) => (path === '1' ? 'config 1\n' : path.length > 3 ? `${path}\n` : undefined) };

function refusal(run: () => unknown): ConfigError | undefined {
  try {
    run();
    return undefined;
  } catch (error) {
    assert.ok(error instanceof ConfigError, error instanceof Error ? error.stack : String(error));
    return error;
  }
}

test('no configuration makes the parser throw anything but a ConfigError with a place inside of it', () => {
  fc.assert(
    fc.property(text, (config) => {
      const error = refusal(() => parseConfig(config, 'f', files));
      if (error === undefined || error.file !== 'f') return;
      const lines = config.split('\n');
      assert.ok(error.line >= 1 && error.line <= lines.length, `${error.line} of ${lines.length}`);
      assert.ok(error.column >= 1 && error.column <= (lines[error.line - 1]?.length ?? 0) + 1, error.message);
    }),
    { numRuns: 3_000 },
  );
});

test('no command line makes it throw anything else', () => {
  const argument = fc.oneof(
    fc.constantFrom(...names).map((name) => `--${name}`),
    word,
  );
  fc.assert(
    fc.property(fc.array(argument, { maxLength: 12 }), (argv) => {
      refusal(() => parseArguments(argv, files));
    }),
    { numRuns: 2_000 },
  );
});

test('no client file makes it throw at all, or touches the server’s options', () => {
  const { options } = parseConfig(bases[2] ?? '', 's', files);
  const before = JSON.stringify(options);
  fc.assert(
    fc.property(fc.array(line, { maxLength: 6 }), (lines) => {
      parseClientConfig(lines.join('\n'), 'ccd/x', { options, files });
      assert.equal(JSON.stringify(options), before);
    }),
    { numRuns: 1_000 },
  );
});

test('no push throws at all, or touches what is the client’s own', () => {
  const { options } = parseConfig(bases[1] ?? '', 'c', files);
  const [connection] = options.connections;
  assert.ok(connection !== undefined);
  const before = JSON.stringify(options);
  fc.assert(
    fc.property(fc.array(line, { maxLength: 8 }), (lines) => {
      const outcome = new PushReader(options, connection).read(`PUSH_REPLY,${lines.join(',')}`);
      assert.equal(JSON.stringify(options), before);
      if (outcome.outcome !== 'done') return;
      const { pulled } = outcome;
      assert.deepEqual(pulled.options.scripts, options.scripts);
      assert.deepEqual(pulled.options.process, options.process);
      assert.deepEqual(pulled.options.tls, options.tls);
      assert.deepEqual(pulled.options.verify, options.verify);
      assert.deepEqual(pulled.options.pulling, options.pulling);
      assert.equal(pulled.connection.remote, connection.remote);
    }),
    { numRuns: 2_000 },
  );
});

test('whatever is pushed arrives whole, in order, in messages of at most 1024 bytes', () => {
  const option = fc.string({ minLength: 1, maxLength: 250 }).map((value) => `echo ${value.replaceAll(',', ';')}`);
  fc.assert(
    fc.property(fc.array(option, { maxLength: 60 }), (options) => {
      const reply = encodePushReply(options);
      assert.ok('messages' in reply);
      const sent = reply.messages.flatMap((message) => {
        assert.ok(Buffer.byteLength(message) < 1_024);
        return message.split(',').slice(1);
      });
      assert.deepEqual(
        sent.filter((value) => !value.startsWith('push-continuation')),
        options,
      );
    }),
  );
});

test('a directive says the same in a file and on the command line', () => {
  const quiet = [
    'verb 4',
    'port 1200',
    'mssfix 1300',
    'remote b 443 tcp',
    'keepalive 10 60',
    'setenv name value',
    'route 10.0.0.0 255.0.0.0',
    'data-ciphers AES-128-GCM',
    'reneg-sec 60',
    'push-peer-info',
    'tls-version-min 1.3',
    'pull-filter ignore route',
  ];
  fc.assert(
    fc.property(fc.subarray(quiet), (lines) => {
      const config = `${bases[1] ?? ''}${lines.join('\n')}\n`;
      const argv = config
        .trim()
        .split('\n')
        .flatMap((entry) => `--${entry}`.split(' '));
      const fromFile = parseConfig(config, 'f', files).options;
      assert.deepEqual({ ...parseArguments(argv, files).options, configFile: 'f' }, fromFile);
    }),
  );
});
