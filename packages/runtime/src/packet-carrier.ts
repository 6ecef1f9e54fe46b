/**
 * Who carries the packets of a tunnel: a data channel, and the device that belongs to it. In a thread of this process, or
 * in the kernel when that was chosen.
 */
import type { ChannelSettings, DataChannel, DataChannelEvent } from '@seikan/core';
import {
  createSystemClock,
  type DataThread,
  descriptorEnds,
  eventLoop,
  KernelDataChannel,
  type LinkSource,
  WorkerDataChannel,
} from '@seikan/dataplane';
import type { KernelOffload } from '@seikan/dco';
import type { LogLine } from '@seikan/engine';
import { type Descriptor, TunDevice } from '@seikan/native';
import type { NetcfgClient } from '@seikan/netcfg';

import { OffloadedTun } from './offloaded-tun.js';
import { ServiceTun } from './service-tun.js';
import type { TunnelDns } from './tunnel-dns.js';
import { type OpenDevice, type TunnelHost, TunnelTun } from './tunnel-tun.js';

export interface PacketCarrier {
  /** Whatever its kind of tun: that is attached by `openDevice`. */
  readonly channel: Omit<DataChannel<LinkSource, never>, 'attachTun' | 'detachTun'>;
  readonly tun: TunnelHost;
  readonly offloaded: boolean;
}

export interface CarrierOptions {
  readonly settings: ChannelSettings;
  /** `passtos`. */
  readonly passesTos: boolean;
  readonly log: (line: LogLine) => void;
  readonly dns: TunnelDns;
  readonly onEvent: (event: DataChannelEvent) => void;
}

/** `service`: makes the tun, for a process without privileges. */
export function inThread(
  thread: DataThread,
  { settings, passesTos: passes, onEvent, log, dns }: CarrierOptions,
  service: NetcfgClient | undefined,
): PacketCarrier {
  const channel = new WorkerDataChannel({ thread, settings, onEvent });
  const passesTos = passes ? settings.device : undefined;
  if (service !== undefined) {
    const attach = (tun: Descriptor) => channel.attachTun({ fd: tun.release(), passesTos });
    const tun = new ServiceTun({ client: service, attach, detach: () => channel.detachTun(), log });
    return { channel, offloaded: false, tun };
  }
  const openDevice: OpenDevice = async ({ type, device, nat }) => {
    const named = { kind: type, name: device === type ? `${type}%d` : device } as const;
    const opened = nat.length > 0 ? TunDevice.open(named) : TunDevice.openOffloaded(named);
    const { name } = opened;
    const translation = nat.length > 0 ? { device: type, rules: nat } : undefined;
    channel.attachTun({ fd: opened.descriptor.release(), translation, passesTos });
    return { name, offloaded: false, close: async () => channel.detachTun() };
  };
  return {
    channel,
    offloaded: false,
    tun: new TunnelTun(openDevice, { log, dns }),
  };
}

export function inKernel(offload: KernelOffload, { settings, log, dns, onEvent }: CarrierOptions): PacketCarrier {
  const ends = descriptorEnds(eventLoop, true);
  const channel = new KernelDataChannel({
    settings,
    clock: createSystemClock(),
    onEvent,
    link: (source: LinkSource) => ends.link(source),
  });
  const mode = settings.mode === 'server' ? 'mp' : 'p2p';
  const openDevice: OpenDevice = async ({ device }, netlink) => {
    const tun = await OffloadedTun.open({ offload, netlink, device, mode, log });
    channel.attachTun(tun);
    const close = async (): Promise<void> => {
      channel.detachTun();
      await tun.remove();
    };
    return { name: tun.name, offloaded: true, close };
  };
  return { channel, offloaded: true, tun: new TunnelTun(openDevice, { log, dns }) };
}
