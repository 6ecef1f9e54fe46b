import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type ProxyLogin, throughHttpByNtlm } from '@seikan/engine';
import { createCrypto } from '@seikan/native';
import { SeededRandom } from '@seikan/testkit';

import { md4 } from '#src/proxy/md4.js';
import { ntlmAuthorization, ntlmNegotiation } from '#src/proxy/ntlm.js';

import { converse } from './converse.js';

const crypto = createCrypto();
const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');

test('MD4 is the one of RFC 1320, section A.5', () => {
  const vectors = [
    ['', '31d6cfe0d16ae931b73c59d7e0c089c0'],
    ['a', 'bde52cb31de33e46245e05fbdbd6fb24'],
    ['abc', 'a448017aaf21d8525fc10ae87aa6729d'],
    ['message digest', 'd9130a8164549fe818874806e1c7014b'],
    ['abcdefghijklmnopqrstuvwxyz', 'd79e1c308aa5bbcdeea8ed63df412da9'],
    ['ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789', '043f8582f241db351ce627e153e7f0e4'],
    ['1234567890'.repeat(8), 'e33b4ddc9c38f2199c3e7b164fcc0536'],
  ] as const;
  for (const [message, digest] of vectors)
    assert.equal(Buffer.from(md4(Buffer.from(message))).toString('hex'), digest, message);
});

/** MS-NLMP 4.2.4: "User" of "Domain" with the password "Password"; what the server's message says, in base64. */
const login = { username: 'Domain\\User', password: 'Password' };
const INFORMATION = '02000c00 44006f006d00610069006e00 01000c00 530065007200760065007200 00000000';
const NAME = '530065007200760065007200';
const VERSION = '06007017 0000000f';

function challengeOf(information: string, flags = '33828ae2'): string {
  const size = hex(information).length.toString(16).padStart(2, '0');
  const head = `4e544c4d53535000 02000000 0c000c00 38000000 ${flags} 0123456789abcdef 0000000000000000`;
  return hex(`${head} ${size}00${size}00 44000000 ${VERSION} ${NAME} ${information}`).toString('base64');
}

/** The third message's fields in their order: LM, NT, domain, user, workstation, key. */
function fieldsOf(authorization: string | undefined): { fields: string[]; flags: number; size: number } {
  const message = Buffer.from(/^NTLM (\S+)$/.exec(authorization ?? '')?.[1] ?? assert.fail(authorization), 'base64');
  assert.equal(message.toString('latin1', 0, 8), 'NTLMSSP\0');
  assert.equal(message.readUInt32LE(8), 3);
  const fields = [12, 20, 28, 36, 44, 52].map((at) => {
    assert.equal(message.readUInt16LE(at), message.readUInt16LE(at + 2));
    const offset = message.readUInt32LE(at + 4);
    return message.toString('hex', offset, offset + message.readUInt16LE(at));
  });
  return { fields, flags: message.readUInt32LE(60), size: message.length };
}

const answer = (challenge: string, more: { login?: ProxyLogin; nonce?: Buffer; time?: number } = {}) =>
  ntlmAuthorization({ login, nonce: Buffer.alloc(8, 0xaa), time: -11_644_473_600_000, crypto, ...more }, challenge);

test('the response to a challenge is the one of MS-NLMP, section 4.2.4.2.2', () => {
  const { fields, flags, size } = fieldsOf(answer(challengeOf(INFORMATION)));
  assert.deepEqual(fields, [
    '',
    `68cd0ab851e51c96aabc927bebef6a1c${hex(`0101000000000000 0000000000000000 aaaaaaaaaaaaaaaa 00000000 ${INFORMATION} 00000000`).toString('hex')}`,
    Buffer.from('Domain').toString('hex'),
    Buffer.from('User').toString('hex'),
    '',
    '',
  ]);
  assert.equal(flags, 0x202);
  assert.equal(size, 64 + 84 + 6 + 4);
});

