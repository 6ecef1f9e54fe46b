/** What a proxy answers before anything of the tunnel crosses it: whoever stands there is a stranger. */
import assert from 'node:assert/strict';

import {
  basicAuthorization,
  digestAuthorization,
  type HttpRequest,
  type ProxyDialogue,
  throughHttp,
  throughHttpByNtlm,
  throughSocks,
} from '@seikan/engine';
import { createCrypto } from '@seikan/native';

import type { FuzzTarget } from './fuzz.js';
import { bytesOf } from './inputs.js';

const crypto = createCrypto();
const login = { username: 'domain\\ada', password: 'a password that no log may show' };
const request: HttpRequest = {
  proxy: { authentication: 'auto', version: '1.1', agent: undefined, headers: [] },
  host: 'vpn.example',
  port: 443,
};
const ntlm = { login, nonce: new Uint8Array(8), time: 0, crypto };

/** What a proxy may say is bounded: heads, a body to be passed over, chunks. */
const MOST_READ = 1 << 20;
const MOST_STEPS = 1 << 20;

/** Lets the dialogue read from `input` on; the outcome's name, or `more` when there is not enough. */
function converse(dialogue: ProxyDialogue, input: Uint8Array): { label: string; rest: Uint8Array; offer: string } {
  let at = 0;
  let given: Uint8Array = new Uint8Array(0);
  for (let steps = 0; ; steps += 1) {
    assert.ok(steps < MOST_STEPS && at <= MOST_READ, 'it never ends');
    const next = dialogue.next(given);
    given = new Uint8Array(0);
    if (next.done === true) {
      const { value } = next;
      const rest = input.subarray(at);
      if (value.result === 'challenged')
        return { label: `challenged ${value.challenge.scheme}`, rest, offer: value.challenge.parameters };
      return { label: value.result === 'refused' ? `refused, login ${value.login}` : 'through', rest, offer: '' };
    }
    const step = next.value;
    if (step.step === 'log') {
      assert.doesNotMatch(step.text, /[\0-\x1f\x7f]|no log may show/);
    } else if (step.step === 'receive') {
      assert.ok(step.size > 0 && step.size <= MOST_READ, `asks for ${step.size} bytes`);
      if (at + step.size > input.length) return { label: 'more', rest: new Uint8Array(0), offer: '' };
      given = input.slice(at, at + step.size);
      at += step.size;
    }
  }
}

const CHALLENGE =
  'TlRMTVNTUAACAAAADAAMADgAAAAzgoriASNFZ4mrze8AAAAAAAAAACQAJABEAAAABgBwFwAAAA9TAGUAcgB2AGUAcgACAAwARABvAG0AYQBpAG4AAQAMAFMAZQByAHYAZQByAAAAAAA=';
const ok = 'HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n';
const wants = (...offers: string[]): string =>
  `HTTP/1.1 407 Proxy Authentication Required\r\n${offers.map((offer) => `Proxy-Authenticate: ${offer}\r\n`).join('')}`;

const http: FuzzTarget = {
  name: 'http-proxy',
  seeds: () =>
    [
      ok,
      `${wants('Basic realm="x"')}\r\n`,
      `${wants('Digest realm="x", nonce="n", qop="auth,auth-int", algorithm=MD5-sess, opaque="o"')}\r\n${ok}`,
      `${wants(`NTLM ${CHALLENGE}`)}Content-Length: 3\r\n\r\nabc${ok}`,
      `${wants('NTLM', 'Negotiate')}\r\n${wants(`NTLM ${CHALLENGE}`)}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n${ok}`,
      'HTTP/1.0 502 Bad gateway\r\n\r\n',
    ].map(bytesOf),
  run: (input) => {
    const first = converse(throughHttp(request, undefined), input);
    switch (first.label) {
      case 'challenged Basic':
        return `Basic, ${converse(throughHttp(request, basicAuthorization(login)), first.rest).label}`;
      case 'challenged Digest': {
        const asked = {
          login,
          challenge: first.offer,
          method: 'CONNECT',
          uri: 'vpn.example:443',
          clientNonce: 'c',
          crypto,
        };
        const authorization = digestAuthorization(asked);
        if (authorization === undefined) return 'Digest, unusable';
        assert.doesNotMatch(authorization, /[\0-\x1f\x7f]/);
        return `Digest, ${converse(throughHttp(request, authorization), first.rest).label}`;
      }
      case 'challenged NTLM':
        return `NTLM, ${converse(throughHttpByNtlm(request, ntlm), first.rest).label}`;
      default:
        // The challenge alone, too.
        return `${first.label}; ${converse(throughHttpByNtlm(request, ntlm), input).label}`;
    }
  },
};

const socks: FuzzTarget = {
  name: 'socks-proxy',
  seeds: () =>
    [
      [5, 0, 5, 0, 0, 1, 127, 0, 0, 1, 4, 170],
      [5, 2, 1, 0, 5, 0, 0, 3, 3, 97, 46, 98, 0, 80],
      [5, 0, 5, 0, 0, 4, ...new Uint8Array(16), 0, 80],
      [5, 0, 5, 5, 0, 1, 0, 0, 0, 0, 0, 0],
      [5, 255],
    ].map((bytes) => Uint8Array.from(bytes)),
  run: (input) => {
    const proxy = { family: 4, address: '127.0.0.1', port: 1080 } as const;
    const common = { host: 'vpn.example', port: 443, login, proxy };
    const labels = (['tcp', 'udp'] as const).map(
      (protocol) => converse(throughSocks({ ...common, protocol }), input).label,
    );
    return labels.join('; ');
  },
};

export const proxyTargets: readonly FuzzTarget[] = [http, socks];
