/**
 * rtnetlink with promises: links, addresses, routes and rules of the network namespace that the process runs in.
 * Refusals are `NetlinkError`s; its `code` says which (EEXIST, ESRCH, EADDRNOTAVAIL, ENODEV, EPERM …).
 */
import type { IpFamily } from '../ip.js';
import {
  describeAddress,
  encodeAddressAdd,
  encodeAddressDelete,
  encodeAddressDump,
  type InterfaceAddress,
  parseAddress,
} from './address.js';
import { NetlinkConnection, NetlinkError, type OpenNetlinkPort } from './connection.js';
import {
  encodeLinkChange,
  encodeLinkCreate,
  encodeLinkDelete,
  encodeLinkDump,
  encodeLinkGet,
  type Link,
  type LinkChange,
  parseLink,
} from './link.js';
import type { MessageWriter, NetlinkMessage } from './message.js';
import { openRoutePort } from './native-port.js';

import {
  describeRoute,
  encodeRouteAdd,
  encodeRouteDelete,
  encodeRouteDump,
  encodeRouteLookup,
  parseRoute,
  type Route,
  RouteFlag,
} from './route.js';
import { encodeRuleAdd, encodeRuleDelete, encodeRuleDump, parseRule, type Rule } from './rule.js';

const UNREACHABLE: ReadonlySet<string> = new Set(['ENETUNREACH', 'EHOSTUNREACH', 'EACCES', 'EINVAL']);

export class RouteNetlink {
  readonly #connection: NetlinkConnection;

  constructor(open: OpenNetlinkPort = openRoutePort()) {
    this.#connection = new NetlinkConnection(open);
  }

  async links(): Promise<Link[]> {
    return (await this.#request('list links', encodeLinkDump)).map(parseLink);
  }

  /** One link by index or name; undefined when there is none. */
  async link(which: number | string): Promise<Link | undefined> {
    try {
      const [message] = await this.#request(`read link ${which}`, () => encodeLinkGet(which));
      return message === undefined ? undefined : parseLink(message);
    } catch (error) {
      if (error instanceof NetlinkError && error.code === 'ENODEV') return undefined;
      throw error;
    }
  }

  async changeLink(change: LinkChange): Promise<void> {
    await this.#request(describeLinkChange(change), () => encodeLinkChange(change));
  }

  /** `data` writes the attributes of the link's kind. */
  async createLink(name: string, kind: string, data?: (writer: MessageWriter) => void): Promise<void> {
    await this.#request(`create ${kind} link ${name}`, () => encodeLinkCreate(name, kind, data));
  }

  async deleteLink(index: number): Promise<void> {
    await this.#request(`delete link ${index}`, () => encodeLinkDelete(index));
  }

  /** Every address of every link, in the kernel's order. */
  async addresses(): Promise<InterfaceAddress[]> {
    return parsed(await this.#request('list addresses', encodeAddressDump), parseAddress);
  }

  async addAddress(address: InterfaceAddress): Promise<void> {
    await this.#request(`add address ${describeAddress(address)}`, () => encodeAddressAdd(address));
  }

  async deleteAddress(address: InterfaceAddress): Promise<void> {
    await this.#request(`delete address ${describeAddress(address)}`, () => encodeAddressDelete(address));
  }

  /** Every route of every table, in the kernel's order; without the kernel's cache of looked-up destinations. */
  async routes(family?: IpFamily): Promise<Route[]> {
    const messages = await this.#request('list routes', () => encodeRouteDump(family));
    return parsed(messages, parseRoute).filter(({ flags }) => (flags & RouteFlag.cloned) === 0);
  }

  async addRoute(route: Route): Promise<void> {
    await this.#request(`add route ${describeRoute(route)}`, () => encodeRouteAdd(route));
  }

  async deleteRoute(route: Route): Promise<void> {
    await this.#request(`delete route ${describeRoute(route)}`, () => encodeRouteDelete(route));
  }

  /** The route that a packet to this address takes now, policy rules included; undefined when there is none. */
  async routeTo(address: string): Promise<Route | undefined> {
    try {
      const [message] = await this.#request(`find the route to ${address}`, () => encodeRouteLookup(address));
      return message === undefined ? undefined : parseRoute(message);
    } catch (error) {
      if (error instanceof NetlinkError && UNREACHABLE.has(error.code)) return undefined;
      throw error;
    }
  }

  async rules(family: IpFamily): Promise<Rule[]> {
    return parsed(await this.#request('list rules', () => encodeRuleDump(family)), parseRule);
  }

  async addRule(rule: Rule): Promise<void> {
    await this.#request(`add rule ${rule.priority}`, () => encodeRuleAdd(rule));
  }

  async deleteRule(rule: Rule): Promise<void> {
    await this.#request(`delete rule ${rule.priority}`, () => encodeRuleDelete(rule));
  }

  close(): void {
    this.#connection.close();
  }

  #request(what: string, build: () => MessageWriter): Promise<NetlinkMessage[]> {
    return this.#connection.request(what, build);
  }
}

function describeLinkChange({ index, ...change }: LinkChange): string {
  const words = Object.entries(change).map(([name, value]) => `${name} ${value}`);
  return `set link ${index} ${words.join(' ')}`;
}

function parsed<T>(messages: readonly NetlinkMessage[], parse: (message: NetlinkMessage) => T | undefined): T[] {
  const all: T[] = [];
  for (const message of messages) {
    const one = parse(message);
    if (one !== undefined) all.push(one);
  }
  return all;
}
