/** The compliance harness of the `inline` channel: ends in memory, virtual time, nothing ever to wait for. */
import type { ChannelSettings, DataChannelEvent } from '@seikan/core';
import { InlineDataChannel } from '@seikan/dataplane';
import { createCrypto } from '@seikan/native';

import { type Harness, ownedEvent } from './compliance/harness.js';
import { MemoryLink, MemoryTun } from './memory-ends.js';
import { SeededRandom } from './seeded-random.js';
import { VirtualClock } from './virtual-clock.js';

export function inlineHarness(settings: ChannelSettings): Harness {
  const clock = new VirtualClock();
  let events: DataChannelEvent[] = [];
  const channel = new InlineDataChannel({
    settings,
    crypto: createCrypto(),
    random: new SeededRandom(1).fill,
    clock,
    onEvent: (event) => events.push(ownedEvent(event)),
  });
  return {
    handle: (command) => channel.handle(command),
    openLink: (id) => {
      const link = new MemoryLink();
      channel.openLink(id, link);
      return link;
    },
    openListener: (id) => {
      const listener = new MemoryLink('listener');
      channel.openLink(id, listener);
      return {
        connect: (remote) => {
          const connection = new MemoryLink('stream');
          listener.accept(connection, remote);
          return connection;
        },
      };
    },
    closeLink: (id) => channel.closeLink(id),
    attachTun: () => {
      const tun = new MemoryTun();
      channel.attachTun(tun);
      return tun;
    },
    detachTun: () => channel.detachTun(),
    readCounters: (peer) => channel.readCounters(peer),
    readDrops: () => channel.readDrops(),
    takeEvents: () => {
      const taken = events.filter(({ event }) => event !== 'keyConfirmed');
      events = events.filter(({ event }) => event === 'keyConfirmed');
      return taken;
    },
    takeConfirmations: () => {
      const taken = events.filter((event) => event.event === 'keyConfirmed');
      events = events.filter(({ event }) => event !== 'keyConfirmed');
      return taken;
    },
    advance: (span) => {
      clock.advance(span);
      return Promise.resolve();
    },
    settle: () => Promise.resolve(),
    close: () => channel.close(),
  };
}
