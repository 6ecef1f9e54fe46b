/**
 * The lines that OpenVPN 2.6 logs for a change of the network; other programs read them. Levels are OpenVPN's.
 */
import type { Route } from './netlink/route.js';
import { RouteTable } from './netlink/route.js';
import type { Step } from './step.js';
import type { StepResult } from './tunnel-network.js';

export interface LogLine {
  readonly level: 'warning' | 'info';
  /** Of `--verb`, from which on it prints. */
  readonly verb: 1 | 3;
  readonly text: string;
}

/** `linkName` gives the name of a link by its index. */
export function linesForResult({ step, outcome, error }: StepResult, linkName: (index: number) => string): LogLine[] {
  if (outcome === 'kept') return [];
  const lines = [info(lineForStep(step, linkName))];
  const isRoute = step.kind === 'route' || step.kind === 'remove-route';
  if (outcome === 'existed' && isRoute) lines.push(info('NOTE: Linux route add command failed because route exists'));
  if (outcome === 'failed') {
    const what = isRoute ? 'ERROR: Linux route add command failed' : 'ERROR: Linux interface configuration failed';
    lines.push({ level: 'warning', verb: 1, text: `${what}: ${error?.message ?? ''}` });
  }
  return lines;
}

/** The line for a change that was taken back; undefined for those that OpenVPN says nothing about. */
export function lineForUndone(step: Step, linkName: (index: number) => string): LogLine | undefined {
  switch (step.kind) {
    case 'address': {
      const { address, peer, prefixLength, linkIndex } = step.address;
      const device = linkName(linkIndex);
      if (address.includes(':')) return info(`net_addr_v6_del: ${address}/${prefixLength} dev ${device}`);
      return info(`net_addr_${peer === undefined ? '' : 'ptp_'}v4_del: ${address} dev ${device}`);
    }
    case 'route':
      return info(routeLine('del', step.route, linkName));
    case 'remove-route':
      return info(routeLine('add', step.route, linkName));
    case 'tx-queue-length':
    case 'mtu':
    case 'up':
      return undefined;
    default:
      return step satisfies never;
  }
}

function lineForStep(step: Step, linkName: (index: number) => string): string {
  switch (step.kind) {
    case 'tx-queue-length':
      return `TUN/TAP TX queue length set to ${step.value}`;
    case 'mtu':
      return `net_iface_mtu_set: mtu ${step.value} for ${linkName(step.link)}`;
    case 'up':
      return `net_iface_up: set ${linkName(step.link)} up`;
    case 'address': {
      const { address, peer, prefixLength, linkIndex } = step.address;
      const device = linkName(linkIndex);
      if (address.includes(':')) return `net_addr_v6_add: ${address}/${prefixLength} dev ${device}`;
      if (peer !== undefined) return `net_addr_ptp_v4_add: ${address} peer ${peer} dev ${device}`;
      return `net_addr_v4_add: ${address}/${prefixLength} dev ${device}`;
    }
    case 'route':
      return routeLine('add', step.route, linkName);
    case 'remove-route':
      return routeLine('del', step.route, linkName);
    default:
      return step satisfies never;
  }
}

function routeLine(verb: 'add' | 'del', route: Route, linkName: (index: number) => string): string {
  const { family, destination, prefixLength, gateway, linkIndex, metric } = route;
  const table = route.table === RouteTable.main ? 0 : route.table;
  const via = gateway ?? (family === 4 ? '0.0.0.0' : '::');
  const device = linkIndex === undefined ? '[NULL]' : linkName(linkIndex);
  return `net_route_v${family}_${verb}: ${destination}/${prefixLength} via ${via} dev ${device} table ${table} metric ${metric ?? -1}`;
}

function info(text: string): LogLine {
  return { level: 'info', verb: /^net_(iface|addr)/.test(text) ? 1 : 3, text };
}
