/**
 * What deciding about a packet costs, without crypto and system calls: `node packages/dataplane/bench/decisions.mjs [peers
 * that send in turn]` after a build. Run by hand on a quiet machine; the aim is under 50 ns a packet.
 */
import { Packet, ReplayWindow, writeUint32 } from '@seikan/core';
import { createCrypto, PacketTable } from '@seikan/native';
import { ipv4Packet } from '@seikan/testkit';

import { CounterTable } from '#src/counters.js';
import { DataPlane } from '#src/data-plane.js';
import { FromLinkTable } from '#src/from-link-table.js';
import { KeyNumbers } from '#src/key-numbers.js';
import { MOST_PACKETS, PacketLane } from '#src/packet-lane.js';
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
const peerSettings = (index) => ({
  link: 1,
  remote: remotes[index],
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
});
for (let index = 0; index < PEERS; index += 1) {
  const peer = { index, generation: 1 };
  plane.handle(
    {
      verb: 'newPeer',
      peer,
      settings: peerSettings(index),
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

/** The best over some tries of the mean processor time of many calls: what else the machine does stays out as far as may be. */
function measure(what, decide, packets = 1) {
  let best = Number.POSITIVE_INFINITY;
  for (let t = 0; t < TRIES; t += 1) {
    const start = process.cpuUsage();
    for (let i = 0; i < ROUNDS; i += packets) decide();
    const { user, system } = process.cpuUsage(start);
    best = Math.min(best, ((user + system) * 1_000) / ROUNDS);
  }
  console.log(`${best.toFixed(1).padStart(6)} ns   ${what}`);
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
  const { primary } = plane.peers.at(index);
  plane.fromLink.greet(primary, arrival, 0);
  plane.fromLink.unpack(primary.peer, packet, 0);
});
{
  const RUN = 46;
  const headers = 24;
  const numbers = new KeyNumbers();
  const table = new PacketTable({ packets: MOST_PACKETS, bytes: 0x2_0000, headroom: 128, tailroom: 64 });
  const lane = new PacketLane({
    keys: numbers,
    maxPeers: 1,
    link: () => undefined,
    tun: () => tun,
    server: true,
    lost: () => undefined,
  });
  const tun = { writeTable: () => 0 };
  const inTable = { ...outlets, toTun: (inner) => lane.write(inner) };
  const tablePorts = { ...ports, crypto: numbers.crypto(crypto) };
  const server = new DataPlane({
    settings,
    ports: tablePorts,
    outlets: inTable,
    counters: new CounterTable(PEERS),
    lane,
  });
  server.external.datagramLinks.add(1);
  const peer = { index: 0, generation: 1 };
  server.handle({ verb: 'newPeer', peer, settings: peerSettings(0) }, 0);
  server.handle({ verb: 'newKey', peer, keyId: 0, key }, 0);
  server.handle({ verb: 'addRoute', peer, route: { family: 4, network: Uint8Array.of(10, 8, 0, 0), bits: 32 } }, 0);
  const authentic = {
    open: (into, order, first, count) => {
      for (let k = first; k < count; k += 1) into.verdicts[order[k]] = 1;
    },
  };
  const { external, fromLink, peers } = server;
  const tables = new FromLinkTable({ keys: { ring: authentic }, external, fromLink, peers });
  const from = Array.from({ length: RUN }, () => remotes[0]);
  const datagram = Uint8Array.of(...datagrams[0].subarray(0, 8), ...new Uint8Array(headers - 8), ...inners[0]);
  const place = (i) => 128 + i * datagram.length;
  for (let i = 0; i < RUN; i += 1) table.put(i, datagram, place(i));
  let last = 0;
  for (const count of [RUN, 1]) {
    measure(
      `link: all of it, by the table, in runs of ${count}`,
      () => {
        for (let i = 0; i < count; i += 1) {
          last += 1;
          table.lengths[i] = datagram.length;
          table.offsets[i] = place(i);
          writeUint32(table.slab, place(i) + 4, last);
        }
        lane.work(table);
        tables.receive(table, count, from, 1, 0);
        lane.work(undefined);
      },
      count,
    );
  }
}
measure('tun: destination → peer, with 11 000 routes', () => plane.internal.ownerOf(4, outers[turn()], 16));

for (const routes of [10, 10_000]) {
  const table = new PrefixTable(4);
  for (let i = 0; i < routes; i += 1) table.set(Uint8Array.of(10, i >> 16, i >> 8, i), i % 4 === 0 ? 29 : 32, i);
  const asked = Array.from({ length: PEERS }, (_, i) =>
    Uint8Array.of(10, 0, ((i * 7) % routes) >> 8, (i * 7) % routes),
  );
  measure(`route lookup among ${routes}`, () => table.lookup(asked[turn()], 0));
}
