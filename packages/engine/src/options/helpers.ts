/**
 * The directives that stand for others: `client`, `server`, `server-ipv6`, `server-bridge`, `keepalive`, `tcp-nodelay`.
 * Source: helper.c (2.6.14).
 *
 *     server 10.8.0.0 255.255.255.0       mode server, tls-server, push "topology …" (tun), and
 *       tun with net30 or p2p             ifconfig .1 .2, pool .4 to the end less 4 (/29: less 0), route of the network,
 *                                         push the network (client-to-client) or .1 (net30)
 *       tun with subnet, and tap          ifconfig .1 netmask, pool .2 to the end less 1, push "route-gateway .1"
 *     server-ipv6 fd00::/64               ifconfig-ipv6 ::1 ::2, pool from ::1000 (::2 when longer than /112)
 */
import { addIpv6, bitsNetmask, formatIpv4, formatIpv6, netmaskBits } from './address.js';
import type { Draft } from './draft.js';
import { checkPool } from './pool.js';
import { deviceType } from './resolve.js';
import { usage } from './usage.js';

export function expandHelpers(draft: Draft): void {
  const { helpers, options } = draft;
  if (helpers.serverIpv6 !== undefined) expandServerIpv6(draft, helpers.serverIpv6);
  if (helpers.server !== undefined) expandServer(draft, helpers.server);
  else if (helpers.serverBridge !== undefined || helpers.serverBridgeDhcp !== undefined) expandBridge(draft);
  else if (helpers.client) {
    options.pull = true;
    draft.tls.client = true;
  }
  if (helpers.keepalive !== undefined) expandKeepalive(draft, helpers.keepalive);
  if (helpers.tcpNoDelay && options.mode === 'server') options.push.push('socket-flags TCP_NODELAY');
}

function expandServerIpv6(draft: Draft, { network, bits }: { network: Uint8Array; bits: number }): void {
  const fail = usage(draft, 'server-ipv6');
  const { options, helpers } = draft;
  if (helpers.client)
    fail('--server-ipv6 and --client cannot be used together', 'One end is the server.', 'Remove one of the two.');
  if (helpers.server?.pool === false)
    fail("--server-ipv6 is incompatible with 'nopool' option", 'It makes a pool.', 'Remove nopool.');
  if (options.server.poolIpv6 !== undefined)
    fail(
      "--server-ipv6 already defines an ifconfig-ipv6-pool, so you can't also specify --ifconfig-pool explicitly",
      'There would be two pools.',
      'Remove ifconfig-ipv6-pool.',
    );
  options.mode = 'server';
  draft.tls.server = true;
  options.addresses.ipv6 = { local: formatIpv6(addIpv6(network, 1)), bits, remote: formatIpv6(addIpv6(network, 2)) };
  options.server.poolIpv6 = { base: formatIpv6(addIpv6(network, bits < 112 ? 0x1000 : 2)), bits };
  options.push.push('tun-ipv6');
}

function expandServer(draft: Draft, server: { network: number; netmask: number; pool: boolean }): void {
  const fail = usage(draft, 'server');
  const { options, helpers } = draft;
  const { network, netmask } = server;
  const { topology } = options.device;
  const device = deviceType(draft);
  if (helpers.client)
    fail('--server and --client cannot be used together', 'One end is the server.', 'Remove one of the two.');
  if (helpers.serverBridge !== undefined || helpers.serverBridgeDhcp !== undefined)
    fail('--server and --server-bridge cannot be used together', 'Both make a pool.', 'Remove one of the two.');
  if (options.data.secret !== undefined)
    fail(
      '--server and --secret cannot be used together (you must use SSL/TLS keys)',
      'A static key serves one peer.',
      'Use certificates.',
    );
  if (server.pool && options.server.pool !== undefined)
    fail(
      "--server already defines an ifconfig-pool, so you can't also specify --ifconfig-pool explicitly",
      'There would be two pools.',
      'Add nopool to server, or remove ifconfig-pool.',
    );
  if (device === 'null')
    fail(
      '--server directive only makes sense with --dev tun or --dev tap',
      'Clients could not be reached.',
      'Write "dev tun".',
    );
  const bits = netmaskBits(netmask);
  if (bits === undefined || (network & ~netmask) !== 0)
    return fail(
      '--server directive network/netmask combination is invalid',
      'The network has bits set outside of its netmask, or the netmask has gaps.',
      'Write it like 10.8.0.0 255.255.255.0.',
    );
  const most = device === 'tap' ? 30 : 29;
  if (bits < 16)
    fail(
      '--server directive netmask allows for too many host addresses (subnet must be 255.255.0.0 (/16) or higher)',
      `A /${bits} is too large.`,
      'Choose from /16 on.',
    );
  if (bits > most)
    fail(
      `--server directive when used with --dev ${device} must define a subnet of ${formatIpv4(bitsNetmask(most))} (/${most}) or lower`,
      `A /${bits} has too few addresses.`,
      `Choose at most /${most}.`,
    );
  options.mode = 'server';
  draft.tls.server = true;
  const own = formatIpv4(network + 1);
  const last = (network | ~netmask) >>> 0;
  if (device === 'tun' && topology !== 'subnet') {
    options.addresses.ipv4 = { local: own, remoteOrNetmask: formatIpv4(network + 2) };
    if (server.pool) setPool(draft, network + 4, last - (bits === 29 ? 0 : 4), undefined);
    options.routing.routes.push({
      network: formatIpv4(network),
      netmask: formatIpv4(netmask),
      gateway: undefined,
      metric: undefined,
    });
    if (options.server.clientToClient) options.push.push(`route ${formatIpv4(network)} ${formatIpv4(netmask)}`);
    else if (topology === 'net30') options.push.push(`route ${own}`);
  } else {
    options.addresses.ipv4 = { local: own, remoteOrNetmask: formatIpv4(netmask) };
    if (server.pool) setPool(draft, network + 2, last - 1, formatIpv4(netmask));
    options.push.push(`route-gateway ${own}`);
    if (device === 'tun') options.routing.gateway ??= formatIpv4(network + 2);
    options.server.pushConstraint = { network: formatIpv4(network), netmask: formatIpv4(netmask) };
  }
  if (device !== 'tun') return;
  options.push.push(`topology ${topology}`);
  if (topology === 'net30' && server.pool)
    draft.warnings.push({
      level: 'warning',
      text: 'WARNING: --topology net30 support for server configs with IPv4 pools will be removed in a future release. Please migrate to --topology subnet as soon as possible.',
      at: fail.at,
    });
}

