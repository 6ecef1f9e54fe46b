import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  addIpv6,
  bitsNetmask,
  formatIpv4,
  formatIpv6,
  netmaskBits,
  parseIpv4,
  parseIpv6,
  parseIpv6Prefix,
} from '#src/options/address.js';

const canonical = (text: string): string | undefined => {
  const bytes = parseIpv6(text);
  return bytes === undefined ? undefined : formatIpv6(bytes);
};

test('IPv4 addresses are four decimal numbers', () => {
  assert.equal(parseIpv4('10.8.0.1'), 0x0a08_0001);
  assert.equal(formatIpv4(0xffff_fffe), '255.255.255.254');
  for (const text of ['', '10.8.0', '10.8.0.256', '10.8.0.1.2', ' 10.8.0.1', '10.8.0.1 ', '0x0a.8.0.1', '10.8.0.-1'])
    assert.equal(parseIpv4(text), undefined, text);
});

test('netmasks are contiguous', () => {
  assert.deepEqual(
    [0, 0x8000_0000, 0xffff_ff00, 0xffff_fffe, 0xffff_ffff].map((mask) => netmaskBits(mask)),
    [0, 1, 24, 31, 32],
  );
  assert.equal(netmaskBits(0xff00_ff00), undefined);
  assert.equal(bitsNetmask(0), 0);
  assert.equal(bitsNetmask(32), 0xffff_ffff);
  assert.equal(bitsNetmask(20), 0xffff_f000);
});

test('IPv6 addresses are written as RFC 5952 says', () => {
  // RFC 5952, sections 4.1 to 4.3 and 5 (mixed notation is read, not written).
  assert.equal(canonical('2001:0db8::0001'), '2001:db8::1');
  assert.equal(canonical('2001:db8:0:0:0:0:2:1'), '2001:db8::2:1');
  assert.equal(canonical('2001:db8::1:1:1:1:1'), '2001:db8:0:1:1:1:1:1');
  assert.equal(canonical('2001:0:0:1:0:0:0:1'), '2001:0:0:1::1');
  assert.equal(canonical('2001:db8:0:0:1:0:0:1'), '2001:db8::1:0:0:1');
  assert.equal(canonical('2001:DB8::AbCd'), '2001:db8::abcd');
  assert.equal(canonical('::ffff:192.0.2.1'), '::ffff:c000:201');
  assert.equal(canonical('::'), '::');
  assert.equal(canonical('fe80::'), 'fe80::');
});

test('what is no IPv6 address is none', () => {
  for (const text of [
    '',
    ':',
    ':::',
    '1::2::3',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '12345::',
    'g::',
    '::1%eth0',
    '1.2.3.4',
    '::1.2.3',
    '1:2:3:4:5:6:7:1.2.3.4',
    ' ::1',
    ':1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:',
  ])
    assert.equal(parseIpv6(text), undefined, text);
});

test('prefixes have a length, or are one address', () => {
  assert.equal(parseIpv6Prefix('fd00::/64')?.bits, 64);
  assert.equal(parseIpv6Prefix('fd00::1')?.bits, 128);
  for (const text of ['fd00::/129', 'fd00::/', 'fd00::/-1', 'fd00::/6 4', '/64'])
    assert.equal(parseIpv6Prefix(text), undefined, text);
});

test('adding to an IPv6 address carries', () => {
  const bytes = parseIpv6('fd00::ff:ffff');
  assert.ok(bytes !== undefined);
  assert.equal(formatIpv6(addIpv6(bytes, 1)), 'fd00::100:0');
  assert.equal(formatIpv6(addIpv6(bytes, 0x1000)), 'fd00::100:fff');
  assert.equal(formatIpv6(bytes), 'fd00::ff:ffff');
});
