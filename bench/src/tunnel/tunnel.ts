/** A tunnel under measurement, who can be one, and what the processor time of its processes is. */
import { readFileSync } from 'node:fs';
import type { Program, Teardown } from '@seikan/testkit';

import type { EndName, Hosts } from './hosts.js';

export const contenders = [
  'ours',
  'ours-1000-peers',
  'openvpn',
  'openvpn-tuned',
  'wireguard-go',
  'wireguard-go-gso',
  'forwarder',
  'veth',
  'ours-to-openvpn',
  'openvpn-to-ours',
] as const;
export type ContenderName = (typeof contenders)[number];

export const ciphers = ['AES-256-GCM', 'AES-128-GCM', 'CHACHA20-POLY1305'] as const;
export type Cipher = (typeof ciphers)[number];

/** What all contenders of a run have in common. */
export interface Setting {
  readonly cipher: Cipher;
  readonly transport: 'udp' | 'tcp';
  /** The wire's own segmentation off: datagrams cross it one by one, as on a real network. */
  readonly wire: boolean;
  /** The node that runs ours, and options of its own: `--cpu-prof`, say. */
  readonly node: string;
  readonly nodeFlags: string;
}

/** The tunnels' MTU: with every contender's overhead a packet fits the wire's 1500 bytes. */
export const TUNNEL_MTU = 1_440;

export interface Tunnel {
  readonly hosts: Hosts;
  /** The server's address in the tunnel. */
  readonly address: string;
  /** None where the kernel does it alone. */
  readonly processes: Readonly<Partial<Record<EndName, Program>>>;
}

export interface Contender {
  readonly name: ContenderName;
  readonly version: string;
  /** Builds hosts and tunnel; resolves when packets pass. */
  readonly start: (teardown: Teardown) => Promise<Tunnel>;
}

/** The clock ticks of /proc: 100 a second on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;

/** User and system seconds of all threads of a process so far. */
export function processorSeconds(program: Program): number {
  const stat = readFileSync(`/proc/${program.pid}/stat`, 'utf8');
  // The command's name in brackets may hold spaces; utime and stime are fields 14 and 15.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** Seconds that all cores have spent in programs and in system calls. */
export function machineSeconds(): number {
  const [user = 0, nice = 0, system = 0] = (/^cpu +(.*)$/m.exec(readFileSync('/proc/stat', 'utf8'))?.[1] ?? '')
    .split(' ')
    .map(Number);
  return (user + nice + system) / TICKS_PER_SECOND;
}
