/** The highest rate of paced datagrams at which less than one in a hundred is lost, found by halving. */
import { type Measure, rotated, twice } from './measure.js';
import { pace } from './traffic.js';
import type { ContenderName, Tunnel } from './tunnel.js';

const SIZES = [64, 1_300] as const;
const LOSS = 0.01;
/** More than any tunnel here carries. */
const CEILING = 1_500_000;
const PROBE_SECONDS = 0.5;

export function paced(traffic: string, { steps }: { steps: number }): Measure {
  const sizes = SIZES.map((bytes) => ({ bytes, key: `${bytes}` }));
  return {
    name: 'udp',
    heading: 'Paced UDP',
    title: 'UDP, paced datagrams from client to server: the highest rate with less than 1 % lost, thousands a second',
    columns: sizes.map(({ bytes, key }) => ({
      key,
      title: `${bytes} B`,
      digits: 1,
      beside: ['openvpn', 'forwarder'],
    })),
    round: async (tunnels, round, progress) => {
      const figures = new Map<ContenderName, Record<string, number>>();
      for (const { bytes, key } of sizes)
        for (const [name, tunnel] of rotated(tunnels, round)) {
          const rate = await twice(() => highestRate(tunnel, traffic, { bytes, steps }), Number.NaN, progress);
          progress(`${name}, ${bytes} B: ${(rate / 1_000).toFixed(1)} thousand a second`);
          figures.set(name, { ...figures.get(name), [key]: rate / 1_000 });
        }
      return figures;
    },
  };
}

/** What comes through an overloaded tunnel tells where to look; `steps` halve the rest. */
async function highestRate(
  tunnel: Tunnel,
  traffic: string,
  { bytes, steps }: { bytes: number; steps: number },
): Promise<number> {
  const probe = (rate: number) => pace(tunnel, traffic, { bytes, rate: Math.round(rate), seconds: PROBE_SECONDS });
  const overload = await probe(CEILING);
  const carried = overload.received / PROBE_SECONDS;
  let low = Math.max(1_000, carried / 4);
  let high = Math.min(CEILING, carried * 1.5);
  let best = 0;
  for (let step = 0; step < steps; step += 1) {
    const rate = Math.sqrt(low * high);
    let { offered, received } = await probe(rate);
    // Once more: on a busy machine a program that is not woken in time is no loss of the tunnel's.
    if (received < (1 - LOSS) * offered) ({ offered, received } = await probe(rate));
    if (received < (1 - LOSS) * offered) high = rate;
    else {
      low = rate;
      best = Math.max(best, received / PROBE_SECONDS);
    }
  }
  return best;
}
