/**
 * One tunnel's changes to the host's network: made in order, written down before they are made, taken back in reverse.
 * What was there before is left alone, when applying and when undoing.
 *
 * Making a step: planned → done | existed (somebody else's, not ours to undo) | failed. Undoing: done | planned → undone.
 */
import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';

import type { DesiredNetwork } from './desired-network.js';
import { type Entry, type EntryState, JOURNAL_FOLDER, JOURNAL_SUFFIX, Journal, JournalError } from './journal.js';
import { NetlinkError } from './netlink/connection.js';
import { RouteNetlink } from './netlink/route-netlink.js';
import { planNetwork } from './plan.js';
import type { NetworkSnapshot } from './snapshot.js';
import { describeStep, routePlace, type Step, standsAlready, stepKey, without } from './step.js';

export interface TunnelNetworkOptions {
  /** A connection to share; without one the tunnel opens its own and closes it with itself. */
  readonly netlink?: RouteNetlink;
  /** Where to write the journal; without a path nothing survives a crash of the process. */
  readonly journalPath?: string;
  /** Routes that fail never stop `apply`; with this, addresses and link settings do not either. */
  readonly tolerant?: boolean;
}

export interface StepResult {
  readonly step: Step;
  /** `existed`: it was there before. `kept`: made, or found there, by an earlier `apply`. */
  readonly outcome: 'done' | 'kept' | 'existed' | 'failed';
  readonly error?: Error;
}

export interface Applied {
  readonly results: readonly StepResult[];
  /** What an earlier `apply` had made and this one does not want. */
  readonly undone: Undone;
  /** Lines for the log: what could not be planned, in OpenVPN's words. */
  readonly warnings: readonly string[];
}

/** A change that could not be taken back; the others were. */
export interface UndoFailure {
  readonly step: Step;
  readonly error: Error;
}

/** What was taken back, in that order, and what could not be. */
export interface Undone {
  readonly steps: readonly Step[];
  readonly failures: readonly UndoFailure[];
}

/** The device could not be configured; what had been made was taken back. `cause` is the kernel's refusal. */
export class NetworkSetupError extends Error {
  override readonly name = 'NetworkSetupError';
}

/** The kernel has forgotten the change by itself: with the device, with an address, or because somebody was quicker. */
const GONE_ALREADY: ReadonlySet<string> = new Set(['ESRCH', 'EADDRNOTAVAIL', 'ENODEV', 'ENXIO', 'EEXIST']);

export class TunnelNetwork {
  readonly #netlink: RouteNetlink;
  readonly #ownsNetlink: boolean;
  readonly #journal: Journal | undefined;
  readonly #tolerant: boolean;
  /** In the order in which they are to be undone from the end. */
  #entries: Entry[] = [];
  #nextId = 0;
  #recovered: Undone = { steps: [], failures: [] };
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(options: TunnelNetworkOptions, journal: Journal | undefined) {
    this.#netlink = options.netlink ?? new RouteNetlink();
    this.#ownsNetlink = options.netlink === undefined;
    this.#tolerant = options.tolerant ?? false;
    this.#journal = journal;
  }

  /**
   * Opens the journal and takes back what a crashed process left in it: `recovered` says what. What could not be taken
   * back is tried again with the next `undo`. Throws JournalError.
   */
  static async open(options: TunnelNetworkOptions = {}): Promise<TunnelNetwork> {
    const { journalPath } = options;
    const opened = journalPath === undefined ? undefined : await Journal.open(journalPath);
    const network = new TunnelNetwork(options, opened?.journal);
    network.#entries = [...(opened?.left ?? [])];
    network.#nextId = Math.max(-1, ...network.#entries.map(({ id }) => id)) + 1;
    if (network.#entries.length > 0) network.#recovered = await network.undo();
    return network;
  }

  /** What `open` took back. */
  get recovered(): Undone {
    return this.#recovered;
  }

  /**
   * Brings the host to what the tunnel wants, from nothing or from what an earlier `apply` made: what both want stays,
   * the new is made, then the rest of the old is taken back. A change of the device or its addresses takes everything
   * back first, since the kernel drops routes with the address that they stand on.
   * Throws NoSuchDeviceError and NetworkSetupError, both with nothing left behind.
   */
  apply(desired: DesiredNetwork): Promise<Applied> {
    return this.#inTurn(() => this.#apply(desired));
  }

  /** Takes back everything, last first, whatever fails on the way. */
  undo(): Promise<Undone> {
    return this.#inTurn(() => this.#undoAll());
  }

  /** What stands now by our hand, in order. */
  get steps(): readonly Step[] {
    return this.#entries.filter(isOurs).map(({ step }) => step);
  }

  /** Closes the connection and the journal; changes that stand stay, and stay in the journal. */
  async close(): Promise<void> {
    await this.#inTurn(async () => {
      if (this.#ownsNetlink) this.#netlink.close();
      await this.#journal?.close();
    });
  }

