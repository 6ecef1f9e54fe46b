/**
 * Whether the kernel carries the tunnel, decided once per run as OpenVPN decides it: the configuration must allow it, the
 * device must not be another's, and the kernel must have one of the two families. Each no is logged in OpenVPN's words.
 */

import { existsSync, readFileSync } from 'node:fs';
import { release, version } from 'node:os';

import { findKernelOffload, type KernelOffload } from '@seikan/dco';
import { type LogLine, type Options, offloadObstacle } from '@seikan/engine';
import { RouteNetlink, recoverLinks } from '@seikan/netconf';

/** The caller closes what it is given. */
export async function chooseOffload(
  options: Options,
  log: (line: LogLine) => void,
): Promise<KernelOffload | undefined> {
  if (options.device.disableOffload) return undefined;
  const say = (text: string, severity: LogLine['severity'] = 'notice', verb = 3): void =>
    log({ verb, severity, prefix: undefined, text });
  const obstacle = offloadObstacle(options);
  for (const line of obstacle) say(line);
  if (obstacle.length > 0) return undefined;

  // In OpenVPN's order of preference by age: who has both has the mainline one on purpose.
  const offload = findKernelOffload(['ovpn', 'ovpn-dco-v2']);
  if (offload === undefined) {
    say('Note: Kernel support for ovpn-dco missing, disabling data channel offload.');
    return undefined;
  }
  for (const left of await recoverLinks()) say(`Removed DCO device ${left}: the process that made it has died`);
  const { name } = options.device;
  if (name !== undefined && name !== 'tun' && !(await isFree(name, offload))) {
    say(`Interface ${name} exists and is non-DCO. Disabling data channel offload`);
    offload.close();
    return undefined;
  }
  if (options.server.clientToClient) {
    say(
      'Note: --client-to-client has no effect when using data channel offload: packets are always sent to the VPN interface and then routed based on the system routing table',
      'warning',
      1,
    );
  }
  return offload;
}

/** Of the module that is loaded, as OpenVPN shows it: mainline's is the kernel's. */
export function offloadVersion(): string {
  if (existsSync('/sys/module/ovpn')) return `${release()} ${version()}`;
  try {
    return readFileSync('/sys/module/ovpn_dco_v2/version', 'utf8').trim();
  } catch {
    return 'N/A';
  }
}

/** There is no such link, or one that the offload has made. */
async function isFree(name: string, { linkKind }: KernelOffload): Promise<boolean> {
  const netlink = new RouteNetlink();
  try {
    const link = await netlink.link(name);
    return link === undefined || link.kind === linkKind;
  } finally {
    netlink.close();
  }
}
