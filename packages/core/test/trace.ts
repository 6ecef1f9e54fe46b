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
  | '21-p2p-tlsauth-reneg-2614'
  | '30-tlscryptv2-user-2614'
  | '31-fragment-2614'
  | '32-static-key-2614'
  | '33-tcp-tlscrypt-chacha-2614'
  | '34-stubv2-tlsauth-sha1-2614'
  | '35-token-reneg-2614'
  | '36-tap-udp6-cbc-2614'
  | '37-epoch-tlscryptv2-278'
  | '40-epoch-openvpn3-27-278';

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

/**
 * What went over the wire in a classic little-endian pcap file of Ethernet frames, IPv4 or IPv6, in order: UDP payloads,
 * or the packets of a TCP stream without their lengths.
 */
export function readTrace(trace: TraceName): Datagram[] {
  const file = readFileSync(new URL(`${trace}/trace.pcap`, folder));
  if (file.readUInt32LE(0) !== 0xa1b2c3d4 || file.readUInt32LE(20) !== 1) throw new Error(`${trace}: unexpected pcap`);
  const datagrams: Datagram[] = [];
  const streams = { client: new Stream(), server: new Stream() };
  for (let at = 24; at < file.length; ) {
    const time = file.readUInt32LE(at);
    const frame = file.subarray(at + 16, at + 16 + file.readUInt32LE(at + 8));
    at += 16 + frame.length;
    const segment = transportOf(frame);
    if (segment === undefined) continue;
    const from = segment.bytes.readUInt16BE(0) === SERVER_PORT ? 'server' : 'client';
    const packets =
      segment.protocol === UDP
        ? [segment.bytes.subarray(8, segment.bytes.readUInt16BE(4))]
        : streams[from].take(segment.bytes);
    for (const bytes of packets) datagrams.push({ from, time, bytes: new Uint8Array(bytes) });
  }
  return datagrams;
}

const TCP = 6;
const UDP = 17;

/** The UDP datagram or TCP segment of a frame, cut where IP ends. */
function transportOf(frame: Buffer): { protocol: number; bytes: Buffer } | undefined {
  const type = frame.readUInt16BE(12);
  const ip = frame.subarray(14);
  if (type === 0x0800) {
    const protocol = ip[9] ?? 0;
    const bytes = ip.subarray(((ip[0] ?? 0) & 0x0f) * 4, ip.readUInt16BE(2));
    return protocol === UDP || protocol === TCP ? { protocol, bytes } : undefined;
  }
  if (type !== 0x86dd) return undefined;
  const protocol = ip[6] ?? 0;
  return protocol === UDP || protocol === TCP
    ? { protocol, bytes: ip.subarray(40, 40 + ip.readUInt16BE(4)) }
    : undefined;
}

/** One direction of a TCP connection that lost nothing: what was sent again is left out. */
class Stream {
  #next: number | undefined;
  #bytes = Buffer.alloc(0);

  /** The packets that are whole now. */
  take(segment: Buffer): Buffer[] {
    const start = segment.readUInt32BE(4);
    const isSyn = ((segment[13] ?? 0) & 2) !== 0;
    if (isSyn) this.#next = (start + 1) >>> 0;
    const payload = segment.subarray(((segment[12] ?? 0) >> 4) * 4);
    if (isSyn || payload.length === 0 || start !== this.#next) return [];
    this.#next = (start + payload.length) >>> 0;
    this.#bytes = Buffer.concat([this.#bytes, payload]);
    const packets: Buffer[] = [];
    while (this.#bytes.length >= 2 && this.#bytes.length >= 2 + this.#bytes.readUInt16BE(0)) {
      const end = 2 + this.#bytes.readUInt16BE(0);
      packets.push(this.#bytes.subarray(2, end));
      this.#bytes = this.#bytes.subarray(end);
    }
    return packets;
  }
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
