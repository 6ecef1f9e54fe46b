/** Kernel offload for clients of the service: a link of the kernel and its object on the bus. */
import { findKernelOffload, type KernelOffload, type KernelTunnel, type OffloadFamily } from '@seikan/dco';
import { NetlinkError, OwnedLink, RouteNetlink } from '@seikan/netconf';

import type { DcoLink, DcoPort, DcoRequest } from '../dco-port.js';
import { DcoObject, dcoInterface } from './dco-object.js';

/** A link of the kernel, made for one client. */
export interface OffloadedLink {
  readonly name: string;
  readonly tunnel: KernelTunnel;
  remove(): Promise<void>;
}

/** The kernel's side, or what a test puts in its place. */
export interface LinkMaker {
  available(): boolean;
  /** Rejects with a NetlinkError: EEXIST when the name is taken. */
  make(name: string): Promise<OffloadedLink>;
}

/** Clients name their links alike (`tun`): the first number that is free is put behind a name that is taken. */
const MOST_LINKS = 256;

export function kernelDco(links: LinkMaker): DcoPort {
  return {
    available: () => Promise.resolve(links.available()),
    enable: async (request) => {
      const link = await makeLink(links, request.name);
      try {
        return new ExportedLink(link, request);
      } catch (error) {
        await link.remove();
        throw error;
      }
    },
  };
}

/** When no family is there, asking makes the kernel search its modules, which holds everybody up: so often at most. */
const BETWEEN_SEARCHES = 2_000;

/**
 * In the order in which families are tried: clients speak one of them, and cannot be asked which. Those up to v27 know
 * `ovpn-dco-v2` only. Links are journalled in `stateFolder`, where `HostNetwork` looks for what a crash left.
 */
export function kernelLinks(
  families: readonly OffloadFamily[],
  stateFolder: string,
  search: typeof findKernelOffload = findKernelOffload,
): LinkMaker {
  let nextSearch = 0;
  const find = (): KernelOffload | undefined => {
    if (performance.now() < nextSearch) return undefined;
    const offload = search(families);
    if (offload === undefined) nextSearch = performance.now() + BETWEEN_SEARCHES;
    return offload;
  };
  return {
    available: () => {
      const offload = find();
      offload?.close();
      return offload !== undefined;
    },
    make: async (name) => {
      const offload = find();
      if (offload === undefined) throw new NetlinkError(`make link ${name}`, EOPNOTSUPP);
      const routes = new RouteNetlink();
      const close = (): void => {
        routes.close();
        offload.close();
      };
      try {
        const link = await OwnedLink.make({
          netlink: routes,
          name,
          kind: offload.linkKind,
          create: () => offload.createLink(routes, name, 'p2p'),
          folder: stateFolder,
        });
        const remove = async (): Promise<void> => {
          try {
            await link.remove();
          } finally {
            close();
          }
        };
        return { name, tunnel: offload.openTunnel(link), remove };
      } catch (error) {
        close();
        throw error;
      }
    },
  };
}

const EOPNOTSUPP = 95;

async function makeLink(links: LinkMaker, wanted: string): Promise<OffloadedLink> {
  for (let number = -1; ; number += 1) {
    const name = number < 0 ? wanted : `${wanted}${number}`;
    try {
      return await links.make(name);
    } catch (error) {
      if (!(error instanceof NetlinkError)) throw error;
      if (error.code === 'EEXIST' && number < MOST_LINKS - 1) continue;
      throw new Error(`Error while executing NetlinkLinkNew ${wanted}: -${error.errno}`, { cause: error });
    }
  }
}

class ExportedLink implements DcoLink {
  readonly name: string;
  readonly #link: OffloadedLink;
  readonly #object: DcoObject;
  readonly #request: DcoRequest;
  #closed = false;

  constructor(link: OffloadedLink, request: DcoRequest) {
    this.name = link.name;
    this.#link = link;
    this.#request = request;
    this.#object = new DcoObject(link.tunnel, request);
    request.tree.export(request.path, dcoInterface, this.#object);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#request.tree.unexport(this.#request.path);
    this.#object.close();
    await this.#link.remove();
  }
}
