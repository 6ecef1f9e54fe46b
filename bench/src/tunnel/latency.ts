/**
 * Round trips of small datagrams through a tunnel: idle, while it carries what openvpn carries at its own saturation,
 * and while four TCP streams saturate it.
 */
import { setTimeout as sleep } from 'node:timers/promises';

import { type Figures, type Measure, rotated, twice } from './measure.js';
import { type Echoes, echo, transfer } from './traffic.js';
import type { ContenderName, Tunnel } from './tunnel.js';

const STREAMS = 4;
/** From the start of the load until it is in full swing. */
const RAMP_MS = 700;

interface Loaded {
  readonly echoes: Echoes;
  readonly megabits: number;
}

const nothing: Loaded = { echoes: { p50: Number.NaN, p99: Number.NaN }, megabits: Number.NaN };

export function latency(traffic: string, { seconds }: { seconds: number }): Measure {
  const beside: ContenderName[] = ['openvpn', 'forwarder'];
  const underLoad = async (tunnel: Tunnel, rate?: number): Promise<Loaded> => {
    const load = transfer(tunnel, { streams: STREAMS, seconds: Math.ceil(seconds + 1.5), rate });
    const measured = async (): Promise<Echoes> => {
      await sleep(RAMP_MS);
      return echo(tunnel, traffic, seconds);
    };
    // Both come to their end, also when one fails: what is still running would disturb the next.
    const [echoes, carried] = await Promise.allSettled([measured(), load]);
    if (echoes.status === 'rejected') throw echoes.reason;
    if (carried.status === 'rejected') throw carried.reason;
    return { echoes: echoes.value, megabits: carried.value.megabits };
  };
  return {
    name: 'rtt',
    heading: 'Round trips',
    title: `Round trips of 64 B, µs: idle; with openvpn's load (what openvpn carries of ${STREAMS} streams); saturated by ${STREAMS} streams`,
    columns: [
      { key: 'idle', title: 'idle', digits: 0, beside },
      { key: 'idle99', title: 'p99', digits: 0 },
      { key: 'load', title: "openvpn's load", digits: 0, beside },
      { key: 'load99', title: 'p99', digits: 0 },
      { key: 'saturated', title: 'saturated', digits: 0, beside },
      { key: 'saturated99', title: 'p99', digits: 0 },
      { key: 'megabits', title: 'at Mbit/s', digits: 0 },
    ],
    round: async (tunnels, round, progress) => {
      const tried = (run: () => Promise<Loaded>): Promise<Loaded> => twice(run, nothing, progress);
      const stock = tunnels.get('openvpn');
      const saturatedStock = stock === undefined ? nothing : await tried(() => underLoad(stock));
      const figures = new Map<ContenderName, Figures>();
      for (const [name, tunnel] of rotated(tunnels, round)) {
        const idle = await twice(() => echo(tunnel, traffic, seconds), nothing.echoes, progress);
        const rate = saturatedStock.megabits * 1e6;
        const full = name === 'openvpn' ? saturatedStock : await tried(() => underLoad(tunnel));
        const load =
          name === 'openvpn' || Number.isNaN(rate) ? saturatedStock : await tried(() => underLoad(tunnel, rate));
        figures.set(name, {
          idle: idle.p50,
          idle99: idle.p99,
          load: load.echoes.p50,
          load99: load.echoes.p99,
          saturated: full.echoes.p50,
          saturated99: full.echoes.p99,
          megabits: full.megabits,
        });
        progress(`${name}: ${idle.p50} idle, ${load.echoes.p50} at openvpn's load, ${full.echoes.p50} saturated, µs`);
      }
      return figures;
    },
  };
}
