/** What we say of ourselves in the options string, from a command line on, beside what openvpn 2.6.14 makes of the same. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { ConfigError, parseArguments } from '@seikan/engine';
import { createCrypto } from '@seikan/native';

import { optionsStrings } from '#src/options-string.js';

const recorded = JSON.parse(
  readFileSync(new URL('../../../tests/vectors/options-strings/recorded.json', import.meta.url), 'utf8'),
) as { line: string; local: string; remote: string }[];

const crypto = createCrypto();
const files = { read: () => 'text', crypto };

function stringsOf(line: string) {
  const tls = line.includes('--secret') ? '' : ' --ca c.pem --cert c.pem --key k.pem';
  const remote = line.includes('tcp-server') ? '' : ' --remote 127.0.0.1 9';
  const { options } = parseArguments(`${line}${tls}${remote}`.split(' '), files);
  const [connection] = options.connections;
  assert.ok(connection !== undefined);
  return optionsStrings(options, connection, crypto);
}

test('a command line gives the strings that openvpn 2.6.14 gives', () => {
  const refused: string[] = [];
  for (const { line, local, remote } of recorded) {
    try {
      assert.deepEqual(stringsOf(line), { own: local, expected: remote }, line);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      refused.push(line);
    }
  }
  // A static key without a cipher is not to be had here.
  assert.deepEqual(
    refused.filter((line) => !line.includes('--cipher none')),
    [],
  );
});
