/** What `push-peer-info` tells a server of this host. */
import { readFileSync } from 'node:fs';
import { release } from 'node:os';

import type { HostFacts } from '@seikan/engine';

export function hostFacts(): HostFacts {
  return {
    hardwareAddress: hardwareAddress(),
    tlsLibrary: `OpenSSL ${process.versions.openssl}`,
    platformVersion: release(),
  };
}

/** Of the device that the IPv4 default route with the least metric goes through; none for devices without (tun). */
function hardwareAddress(): string | undefined {
  try {
    const [first] = readFileSync('/proc/net/route', 'utf8')
      .split('\n')
      .map((line) => line.split('\t'))
      .filter(([, destination, , , , , , mask]) => destination === '00000000' && mask === '00000000')
      .toSorted((a, b) => Number(a[6]) - Number(b[6]));
    const device = first?.[0];
    if (device === undefined) return undefined;
    const address = readFileSync(`/sys/class/net/${device}/address`, 'utf8').trim();
    return /^(?!00:00:00:00:00:00)([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(address) ? address : undefined;
  } catch {
    // In a chroot there is no /proc or /sys, or the device went away in the meantime: there is nothing to tell then.
    return undefined;
  }
}
