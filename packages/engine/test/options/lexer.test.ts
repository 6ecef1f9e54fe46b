import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigError, type ConfigWarning } from '@seikan/engine';
import { type Directive, readArguments, readDirectives } from '#src/options/lexer.js';

function read(text: string, warnings: ConfigWarning[] = []): Directive[] {
  return [...readDirectives({ text, file: 'f', firstLine: 1, upstreamName: 'f', warnings, report })];
}

function report(problem: ConfigError): never {
  throw problem;
}

/** Name and parameters of each directive. */
function words(text: string): string[][] {
  return read(text).map(({ name, parameters }) => [name].concat(parameters.map((parameter) => parameter.text)));
}

function refusal(text: string): ConfigError {
  try {
    read(text);
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error;
  }
  return assert.fail(`${JSON.stringify(text)} was taken`);
}

test('words are cut at white space, and comments start where a word could', () => {
  assert.deepEqual(words('\n  port\t 1194 # the usual\n; nothing\nremote a#b 1;2\r\n'), [
    ['port', '1194'],
    ['remote', 'a#b', '1;2'],
  ]);
});

test('double quotes take escapes, single quotes none, and a quotation ends its word', () => {
  assert.deepEqual(words(String.raw`up "/a b \"c\" \\"` + '\n'), [['up', '/a b "c" \\']]);
  assert.deepEqual(words(String.raw`up '/a "b" \n'` + '\n'), [['up', '/a "b" \\n']]);
  assert.deepEqual(words('"push""route"\n'), [['push', 'route']]);
  assert.deepEqual(words('push a"b\n'), [['push', 'a"b']]);
  assert.deepEqual(words('push ""\n'), [['push', '']]);
});

test('outside of quotes a backslash keeps white space, quotation marks and backslashes', () => {
  assert.deepEqual(words(String.raw`cd /my\ dir\\x \"a` + '\n'), [['cd', '/my dir\\x', '"a']]);
  assert.match(refusal('cd c:\\vpn\n').upstream, /^Options warning: Bad backslash \('\\'\) usage in f:1/);
});

test('two dashes in front of a name and a byte order mark are skipped', () => {
  assert.deepEqual(words('\ufeff--port 1\n--\n'), [['port', '1'], ['--']]);
});

test('the columns of words are those of their first characters, quotes included', () => {
  const [directive] = read('  push  "route 1"  x\n');
  assert.equal(directive?.at.column, 3);
  assert.deepEqual(
    directive?.parameters.map(({ column }) => column),
    [9, 20],
  );
});

test('an inline block is one parameter with its lines as they are', () => {
  const [ca, port] = read('<ca>\n-----BEGIN\n  # not a comment\n</ca>\nport 1\n');
  assert.equal(ca?.name, 'ca');
  assert.deepEqual(ca?.parameters, [{ text: '-----BEGIN\n  # not a comment\n', column: 1 }]);
  assert.deepEqual(ca?.inline, { contentLine: 2 });
  assert.equal(port?.at.line, 5);
});

test('a block ends at its own tag only, which may be indented', () => {
  assert.deepEqual(words('<connection>\n<ca>\nx\n</ca>\n  </connection> \n'), [['connection', '<ca>\nx\n</ca>\n']]);
  assert.equal(refusal('<ca>\nabc').upstream, 'ERROR: Endtag </ca> missing');
});

test('quotations that do not end are refused where they start', () => {
  const error = refusal('port 1\ndev "tun\n');
  assert.equal(error.upstream, 'Options error: No closing quotation (") in f:2');
  assert.deepEqual([error.line, error.column, error.directive], [2, 5, 'dev']);
  assert.equal(refusal("dev 'tun\n").upstream, "Options error: No closing single quotation (') in f:1");
  assert.equal(refusal('dev tun\\').upstream, 'Options error: Residual parse state (2) in f:1');
});

test('a line of 254 bytes and its end are read, one of 255 is too long, counted in UTF-8', () => {
  assert.equal(words(`${'x'.repeat(254)}\n`)[0]?.[0]?.length, 254);
  assert.match(refusal(`${'x'.repeat(255)}\n`).upstream, /Maximum option line length \(256\) exceeded/);
  assert.match(refusal(`${'ä'.repeat(128)}\n`).upstream, /Maximum option line length \(256\) exceeded/);
});

test('what follows the fifteenth parameter is left out and said aloud', () => {
  const warnings: ConfigWarning[] = [];
  const [directive] = read(`echo ${Array.from({ length: 20 }, (_, index) => index).join(' ')}\n`, warnings);
  assert.equal(directive?.parameters.length, 15);
  assert.equal(warnings.length, 1);
});

test('a NUL byte is refused, not taken for the end of the line', () => {
  const error = refusal('dev tun\0 --script-security 3\n');
  assert.equal(error.column, 8);
});

/** Name, parameters and column of each directive of a command line. */
function cut(argv: string[]): unknown[] {
  return [...readArguments(argv)].map(({ name, parameters, at }) => [
    name,
    parameters.map(({ text }) => text),
    at.column,
  ]);
}

test('arguments are directives from -- to --, and a single name is a configuration file', () => {
  assert.deepEqual(cut(['--dev', 'tun', '--remote', 'a', '1', '--up', '/x y']), [
    ['dev', ['tun'], 1],
    ['remote', ['a', '1'], 3],
    ['up', ['/x y'], 6],
  ]);
  assert.deepEqual(cut(['a.ovpn']), [['config', ['a.ovpn'], 1]]);
  assert.throws(() => cut(['a.ovpn', '--dev', 'tun']), {
    upstream: `Options error: I'm trying to parse "a.ovpn" as an --option parameter but I don't see a leading '--'`,
  });
});