  async #apply(desired: DesiredNetwork): Promise<Applied> {
    const current = await readSnapshot(this.#netlink);
    const ours = this.#entries.filter(isOurs);
    const base = without(
      current,
      ours.map(({ step }) => step),
    );
    let plan: ReturnType<typeof planNetwork>;
    try {
      plan = planNetwork(desired, base);
    } catch (error) {
      await this.#undoAll();
      throw error;
    }
    const wanted = new Map(plan.steps.map((step) => [stepKey(step), step]));
    const obsolete = ours.filter(({ step }) => !wanted.has(stepKey(step)));
    if (obsolete.some(({ step }) => needsRebuild(step))) {
      const undone = await this.#undoAll();
      return { ...(await this.#apply(desired)), undone };
    }
    return { ...(await this.#change(plan.steps, obsolete, { base, current })), warnings: plan.warnings };
  }

  /** Makes the wanted steps that are not there by our hand, then takes back the obsolete ones. */
  async #change(
    steps: readonly Step[],
    obsolete: readonly Entry[],
    { base, current }: { base: NetworkSnapshot; current: NetworkSnapshot },
  ): Promise<Pick<Applied, 'results' | 'undone'>> {
    const known = new Set(this.#entries.map(({ step }) => stepKey(step)));
    const kept = new Map(this.#entries.filter(isOurs).map((entry) => [stepKey(entry.step), entry]));
    const places = new Set(steps.filter((step) => step.kind === 'route').map(({ route }) => routePlace(route)));
    const entries: Entry[] = [];
    const seen = new Set<string>();
    for (const step of steps) {
      const key = stepKey(step);
      const earlier = kept.get(key);
      if (seen.has(key)) entries.push(this.#entry(step, 'existed'));
      else if (earlier === undefined)
        entries.push(this.#entry(step, standsAlready(step, base) ? 'existed' : 'planned'));
      else if (standsAlready(step, current)) entries.push(Object.assign(earlier, { state: 'done' }));
      else entries.push(this.#entry(step, 'planned'));
      seen.add(key);
    }
    // After a crash the obsolete ones must go before what they stand on: they come last here.
    this.#entries = [...entries, ...obsolete];
    await this.#journal?.write(this.#entries);

    // An obsolete IPv6 route with the same prefix and metric would refuse its successor; for IPv4 they can meet.
    const inTheWay = obsolete.filter(
      ({ step }) => step.kind === 'route' && step.route.family === 6 && places.has(routePlace(step.route)),
    );
    const early = await this.#undo(inTheWay, current);
    const results: StepResult[] = [];
    for (const entry of entries) {
      const { step, state } = entry;
      if (state === 'done') results.push({ step, outcome: 'kept' });
      else if (state === 'existed') results.push({ step, outcome: known.has(stepKey(step)) ? 'kept' : 'existed' });
      else results.push(await this.#make(entry));
    }
    const late = await this.#undo(obsolete, current);
    this.#entries = this.#entries.filter(({ state }) => state !== 'undone');
    const undone = { steps: [...early.steps, ...late.steps], failures: [...early.failures, ...late.failures] };
    return { results, undone };
  }

  async #make(entry: Entry): Promise<StepResult> {
    const { step } = entry;
    try {
      await make(this.#netlink, step);
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      const existed = error instanceof NetlinkError && error.code === 'EEXIST';
      await this.#mark(entry, existed ? 'existed' : 'failed');
      if (existed) return { step, outcome: 'existed' };
      if (!this.#tolerant && step.kind !== 'route' && step.kind !== 'remove-route') {
        await this.#undoAll();
        throw new NetworkSetupError(`cannot ${describeStep(step)}`, { cause: error });
      }
      return { step, outcome: 'failed', error };
    }
    await this.#mark(entry, 'done');
    return { step, outcome: 'done' };
  }

  async #undoAll(): Promise<Undone> {
    const ours = this.#entries.filter(isOurs);
    const undone =
      ours.length === 0 ? { steps: [], failures: [] } : await this.#undo(ours, await readSnapshot(this.#netlink));
    this.#entries = this.#entries.filter(isOurs);
    if (this.#entries.length === 0) await this.#journal?.remove();
    return undone;
  }

  /**
   * Takes entries back from the last to the first; those that are undone already are passed over.
   * A route that somebody else took away is left alone: the kernel understands "delete 10.0.0.0/8 without metric" as any
   * metric, and would delete somebody else's.
   */
  async #undo(entries: readonly Entry[], current: NetworkSnapshot): Promise<Undone> {
    const steps: Step[] = [];
    const failures: UndoFailure[] = [];
    for (const entry of entries.toReversed()) {
      const { step } = entry;
      if (!isOurs(entry) || (step.kind === 'route' && !standsAlready(step, current))) {
        await this.#mark(entry, 'undone');
        continue;
      }
      try {
        await undo(this.#netlink, step);
        steps.push(step);
      } catch (error) {
        if (!(error instanceof Error)) throw error;
        if (!(error instanceof NetlinkError && GONE_ALREADY.has(error.code))) {
          failures.push({ step, error });
          continue;
        }
      }
      await this.#mark(entry, 'undone');
    }
    return { steps, failures };
  }

  #entry(step: Step, state: EntryState): Entry {
    return { id: this.#nextId++, step, state };
  }

  async #mark(entry: Entry, state: EntryState): Promise<void> {
    if (entry.state === state) return;
    entry.state = state;
    await this.#journal?.mark(entry.id, state);
  }

  #inTurn<T>(action: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(action);
    this.#turn = result.catch(() => {});
    return result;
  }
}

/**
 * Takes back what processes that died left in the journals of a folder; those that run, and those of other network
 * namespaces, are left alone. For the start of a service: a crashed tunnel may never start again under its name.
 */
export async function recoverNetworks(folder = JOURNAL_FOLDER): Promise<readonly Undone[]> {
  const all: Undone[] = [];
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  const journals: { path: string; changed: number }[] = [];
  for (const name of names.filter((one) => one.endsWith(JOURNAL_SUFFIX))) {
    const path = join(folder, name);
    journals.push({ path, changed: (await lstat(path)).mtimeMs });
  }
  // The newest first: it may stand on what an older one made.
  for (const { path } of journals.toSorted((a, b) => b.changed - a.changed)) {
    try {
      const network = await TunnelNetwork.open({ journalPath: path });
      if (network.recovered.steps.length + network.recovered.failures.length > 0) all.push(network.recovered);
      await network.close();
    } catch (error) {
      if (!(error instanceof JournalError)) throw error;
    }
  }
  return all;
}

export async function readSnapshot(netlink: RouteNetlink): Promise<NetworkSnapshot> {
  const [links, addresses, routes] = [await netlink.links(), await netlink.addresses(), await netlink.routes()];
  return { links, addresses, routes };
}

/** After a crash nobody knows whether a planned step was made: it was not there before, so it is ours if it is there. */
function isOurs({ state }: Entry): boolean {
  return state === 'done' || state === 'planned';
}

/** Steps that others stand on: taking them back takes those along. */
function needsRebuild({ kind }: Step): boolean {
  return kind === 'address' || kind === 'up';
}

function make(netlink: RouteNetlink, step: Step): Promise<void> {
  switch (step.kind) {
    case 'tx-queue-length':
      return netlink.changeLink({ index: step.link, txQueueLength: step.value });
    case 'mtu':
      return netlink.changeLink({ index: step.link, mtu: step.value });
    case 'up':
      return netlink.changeLink({ index: step.link, up: true });
    case 'address':
      return netlink.addAddress(step.address);
    case 'route':
      return netlink.addRoute(step.route);
    case 'remove-route':
      return netlink.deleteRoute(step.route);
    default:
      return step satisfies never;
  }
}

function undo(netlink: RouteNetlink, step: Step): Promise<void> {
  switch (step.kind) {
    case 'tx-queue-length':
      return netlink.changeLink({ index: step.link, txQueueLength: step.before });
    case 'mtu':
      return netlink.changeLink({ index: step.link, mtu: step.before });
    case 'up':
      return netlink.changeLink({ index: step.link, up: step.before });
    case 'address':
      return netlink.deleteAddress(step.address);
    case 'route':
      return netlink.deleteRoute(step.route);
    case 'remove-route':
      return netlink.addRoute(step.route);
    default:
      return step satisfies never;
  }
}
