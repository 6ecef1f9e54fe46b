import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type MessageWriter, NetlinkError, type NetlinkMessage, parseMessages } from '@seikan/netconf';

import { GenericNetlink, genericRequest } from '#src/generic-netlink.js';
import { NetlinkTunnel } from '#src/kernel-tunnel.js';
import { ovpnCodec } from '#src/ovpn.js';

test('asks the kernel for a family and its groups', () => {
  const netlink = new GenericNetlink();
  const controller = netlink.family('nlctrl');
  assert.equal(controller?.id, 16);
  assert.deepEqual([...(controller?.groups.keys() ?? [])], ['notify']);
  assert.equal(netlink.family('no-such-fam'), undefined);
  netlink.close();
});

test('a refusal is thrown where the request was made, and the next request is not disturbed', () => {
  const netlink = new GenericNetlink();
  assert.throws(
    () => netlink.request('nonsense', genericRequest(16, 99)),
    (error) => error instanceof NetlinkError && error.code === 'ENOTSUP' && error.message.startsWith('nonsense: '),
  );
  assert.equal(netlink.family('nlctrl')?.name, 'nlctrl');
  netlink.close();
});

test('reads dumps of more than one datagram', () => {
  const netlink = new GenericNetlink();
  const families = netlink.request('list families', genericRequest(16, 3, 'dump'));
  assert.ok(families.length > 1);
  netlink.close();
});

test('wipes what it has sent, keys that is', () => {
  const netlink = new GenericNetlink();
  const writer = genericRequest(16, 99).attribute(1, new Uint8Array(200).fill(0x55));
  assert.throws(() => netlink.request('nonsense', writer), NetlinkError);
  assert.equal(writer.finish(0).includes(0x55), false);
  netlink.close();
});

/** A kernel that answers with what it was given, and remembers what it was asked. */
class ScriptedKernel {
  readonly asked: { what: string; command: number | undefined }[] = [];
  answer: () => NetlinkMessage[] = () => [];

  request(what: string, writer: MessageWriter): NetlinkMessage[] {
    const [message] = parseMessages(writer.finish(1).slice());
    this.asked.push({ what, command: message?.payload[0] });
    return this.answer();
  }
}

function tunnelOver(requests: ScriptedKernel): NetlinkTunnel {
  return new NetlinkTunnel({
    requests,
    codec: ovpnCodec,
    family: { name: 'nlctrl', id: 16, groups: new Map([['peers', 16]]) },
    link: { index: 7, name: 'tun0' },
  });
}

test('names link and peer in what it asks', () => {
  const kernel = new ScriptedKernel();
  const tunnel = tunnelOver(kernel);
  tunnel.listen({ event: () => undefined, failure: () => undefined });
  tunnel.swapKeys(5);
  tunnel.deletePeer(5);
  assert.deepEqual(kernel.asked, [
    { what: 'tun0: swap keys of peer 5', command: 8 },
    { what: 'tun0: delete peer 5', command: 4 },
  ]);
  tunnel.close();
});

test('a peer that the kernel does not have reads as none; other refusals are thrown', () => {
  const kernel = new ScriptedKernel();
  const tunnel = tunnelOver(kernel);
  kernel.answer = () => {
    throw new NetlinkError('read peer', 2);
  };
  assert.equal(tunnel.readPeer(5), undefined);
  kernel.answer = () => {
    throw new NetlinkError('read peer', 1);
  };
  assert.throws(() => tunnel.readPeer(5), NetlinkError);
  tunnel.close();
  tunnel.close();
});

test('a family without the group of peers cannot be listened to', () => {
  const tunnel = new NetlinkTunnel({
    requests: new ScriptedKernel(),
    codec: ovpnCodec,
    family: { name: 'other', id: 28, groups: new Map() },
    link: { index: 7, name: 'tun0' },
  });
  assert.throws(() => tunnel.listen({ event: () => undefined, failure: () => undefined }), /has no group "peers"/);
});
