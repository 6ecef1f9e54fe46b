import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { interfaceIndex, interfaceName, NETLINK_BUFFER, NetlinkSocket, resultName } from '@seikan/native';
import { inNetworkNamespace } from '@seikan/testkit';

const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const RTM_NEWLINK = 16;
const RTM_DELLINK = 17;
const RTM_GETLINK = 18;
const RTNLGRP_LINK = 1;

/** nlmsghdr and ifinfomsg for a link by index, or a dump of all. */
function getLink(sequence: number, index: number, dump: boolean): Buffer {
  const message = Buffer.alloc(32);
  message.writeUInt32LE(32, 0);
  message.writeUInt16LE(RTM_GETLINK, 4);
  message.writeUInt16LE(dump ? 0x301 : 0x5, 6); // REQUEST | DUMP, REQUEST | ACK
  message.writeUInt32LE(sequence, 8);
  message.writeInt32LE(index, 20);
  return message;
}

async function receive(socket: NetlinkSocket): Promise<Buffer> {
  const into = Buffer.alloc(NETLINK_BUFFER);
  for (let tries = 0; tries < 200; tries += 1) {
    const length = socket.receive(into);
    if (length < 0) throw new Error(resultName(length));
    if (length > 0) return into.subarray(0, length);
    await sleep(5);
  }
  throw new Error('no answer');
}

function* messages(datagram: Buffer): Generator<Buffer> {
  for (let at = 0; at + 16 <= datagram.length; at += (datagram.readUInt32LE(at) + 3) & ~3)
    yield datagram.subarray(at, at + datagram.readUInt32LE(at));
}

inNetworkNamespace(import.meta.filename, () => {
  test('a request is answered to this socket, and a dump ends with NLMSG_DONE', async () => {
    const socket = NetlinkSocket.open({ protocol: 'route' });
    assert.ok(socket.port > 0);
    socket.send(getLink(7, interfaceIndex('lo') ?? -1, false));
    const [link] = messages(await receive(socket));
    assert.ok(link !== undefined);
    assert.deepEqual(
      [link.readUInt16LE(4), link.readUInt32LE(8), link.readUInt32LE(12)],
      [RTM_NEWLINK, 7, socket.port],
    );
    assert.ok(link.includes('lo\0'));
    const [acknowledged] = messages(await receive(socket));
    assert.equal(acknowledged?.readUInt16LE(4), NLMSG_ERROR);
    assert.equal(acknowledged?.readInt32LE(16), 0);

    socket.send(getLink(8, 0, true));
    const types: number[] = [];
    while (types.at(-1) !== NLMSG_DONE)
      for (const message of messages(await receive(socket))) types.push(message.readUInt16LE(4));
    assert.ok(types.length >= 2 && types.slice(0, -1).every((type) => type === RTM_NEWLINK), String(types));
    assert.equal(socket.receive(new Uint8Array(100)), 0);
    socket.close();
  });

  test('a strict socket refuses a dump with a filter that the kernel would ignore, and says why in words', async () => {
    const socket = NetlinkSocket.open({ protocol: 'route' });
    const odd = getLink(9, 0, true);
    odd.writeUInt32LE(0xff, 28); // ifi_change
    socket.send(odd);
    const [refusal] = messages(await receive(socket));
    assert.equal(refusal?.readInt32LE(16), -22);
    assert.match(refusal?.toString('latin1') ?? '', /Invalid values in header/);
    socket.close();
  });

  test('a member of a group hears of changes until it leaves', async () => {
    const socket = NetlinkSocket.open({ protocol: 'route', groups: [RTNLGRP_LINK] });
    execFileSync('ip', ['tuntap', 'add', 'skn0', 'mode', 'tun']);
    const [born] = messages(await receive(socket));
    assert.equal(born?.readUInt16LE(4), RTM_NEWLINK);
    const index = interfaceIndex('skn0');
    assert.equal(born?.readInt32LE(20), index);
    assert.equal(interfaceName(index ?? -1), 'skn0');
    socket.leave(RTNLGRP_LINK);
    while (socket.receive(new Uint8Array(NETLINK_BUFFER)) > 0);
    execFileSync('ip', ['link', 'delete', 'skn0']);
    await sleep(20);
    assert.equal(socket.receive(new Uint8Array(NETLINK_BUFFER)), 0);
    assert.equal(interfaceIndex('skn0'), undefined);
    assert.equal(interfaceName(index ?? -1), undefined);
    socket.join(RTNLGRP_LINK);
    execFileSync('ip', ['tuntap', 'add', 'skn1', 'mode', 'tun']);
    execFileSync('ip', ['link', 'delete', 'skn1']);
    let last = 0;
    while (last !== RTM_DELLINK) for (const message of messages(await receive(socket))) last = message.readUInt16LE(4);
    socket.close();
  });

  test('a datagram that does not fit is an EMSGSIZE, and the next one comes whole', async () => {
    const socket = NetlinkSocket.open({ protocol: 'route' });
    socket.send(getLink(1, interfaceIndex('lo') ?? -1, false));
    assert.equal(resultName(socket.receive(new Uint8Array(64))), 'EMSGSIZE');
    const [acknowledged] = messages(await receive(socket));
    assert.equal(acknowledged?.readUInt16LE(4), NLMSG_ERROR);
    socket.close();
  });

  test('generic netlink opens too; groups and datagrams that cannot be are refused', () => {
    const socket = NetlinkSocket.open({ protocol: 'generic' });
    assert.throws(() => socket.join(0), RangeError);
    assert.throws(() => socket.join(1e9), { code: /EINVAL|ENOENT/ });
    assert.throws(() => socket.send(new Uint8Array(1 << 20)), { code: 'EMSGSIZE' });
    socket.close();
    assert.throws(() => NetlinkSocket.open({ protocol: 'route', groups: [1e9] }), { code: /ENOENT|EINVAL/ });
  });
});
