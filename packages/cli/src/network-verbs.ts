/** Verbs about the netcfg service: a tunnel without root, what the service has, what it changes. */
import { DbusError, type Variant } from '@seikan/dbus';
import { hasCapability } from '@seikan/native';
import { ChangeType, NETCFG_PATH, NetcfgClient, type ReceivedChange } from '@seikan/netcfg';

import { openvpnMain } from './openvpn.js';

const EVERYTHING = 0x7ff;

/** A tunnel by its profile: with the netcfg service unless this process may change the network itself. */
export async function up(
  profile: string,
  words: readonly string[],
  { service = !hasCapability('CAP_NET_ADMIN') }: { service?: boolean | undefined } = {},
): Promise<number> {
  const argv = ['--config', profile, ...words];
  if (!service) return openvpnMain(argv);
  const client = await NetcfgClient.open();
  try {
    await client.properties(NETCFG_PATH).catch((error: unknown) => {
      throw error instanceof DbusError ? new Error(notAllowed(error), { cause: error }) : error;
    });
    return await openvpnMain(argv, client);
  } finally {
    client.close();
  }
}

/** Prints the service's version and settings, and the devices that this user may see. */
export async function netcfgStatus(write: (line: string) => void): Promise<void> {
  const client = await NetcfgClient.open();
  try {
    const properties = await client.properties(NETCFG_PATH);
    for (const [name, value] of properties) write(`${name}: ${shown(value)}`);
    for (const path of await client.devices()) {
      write(path);
      for (const [name, value] of await client.properties(path)) write(`  ${name}: ${shown(value)}`);
    }
  } finally {
    client.close();
  }
}

/** Prints each change of the network that the service makes, until `stop` resolves. */
export async function netcfgMonitor(write: (line: string) => void, stop: Promise<unknown>): Promise<void> {
  const client = await NetcfgClient.open();
  try {
    await client.watch(EVERYTHING, (change) => write(`${new Date().toISOString()} ${describeChange(change)}`));
    write('watching; Ctrl-C ends it');
    await Promise.race([stop, client.bus.closed]);
  } finally {
    client.close();
  }
}

export function describeChange({ type, device, details }: ReceivedChange): string {
  const [name = `change ${type}`] = Object.entries(ChangeType).find(([, value]) => value === type) ?? [];
  const words = name.replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
  const values = [...details].filter(([key]) => key !== 'prefix').map(([key, value]) => `${key}=${value}`);
  return [device, words, ...values].filter((part) => part !== '').join(' ');
}

function shown({ value }: Variant): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function notAllowed({ message }: DbusError): string {
  return `the netcfg service cannot be used: ${message}\nInstall it with tools/install-netcfg, and be a member of its group.`;
}
