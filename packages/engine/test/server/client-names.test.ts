/** What scripts and names take from a client's certificate, as OpenVPN 2.6.14 was seen to write it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { PLAIN_CLIENT, PLAIN_SERVER, World } from '../world.js';

/** What client-connect sees of a client. */
function seen(config: string, certificate: World['certificate']): Readonly<Record<string, string>> {
  const world = new World(51);
  world.asked.add('client-connect');
  let env: Readonly<Record<string, string>> = {};
  world.events = (_host, request) => {
    ({ env } = request);
    return { result: 'success' };
  };
  world.add('server', `${PLAIN_SERVER}${config}`, '198.51.100.1');
  world.certificate = certificate;
  world.add('ada', PLAIN_CLIENT, '198.51.100.2');
  world.run(10_000);
  return env;
}

test('a serial number as a name is decimal below 128 bits, and hexadecimal from there on', () => {
  for (const [serialDecimal, name] of [
    ['4660', '4660'],
    ['170141183460469231731687303715884105727', '170141183460469231731687303715884105727'],
    ['170141183460469231731687303715884105728', '0x80000000000000000000000000000000'],
    ['682458685504281480331806204720833512104954046325', '0x778A817FB320B1026C902774948D59E6F2862775'],
    ['340282366920938463463374607431768211456', '0x0100000000000000000000000000000000'],
  ] as const)
    assert.equal(seen('x509-username-field serialNumber\n', { serialDecimal })['common_name'], name);
});

test('x509-track SHA1 is the fingerprint of the certificate', () => {
  const sha1 = Uint8Array.from({ length: 20 }, (_, i) => 0xf0 + (i % 16));
  const env = seen('x509-track SHA1\n', { sha1 });
  assert.equal(env['X509_0_SHA1'], 'F0:F1:F2:F3:F4:F5:F6:F7:F8:F9:FA:FB:FC:FD:FE:FF:F0:F1:F2:F3');
  assert.equal(env['X509_0_CN'], undefined);
});

test('in no field of a certificate that scripts are shown is there a line end, nor a NUL, which no environment can hold', () => {
  const env = seen('', {
    subjectFields: [
      { name: 'CN', value: 'ada' },
      { name: 'O', value: 'Ada\nPATH=/tmp\0' },
    ],
  });
  assert.equal(env['X509_0_O'], 'Ada_PATH=/tmp_');
});