/** Recorded from stock 2.6.14 at a proxy of our own: login, nonce and time as it chose them. */
const recorded = [
  [
    'Domain\\User',
    '710f26a9ebd8a66a',
    1_795_747_135_000,
    'NTLM TlRMTVNTUAADAAAAAAAAAJ4AAABUAFQAQAAAAAYABgCYAAAABAAEAJQAAAAAAAAAngAAAAAAAACeAAAAAgIAAL6JRXQr2H17ubqQk6ONFUABAQAAAAAAAIAJIHIYft0BcQ8mqevYpmoAAAAAAgAMAEQAbwBtAGEAaQBuAAEADABTAGUAcgB2AGUAcgAAAAAAAAAAAFVzZXJEb21haW4=',
  ],
  [
    'Do\\main\\User',
    '3a5a31cb6172eab6',
    1_795_747_175_000,
    'NTLM TlRMTVNTUAADAAAAAAAAAJ8AAABUAFQAQAAAAAIAAgCdAAAACQAJAJQAAAAAAAAAnwAAAAAAAACfAAAAAgIAAHlusclZbc0OayVg8W/rcoYBAQAAAAAAAICN94kYft0BOloxy2Fy6rYAAAAAAgAMAEQAbwBtAGEAaQBuAAEADABTAGUAcgB2AGUAcgAAAAAAAAAAAG1haW5cVXNlckRv',
  ],
  [
    'User',
    'f31341337a7913a1',
    1_795_747_172_000,
    'NTLM TlRMTVNTUAADAAAAAAAAAJgAAABUAFQAQAAAAAAAAACYAAAABAAEAJQAAAAAAAAAmAAAAAAAAACYAAAAAgIAACebijPs7wVoLeLkDSedx7IBAQAAAAAAAADKLYgYft0B8xNBM3p5E6EAAAAAAgAMAEQAbwBtAGEAaQBuAAEADABTAGUAcgB2AGUAcgAAAAAAAAAAAFVzZXI=',
  ],
] as const;

test('both of our messages are those of OpenVPN 2.6.14, byte for byte', () => {
  for (const [username, nonce, time, message] of recorded) {
    const told = { username, password: 'Password' };
    assert.equal(ntlmNegotiation(told), 'NTLM TlRMTVNTUAABAAAAAgIAAA==');
    assert.equal(answer(challengeOf(INFORMATION), { login: told, nonce: hex(nonce), time }), message);
  }
});

test('a proxy that names no target gets none back, and its own time where it tells one', () => {
  const { fields } = fieldsOf(answer(challengeOf(INFORMATION, '33820262')));
  assert.equal(
    fields[1]?.slice(32),
    hex(`01010000 00000000 ${'00'.repeat(8)} ${'aa'.repeat(8)} ${'00'.repeat(8)}`).toString('hex'),
  );
  const timed = fieldsOf(answer(challengeOf(`01000200 4100 07000800 8877665544332211 00000000`)));
  assert.match(timed.fields[1] ?? '', /^.{32}0101000000000000 ?8877665544332211aaaa/);
});

test('names beyond ASCII go as UTF-16, in the key with the user in capitals letter for letter', () => {
  const told = { username: 'Dömäin\\straßé', password: 'Pässwörd' };
  assert.equal(ntlmNegotiation(told), `NTLM ${hex('4e544c4d53535000 01000000 01020000').toString('base64')}`);
  const { fields, flags } = fieldsOf(answer(challengeOf(INFORMATION), { login: told }));
  assert.equal(flags, 0x201);
  assert.deepEqual(fields.slice(2, 4), [
    Buffer.from('Dömäin', 'utf16le').toString('hex'),
    Buffer.from('straßé', 'utf16le').toString('hex'),
  ]);
  // Made with `openssl dgst -md4` of the password in UTF-16 and Python's HMAC.
  assert.equal(fields[1]?.slice(0, 32), 'cd34ee92d817149454212f396b283722');
});

test('what is no challenge is not answered: cut short, another type or signature, a target beyond the end', () => {
  const whole = Buffer.from(challengeOf(INFORMATION), 'base64');
  for (let size = 0; size < whole.length; size += 1)
    assert.equal(answer(whole.subarray(0, size).toString('base64')), undefined, `${size} bytes`);
  for (const [at, value] of [
    [0, 0x6e],
    [8, 1],
    [8, 3],
    [41, 0xff],
    [46, 1],
  ] as const) {
    const other = Buffer.from(whole);
    other[at] = value;
    assert.equal(answer(other.toString('base64')), undefined, `byte ${at}`);
  }
  for (const text of ['', '=', 'x', 'TlRMTVNTUAAC', '*'.repeat(64)]) assert.equal(answer(text), undefined, text);
});

test('nonsense in the place of a target is carried back, never read beyond its end', () => {
  const seed = 5;
  const random = new SeededRandom(seed);
  for (let round = 0; round < 500; round += 1) {
    const information = new Uint8Array(round % 64);
    random.fill(information);
    information[0] = round % 9;
    information[1] = 0;
    const told = Buffer.from(information).toString('hex');
    const response = fieldsOf(answer(challengeOf(told))).fields[1] ?? '';
    assert.ok(response.endsWith(`00000000${told}00000000`), `seed ${seed}, round ${round}`);
  }
});

