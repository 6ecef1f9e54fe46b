/** The kernel's ability to carry tunnels: which of the two families it has, and making their links. */
import type { RouteNetlink } from '@seikan/netconf';

import { type GenericFamily, GenericNetlink } from './generic-netlink.js';
import { NetlinkTunnel } from './kernel-tunnel.js';
import { type OffloadCodec, type OffloadFamily, type OffloadMode, writeLinkMode } from './offload-codec.js';
import { ovpnCodec } from './ovpn.js';
import { ovpnDcoV2Codec } from './ovpn-dco-v2.js';

const codecs: Readonly<Record<OffloadFamily, OffloadCodec>> = { ovpn: ovpnCodec, 'ovpn-dco-v2': ovpnDcoV2Codec };

/** The first of the families that the kernel has, or can load. Asking costs a search for the module when it is missing. */
export function findKernelOffload(families: readonly OffloadFamily[]): KernelOffload | undefined {
  const netlink = new GenericNetlink();
  for (const name of families) {
    const family = netlink.family(name);
    if (family !== undefined) return new KernelOffload(netlink, codecs[name], family);
  }
  netlink.close();
  return undefined;
}

/** One family of the kernel, found. */
export class KernelOffload {
  readonly #netlink: GenericNetlink;
  readonly #codec: OffloadCodec;
  readonly #family: GenericFamily;

  constructor(netlink: GenericNetlink, codec: OffloadCodec, family: GenericFamily) {
    this.#netlink = netlink;
    this.#codec = codec;
    this.#family = family;
  }

  get family(): OffloadFamily {
    return this.#codec.family;
  }

  get linkKind(): OffloadCodec['linkKind'] {
    return this.#codec.linkKind;
  }

  /**
   * Makes a link, down and without peers. Throws a NetlinkError: EEXIST when the name is taken, ENOTSUP when the
   * kernel does not know the kind, EPERM without CAP_NET_ADMIN.
   */
  async createLink(routes: RouteNetlink, name: string, mode: OffloadMode): Promise<{ index: number; name: string }> {
    await routes.createLink(name, this.linkKind, writeLinkMode(mode));
    const link = await routes.link(name);
    if (link === undefined) throw new Error(`${name}: the link is gone as soon as it was made`);
    return { index: link.index, name };
  }

  /** Speaks about a link that `createLink` has made. */
  openTunnel(link: { readonly index: number; readonly name: string }): NetlinkTunnel {
    return new NetlinkTunnel({ link, requests: this.#netlink, codec: this.#codec, family: this.#family });
  }

  /** Tunnels opened here work no longer. Idempotent. */
  close(): void {
    this.#netlink.close();
  }
}
