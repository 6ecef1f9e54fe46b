/**
 * The status file of a server, in the three versions that tools read.
 * upstream: multi.c `multi_print_status` (2.6); v1 for people, v2 comma-separated, v3 tab-separated.
 */
import type { UnixSeconds } from '@seikan/core';

/** Also of one that is not let in yet: `UNDEF`, without addresses, with the cipher that nobody has negotiated. */
export interface ClientStatus {
  readonly commonName: string;
  readonly realAddress: string;
  readonly virtualAddress: string | undefined;
  readonly virtualAddressIpv6: string | undefined;
  readonly bytesReceived: number;
  readonly bytesSent: number;
  readonly connectedSince: UnixSeconds;
  readonly username: string | undefined;
  readonly clientId: number;
  readonly peerId: number;
  readonly cipher: string;
}

export interface RouteStatus {
  /** An address, `network/bits`, or a MAC; a cached host route ends in `C`. */
  readonly virtualAddress: string;
  readonly commonName: string;
  readonly realAddress: string;
  readonly lastReference: UnixSeconds;
}

export interface ServerStatus {
  readonly title: string;
  readonly clients: readonly ClientStatus[];
  readonly routes: readonly RouteStatus[];
  readonly maxQueueLength: number;
  readonly offloaded: boolean;
}

const CLIENT_COLUMNS = [
  'Common Name',
  'Real Address',
  'Virtual Address',
  'Virtual IPv6 Address',
  'Bytes Received',
  'Bytes Sent',
  'Connected Since',
  'Connected Since (time_t)',
  'Username',
  'Client ID',
  'Peer ID',
  'Data Channel Cipher',
];
const ROUTE_COLUMNS = ['Virtual Address', 'Common Name', 'Real Address', 'Last Ref', 'Last Ref (time_t)'];

/** `formatTime` gives local time as `2026-11-21 02:49:36`. */
export function formatServerStatus(
  status: ServerStatus,
  version: 1 | 2 | 3,
  now: UnixSeconds,
  formatTime: (time: UnixSeconds) => string,
): string {
  return version === 1
    ? formatForPeople(status, now, formatTime)
    : formatTable(status, version === 2 ? ',' : '\t', now, formatTime);
}

function formatForPeople(status: ServerStatus, now: UnixSeconds, formatTime: (time: UnixSeconds) => string): string {
  const lines = [
    'OpenVPN CLIENT LIST',
    `Updated,${formatTime(now)}`,
    'Common Name,Real Address,Bytes Received,Bytes Sent,Connected Since',
    ...status.clients.map((client) =>
      [
        client.commonName,
        client.realAddress,
        client.bytesReceived,
        client.bytesSent,
        formatTime(client.connectedSince),
      ].join(','),
    ),
    'ROUTING TABLE',
    'Virtual Address,Common Name,Real Address,Last Ref',
    ...status.routes.map((route) =>
      [route.virtualAddress, route.commonName, route.realAddress, formatTime(route.lastReference)].join(','),
    ),
    'GLOBAL STATS',
    `Max bcast/mcast queue length,${status.maxQueueLength}`,
    'END',
  ];
  return `${lines.join('\n')}\n`;
}

function formatTable(
  status: ServerStatus,
  separator: string,
  now: UnixSeconds,
  formatTime: (time: UnixSeconds) => string,
): string {
  const rows: (string | number)[][] = [
    ['TITLE', status.title],
    ['TIME', formatTime(now), now],
    ['HEADER', 'CLIENT_LIST', ...CLIENT_COLUMNS],
    ...status.clients.map((client) => [
      'CLIENT_LIST',
      client.commonName,
      client.realAddress,
      client.virtualAddress ?? '',
      client.virtualAddressIpv6 ?? '',
      client.bytesReceived,
      client.bytesSent,
      formatTime(client.connectedSince),
      client.connectedSince,
      client.username ?? 'UNDEF',
      client.clientId,
      client.peerId,
      client.cipher,
    ]),
    ['HEADER', 'ROUTING_TABLE', ...ROUTE_COLUMNS],
    ...status.routes.map((route) => [
      'ROUTING_TABLE',
      route.virtualAddress,
      route.commonName,
      route.realAddress,
      formatTime(route.lastReference),
      route.lastReference,
    ]),
    ['GLOBAL_STATS', 'Max bcast/mcast queue length', status.maxQueueLength],
    ['GLOBAL_STATS', 'dco_enabled', Number(status.offloaded)],
    ['END'],
  ];
  return rows.map((row) => `${row.join(separator)}\n`).join('');
}
