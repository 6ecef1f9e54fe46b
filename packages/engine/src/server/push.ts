/**
 * The push reply to one client: what is configured for it, its addresses, and what was negotiated.
 * upstream: push.c `prepare_push_reply`, `send_push_reply`, `process_incoming_push_request` (2.6).
 */
import type { Millis } from '@seikan/core';

import { protocolFlags } from '../log-lines.js';
import { Capability, can, leadingNumber, takesCipher } from '../negotiation.js';
import { encodePushReply, pushWithoutOwnRoutes } from '../options/push.js';
import type { Time } from '../output.js';
import { clientAddresses } from './client-addresses.js';
import type { Instance } from './instance.js';
import type { Top } from './top.js';

/** A request that comes again so soon is a retransmission (9.5). */
const REPEAT_INTERVAL: Millis = 30_000;

/** Pushes when it is time: at once to a client that can take it unasked, otherwise when it has asked. */
export function pushToClient(top: Top, instance: Instance, time: Time): void {
  if (!instance.pushRequested && !can(instance.capabilities, Capability.requestPush)) return;
  if (
    instance.pushSentAt !== undefined &&
    (!instance.pushRequested || time.now < instance.pushSentAt + REPEAT_INTERVAL)
  )
    return;
  instance.pushed(time.now);
  const reply = encodePushReply(pushOptions(top, instance));
  if ('tooLong' in reply) {
    instance.log.error(`PUSH: an option is too long to be pushed: ${reply.tooLong}`);
    instance.refuse(undefined, time);
    return;
  }
  for (const message of reply.messages) instance.tell(message, time);
}

/** The options in upstream's order (8.6). */
export function pushOptions(top: Top, instance: Instance): readonly string[] {
  const { config } = instance;
  const { negotiated } = instance.context;
  if (config === undefined || negotiated === undefined) return [];
  const own: string[] = [];
  const { ipv4, ipv6 } = clientAddresses(top, instance);
  if (ipv6 !== undefined && !config.ifconfigIpv6Blocked)
    own.push(`ifconfig-ipv6 ${ipv6.address}/${ipv6.bits} ${ipv6.remote ?? ''}`.trimEnd());
  if (ipv4 !== undefined && !config.ifconfigBlocked)
    own.push(`ifconfig ${config.ifconfigPush?.alias ?? ipv4.address} ${ipv4.second ?? ''}`.trimEnd());
  if (can(instance.capabilities, Capability.dataV2)) own.push(`peer-id ${instance.peer.index}`);
  if (instance.token.current !== undefined) own.push(`auth-token ${instance.token.current}`);
  if (takesCipher(instance.peerInfo)) own.push(`cipher ${negotiated.cipher}`);
  if (negotiated.exitNotify) own.push(`protocol-flags ${protocolFlags(negotiated).join(' ')}`);
  else if (negotiated.keyDerivation === 'tls-ekm') own.push('key-derivation tls-ekm');
  const [connection] = top.options.connections;
  if (connection !== undefined && leadingNumber(instance.peerInfo.get('IV_MTU')) !== undefined)
    own.push(`tun-mtu ${connection.tunMtu}`);
  return [...pushWithoutOwnRoutes(config), ...own];
}