function expandBridge(draft: Draft): void {
  const fail = usage(draft, 'server-bridge');
  const { options, helpers } = draft;
  const { serverBridge: bridge, serverBridgeDhcp: dhcp } = helpers;
  if (helpers.client)
    fail('--server-bridge and --client cannot be used together', 'One end is the server.', 'Remove one of the two.');
  if (options.server.pool !== undefined)
    fail(
      "--server-bridge already defines an ifconfig-pool, so you can't also specify --ifconfig-pool explicitly",
      'There would be two pools.',
      'Remove ifconfig-pool.',
    );
  if (options.data.secret !== undefined)
    fail(
      '--server-bridge and --secret cannot be used together (you must use SSL/TLS keys)',
      'A static key serves one peer.',
      'Use certificates.',
    );
  if (deviceType(draft) !== 'tap')
    fail('--server-bridge directive only makes sense with --dev tap', 'A tun cannot be bridged.', 'Write "dev tap".');
  options.mode = 'server';
  draft.tls.server = true;
  if (bridge === undefined) {
    if (dhcp?.pushGateway === true) options.push.push('route-gateway dhcp');
    return;
  }
  const { address, netmask, start, end } = bridge;
  for (const [a, b] of [
    [address, start],
    [start, end],
    [address, end],
  ] as const)
    if (((a ^ b) & netmask) !== 0)
      fail(
        `--server-bridge IP addresses ${formatIpv4(a)} and ${formatIpv4(b)} are not in the same ${formatIpv4(netmask)} subnet`,
        'The pool must be in the network of the gateway.',
        'Correct the addresses or the netmask.',
      );
  setPool(draft, start, end, formatIpv4(netmask));
  options.push.push(`route-gateway ${formatIpv4(address)}`);
}

function setPool(draft: Draft, start: number, end: number, netmask: string | undefined): void {
  const fail = usage(draft, draft.helpers.server === undefined ? 'server-bridge' : 'server');
  checkPool({ fail }, start, end);
  draft.options.server.pool = { start: formatIpv4(start), end: formatIpv4(end), netmask };
}

function expandKeepalive(draft: Draft, { interval, timeout }: { interval: number; timeout: number }): void {
  const fail = usage(draft, 'keepalive');
  const { options } = draft;
  if (interval <= 0 || timeout <= 0)
    fail('--keepalive parameters must be > 0', 'Pings need a time.', 'Write "keepalive 10 60".');
  if (interval * 2 > timeout)
    fail(
      `the second parameter to --keepalive (restart timeout=${timeout}) must be at least twice the value of the first parameter (ping interval=${interval}).  A ratio of 1:5 or 1:6 would be even better.  Recommended setting is --keepalive 10 60.`,
      'One lost ping would restart the tunnel.',
      'Write "keepalive 10 60".',
    );
  if (options.timers.ping > 0 || options.timers.pingTimeout > 0)
    fail(
      "--keepalive conflicts with --ping, --ping-exit, or --ping-restart.  If you use --keepalive, you don't need any of the other --ping directives.",
      'Both say when to ping.',
      'Keep keepalive only.',
    );
  const server = options.mode === 'server';
  options.timers.ping = interval;
  options.timers.pingTimeout = server ? timeout * 2 : timeout;
  options.timers.pingAction = 'restart';
  if (server) options.push.push(`ping ${interval}`, `ping-restart ${timeout}`);
}
