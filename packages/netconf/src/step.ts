/**
 * One change of the host's network and what takes it back. Steps are plain data: the journal writes them down before
 * they are made.
 */
import { describeAddress, type InterfaceAddress } from './netlink/address.js';
import { describeRoute, type Route, RouteTable } from './netlink/route.js';
import { effectiveMetric, type NetworkSnapshot } from './snapshot.js';

export type RoutePurpose = 'route' | 'exclude' | 'bypass' | 'redirect' | 'block-local';

export type Step =
  | { readonly kind: 'tx-queue-length'; readonly link: number; readonly value: number; readonly before: number }
  | { readonly kind: 'mtu'; readonly link: number; readonly value: number; readonly before: number }
  | { readonly kind: 'up'; readonly link: number; readonly before: boolean }
  | { readonly kind: 'address'; readonly address: InterfaceAddress }
  | { readonly kind: 'route'; readonly route: Route; readonly purpose: RoutePurpose }
  | { readonly kind: 'remove-route'; readonly route: Route };

/**
 * What stands or falls together: two steps with one key make the same change. For properties of a link the key leaves
 * the values out, since a later value replaces an earlier one.
 */
export function stepKey(step: Step): string {
  switch (step.kind) {
    case 'tx-queue-length':
    case 'mtu':
    case 'up':
      return `${step.kind} ${step.link}`;
    case 'address':
      return `address ${describeAddress(step.address)} ${step.address.broadcast ?? ''}`;
    case 'route':
    case 'remove-route':
      return `${step.kind} ${routeKey(step.route)} proto ${step.route.protocol}`;
    default:
      return step satisfies never;
  }
}

export function describeStep(step: Step): string {
  switch (step.kind) {
    case 'tx-queue-length':
    case 'mtu':
      return `set ${step.kind} ${step.value} on link ${step.link}`;
    case 'up':
      return `set link ${step.link} up`;
    case 'address':
      return `add address ${describeAddress(step.address)}`;
    case 'route':
      return `add route ${describeRoute(step.route)}`;
    case 'remove-route':
      return `delete route ${describeRoute(step.route)}`;
    default:
      return step satisfies never;
  }
}

/** Whether the change is there already, made by somebody else: then it is not ours to make, nor to take back. */
export function standsAlready(step: Step, { links, addresses, routes }: NetworkSnapshot): boolean {
  switch (step.kind) {
    case 'tx-queue-length':
      return links.some(({ index, txQueueLength }) => index === step.link && txQueueLength === step.value);
    case 'mtu':
      return links.some(({ index, mtu }) => index === step.link && mtu === step.value);
    case 'up':
      return links.some(({ index, up }) => index === step.link && up);
    case 'address': {
      const { linkIndex, address, prefixLength, peer } = step.address;
      return addresses.some(
        (there) =>
          there.linkIndex === linkIndex &&
          there.address === address &&
          there.prefixLength === prefixLength &&
          there.peer === peer,
      );
    }
    case 'route':
      return routes.some((route) => sameRoute(route, step.route));
    case 'remove-route':
      return !routes.some((route) => sameRoute(route, step.route));
    default:
      return step satisfies never;
  }
}

/** The snapshot as it would be without these steps, made by us. */
export function without(snapshot: NetworkSnapshot, steps: readonly Step[]): NetworkSnapshot {
  let { links, addresses, routes } = snapshot;
  for (const step of steps.toReversed()) {
    switch (step.kind) {
      case 'tx-queue-length':
        links = links.map((link) => (link.index === step.link ? { ...link, txQueueLength: step.before } : link));
        break;
      case 'mtu':
        links = links.map((link) => (link.index === step.link ? { ...link, mtu: step.before } : link));
        break;
      case 'up':
        links = links.map((link) => (link.index === step.link ? { ...link, up: step.before } : link));
        break;
      case 'address': {
        const { linkIndex, address, prefixLength } = step.address;
        addresses = addresses.filter(
          (there) => there.linkIndex !== linkIndex || there.address !== address || there.prefixLength !== prefixLength,
        );
        break;
      }
      case 'route':
        routes = routes.filter((route) => !sameRoute(route, step.route));
        break;
      case 'remove-route':
        routes = [step.route, ...routes];
        break;
      default:
        step satisfies never;
    }
  }
  return { links, addresses, routes };
}

/**
 * Whether the kernel's route is the wanted one. IPv6 keeps one route per prefix and metric apart from multipath, so
 * there any other with both is in the way; a wanted IPv4 route without link or source leaves these to the kernel.
 */
function sameRoute(there: Route, wanted: Route): boolean {
  if (
    there.destination !== wanted.destination ||
    there.prefixLength !== wanted.prefixLength ||
    there.table !== wanted.table ||
    there.tos !== wanted.tos ||
    effectiveMetric(there) !== effectiveMetric(wanted)
  ) {
    return false;
  }
  if (wanted.family === 6) return true;
  return (
    there.type === wanted.type &&
    there.gateway === wanted.gateway &&
    (wanted.linkIndex === undefined || there.linkIndex === wanted.linkIndex) &&
    (wanted.multipath === undefined) === (there.multipath === undefined)
  );
}

/** Where a route stands: its prefix, table and metric. */
export function routePlace(route: Route): string {
  const table = route.table === RouteTable.main ? '' : ` table ${route.table}`;
  return `${route.destination}/${route.prefixLength} tos ${route.tos} metric ${effectiveMetric(route)}${table}`;
}

function routeKey(route: Route): string {
  return `${routePlace(route)} via ${route.gateway ?? '-'} link ${route.linkIndex ?? '-'} flags ${route.flags}`;
}
