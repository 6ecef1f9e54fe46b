import assert from 'node:assert/strict';
import { test } from 'node:test';

import {
  basicAuthorization,
  digestAuthorization,
  type HttpRequest,
  type ProxyDialogue,
  throughHttp,
  throughSocks,
} from '@seikan/engine';
import { createCrypto } from '@seikan/native';
import { SeededRandom } from '@seikan/testkit';

import { converse } from './converse.js';

const plain = { authentication: 'none', version: '1.0', agent: undefined, headers: [] } as const;
const request = { proxy: plain, host: 'vpn.example', port: 443 };
const through = (more: Partial<HttpRequest> = {}, authorization?: string): ProxyDialogue =>
  throughHttp({ ...request, ...more }, authorization);

test('a CONNECT is what openvpn sends, and nothing behind the empty line is read', () => {
  const answer = 'HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n\x00\x0etunnel';
  const { outcome, sent, log, read } = converse(through(), answer);
  assert.equal(sent.toString(), 'CONNECT vpn.example:443 HTTP/1.0\r\nHost: vpn.example\r\n\r\n');
  assert.deepEqual(outcome, { result: 'through', relay: undefined });
  assert.equal(answer.slice(read), '\x00\x0etunnel');
  assert.ok(log.includes("HTTP proxy returned: 'HTTP/1.1 200 Connection established'"), log.join('\n'));
});

test('http-proxy-option decides over version, agent and headers; a Host among them takes the place of ours', () => {
  const proxy = { ...plain, version: '1.1', agent: 'Agent/9', headers: ['X-Flag: on', 'host: other'] };
  const { sent } = converse(through({ proxy, host: '2001:db8::1' }), '');
  assert.equal(
    sent.toString(),
    'CONNECT [2001:db8::1]:443 HTTP/1.1\r\nX-Flag: on\r\nhost: other\r\nUser-Agent: Agent/9\r\n\r\n',
  );
});

test('the login never reaches the log', () => {
  const authorization = basicAuthorization({ username: 'Aladdin', password: 'open sesame' });
  // RFC 7617, section 2
  assert.equal(authorization, 'Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==');
  const { sent, log } = converse(through({}, authorization), 'HTTP/1.0 200 \r\n\r\n');
  assert.match(sent.toString(), /\r\nProxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n$/);
  assert.ok(log.includes('Attempting Basic Proxy-Authorization'));
  assert.doesNotMatch(log.join('\n'), /QWxhZGRpbj/);
});

test('with auto the first scheme that hides the password is taken up, or else Basic, with auto-nct only one that hides the password', () => {
  const basic = 'Proxy-Authenticate: Basic realm="b"\r\n';
  const head = `HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Negotiate\r\n${basic}`;
  const digest = `${head}proxy-authenticate: Digest realm="d", nonce="n"\r\n\r\nbody`;
  const outcome = (authentication: 'auto' | 'auto-nct' | 'basic' | 'none', answer: string) =>
    converse(through({ proxy: { ...plain, authentication } }), answer).outcome;
  assert.deepEqual(outcome('auto', digest), {
    result: 'challenged',
    challenge: { scheme: 'Digest', parameters: 'realm="d", nonce="n"' },
  });
  assert.deepEqual(outcome('auto', `${head}\r\n`), {
    result: 'challenged',
    challenge: { scheme: 'Basic', parameters: 'realm="b"' },
  });
  assert.deepEqual(outcome('auto-nct', `${head}Proxy-Authenticate: NTLM\r\n${digest.slice(head.length)}`), {
    result: 'challenged',
    challenge: { scheme: 'NTLM', parameters: '' },
  });
  const refused = (text: string, login = false) => ({ result: 'refused', text, login });
  assert.deepEqual(
    outcome('auto-nct', `${head}\r\n`),
    refused('HTTP proxy: support for basic auth and other cleartext proxy auth methods is disabled'),
  );
  assert.deepEqual(
    outcome('auto', 'HTTP/1.1 407 x\r\nProxy-Authenticate: Negotiate\r\n\r\n'),
    refused('HTTP proxy: do not recognize the authentication method required by proxy'),
  );
  assert.deepEqual(outcome('none', digest), refused('HTTP proxy: no support for proxy authentication method'));
  const again = through({ proxy: { ...plain, authentication: 'auto' } }, 'Basic eDp5');
  assert.deepEqual(converse(again, digest).outcome, refused('HTTP proxy: the login was refused', true));
});

test('a hostile HTTP proxy is given up: bad status, no end, control characters kept out of the log', () => {
  for (const answer of ['HTTP/1.1 503 no\r\n\r\n', 'SSH-2.0-x\r\n\r\n', '\r\n\r\n', 'x'.repeat(20_000)]) {
    const { outcome } = converse(through(), answer);
    assert.deepEqual(outcome, { result: 'refused', text: 'HTTP proxy returned bad status', login: false });
  }
  const { log, read } = converse(through(), `HTTP/1.1 200 \x1b[2Jred\xff\r\n${'a: b\r\n'.repeat(5_000)}`);
  assert.equal(read, 16_384);
  assert.deepEqual(
    log.filter((line) => /[^ -~]/.test(line)),
    [],
  );
  // Cut anywhere it only waits.
  const whole = 'HTTP/1.1 200 ok\r\na: b\r\n\r\n';
  for (let size = 0; size < whole.length; size += 1) {
    assert.equal(converse(through(), whole.slice(0, size)).outcome, undefined);
  }
});

