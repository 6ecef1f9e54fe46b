/**
 * What a server pushes to one client, written.
 * Source: push.c send_push_reply, send_push_options, remove_iroutes_from_push_route_list (2.6.14).
 */
import { encodeText } from '@seikan/core';

import { bitsNetmask, formatIpv4, formatIpv6, parseIpv4, parseIpv6Prefix } from './address.js';
import type { ClientConfig } from './client-config.js';

/** Size of a control message, and what is kept free in it for the end. */
const bundle = 1_024;
const reserve = 84;

/**
 * The control messages that carry the options, in order, each without its final NUL; at least one, since the client
 * waits. `tooLong` names an option that fits into no message.
 */
export function encodePushReply(
  options: readonly string[],
): { readonly messages: readonly string[] } | { readonly tooLong: string } {
  const messages: string[] = [];
  let message = 'PUSH_REPLY';
  let length = message.length;
  for (const option of options) {
    const size = encodeText(option).length;
    if (length + size >= bundle - reserve) {
      if ('PUSH_REPLY'.length + size >= bundle - reserve) return { tooLong: option };
      messages.push(`${message},push-continuation 2`);
      message = 'PUSH_REPLY';
      length = message.length;
    }
    message += `,${option}`;
    length += 1 + size;
  }
  messages.push(messages.length > 0 ? `${message},push-continuation 1` : message);
  return { messages };
}

/** The client's push list without routes to networks behind itself: it would send them back to us. */
export function pushWithoutOwnRoutes({ push, iroutes, iroutesIpv6 }: ClientConfig): readonly string[] {
  if (iroutes.length + iroutesIpv6.length === 0) return push;
  return push.filter((option) => {
    const [name, network = '', netmask = '255.255.255.255', more] = option.split(/\s+/);
    if (name === 'route' && more === undefined) {
      const own = parseIpv4(network);
      return !iroutes.some(
        (route) =>
          own !== undefined && route.network === formatIpv4(own) && formatIpv4(bitsNetmask(route.bits)) === netmask,
      );
    }
    if (name === 'route-ipv6' && option.split(/\s+/).length === 2) {
      const own = parseIpv6Prefix(network);
      return !iroutesIpv6.some(
        (route) => own !== undefined && route.network === formatIpv6(own.address) && route.bits === own.bits,
      );
    }
    return true;
  });
}
