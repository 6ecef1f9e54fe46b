/** Every expected number was printed by OpenVPN 2.6.14 or 2.7.6 ("MTU parms [ mss_fix … max_frag … ]") for these options. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { createCrypto } from '@seikan/native';

import { defaultMssfix, fragmentSize, mssClamp, type PacketShape, type SizeLimit } from '#src/data/packet-size.js';

const crypto = createCrypto();

const session: PacketShape = {
  family: 4,
  transport: 'udp',
  headerSize: 4,
  format: 'aead',
  cipher: crypto.cipher('AES-256-GCM'),
  digestSize: 0,
  longPacketId: false,
  compression: 'none',
  fragment: false,
  device: 'tun',
};

test('the default mssfix gives what the recorded sessions used', () => {
  const cbc = { format: 'block', cipher: crypto.cipher('AES-256-CBC'), digestSize: 32 } as const;
  assert.equal(mssClamp(defaultMssfix, session), 1_400);
  assert.equal(mssClamp(defaultMssfix, { ...session, ...cbc }), 1_363);
  assert.equal(mssClamp(defaultMssfix, { ...session, format: 'epoch' }), 1_396);
});

// Static keys, verb 4, `--fragment`. Stock counts an IPv6 header in `mtu` mode as long as it does not know the peer's address.
const fixed: PacketShape = {
  ...session,
  family: 6,
  headerSize: 0,
  format: 'block',
  cipher: crypto.cipher('AES-256-CBC'),
  digestSize: 20,
  longPacketId: true,
  fragment: true,
};

const payload = (size: number): SizeLimit => ({ size, mode: 'payload' });
const mtu = (size: number): SizeLimit => ({ size, mode: 'mtu' });

const plain = { cipher: undefined } as const;
const printed: [
  string,
  Partial<PacketShape>,
  { fragment: SizeLimit; maxFrag: number; mssfix: SizeLimit; mss: number },
][] = [
  ['fragment 1300', {}, { fragment: payload(1_300), maxFrag: 1_251, mssfix: mtu(1_300), mss: 1_163 }],
  ['fragment 1300 mtu', {}, { fragment: mtu(1_300), maxFrag: 1_203, mssfix: mtu(1_300), mss: 1_163 }],
  ['mssfix 1200', {}, { fragment: payload(1_300), maxFrag: 1_251, mssfix: payload(1_200), mss: 1_099 }],
  ['mssfix 1200 mtu', {}, { fragment: payload(1_300), maxFrag: 1_251, mssfix: mtu(1_200), mss: 1_051 }],
  [
    'mssfix 1200 fixed',
    {},
    { fragment: payload(1_300), maxFrag: 1_251, mssfix: { size: 1_200, mode: 'fixed' }, mss: 1_160 },
  ],
  [
    'comp-lzo no',
    { compression: 'lzo-no' },
    { fragment: payload(1_301), maxFrag: 1_251, mssfix: mtu(1_301), mss: 1_162 },
  ],
  ['stub-v2', { compression: 'stub-v2' }, { fragment: payload(1_302), maxFrag: 1_251, mssfix: mtu(1_302), mss: 1_163 }],
  [
    'cipher none, auth SHA256',
    { ...plain, digestSize: 32 },
    { fragment: payload(1_303), maxFrag: 1_259, mssfix: mtu(1_303), mss: 1_171 },
  ],
  [
    'cipher none, auth none',
    { ...plain, digestSize: 0 },
    { fragment: payload(500), maxFrag: 488, mssfix: mtu(500), mss: 400 },
  ],
  [
    'tap, auth none',
    { device: 'tap', digestSize: 0 },
    { fragment: payload(1_304), maxFrag: 1_267, mssfix: mtu(1_304), mss: 1_147 },
  ],
  ['udp6, SHA256', { digestSize: 32 }, { fragment: mtu(1_300), maxFrag: 1_187, mssfix: mtu(1_300), mss: 1_147 }],
];

for (const [name, shape, expected] of printed) {
  test(`static key, ${name}: fragment size and MSS as stock prints them`, () => {
    // max_frag leaves the fragment header out.
    assert.equal(fragmentSize(expected.fragment, { ...fixed, ...shape }), expected.maxFrag + 4);
    assert.equal(mssClamp(expected.mssfix, { ...fixed, ...shape }), expected.mss);
  });
}

test('no limit is 0, and a limit without room is 0', () => {
  assert.equal(mssClamp({ size: 0, mode: 'mtu' }, session), 0);
  assert.equal(fragmentSize({ size: 0, mode: 'payload' }, session), 0);
  assert.equal(mssClamp({ size: 60, mode: 'mtu' }, session), 0);
  assert.equal(fragmentSize({ size: 10, mode: 'mtu' }, session), 0);
  assert.equal(mssClamp({ size: 20, mode: 'fixed' }, session), 0);
});
