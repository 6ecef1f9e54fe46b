/** What OpenVPN's command line does besides running a tunnel: each prints or writes something and ends. */
import type { Configuration } from '@seikan/engine';
import { createPersistentTun, lookUpIdentity, removePersistentTun } from '@seikan/native';
import { type LineLog, MaterialError, tunFailure } from '@seikan/runtime';

import { bannerLines, versionText } from '../product.js';
import { gatewayLines } from './gateways.js';
import { helpText } from './help.js';
import { writeKey } from './key-files.js';
import { cipherList, digestList, engineList, groupList, tlsList } from './listings.js';
import { testCrypto } from './self-test.js';
import { withNetlink } from './with-netlink.js';

/** Upstream's OPENVPN_EXIT_STATUS_GOOD and _USAGE. */
const GOOD = 0;
const USAGE = 1;

/** Does it and gives the exit status. Throws a MaterialError in upstream's words. */
export async function runAction({ options, warnings }: Configuration, log: LineLog): Promise<number> {
  const { action } = options;
  const say = (text: string): void => log.write({ verb: 1, severity: 'notice', prefix: undefined, text });
  if (action.do !== 'help' && action.do !== 'version') for (const { text } of warnings) say(text);
  switch (action.do) {
    case 'run':
      throw new TypeError('running a tunnel is no one-shot action');
    case 'help':
      log.print(helpText(bannerLines()[0] ?? ''));
      return USAGE;
    case 'version':
      log.print(versionText());
      return GOOD;
    case 'genkey':
      writeKey(action, (text) => log.print(text));
      return GOOD;
    case 'test-crypto':
      if (options.data.secret === undefined) {
        log.print('Options error: You must define key file (--secret)\nUse --help for more information.\n');
        return USAGE;
      }
      testCrypto(options, say);
      return GOOD;
    case 'mktun':
    case 'rmtun':
      await makeTun(options, action.do, say);
      return GOOD;
    case 'show-ciphers':
      log.print(cipherList());
      return GOOD;
    case 'show-digests':
      log.print(digestList());
      return GOOD;
    case 'show-tls':
      log.print(tlsList(options));
      return GOOD;
    case 'show-groups':
      log.print(groupList());
      return GOOD;
    case 'show-engines':
      log.print(engineList());
      return GOOD;
    case 'show-gateway':
      for (const line of await gatewayLines(action.argument)) say(line);
      return GOOD;
    default:
      throw new Error(action satisfies never);
  }
}

async function makeTun(
  { device: { name, type, macAddress }, process: { user, group } }: Configuration['options'],
  what: 'mktun' | 'rmtun',
  say: (text: string) => void,
): Promise<void> {
  if (name === undefined || type === 'null') throw new MaterialError('a persistent device needs a name: --dev tun7');
  try {
    if (what === 'rmtun') removePersistentTun({ kind: type, name });
    const made =
      what === 'mktun'
        ? createPersistentTun({
            kind: type,
            name,
            owner: lookUpIdentity(user, undefined).uid,
            group: lookUpIdentity(undefined, group).gid,
          })
        : name;
    say(`TUN/TAP device ${made} opened`);
    say(`Persist state set to: ${what === 'mktun' ? 'ON' : 'OFF'}`);
    if (what === 'rmtun' || macAddress === undefined) return;
    await setHardwareAddress(made, macAddress);
    say(`TUN/TAP link layer address set to ${macAddress}`);
  } catch (error) {
    throw new MaterialError(tunFailure(name, error), { cause: error });
  }
}

async function setHardwareAddress(name: string, hardwareAddress: string): Promise<void> {
  await withNetlink(async (netlink) => {
    const link = await netlink.link(name);
    if (link === undefined) throw new Error(`${name} is gone`);
    await netlink.changeLink({ index: link.index, hardwareAddress });
  });
}
