/**
 * Binary socket addresses ↔ `Endpoint` objects, both ways remembered, so that no address becomes text or is parsed for
 * each packet, and a datagram from a known place carries the same object as the one before it.
 *
 * Also remembers, for `multihome`, at which own address a remote was last heard: answers leave from there.
 */
import { type Endpoint, formatEndpoint } from '@seikan/core';
import { ADDRESS_WORDS, AddressTable, REMOTE_WORDS } from '@seikan/native';

/** Of each direction. A server with more active peers than this parses now and then. */
const REMEMBERED = 4_096;

/** A hash leads to so many neighbouring places. */
const WAYS = 4;

export class EndpointCache {
  readonly #heard = new AddressTable(REMEMBERED);
  readonly #heardAs: (Endpoint | undefined)[] = Array.from({ length: REMEMBERED });
  /** Which of the ways is overwritten next when all are taken. */
  #victim = 0;
  /** Another object whenever a remote is heard at another own address: records made before may be out of date. */
  stamp: object = {};
  /** Records to send to, by the endpoint's text; the oldest goes when it is full. */
  readonly #records = new Map<string, AddressTable>();

  /** Who record `i` of a received batch names. */
  endpointOf(received: AddressTable, i: number): Endpoint | undefined {
    const set = setOf(received, i);
    let free = -1;
    for (let place = set; place < set + WAYS; place += 1) {
      const known = this.#heardAs[place];
      if (known === undefined) free = place;
      else if (received.sameRemote(i, this.#heard, place)) {
        if (!sameLocal(received, i, this.#heard, place)) this.#remember(received, i, place, known);
        return known;
      }
    }
    const endpoint = received.remote(i);
    if (endpoint === undefined) return undefined;
    this.#victim = (this.#victim + 1) % WAYS;
    this.#remember(received, i, free >= 0 ? free : set + this.#victim, endpoint);
    return endpoint;
  }

  /** Writes the record of `to` into record `i` of a batch to be sent. */
  writeRecord(to: Endpoint, into: AddressTable, i: number): void {
    const key = keyOf(to);
    let record = this.#records.get(key);
    if (record === undefined) {
      record = new AddressTable(1);
      record.set(0, to);
      this.#store(key, record);
    }
    into.copy(i, record, 0);
  }

  /** The own address at which this remote was last heard; undefined without packet information. */
  localOf(remote: Endpoint): string | undefined {
    return this.#records.get(keyOf(remote))?.local(0)?.address;
  }

  #remember(received: AddressTable, i: number, place: number, endpoint: Endpoint): void {
    this.#heard.copy(place, received, i);
    this.#heardAs[place] = endpoint;
    if (received.local(i) === undefined) return;
    this.stamp = {};
    const record = new AddressTable(1);
    record.copy(0, received, i);
    this.#store(keyOf(endpoint), record);
  }

  #store(key: string, record: AddressTable): void {
    this.#records.delete(key);
    this.#records.set(key, record);
    if (this.#records.size <= REMEMBERED) return;
    for (const oldest of this.#records.keys()) {
      this.#records.delete(oldest);
      break;
    }
  }
}

/** The first place of the set that the remote half of record `i` hashes to. */
function setOf({ words }: AddressTable, i: number): number {
  let hash = 0;
  for (let k = i * ADDRESS_WORDS; k < i * ADDRESS_WORDS + REMOTE_WORDS; k += 1) {
    hash = Math.imul(hash ^ (words[k] as number), 0x9e37_79b1);
    hash ^= hash >>> 15;
  }
  return hash & (REMEMBERED - WAYS);
}

function sameLocal(a: AddressTable, i: number, b: AddressTable, j: number): boolean {
  for (let k = REMOTE_WORDS; k < ADDRESS_WORDS; k += 1) {
    if (a.words[i * ADDRESS_WORDS + k] !== b.words[j * ADDRESS_WORDS + k]) return false;
  }
  return true;
}

function keyOf(endpoint: Endpoint & { readonly scope?: number }): string {
  return `${formatEndpoint(endpoint)}%${endpoint.scope ?? 0}`;
}