const request = {
  proxy: { authentication: 'ntlm2', version: '1.0', agent: 'A/1', headers: ['X-A: b'] },
  host: 'vpn.example',
  port: 443,
} as const;
const dialogue = () => throughHttpByNtlm(request, { login, nonce: Buffer.alloc(8, 0xaa), time: 0, crypto });
const refused = (text: string, wrong = false) => ({ result: 'refused', text, login: wrong });
const challenged = (more = '', body = ''): string =>
  `HTTP/1.1 407 x\r\nProxy-Authenticate: Negotiate\r\nproxy-authenticate: NTLM ${challengeOf(INFORMATION)}\r\n${more}\r\n${body}`;
const through = 'HTTP/1.1 200 ok\r\n\r\n';

test('both requests are on one connection, and neither what was sent nor the challenge reaches the log', () => {
  const { outcome, sent, log, read } = converse(dialogue(), `${challenged()}${through}tunnel`);
  assert.deepEqual(outcome, { result: 'through', relay: undefined });
  assert.equal(read, challenged().length + through.length);
  const requests = sent.toString().split('\r\n\r\n');
  assert.equal(requests.length, 3);
  const head =
    'CONNECT vpn.example:443 HTTP/1.0\r\nX-A: b\r\nHost: vpn.example\r\nUser-Agent: A/1\r\nProxy-Connection: Keep-Alive\r\nProxy-Authorization: NTLM ';
  assert.equal(requests[0], `${head}TlRMTVNTUAABAAAAAgIAAA==`);
  assert.equal(requests[1]?.slice(0, head.length), head);
  assert.equal(fieldsOf(requests[1]?.slice(head.length - 5)).fields[3], Buffer.from('User').toString('hex'));
  assert.doesNotMatch(log.join('\n'), /TlRMTVNTUAA/);
  assert.deepEqual(
    log.filter((line) => line.includes('NTLM')),
    [
      'Attempting NTLM Proxy-Authorization phase 1',
      'Received NTLM Proxy-Authorization phase 2 response',
      'Attempting NTLM Proxy-Authorization phase 3',
    ],
  );
});

test('a page under the challenge is skipped, by its length or in chunks, and nothing behind it', () => {
  for (const answered of [
    challenged('Content-Length: 5\r\n', '12345'),
    challenged('Content-Length: 0\r\n'),
    challenged('Transfer-Encoding: chunked\r\n', '5;x=y\r\n12345\r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n'),
  ]) {
    const { outcome, read } = converse(dialogue(), `${answered}${through}tunnel`);
    assert.equal(outcome?.result, 'through', answered);
    assert.equal(read, answered.length + through.length, answered);
    // Cut anywhere it only waits.
    for (let size = 0; size < answered.length; size += 1)
      assert.equal(converse(dialogue(), answered.slice(0, size)).outcome, undefined);
  }
});

test('a proxy without a login lets us through at once; one that wants another kind, or no end of a page, is given up', () => {
  assert.equal(converse(dialogue(), through).outcome?.result, 'through');
  const noChallenge = refused('HTTP proxy: no NTLM challenge in its answer');
  for (const offer of ['NTLM', 'Basic realm="x"', 'NTLM x', `NTLM ${challengeOf(INFORMATION)} x`])
    assert.deepEqual(
      converse(dialogue(), `HTTP/1.1 407 x\r\nProxy-Authenticate: ${offer}\r\n\r\n`).outcome,
      noChallenge,
    );
  assert.deepEqual(
    converse(dialogue(), `${challenged()}HTTP/1.1 407 no\r\n\r\n`).outcome,
    refused('HTTP proxy: the login was refused', true),
  );
  assert.deepEqual(
    converse(dialogue(), `${challenged()}HTTP/1.1 503 no\r\n\r\n`).outcome,
    refused('HTTP proxy returned bad status'),
  );
  const endless = refused('HTTP proxy: its answer to NTLM is too long');
  for (const [header, body] of [
    ['Content-Length: 65537', ''],
    ['Content-Length: 1e3', ''],
    ['Content-Length: -1', ''],
    ['Transfer-Encoding: gzip', ''],
    ['Transfer-Encoding: chunked', 'x\r\n'],
    ['Transfer-Encoding: chunked', '10001\r\n'],
    ['Transfer-Encoding: chunked', 'f'.repeat(128)],
    ['Transfer-Encoding: chunked', '1\r\nx\r\n'.repeat(1_000)],
  ] as const)
    assert.deepEqual(converse(dialogue(), challenged(`${header}\r\n`, body)).outcome, endless, `${header} ${body}`);
});
