/** Two inline channels over UDP on loopback, one with a real tun device: the host's packets go through and answers come back. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { type DataChannelEvent, type DataKey, type DirectionKey, type PeerSettings } from '@seikan/core';
import { createSystemClock, InlineDataChannel, TunEnd, UdpLink } from '@seikan/dataplane';
import { createCrypto, TunDevice, UdpSocket } from '@seikan/native';
import { inNetworkNamespace, ipv4Packet, MemoryTun, SeededRandom } from '@seikan/testkit';

const ip = (...argv: string[]) => execFileSync('ip', argv);

function openChannel(onEvent: (event: DataChannelEvent) => void) {
  const socket = UdpSocket.open({ family: 4, bind: { address: '127.0.0.1', port: 0 } });
  const { port } = socket.address;
  const channel = new InlineDataChannel({
    settings: { mode: 'p2p', device: 'tun', maxPeers: 1, clientToClient: false, maxLearned: 0, asksToLearn: false },
    crypto: createCrypto(),
    random: new SeededRandom(1).fill,
    clock: createSystemClock(),
    onEvent,
  });
  channel.openLink(1, new UdpLink(socket));
  return { channel, port };
}

function install(channel: InlineDataChannel, port: number, [send, receive]: readonly [number, number]): void {
  const peer = { index: 0, generation: 1 };
  const settings: PeerSettings = {
    link: 1,
    remote: { family: 4, address: '127.0.0.1', port },
    sendPeerId: 0,
    receivePeerId: 0,
    float: false,
    pingInterval: 0,
    pingTimeout: 0,
    mssClamp: 0,
    fragmentSize: 0,
    compression: 'none',
    guardRecursion: false,
    blockIpv6: false,
  };
  const key: DataKey = {
    format: 'aead',
    cipher: 'CHACHA20-POLY1305',
    digest: 'none',
    send: direction(send),
    receive: direction(receive),
    replayWindow: 64,
    replayTime: 15_000,
    longPacketId: false,
  };
  channel.handle({ verb: 'newPeer', peer, settings });
  channel.handle({ verb: 'newKey', peer, keyId: 0, key });
  channel.handle({ verb: 'swapKeys', peer, primary: 0 });
}

function direction(fill: number): DirectionKey {
  return { cipher: new Uint8Array(32).fill(fill), auth: new Uint8Array(8).fill(fill) };
}

inNetworkNamespace(import.meta.filename, () => {
  test('packets of the host cross the channel, answers reach its sockets, and a removed device is reported', async () => {
    const events: DataChannelEvent[] = [];
    const note = (event: DataChannelEvent): void => {
      if (event.event !== 'keyConfirmed') events.push(event);
    };
    const host = openChannel(note);
    const far = openChannel(note);
    install(host.channel, far.port, [1, 2]);
    install(far.channel, host.port, [2, 1]);
    const device = TunDevice.open({ kind: 'tun', name: 'tun' });
    const { name } = device;
    ip('address', 'add', '10.92.0.1/24', 'dev', name);
    ip('link', 'set', name, 'up');
    host.channel.attachTun(new TunEnd(device));
    const tun = new MemoryTun();
    far.channel.attachTun(tun);

    const socket = createSocket('udp4');
    socket.bind(5_000, '10.92.0.1');
    await once(socket, 'listening');
    const answers: string[] = [];
    socket.on('message', (message) => answers.push(message.toString()));
    const texts = Array.from({ length: 100 }, (_, i) => `packet ${i}`);
    for (const text of texts) socket.send(text, 6_000, '10.92.0.2');

    const heard: string[] = [];
    for (let i = 0; i < 4_000 && heard.length < texts.length; i += 1) {
      await sleep(5);
      for (const packet of tun.takeWritten())
        if (packet[9] === 17) heard.push(Buffer.from(packet.subarray(28)).toString());
    }
    assert.deepEqual(heard, texts);

    tun.deliver(...texts.map(udpAnswer), Uint8Array.of(0x10, 1, 2));
    for (let i = 0; i < 4_000 && answers.length < texts.length; i += 1) await sleep(5);
    assert.deepEqual(answers, texts);
    await sleep(20);
    assert.deepEqual(host.channel.readDrops(), { 'tun-full': 1 }, 'the device refuses what is no IP packet');

    ip('link', 'delete', name);
    for (let i = 0; i < 4_000 && events.length === 0; i += 1) await sleep(5);
    assert.deepEqual(events, [{ event: 'tunDown', reason: 'File descriptor in bad state' }]);
    socket.close();
    await host.channel.close();
    await far.channel.close();
  });
});

/** From port 6000 of 10.92.0.2 to port 5000 of 10.92.0.1; a UDP checksum of 0 is none. */
function udpAnswer(text: string): Uint8Array {
  const payload = Buffer.from(text);
  const udp = Uint8Array.from([0x17, 0x70, 0x13, 0x88, 0, 8 + payload.length, 0, 0, ...payload]);
  return ipv4Packet({ from: '10.92.0.2', to: '10.92.0.1', payload: udp });
}
