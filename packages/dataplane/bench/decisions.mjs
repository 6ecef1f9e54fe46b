/**
 * What deciding about a packet costs, without crypto and system calls: `node packages/dataplane/bench/decisions.mjs [peers
 * that send in turn]` after a build. Run by hand on a quiet machine; the aim is under 50 ns a packet.
 */
import { Packet, ReplayWindow } from '@seikan/core';
import { createCrypto } from '@seikan/native';
import { ipv4Packet } from '@seikan/testkit';

import { CounterTable } from '#src/counters.js';
import { DataPlane } from '#src/data-plane.js';
import { PrefixTable } from '#src/prefix-table.js';

/** Registered, and how many of them send in turn (more than a batch leaves the processor's cache). */
const PEERS = 1_000;
const ACTIVE = Number(process.argv[2] ?? 32);

const settings = { mode: 'server', device: 'tun', maxPeers: PEERS, clientToClient: false, maxLearned: 256 };
const outlets = {
  toLink: () => undefined,
  toTun: () => undefined,
  event: () => undefined,
  mayReport: () => true,
  rearm: () => undefined,
};
const crypto = createCrypto();
const ports = { crypto, random: () => undefined, unixTime: () => 0 };
const plane = new DataPlane({ settings, ports, outlets, counters: new CounterTable(settings.maxPeers) });
plane.external.datagramLinks.add(1);

const direction = { cipher: new Uint8Array(32).fill(1), auth: new Uint8Array(8) };
const key = {
  format: 'aead',
  cipher: 'AES-256-GCM',
  digest: 'none',
  send: direction,
  receive: direction,
  replayWindow: 64,
  replayTime: 15_000,
  longPacketId: false,
};

const remotes = Array.from({ length: PEERS }, (_, index) => ({
  family: 4,
  address: `198.51.${index >> 8}.${index & 255}`,
  port: 1_194,
}));
for (const [index, remote] of remotes.entries()) {
  const peer = { index, generation: 1 };
  plane.handle(
    {
      verb: 'newPeer',
      peer,
      settings: {
        link: 1,
        remote,
        sendPeerId: index,
        receivePeerId: index,
        float: true,
        pingInterval: 10_000,
        pingTimeout: 60_000,
        mssClamp: 1_400,
        fragmentSize: 0,
        compression: 'none',
        guardRecursion: false,
        blockIpv6: false,
      },
    },
    0,
  );
  plane.handle({ verb: 'newKey', peer, keyId: 0, key }, 0);
  plane.handle({ verb: 'swapKeys', peer, primary: 0 }, 0);
  const network = Uint8Array.of(10, 8, index >> 8, index & 255);
  plane.handle({ verb: 'addRoute', peer, route: { family: 4, network, bits: 32 } }, 0);
}
for (let i = 0; i < 10_000; i += 1) {
  const network = Uint8Array.of(172, 16 + (i >> 13), i >> 5, (i & 31) << 3);
  const peer = { index: i % PEERS, generation: 1 };
  plane.handle({ verb: 'addRoute', peer, route: { family: 4, network, bits: 29 } }, 0);
}

const payload = new Uint8Array(1_380);
const datagrams = remotes.map((_, index) =>
  Uint8Array.of(9 << 3, index >> 16, index >> 8, index, 0, 0, 0, 1, ...payload),
);
const inners = remotes.map((_, index) =>
  ipv4Packet({ from: `10.8.${index >> 8}.${index & 255}`, to: '10.8.255.1', protocol: 6, payload }),
);
const outers = remotes.map((_, index) =>
  ipv4Packet({ from: '10.8.255.1', to: `10.8.${index >> 8}.${index & 255}`, payload }),
);
const packet = new Packet(new Uint8Array(0));
const arrival = { link: 1, from: remotes[0] };
const window = new ReplayWindow({ size: 64, time: 15_000 });

const ROUNDS = 400_000;
const TRIES = 15;

/** The median over some tries of the mean over many calls: one call is too short to be timed. */
function measure(what, decide) {
  const means = [];
  for (let t = 0; t < TRIES; t += 1) {
    const start = process.hrtime.bigint();
    for (let i = 0; i < ROUNDS; i += 1) decide();
    means.push(Number(process.hrtime.bigint() - start) / ROUNDS);
  }
  means.sort((a, b) => a - b);
  console.log(`${means[TRIES >> 1].toFixed(1).padStart(6)} ns   ${what}`);
}

let next = 0;
let id = 0;
function turn() {
  next = next + 1 >= ACTIVE ? 0 : next + 1;
  return next;
}

measure('link: header → peer → key slot', () => {
  const index = turn();
  const datagram = datagrams[index];
  packet.set(datagram, 0, datagram.length);
  arrival.from = remotes[index];
  return plane.external.slotOf(packet, arrival);
});
measure('link: replay window and usage', () => {
  id += 1;
  return window.accept(id, 0);
});
measure('link: counters, address, source check, MSS, to tun', () => {
  const index = turn();
  const inner = inners[index];
  packet.set(inner, 0, inner.length);
  arrival.from = remotes[index];
  plane.fromLink.accept(plane.peers.at(index).primary, packet, 1_424, arrival, 0);
});
measure('tun: destination → peer, with 11 000 routes', () => plane.internal.ownerOf(4, outers[turn()], 16));

for (const routes of [10, 10_000]) {
  const table = new PrefixTable(4);
  for (let i = 0; i < routes; i += 1) table.set(Uint8Array.of(10, i >> 16, i >> 8, i), i % 4 === 0 ? 29 : 32, i);
  const asked = Array.from({ length: PEERS }, (_, i) =>
    Uint8Array.of(10, 0, ((i * 7) % routes) >> 8, (i * 7) % routes),
  );
  measure(`route lookup among ${routes}`, () => table.lookup(asked[turn()], 0));
}
