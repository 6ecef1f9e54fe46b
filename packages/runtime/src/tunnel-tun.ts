/**
 * The tun of a tunnel: the device, given to the data channel, and the host's network around it, applied and taken back
 * by netconf. Steps follow each other in the order in which they were asked for.
 */

import { type InlineDataChannel, TunEnd } from '@seikan/dataplane';

import type { AskFailure, ConfigureTunAsk, OpenTunAsk } from '@seikan/engine';
import { TunDevice } from '@seikan/native';
import { NetworkSetupError, TunnelNetwork } from '@seikan/netconf';

import { reasonOf } from './materials.js';

export class TunnelTun {
  readonly #channel: InlineDataChannel;
  #network: TunnelNetwork | undefined;
  #name: string | undefined;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(channel: InlineDataChannel) {
    this.#channel = channel;
  }

  open(ask: OpenTunAsk): Promise<{ name: string; mtu: number } | AskFailure> {
    return this.#inTurn(async () => {
      try {
        const device = TunDevice.open({ kind: ask.type, name: ask.device === ask.type ? `${ask.type}%d` : ask.device });
        const { name } = device;
        this.#name = name;
        this.#channel.attachTun(new TunEnd(device, { capacity: ask.mtu + 64 }));
        this.#network = await TunnelNetwork.open();
        return { name, mtu: ask.mtu };
      } catch (error) {
        return { error: `ERROR: Cannot ioctl TUNSETIFF ${ask.device}: ${reasonOf(error)}` };
      }
    });
  }

  configure(ask: ConfigureTunAsk): Promise<{ routeErrors: readonly string[] } | AskFailure> {
    return this.#inTurn(async () => {
      const network = this.#network;
      const device = this.#name;
      if (network === undefined || device === undefined) return { error: 'the tun is not open' };
      const { txQueueLength, gateway4, gateway6, remote, redirect, ...rest } = ask;
      try {
        const { results, warnings } = await network.apply({
          ...rest,
          device,
          ...(txQueueLength === undefined ? {} : { txQueueLength }),
          ...(gateway4 === undefined ? {} : { gateway4 }),
          ...(gateway6 === undefined ? {} : { gateway6 }),
          ...(remote === undefined ? {} : { remote }),
          ...(redirect === undefined ? {} : { redirect }),
        });
        const failed = results.filter(({ outcome }) => outcome === 'failed');
        return {
          routeErrors: [
            ...warnings,
            ...failed.map(({ error }) => `ERROR: ${error?.message ?? 'a route could not be added'}`),
          ],
        };
      } catch (error) {
        const cause =
          error instanceof NetworkSetupError && error.cause instanceof Error ? `: ${error.cause.message}` : '';
        return { error: `ERROR: cannot configure ${device}: ${reasonOf(error)}${cause}` };
      }
    });
  }

  /** Takes back what was applied and closes the device. Idempotent. */
  close(): Promise<object | AskFailure> {
    return this.#inTurn(async () => {
      const network = this.#network;
      this.#network = undefined;
      const undone = await network?.undo();
      await network?.close();
      if (this.#name !== undefined) this.#channel.detachTun();
      this.#name = undefined;
      const [failure] = undone?.failures ?? [];
      return failure === undefined
        ? {}
        : { error: `a change of the network could not be taken back: ${failure.error.message}` };
    });
  }

  #inTurn<Result>(step: () => Promise<Result>): Promise<Result> {
    const result = this.#turn.then(step);
    this.#turn = result.catch(() => undefined);
    return result;
  }
}
