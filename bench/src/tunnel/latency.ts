/**
 * Round trips of small datagrams through a tunnel: idle, while it carries what openvpn carries at its own saturation,
 * and while four TCP streams saturate it.
 */
import { type Figures, type Measure, rotated } from './measure.js';
import { type Echoes, echo, type Transferred, transfer } from './traffic.js';
import type { ContenderName, Tunnel } from './tunnel.js';

const STREAMS = 4;
/** From the start of the load until it is in full swing. */
const RAMP_MS = 700;

export function latency(traffic: string, { seconds }: { seconds: number }): Measure {
  const beside: ContenderName[] = ['openvpn', 'forwarder'];
  const underLoad = async (tunnel: Tunnel, rate?: number): Promise<[Echoes, Transferred]> => {
    const load = transfer(tunnel, { streams: STREAMS, seconds: Math.ceil(seconds + 1.5), rate });
    const echoes = async (): Promise<Echoes> => {
      await new Promise((resume) => setTimeout(resume, RAMP_MS));
      return echo(tunnel, traffic, seconds);
    };
    return Promise.all([echoes(), load]);
  };
  return {
    name: 'rtt',
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
      const stock = tunnels.get('openvpn');
      const [stockEchoes, stockLoad] = stock === undefined ? [] : await underLoad(stock);
      const figures = new Map<ContenderName, Figures>();
      for (const [name, tunnel] of rotated(tunnels, round)) {
        const idle = await echo(tunnel, traffic, seconds);
        const [load] =
          stockLoad === undefined || name === 'openvpn'
            ? [stockEchoes]
            : await underLoad(tunnel, stockLoad.megabits * 1e6);
        const [full, carried] =
          name === 'openvpn' && stockEchoes !== undefined && stockLoad !== undefined
            ? [stockEchoes, stockLoad]
            : await underLoad(tunnel);
        figures.set(name, {
          idle: idle.p50,
          idle99: idle.p99,
          load: load?.p50 ?? Number.NaN,
          load99: load?.p99 ?? Number.NaN,
          saturated: full.p50,
          saturated99: full.p99,
          megabits: carried.megabits,
        });
        progress(`${name}: ${idle.p50} idle, ${load?.p50 ?? '–'} at openvpn's load, ${full.p50} saturated, µs`);
      }
      return figures;
    },
  };
}
