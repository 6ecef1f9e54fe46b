/**
 * A connection on a port that OpenVPN shares with another service, until its first bytes show which of them is meant.
 * It reads three bytes and no more:
 *
 *   | length 2: 14 to 255    | 0x38: P_CONTROL_HARD_RESET_CLIENT_V2, key 0 |
 *   | length 2: 336 to 1 278 | 0x50: P_CONTROL_HARD_RESET_CLIENT_V3, key 0 |       with a client's wrapped key
 *
 * Then a `TcpLink` takes its place, or the descriptor goes to whoever serves the others, with the bytes that were read.
 * Links that share nothing know nothing of this.
 *
 * Source: ps.c `is_openvpn_protocol` (2.6.14), which gives two bytes of the second kind away when they come alone.
 */
import { readUint16 } from '@seikan/core';
import { errorText, type TcpSocket, WOULD_BLOCK } from '@seikan/native';

import type { LinkReceiver, PacketLink } from './ports.js';
import type { DescriptorWatch, Readiness } from './readiness.js';

const FIRST_BYTES = 3;
const openings: readonly { readonly first: number; readonly least: number; readonly most: number }[] = [
  { first: 0x38, least: 14, most: 255 },
  { first: 0x50, least: 336, most: 1_278 },
];

export class UndecidedLink implements PacketLink {
  readonly kind = 'stream';
  readonly #socket: TcpSocket;
  readonly #watch: DescriptorWatch;
  readonly #become: (begun: Uint8Array) => PacketLink;
  readonly #bytes = new Uint8Array(FIRST_BYTES);
  #size = 0;
  #receiver: LinkReceiver | undefined;
  #closed = false;

  /** `become`: makes the link that goes on with the socket, behind bytes that were read. */
  constructor(socket: TcpSocket, readiness: Readiness, become: (begun: Uint8Array) => PacketLink) {
    this.#socket = socket;
    this.#become = become;
    this.#watch = readiness.watch(socket.descriptor.fd, () => this.#read());
  }

  start(receiver: LinkReceiver): void {
    this.#receiver = receiver;
    this.#watch.setEvents({ readable: true });
  }

  /** Nothing is said before the client has spoken. */
  send(): boolean {
    return false;
  }

  flush(): number {
    return 0;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#watch.close();
    this.#socket.close();
  }

  #read(): void {
    const count = this.#socket.read(this.#bytes, this.#size, FIRST_BYTES - this.#size);
    if (count === WOULD_BLOCK) return;
    if (count <= 0) {
      this.close();
      this.#receiver?.down(count === 0 ? 'closed by the peer' : errorText(count));
      return;
    }
    this.#size += count;
    const begun = this.#bytes.subarray(0, this.#size);
    const verdict = judge(begun);
    if (verdict === undefined) return;
    this.#closed = true;
    this.#watch.close();
    if (verdict === 'ours') this.#receiver?.became?.(this.#become(begun));
    else this.#receiver?.foreign?.(this.#socket.descriptor.release(), begun.slice());
  }
}

/** Undefined: more has to come. */
function judge(begun: Uint8Array): 'ours' | 'foreign' | undefined {
  if (begun.length < 2) return undefined;
  const length = readUint16(begun, 0);
  const possible = openings.filter(({ least, most }) => length >= least && length <= most);
  if (possible.length === 0) return 'foreign';
  if (begun.length < FIRST_BYTES) return undefined;
  return possible.some(({ first }) => first === begun[2]) ? 'ours' : 'foreign';
}