test('a digest is the one of RFC 2617, section 3.5', () => {
  const authorization = digestAuthorization({
    login: { username: 'Mufasa', password: 'Circle Of Life' },
    challenge:
      'realm="testrealm@host.com", qop="auth,auth-int", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41"',
    method: 'GET',
    uri: '/dir/index.html',
    clientNonce: '0a4f113b',
    crypto: createCrypto(),
  });
  assert.equal(
    authorization,
    'Digest username="Mufasa", realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", uri="/dir/index.html", qop=auth, nc=00000001, cnonce="0a4f113b", response="6629fae49393a05397450978507c4ef1", opaque="5ccc069c403ebaf9f0171e9517f40e41"',
  );
});

test('a digest challenge that lacks something, or wants what is not known, is not answered', () => {
  for (const challenge of [
    '',
    'realm="r"',
    'nonce="n"',
    'realm="r", nonce="n", algorithm=SHA-256',
    'realm="r", nonce="n", qop="auth-int"',
  ]) {
    const login = { username: 'u', password: 'p' };
    const request = { login, challenge, method: 'CONNECT', uri: 'h:1', clientNonce: 'c', crypto: createCrypto() };
    assert.equal(digestAuthorization(request), undefined, challenge);
  }
});

const proxy = { family: 4, address: '192.0.2.9', port: 1080 } as const;
const login = { username: 'me', password: 'secret' };
const socks = (more: Partial<Parameters<typeof throughSocks>[0]> = {}): ProxyDialogue =>
  throughSocks({ protocol: 'tcp', host: 'vpn.example', port: 1194, login: undefined, proxy, ...more });

test('a SOCKS connection names the server by its name, as openvpn does, and reads no byte of the tunnel', () => {
  const answer = Uint8Array.of(5, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xaa);
  const { outcome, sent, read } = converse(socks(), answer);
  assert.equal(sent.toString('hex'), `050100050100030b${Buffer.from('vpn.example').toString('hex')}04aa`);
  assert.deepEqual(outcome, { result: 'through', relay: undefined });
  assert.equal(read, answer.length - 1);
});

test('a SOCKS login is sent after the proxy chose it, and what it says to it counts', () => {
  const told = Buffer.concat([
    Buffer.of(5, 1, 2),
    Buffer.of(1, 2),
    Buffer.from('me'),
    Buffer.of(6),
    Buffer.from('secret'),
  ]);
  const good = converse(socks({ login }), Uint8Array.of(5, 2, 1, 0, 5, 0, 0, 3, 1, 0x78, 0, 1));
  assert.equal(good.outcome?.result, 'through');
  assert.deepEqual(good.sent.subarray(0, told.length), told);
  assert.deepEqual(converse(socks({ login }), Uint8Array.of(5, 2, 1, 1)).outcome, {
    result: 'refused',
    text: 'socks_username_password_auth: server refused the authentication',
    login: true,
  });
  const long = socks({ login: { username: 'x'.repeat(256), password: '' } });
  assert.equal(converse(long, Uint8Array.of(5, 2)).outcome?.result, 'refused');
});

test('a UDP relay is where the proxy says, and at the proxy itself where it says no address', () => {
  const relay = (answer: readonly number[]) => converse(socks({ protocol: 'udp' }), Uint8Array.of(5, 0, ...answer));
  const named = relay([5, 0, 0, 1, 203, 0, 113, 7, 0x12, 0x34]);
  assert.equal(named.sent.toString('hex'), '05010005030001000000000000');
  assert.deepEqual(named.outcome, { result: 'through', relay: { family: 4, address: '203.0.113.7', port: 0x1234 } });
  assert.ok(named.log.includes('SOCKS proxy wants us to send UDP to [AF_INET]203.0.113.7:4660'));
  const own = relay([5, 0, 0, 1, 0, 0, 0, 0, 0x12, 0x34]);
  assert.deepEqual(own.outcome, { result: 'through', relay: { ...proxy, port: 0x1234 } });
  const six = relay([5, 0, 0, 4, 0x20, 0x01, 0x0d, 0xb8, ...Array.from({ length: 11 }, () => 0), 1, 0, 80]);
  assert.deepEqual(six.outcome, { result: 'through', relay: { family: 6, address: '2001:db8::1', port: 80 } });
  assert.equal(relay([5, 0, 0, 3, 1, 0x78, 0, 80]).outcome?.result, 'refused');
  assert.equal(relay([5, 0, 0, 1, 1, 2, 3, 4, 0, 0]).outcome?.result, 'refused');
});

test('a hostile SOCKS proxy is given up: another version, method, reply or kind of address', () => {
  for (const answer of [
    [4, 0],
    [5, 2],
    [5, 0xff],
    [5, 0, 4, 0, 0, 1],
    [5, 0, 5, 1, 0, 1],
    [5, 0, 5, 0, 0, 2],
  ]) {
    assert.equal(converse(socks(), Uint8Array.from(answer)).outcome?.result, 'refused', String(answer));
  }
  const seed = 11;
  const random = new SeededRandom(seed);
  for (let round = 0; round < 2_000; round += 1) {
    const answer = new Uint8Array(300);
    random.fill(answer);
    answer.set([5, 0, 5, 0, 0].slice(0, round % 6));
    const { outcome, read } = converse(socks({ protocol: 'udp' }), answer);
    assert.ok(outcome !== undefined && read <= 265, `seed ${seed}, round ${round}`);
  }
});
