/**
 * The host's network, shared by all tunnels and protected sockets of the service: one change at a time, each with a
 * journal, and where two want the same route it stays until both are done with it.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';

import {
  type Applied,
  type DesiredNetwork,
  RouteNetlink,
  recoverLinks,
  recoverNetworks,
  TunnelNetwork,
  type Undone,
} from '@seikan/netconf';

import { Turn } from './turn.js';

interface Claim {
  readonly network: TunnelNetwork;
  readonly desired: () => DesiredNetwork;
  /** A route that this needs stands by somebody else's hand, perhaps another claim's. */
  borrows: boolean;
}

export interface HostNetworkOptions {
  /** For journals: our own user's, and nobody else's to write. */
  readonly stateFolder: string;
  /** A claim could not be made whole again after another ended. */
  readonly failed: (error: unknown) => void;
}

export class HostNetwork {
  readonly #options: HostNetworkOptions;
  readonly #netlink = new RouteNetlink();
  readonly #claims = new Map<string, Claim>();
  readonly #turn = new Turn();

  private constructor(options: HostNetworkOptions) {
    this.#options = options;
  }

  /** Takes back what a crashed service left. */
  static async open(options: HostNetworkOptions): Promise<{ network: HostNetwork; recovered: readonly Undone[] }> {
    await mkdir(options.stateFolder, { recursive: true, mode: 0o700 });
    const recovered = await recoverNetworks(options.stateFolder);
    // What stood on them is taken back by then.
    await recoverLinks(options.stateFolder);
    return { recovered, network: new HostNetwork(options) };
  }

  /**
   * Makes what a new key wants; single steps that fail are results. `desired` is asked anew when the host has to be
   * looked at again: it may depend on the other devices of the service. Rejects with nothing left behind.
   */
  claim(key: string, desired: () => DesiredNetwork): Promise<Applied> {
    return this.#turn.take(async () => {
      if (this.#claims.has(key)) throw new Error(`${key} is in use`);
      const journalPath = join(this.#options.stateFolder, `${process.pid}-${key}.journal`);
      const network = await TunnelNetwork.open({ netlink: this.#netlink, journalPath, tolerant: true });
      try {
        const applied = await network.apply(desired());
        this.#claims.set(key, { network, desired, borrows: borrows(applied) });
        return applied;
      } catch (error) {
        await network.undo();
        await network.close();
        throw error;
      }
    });
  }

  /** Takes back what a key's claim made. Idempotent. */
  release(key: string): Promise<Undone> {
    return this.#turn.take(async () => {
      const claim = this.#claims.get(key);
      if (claim === undefined) return { steps: [], failures: [] };
      this.#claims.delete(key);
      const undone = await claim.network.undo();
      await claim.network.close();
      if (undone.steps.length > 0) for (const other of this.#claims.values()) await this.#renew(other);
      return undone;
    });
  }

  /** What is claimed stays: release it first. */
  async close(): Promise<void> {
    await this.#turn.take(async () => this.#netlink.close());
  }

  async #renew(claim: Claim): Promise<void> {
    if (!claim.borrows) return;
    try {
      claim.borrows = borrows(await claim.network.apply(claim.desired()));
    } catch (error) {
      this.#options.failed(error);
    }
  }
}

function borrows({ results }: Applied): boolean {
  return results.some(({ step, outcome }) => step.kind === 'route' && outcome === 'existed');
}
