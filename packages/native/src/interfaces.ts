/** Network interfaces by name and index. Everything else about them is netlink's. */
import { loadAddon } from './addon.js';

interface InterfaceAddon {
  interfaceIndex(name: string): number;
  interfaceName(index: number): string | undefined;
}

/** `undefined`: there is no such interface in this network namespace. */
export function interfaceIndex(name: string): number | undefined {
  const index = (loadAddon() as InterfaceAddon).interfaceIndex(name);
  return index === 0 ? undefined : index;
}

export function interfaceName(index: number): string | undefined {
  return (loadAddon() as InterfaceAddon).interfaceName(index);
}
