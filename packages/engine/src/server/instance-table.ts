/**
 * The instances of a server by peer index, with their deadlines. An index is used again; its generation never is.
 * upstream: multi.h `multi_context.instances`, multi.c `multi_assign_peer_id`, schedule.c (2.6).
 */
import type { Millis, PeerRef } from '@seikan/core';

import { Deadlines } from './deadlines.js';
import type { Instance } from './instance.js';

export class InstanceTable {
  readonly #capacity: number;
  readonly #instances: (Instance | undefined)[] = [];
  readonly #generations: number[] = [];
  /** Indices below the end of the table that are free again, the lowest first. */
  readonly #vacant = new Deadlines();
  readonly #deadlines = new Deadlines();
  /** Instances that something was done to since their deadlines were last asked. */
  readonly #touched = new Set<Instance>();
  #count = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** The lowest free index (12.18) in a generation of its own; `undefined` when the server is full. */
  free(): PeerRef | undefined {
    const index = this.#vacant.earliest ?? this.#instances.length;
    if (index >= this.#capacity) return undefined;
    const generation = (this.#generations[index] ?? 0) + 1;
    this.#generations[index] = generation;
    return { index, generation };
  }

  get count(): number {
    return this.#count;
  }

  add(instance: Instance): void {
    const { index } = instance.peer;
    this.#count += 1;
    this.#instances[index] = instance;
    this.#vacant.set(index, undefined);
    this.#touched.add(instance);
  }

  /** False: it was removed before. */
  remove(instance: Instance): boolean {
    const { index } = instance.peer;
    if (this.#instances[index] !== instance) return false;
    this.#instances[index] = undefined;
    this.#count -= 1;
    this.#vacant.set(index, index);
    this.#deadlines.set(index, undefined);
    return true;
  }

  /** Whoever an event is about; its deadlines may move with it. */
  of(peer: PeerRef): Instance | undefined {
    const instance = this.#instances[peer.index];
    if (instance?.peer.generation !== peer.generation) return undefined;
    this.#touched.add(instance);
    return instance;
  }

  /** Something is done to the instance: its deadlines may move. */
  touch(instance: Instance): void {
    this.#touched.add(instance);
  }

  all(): Instance[] {
    return this.#instances.filter((instance) => instance !== undefined);
  }

  established(): Instance[] {
    return this.all().filter(({ phase }) => phase === 'established');
  }

  /** Those whose deadline has come, touched. */
  takeDue(now: Millis): Instance[] {
    this.#settle();
    const due: Instance[] = [];
    for (const index of this.#deadlines.takeDue(now)) {
      const instance = this.#instances[index];
      if (instance === undefined) continue;
      this.#touched.add(instance);
      due.push(instance);
    }
    return due;
  }

  nextTimeout(): Millis | undefined {
    this.#settle();
    return this.#deadlines.earliest;
  }

  #settle(): void {
    for (const instance of this.#touched) {
      const { index } = instance.peer;
      if (this.#instances[index] === instance) this.#deadlines.set(index, instance.nextTimeout());
    }
    this.#touched.clear();
  }
}
