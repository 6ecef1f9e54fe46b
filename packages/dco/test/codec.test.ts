/** Vectors written by hand from Linux Documentation/netlink/specs/ovpn.yaml and ovpn-dco's ovpn_dco.h; little-endian. */
import assert from 'node:assert/strict';
import { endianness } from 'node:os';
import { describe, test } from 'node:test';

import { type MessageWriter, NetlinkFormatError, parseMessages } from '@seikan/netconf';
import { assert as check, property, uint8Array } from 'fast-check';

import { genericRequest, parseFamily, parseGeneric } from '#src/generic-netlink.js';
import { type OffloadCodec, type OffloadKey, type OffloadPeer, writeLinkMode } from '#src/offload-codec.js';
import { ovpnCodec } from '#src/ovpn.js';
import { ovpnDcoV2Codec } from '#src/ovpn-dco-v2.js';

const skip = endianness() === 'LE' ? false : 'the vectors are little-endian';

const FAMILY = 0x1c;
const LINK = 7;
const begin = (command: number): MessageWriter => genericRequest(FAMILY, command).attributeU32(1, LINK);

/** Bytes of a listing: everything behind a `;` is a remark. */
function bytes(listing: string): Uint8Array {
  const text = listing.replaceAll(/;.*$/gm, '').replaceAll(/\s/g, '');
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

function assertRequest(writer: MessageWriter, listing: string): void {
  assert.equal(Buffer.from(writer.finish(1)).toString('hex'), Buffer.from(bytes(listing)).toString('hex'));
}

function message(listing: string) {
  const [first, ...rest] = parseMessages(bytes(listing));
  assert.ok(first !== undefined && rest.length === 0);
  return parseGeneric(first);
}

const udpPeer: OffloadPeer = {
  peerId: 5,
  socket: 9,
  remote: { family: 4, address: '198.51.100.7', port: 1194 },
  vpn4: '10.8.0.2',
  vpn6: undefined,
};

const udp6Peer: OffloadPeer = {
  peerId: 0xfffffe,
  socket: 9,
  remote: { family: 6, address: 'fe80::7', port: 1194, scope: 3 },
  vpn4: undefined,
  vpn6: 'fd00::2',
};

const tcpPeer: OffloadPeer = { peerId: 5, socket: 9, remote: undefined, vpn4: undefined, vpn6: undefined };

const local4Peer: OffloadPeer = { ...tcpPeer, local: '192.0.2.9' };
const local6Peer: OffloadPeer = { ...tcpPeer, local: 'fe80::9' };

const key: OffloadKey = {
  peerId: 5,
  slot: 'secondary',
  keyId: 3,
  cipher: 'aes-gcm',
  encrypt: { cipher: new Uint8Array(16).fill(0x11), nonceTail: new Uint8Array(8).fill(0x22) },
  decrypt: { cipher: new Uint8Array(16).fill(0x33), nonceTail: new Uint8Array(8).fill(0x44) },
};

const header = (length: string, command: string) =>
  `${length} 0000 1c00 0500 01000000 00000000  ${command} 00 0000  0800 0100 07000000\n`;

const keyHalves = `
  2400 0580  1400 0100 11111111111111111111111111111111  0c00 0200 2222222222222222
  2400 0680  1400 0100 33333333333333333333333333333333  0c00 0200 4444444444444444`;

describe('mainline family ovpn', { skip }, () => {
  const codec: OffloadCodec = ovpnCodec;

  test('writes peers over UDP and TCP', () => {
    assertRequest(
      codec.newPeer(begin, udpPeer),
      `${header('4800', '01')}
       2c00 0280                  ; peer
         0800 0100 05000000       ; id
         0800 0200 c6336407       ; remote address
         0600 0500 04aa 0000      ; remote port
         0800 0600 09000000       ; socket
         0800 0800 0a080002       ; its address in the tunnel`,
    );
    assertRequest(
      codec.newPeer(begin, udp6Peer),
      `${header('6800', '01')}
       4c00 0280
         0800 0100 feffff00
         1400 0300 fe800000000000000000000000000007
         0800 0400 03000000       ; scope
         0600 0500 04aa 0000
         0800 0600 09000000
         1400 0900 fd000000000000000000000000000002`,
    );
    assertRequest(
      codec.newPeer(begin, tcpPeer),
      `${header('3000', '01')}
       1400 0280  0800 0100 05000000  0800 0600 09000000`,
    );
    assertRequest(
      codec.newPeer(begin, local4Peer),
      `${header('3800', '01')}
       1c00 0280  0800 0100 05000000  0800 0600 09000000
         0800 0a00 c0000209       ; own address`,
    );
    assertRequest(
      codec.newPeer(begin, local6Peer),
      `${header('4400', '01')}
       2800 0280  0800 0100 05000000  0800 0600 09000000
         1400 0b00 fe800000000000000000000000000009`,
    );
  });

  test('writes what concerns a peer', () => {
    assertRequest(
      codec.setKeepalive(begin, { peerId: 5, interval: 10, timeout: 60 }),
      `${header('3800', '02')} 1c00 0280  0800 0100 05000000  0800 0d00 0a000000  0800 0e00 3c000000`,
    );
    assertRequest(codec.deletePeer(begin, 5), `${header('2800', '04')} 0c00 0280  0800 0100 05000000`);
    assertRequest(codec.getPeer(begin, 5), `${header('2800', '03')} 0c00 0280  0800 0100 05000000`);
  });

  test('writes keys', () => {
    assertRequest(
      codec.newKey(begin, key),
      `${header('8800', '06')}
       6c00 0380
         0800 0100 05000000  0800 0200 01000000  0800 0300 03000000  0800 0400 01000000 ${keyHalves}`,
    );
    assertRequest(codec.swapKeys(begin, 5), `${header('2800', '08')} 0c00 0380  0800 0100 05000000`);
    assertRequest(
      codec.deleteKey(begin, 5, 'primary'),
      `${header('3000', '0a')} 1400 0380  0800 0100 05000000  0800 0200 00000000`,
    );
  });

  test('reads a peer, its counters in four or eight bytes', () => {
    const state = codec.readPeer(
      message(`
        9400 0000 1c00 0000 01000000 00000000  03 00 0000
        8000 0280
          0800 0100 05000000                      ; id
          0800 0800 0a080002                      ; vpn address
          0800 0d00 0a000000  0800 0e00 3c000000  ; keepalive
          0800 0200 c6336407  0600 0500 04aa 0000 ; remote
          0600 0c00 c350 0000                     ; local port 50000
          0800 1000 e8030000  0800 1200 0a000000  ; vpn read: 1000 bytes in 10
          0c00 1100 0000000001000000              ; vpn written: 2^32 bytes
          0800 1300 14000000                      ; in 20
          0800 1400 4c040000  0800 1600 0b000000  ; link read: 1100 bytes in 11
          0800 1500 b0040000  0800 1700 0c000000  ; link written: 1200 bytes in 12`),
    );
    assert.deepEqual(state, {
      peerId: 5,
      remote: { family: 4, address: '198.51.100.7', port: 1194 },
      vpn4: '10.8.0.2',
      vpn6: undefined,
      localPort: 50_000,
      keepaliveInterval: 10,
      keepaliveTimeout: 60,
      vpn: { readBytes: 1000, writtenBytes: 4_294_967_296, readPackets: 10, writtenPackets: 20 },
      link: { readBytes: 1100, writtenBytes: 1200, readPackets: 11, writtenPackets: 12 },
    });
  });

  test('reads notifications of its link only', () => {
    const expired = message(`
      3000 0000 1c00 0000 00000000 00000000  05 00 0000  0800 0100 07000000
      1400 0280  0800 0f00 02000000  0800 0100 05000000`);
    assert.deepEqual(codec.readEvent(expired, LINK), { event: 'peerDeleted', peerId: 5, reason: 'expired' });
    assert.equal(codec.readEvent(expired, LINK + 1), undefined);
    const exhausted = message(`
      3000 0000 1c00 0000 00000000 00000000  09 00 0000  0800 0100 07000000
      1400 0380  0800 0100 05000000  0600 0300 0300 0000`);
    assert.deepEqual(codec.readEvent(exhausted, LINK), { event: 'keyExhausted', peerId: 5, keyId: 3 });
    const floated = message(`
      5400 0000 1c00 0000 00000000 00000000  0b 00 0000  0800 0100 07000000
      3800 0280  0800 0100 05000000  1400 0300 fe800000000000000000000000000008
                 0800 0400 03000000  0600 0500 04ab 0000  0500 3000 00 000000   ; and something new`);
    assert.deepEqual(codec.readEvent(floated, LINK), {
      event: 'floated',
      peerId: 5,
      remote: { family: 6, address: 'fe80::8', port: 1195, scope: 3 },
    });
  });

  test('passes over notifications that say nothing, or something new', () => {
    const reasonless = message(`
      3000 0000 1c00 0000 00000000 00000000  05 00 0000  0800 0100 07000000
      1400 0280  0800 0f00 63000000  0800 0100 05000000`);
    assert.equal(codec.readEvent(reasonless, LINK), undefined);
    const nameless = message(`
      2800 0000 1c00 0000 00000000 00000000  05 00 0000  0800 0100 07000000
      0c00 0280  0800 0f00 02000000`);
    assert.equal(codec.readEvent(nameless, LINK), undefined);
    assert.equal(
      codec.readEvent(message('1c00 0000 1c00 0000 00000000 00000000  63 00 0000  0800 0100 07000000'), LINK),
      undefined,
    );
  });
});

describe('out-of-tree family ovpn-dco-v2', { skip }, () => {
  const codec: OffloadCodec = ovpnDcoV2Codec;

  test('writes peers over UDP and TCP', () => {
    assertRequest(
      codec.newPeer(begin, udpPeer),
      `${header('4c00', '01')}
       3000 0280
         0800 0100 05000000
         1400 0200  0200 04aa c6336407 0000000000000000   ; sockaddr_in
         0800 0300 09000000
         0800 0400 0a080002`,
    );
    assertRequest(
      codec.newPeer(begin, udp6Peer),
      `${header('6400', '01')}
       4800 0280
         0800 0100 feffff00
         2000 0200  0a00 04aa 00000000 fe800000000000000000000000000007 03000000
         0800 0300 09000000
         1400 0500 fd000000000000000000000000000002`,
    );
    assertRequest(
      codec.newPeer(begin, tcpPeer),
      `${header('3000', '01')} 1400 0280  0800 0100 05000000  0800 0300 09000000`,
    );
    assertRequest(
      codec.newPeer(begin, local4Peer),
      `${header('3800', '01')}
       1c00 0280  0800 0100 05000000  0800 0300 09000000  0800 0600 c0000209`,
    );
    assertRequest(
      codec.newPeer(begin, local6Peer),
      `${header('4400', '01')}
       2800 0280  0800 0100 05000000  0800 0300 09000000  1400 0600 fe800000000000000000000000000009`,
    );
  });

  test('writes what concerns a peer', () => {
    assertRequest(
      codec.setKeepalive(begin, { peerId: 5, interval: 10, timeout: 60 }),
      `${header('3800', '02')} 1c00 0380  0800 0100 05000000  0800 0200 0a000000  0800 0300 3c000000`,
    );
    assertRequest(codec.deletePeer(begin, 5), `${header('2800', '03')} 0c00 0480  0800 0200 05000000`);
    assertRequest(codec.getPeer(begin, 5), `${header('2800', '07')} 0c00 0880  0800 0100 05000000`);
  });

  test('writes keys, small numbers small', () => {
    assertRequest(
      codec.newKey(begin, key),
      `${header('8800', '04')}
       6c00 0580
         0800 0100 05000000  0500 0200 01 000000  0500 0300 03 000000  0600 0400 0100 0000 ${keyHalves}`,
    );
    assertRequest(codec.swapKeys(begin, 5), `${header('2800', '05')} 0c00 0680  0800 0100 05000000`);
    assertRequest(
      codec.deleteKey(begin, 5, 'secondary'),
      `${header('3000', '06')} 1100 0780  0800 0100 05000000  0500 0200 01 000000`,
    );
  });

  test('reads a peer behind IPv6', () => {
    const state = codec.readPeer(
      message(`
        9400 0000 1c00 0000 01000000 00000000  07 00 0000
        8000 0880
          0800 0100 05000000
          1400 0400 fd000000000000000000000000000002
          0800 0700 0a000000  0800 0800 3c000000
          2000 0200  0a00 04aa 00000000 fe800000000000000000000000000007 03000000
          0600 0600 c350 0000
          0c00 0900 e803000000000000  0800 0b00 0a000000
          0c00 0a00 0000000001000000  0800 0c00 14000000`),
    );
    assert.deepEqual(state, {
      peerId: 5,
      remote: { family: 6, address: 'fe80::7', port: 1194, scope: 3 },
      vpn4: undefined,
      vpn6: 'fd00::2',
      localPort: 50_000,
      keepaliveInterval: 10,
      keepaliveTimeout: 60,
      vpn: { readBytes: 1000, writtenBytes: 4_294_967_296, readPackets: 10, writtenPackets: 20 },
      link: { readBytes: 0, writtenBytes: 0, readPackets: 0, writtenPackets: 0 },
    });
  });

  test('reads that a peer was deleted', () => {
    const disconnected = message(`
      3000 0000 1c00 0000 00000000 00000000  03 00 0000  0800 0100 07000000
      1400 0480  0500 0100 04 000000  0800 0200 05000000`);
    assert.deepEqual(codec.readEvent(disconnected, LINK), {
      event: 'peerDeleted',
      peerId: 5,
      reason: 'transport-disconnect',
    });
    assert.equal(codec.readEvent(disconnected, LINK + 1), undefined);
  });
});

test('reads a family with its groups', { skip }, () => {
  const [answer] = parseMessages(
    bytes(`
      4c00 0000 1000 0000 01000000 00000000  01 02 0000
      0900 0200 6f76706e 00 000000   ; "ovpn"
      0600 0100 1c00 0000            ; id
      2400 0700                      ; groups
        2000 0100  0800 0200 05000000  0a00 0100 7065657273 00 0000  0800 6300 00000000`),
  );
  assert.ok(answer !== undefined);
  assert.deepEqual(parseFamily(answer), { name: 'ovpn', id: 28, groups: new Map([['peers', 5]]) });
});

test('bytes that are no messages are a NetlinkFormatError or read as nothing', () => {
  check(
    property(uint8Array({ maxLength: 96 }), (payload) => {
      for (const codec of [ovpnCodec, ovpnDcoV2Codec]) {
        try {
          const parsed = parseGeneric({ type: FAMILY, flags: 0, sequence: 0, portId: 0, payload });
          codec.readEvent(parsed, LINK);
          codec.readPeer(parsed);
        } catch (error) {
          assert.ok(error instanceof NetlinkFormatError, String(error));
        }
      }
    }),
    { numRuns: 2_000 },
  );
});

test('the mode of a link stands inside IFLA_INFO_DATA', { skip }, () => {
  const writer = genericRequest(FAMILY, 0);
  writeLinkMode('mp')(writer);
  assert.equal(Buffer.from(writer.finish(1).subarray(20)).toString('hex'), '0500010001000000');
});
