/** Recorded sessions of stock peers (tests/vectors/traces): the datagrams of the capture, and what the logs say of them. */
import { readFileSync } from 'node:fs';

import { fromHex, toHex } from '#src/bytes/hex.js';
import { type ControlPacket, controlBodySize, encodeControlBody } from '#src/wire/control-packet.js';

export type TraceName =
  | '01-tlscrypt-gcm-ekm-2614'
  | '02-tlsauth-cbc-sha256-2614'
  | '05-epoch-tlscrypt-276'
  | '09-prf-client2511-server2614'
  | '20-tlscryptv2-reneg-2614'
  | '21-p2p-tlsauth-reneg-2614';

export interface Datagram {
  readonly from: 'client' | 'server';
  /** Whole seconds. */
  readonly time: number;
  readonly bytes: Uint8Array;
}

const folder = new URL('../../../tests/vectors/traces/', import.meta.url);
const SERVER_PORT = 1194;

export function readVector(path: string): string {
  return readFileSync(new URL(path, folder), 'utf8');
}

/** Lines of one peer's log. */
export function readLog(trace: TraceName, peer: 'client' | 'server'): string[] {
  return readVector(`${trace}/${peer}.log`).split('\n');
}

/** The UDP payloads of a classic little-endian pcap file of Ethernet and IPv4 packets, in order. */
export function readTrace(trace: TraceName): Datagram[] {
  const file = readFileSync(new URL(`${trace}/trace.pcap`, folder));
  if (file.readUInt32LE(0) !== 0xa1b2c3d4 || file.readUInt32LE(20) !== 1) throw new Error(`${trace}: unexpected pcap`);
  const datagrams: Datagram[] = [];
  for (let at = 24; at < file.length; ) {
    const time = file.readUInt32LE(at);
    const frame = file.subarray(at + 16, at + 16 + file.readUInt32LE(at + 8));
    at += 16 + frame.length;
    if (frame.readUInt16BE(12) !== 0x0800 || frame[23] !== 17) continue;
    const udp = frame.subarray(14 + ((frame[14] ?? 0) & 0x0f) * 4);
    const from = udp.readUInt16BE(0) === SERVER_PORT ? 'server' : 'client';
    datagrams.push({ from, time, bytes: new Uint8Array(udp.subarray(8, udp.readUInt16BE(4))) });
  }
  return datagrams;
}

/** The hex that follows `label` in each line that has it, spaces removed; long values are cut short by the log itself. */
export function hexAfter(log: readonly string[], label: string): string[] {
  return log.flatMap((line) => {
    const at = line.indexOf(label);
    return at < 0 ? [] : [line.slice(at + label.length).replace(/\[more\.\.\.\]|\s/g, '')];
  });
}

/** The one value that a log gives for a label. */
export function bytesAfter(log: readonly string[], label: string): Uint8Array {
  const [hex] = hexAfter(log, label);
  const bytes = hex === undefined ? undefined : fromHex(hex);
  if (bytes === undefined) throw new Error(`the log has no ${label}`);
  return bytes;
}

/** A packet without header and wrapping, as tls-crypt logs its plaintext. */
export function bodyHex(packet: ControlPacket): string {
  const body = new Uint8Array(controlBodySize(packet));
  encodeControlBody(packet, body);
  return toHex(body);
}

/** A TLS session whose exports are those of a recorded client, in the order in which it asked for each label. */
export function recordedExporter(trace: TraceName): {
  exportKeyingMaterial(label: string, length: number): Uint8Array;
} {
  const lines = readVector(`${trace}/exports.txt`).split('\n');
  return {
    exportKeyingMaterial(label, length) {
      const at = lines.findIndex((line) => line.startsWith(`EXPORT ${label}: `));
      const [line = ''] = lines.splice(at, 1);
      const bytes = fromHex(line.slice(line.lastIndexOf(' ') + 1));
      if (bytes?.length !== length) throw new Error(`${trace}: no export ${label} of ${length} bytes`);
      return bytes;
    },
  };
}
