import { readFileSync } from 'node:fs';

import type { Route } from '#src/netlink/route.js';

/** The default route of a machine, as `ip route` writes it. */
export const defaultRoute: Route = {
  family: 4,
  destination: '0.0.0.0',
  prefixLength: 0,
  tos: 0,
  table: 254,
  protocol: 3,
  scope: 0,
  type: 1,
  flags: 0,
  others: [],
};

interface RecordedCommand {
  readonly name: string;
  readonly command: string;
  readonly request: string;
  readonly answers: readonly string[];
  readonly output?: unknown;
}

interface Recording {
  readonly commands: readonly RecordedCommand[];
  readonly openvpn: readonly { readonly dir: 'sent' | 'received'; readonly hex: string }[];
}

export const recording = JSON.parse(
  readFileSync(new URL('../test/vectors/rtnetlink.json', import.meta.url), 'utf8'),
) as Recording;

export function command(name: string): RecordedCommand {
  const found = recording.commands.find((recorded) => recorded.name === name);
  if (found === undefined) throw new Error(`no recorded command ${name}`);
  return found;
}

export function answers(name: string): Uint8Array[] {
  return command(name).answers.map((hex) => new Uint8Array(Buffer.from(hex, 'hex')));
}

/** The answer of `ip -j`, an array of objects. */
export function output(name: string): Record<string, unknown>[] {
  return command(name).output as Record<string, unknown>[];
}

/**
 * A request as a text that does not depend on the order of its attributes, nor on its sequence number: type, flags, the
 * fixed structure and the sorted attributes, all in hex. `fixed` is the size of the structure after the header.
 */
export function shape(datagram: Uint8Array, fixed: number): string {
  const hex = (from: number, to: number) => Buffer.from(datagram.subarray(from, to)).toString('hex');
  const attributes: string[] = [];
  const view = new DataView(datagram.buffer, datagram.byteOffset, datagram.byteLength);
  for (let at = 16 + fixed; at < datagram.length; ) {
    const length = view.getUint16(at, true);
    attributes.push(hex(at + 2, at + length));
    at += (length + 3) & ~3;
  }
  return `${hex(4, 8)} ${hex(16, 16 + fixed)} ${attributes.toSorted().join(' ')}`;
}

export function recordedShape(name: string, fixed: number): string {
  return shape(new Uint8Array(Buffer.from(command(name).request, 'hex')), fixed);
}

/** The value of a lookup that the test knows to succeed. */
export function present<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('expected a value');
  return value;
}
